package fields

import (
	"bytes"
	"encoding/json"
	"slices"
)

// Canonical writes what the object says, without the named fields, as JSON that is the same
// for all ways to write it: the names in order, no white space, and at every depth nothing
// that says nothing (null, an empty text, list or object). Numbers stay as they were
// written: two ways to write a number are two things said.
func (o Object) Canonical(without ...string) []byte {
	said := map[string]any{}
	for name, raw := range o.fields {
		if !slices.Contains(without, name) {
			said[name] = decode(raw)
		}
	}
	return encode(prune(said))
}

// Written is the object as JSON, without the named fields: the names in order, and each
// value as it was written, but for white space.
func (o Object) Written(without ...string) []byte {
	written := map[string]json.RawMessage{}
	for name, raw := range o.fields {
		if !slices.Contains(without, name) {
			written[name] = raw
		}
	}
	return encode(written)
}

func encode(value any) []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic("fields: what was JSON does not marshal: " + err.Error())
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

// decode reads a value that is known to be JSON.
func decode(raw json.RawMessage) any {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		panic("fields: what was JSON does not parse: " + err.Error())
	}
	return value
}

// prune gives what a value says; nil if nothing, or an object without fields at the top.
func prune(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name := range v {
			if v[name] = prune(v[name]); saysNothing(v[name]) {
				delete(v, name)
			}
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
		return slices.DeleteFunc(v, saysNothing)
	}
	return value
}

func saysNothing(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return false
}

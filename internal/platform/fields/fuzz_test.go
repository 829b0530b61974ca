package fields_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/laidoulaile/channel-operator/internal/platform/fields"
)

// FuzzCanonical: what an object says is said the same however often it is written anew, and
// nothing of it is more than one reads.
func FuzzCanonical(f *testing.F) {
	for _, text := range []string{`{"a":1.0,"b":[null,"",{}],"c":{"d":"\ud800"}}`, `{"a":1,"a":2}`, `{"":{"":[[]]}}`, `{"a":1e400,"b":"<&>"}`, `[]`, `{} x`} {
		f.Add([]byte(text), "a")
	}
	f.Fuzz(func(t *testing.T, text []byte, name string) {
		o, parses := fields.Parse(text)
		if !parses {
			return
		}
		canonical := o.Canonical()
		for what, written := range map[string][]byte{"canonical": canonical, "written": o.Written()} {
			again, parses := fields.Parse(written)
			if !parses || !json.Valid(written) {
				t.Fatalf("%s: %q does not parse", what, written)
			}
			if got := again.Canonical(); string(got) != string(canonical) {
				t.Errorf("%s: %q says %q, and then %q", what, text, canonical, got)
			}
		}
		if left, parses := fields.Parse(o.Written(name)); !parses || left.Has(name) {
			t.Errorf("%q is still in %q", name, o.Written(name))
		}
		// Each reader gives what the API takes, or a fault that does not quote.
		read := o.Quiet()
		for _, id := range append(read.IDs(name), read.ID(name)) {
			if utf8.RuneCountInString(id) > fields.MaxID || !utf8.ValidString(id) {
				t.Errorf("id %q", id)
			}
		}
		if n := read.Count(name); n != nil && *n < 0 {
			t.Errorf("count %d", *n)
		}
		_, _, _, _ = read.Objects(name), read.Scalars(name), read.Instant(name), read.LocalTime(name)
		if fault := read.Fault(); len(fault) > 200+4*len(name) {
			t.Errorf("%q quotes", fault)
		}
	})
}

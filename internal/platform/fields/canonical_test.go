package fields_test

import "testing"

func TestCanonical(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                                     `{}`,
		` { "b" : 1 , "a" : "x" } `:              `{"a":"x","b":1}`,
		`{"a":null,"b":"","c":{},"d":[]}`:        `{}`,
		`{"a":{"b":[{"c":null},"",[]]},"d":[0]}`: `{"d":[0]}`,
		`{"a":[{"z":1,"y":false},null,"x"]}`:     `{"a":[{"y":false,"z":1},"x"]}`,
		`{"n":1.50,"m":1e3,"big":123456789012345678901234567890,"z":-0}`: `{"big":123456789012345678901234567890,"m":1e3,"n":1.50,"z":-0}`,
		`{"a":"<A&B>","b":"\u00e9\/"}`:                                   `{"a":"<A&B>","b":"é/"}`,
		`{"skip":{"a":1},"keep":{"skip":1}}`:                             `{"keep":{"skip":1}}`,
		`{"a":1,"a":2,"b":{"c":1,"c":null}}`:                             `{"a":2}`,
		"{\"a\":\"\xff\"}":                                               "{\"a\":\"\ufffd\"}",
	} {
		if got := string(parse(t, text).Canonical("skip")); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// Asking leaves the object as it was, and what was written is its own canonical form.
func TestCanonicalOfItself(t *testing.T) {
	o := parse(t, `{"b":[{"c":null,"d":"x"}],"a":1}`)
	first := string(o.Canonical())
	if again := string(o.Canonical()); again != first || !o.Has("b") {
		t.Errorf("%s, then %s", first, again)
	}
	if got := string(parse(t, first).Canonical()); got != first {
		t.Errorf("%s of %s", got, first)
	}
}

// What was written stays, but for white space around it and the order of the names.
func TestWritten(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: `{}`,
		` { "b" : [ 1.50 , null , "" ] , "a" : { "d" : 1 , "c" : [] } } `: `{"a":{"d":1,"c":[]},"b":[1.50,null,""]}`,
		`{"a":"\ud800 <&> \u00e9 é","skip":1,"n":{"skip":1}}`:             `{"a":"\ud800 <&> \u00e9 é","n":{"skip":1}}`,
	} {
		o := parse(t, text)
		if got := string(o.Written("skip")); got != want || len(o.Names()) != len(parse(t, text).Names()) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

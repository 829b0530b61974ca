package fields_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

func parse(t interface{ Fatalf(string, ...any) }, text string) fields.Object {
	o, ok := fields.Parse([]byte(text))
	if !ok {
		t.Fatalf("%s does not parse", text)
	}
	return o
}

func TestParseTakesExactlyOneObject(t *testing.T) {
	for text, want := range map[string]bool{
		`{}`: true, ` {"a":1} `: true, `{"a":1}{}`: false, `{"a":1},`: false, `null`: false, `[]`: false, `""`: false, `{`: false, ``: false, `{"a":}`: false,
	} {
		if _, ok := fields.Parse([]byte(text)); ok != want {
			t.Errorf("%q parses: %v", text, ok)
		}
	}
}

// What each reader makes of a field: a value, or a fault that names the field alone.
func TestReaders(t *testing.T) {
	read := map[string]func(fields.Object) any{
		"text":     func(o fields.Object) any { return o.Text("f") },
		"exact":    func(o fields.Object) any { return o.Exact("f") },
		"id":       func(o fields.Object) any { return o.ID("f") },
		"integer":  func(o fields.Object) any { return number(o.Integer("f")) },
		"count":    func(o fields.Object) any { return number(o.Count("f")) },
		"boolean":  func(o fields.Object) any { return truth(o.Boolean("f")) },
		"millis":   func(o fields.Object) any { return moment(o.Millis("f")) },
		"instant":  func(o fields.Object) any { return moment(o.Instant("f")) },
		"day":      func(o fields.Object) any { return moment(o.Day("f")) },
		"local":    func(o fields.Object) any { return moment(o.LocalTime("f")) },
		"localday": func(o fields.Object) any { return moment(o.LocalDay("f")) },
		"object":   func(o fields.Object) any { return o.Object("f").Text("g") },
		"objects":  func(o fields.Object) any { return len(o.Objects("f")) },
		"texts":    func(o fields.Object) any { return strings.Join(o.Texts("f"), "|") },
		"raw":      func(o fields.Object) any { return string(o.Raw("f")) },
	}
	const fault = "fault"
	for _, test := range []struct {
		reader, value string
		want          any
	}{
		{"text", `"a"`, "a"}, {"text", `7`, "7"}, {"text", `null`, ""}, {"text", `true`, fault}, {"text", `{}`, fault},
		{"exact", `"1e3"`, "1e3"}, {"exact", `1000`, "1000"}, {"exact", `1e3`, fault}, {"exact", `-1`, fault}, {"exact", `9007199254740995`, "9007199254740995"},
		{"exact", `"\ud800"`, fault}, {"exact", "\"\ufffd\"", fault}, {"exact", `"\ud83d\ude00"`, "\U0001f600"}, {"text", `"\ud800"`, "\ufffd"},
		{"id", `"x"`, "x"}, {"id", `"` + strings.Repeat("x", 128) + `"`, strings.Repeat("x", 128)}, {"id", `"` + strings.Repeat("x", 129) + `"`, fault}, {"id", `"a\u0000"`, fault}, {"id", "\"\xff\"", fault},
		{"integer", `-7`, "-7"}, {"integer", `"-7"`, "-7"}, {"integer", `1.5`, fault}, {"integer", `99999999999999999999`, fault}, {"integer", `null`, "none"},
		{"count", `7`, "7"}, {"count", `-7`, fault}, {"count", `""`, "none"},
		{"boolean", `true`, "true"}, {"boolean", `"false"`, "false"}, {"boolean", `"maybe"`, fault}, {"boolean", `null`, "none"},
		{"millis", `1758600000500`, "2025-09-23T04:00:00.5Z"}, {"millis", `1758600000`, fault}, {"millis", `null`, "none"},
		{"instant", `1758600000500`, "2025-09-23T04:00:00.5Z"}, {"instant", `"1758600000"`, "2025-09-23T04:00:00Z"}, {"instant", `0`, "none"}, {"instant", `12`, fault}, {"instant", `9999999999999`, fault},
		{"day", `1758600000500`, "2025-09-22T16:00:00Z"}, {"day", `999999999999999`, fault},
		{"local", `"2025-09-23 12:00:00"`, "2025-09-23T04:00:00Z"}, {"local", `"2025-09-23T12:00:00"`, fault}, {"local", `"2025-09-23 12:00:00.5"`, fault},
		{"localday", `"2025-09-23"`, "2025-09-22T16:00:00Z"}, {"localday", `""`, "none"}, {"localday", `"2025-02-30"`, fault}, {"localday", `"2025-09-23 12:00:00"`, fault}, {"localday", `20250923`, fault},
		{"object", `{"g":"x"}`, "x"}, {"object", `"{\"g\":\"x\"}"`, "x"}, {"object", `null`, ""}, {"object", `[]`, ""}, {"object", ` [ ] `, ""}, {"object", `[[]]`, fault}, {"object", `[null]`, fault}, {"object", `"[]"`, fault}, {"object", `"x"`, fault},
		{"objects", `[{},{}]`, 2}, {"objects", `null`, 0}, {"objects", `{}`, fault}, {"objects", `[1]`, fault},
		{"texts", `["a","b"]`, "a|b"}, {"texts", `["a",1]`, fault}, {"texts", `"a"`, fault},
		{"raw", ` [1, 2]`, "[1, 2]"}, {"raw", `""`, ""},
	} {
		o := parse(t, `{"f":`+test.value+`}`)
		got := read[test.reader](o)
		switch told := o.Fault(); {
		case test.want == fault && !strings.HasPrefix(told, "f ") && !strings.HasPrefix(told, "f["):
			t.Errorf("%s of %s: fault %q", test.reader, test.value, told)
		case test.want != fault && (told != "" || got != test.want):
			t.Errorf("%s of %s: %v, fault %q; want %v", test.reader, test.value, got, told, test.want)
		}
	}
}

func number(n *int64) string {
	if n == nil {
		return "none"
	}
	text, _ := json.Marshal(n)
	return string(text)
}

func truth(b *bool) string {
	switch {
	case b == nil:
		return "none"
	case *b:
		return "true"
	}
	return "false"
}

func moment(at time.Time) string {
	if at.IsZero() {
		return "none"
	}
	return at.UTC().Format(time.RFC3339Nano)
}

// The first fault stays, with the path to it, however deep; a quiet object has its own.
func TestFaultsAreSharedAndNamedByPath(t *testing.T) {
	o := parse(t, `{"a":{"list":[{"n":1},{"n":"secret"}]},"b":true}`)
	list := o.Object("a").Objects("list")
	list[1].Quiet().Count("n")
	if o.Fault() != "" {
		t.Errorf("a quiet object's fault is told: %q", o.Fault())
	}
	list[1].Count("n")
	o.Text("b")
	if want := "a.list[1].n is not a whole number"; o.Fault() != want {
		t.Errorf("fault %q, want %q", o.Fault(), want)
	}
}

func TestRequireNamesTheFirstThatIsAbsent(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":1,"b":2}`: "", `{"b":2}`: "a is missing", `{"a":null,"b":2}`: "a is missing", `{"a":1,"b":""}`: "b is missing",
	} {
		o := parse(t, text)
		o.Require("a", "b")
		if o.Fault() != want {
			t.Errorf("%s: %q, want %q", text, o.Fault(), want)
		}
	}
}

func TestFormsValuesAreTexts(t *testing.T) {
	o := fields.FromForm(url.Values{"a": {"7"}, "o": {`{"x":"y"}`}})
	if o.Text("a") != "7" || *o.Count("a") != 7 || o.Object("o").Text("x") != "y" || o.Has("b") || o.Fault() != "" {
		t.Errorf("read otherwise, fault %q", o.Fault())
	}
}

// No value, whatever it is, panics or stands in the fault.
func TestFaultsShowNoValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		planted := "PLANTED" + rapid.StringMatching(`[a-z0-9]{0,8}`).Draw(t, "planted")
		shape := rapid.SampledFrom([]string{`"%"`, `["%"]`, `{"%":"%"}`, `[{"f":"%"}]`, `"{\"f\":\"%\"}"`}).Draw(t, "shape")
		o := parse(t, `{"f":`+strings.ReplaceAll(shape, "%", planted)+`}`)
		for _, read := range []func(){
			func() { o.Integer("f") }, func() { o.Boolean("f") }, func() { o.Millis("f") }, func() { o.Instant("f") }, func() { o.Day("f") },
			func() { o.LocalTime("f") }, func() { o.LocalDay("f") }, func() { o.Object("f") }, func() { o.Objects("f") }, func() { o.Texts("f") }, func() { o.ID("f") },
		} {
			read()
		}
		if strings.Contains(o.Fault(), planted) {
			t.Fatalf("the fault shows the value: %q", o.Fault())
		}
	})
}

func TestShorten(t *testing.T) {
	for _, test := range []struct {
		text  string
		limit int
		want  string
	}{{" a\nb ", 9, "a b"}, {"西湖一晚", 2, "西湖"}, {"", 3, ""}, {"\x00", 3, ""}, {"abc", 0, ""},
		{"o\x00pen\tit", 9, "open it"}, {"one two", 5, "one"}, {"one two", 7, "one two"}, {"one two", 3, "one"}, {"one two", 4, "one"}, {"one two, three", 7, "one two"}, {"券码ab-12_c", 5, "券码"},
		{"券码ａｂ①２\u200bc", 6, "券码"}, {"abcdef", 4, "abcd"}, {"{abcdef", 4, "{abc"}, {" ab cd", 1, "a"}} {
		if got := fields.Shorten(test.text, test.limit); got != test.want {
			t.Errorf("%q to %d: %q, want %q", test.text, test.limit, got, test.want)
		}
	}
}

// A secret that does not fit is not shown in part, once the text is scrubbed: wherever the cut goes through it, and
// whatever control characters part it.
func TestShortenCutsNoSecretInTwo(t *testing.T) {
	const limit = 40
	for _, secret := range []string{"lowercase", "mixed-Case_x", "ａｂｃｄｅｆｇｈ", "q\x00w\x01e\x02rty"} {
		for before := range limit + 1 {
			text := strings.Repeat("忙", before) + secret + " 已核销" + strings.Repeat("忙", limit)
			got := sealing.Excerpt(fields.Shorten(text, limit), limit, sealing.NewSecret(secret))
			if strings.ContainsAny(got, "abcdefghijklmnopqrstuvwxyz") {
				t.Errorf("%q after %d characters: %q", secret, before, got)
			}
		}
	}
}

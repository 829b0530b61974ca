package fields

import (
	"slices"
	"strings"
	"testing"
)

func TestLists(t *testing.T) {
	cases := map[string]struct {
		ids, scalars []string
		fault        string // of IDs
	}{
		`["1",2,"x"]`:                          {ids: []string{"1", "2", "x"}, scalars: []string{"1", "2", "x"}},
		`[]`:                                   {},
		`null`:                                 {},
		`["1",""]`:                             {fault: "a[1] is missing"},
		`["1",null]`:                           {fault: "a[1] is missing"},
		`[1.5]`:                                {fault: "a[0] is a number that is not written as plain digits"},
		`[{}]`:                                 {fault: "a[0] is neither a text nor a number"},
		`{}`:                                   {fault: "a is not a list"},
		`["` + strings.Repeat("9", 129) + `"]`: {fault: "a[0] is longer than 128 characters"},
	}
	for text, tc := range cases {
		o, ok := Parse([]byte(`{"b":1,"a":` + text + `}`))
		if !ok {
			t.Fatal(text)
		}
		if names := o.Names(); !slices.Equal(names, []string{"a", "b"}) {
			t.Errorf("names %q", names)
		}
		if got := o.IDs("a"); o.Fault() != tc.fault || tc.fault == "" && !slices.Equal(got, tc.ids) {
			t.Errorf("%.20s: ids %q, fault %q", text, got, o.Fault())
		}
		if got := o.Quiet().Scalars("a"); tc.fault == "" && !slices.Equal(got, tc.scalars) {
			t.Errorf("%.20s: %q", text, got)
		}
	}
}

package faults

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// leastSought is how long a text must be to be sought: less stands somewhere by chance.
const leastSought = 8

// finder finds any of many texts in one pass, whatever their disguise.
type finder struct {
	// begins are the texts by their first bytes, and likely their first two.
	begins map[[leastSought]byte][]disguise
	likely [1 << 16]bool
}

// disguise is how a text looks where it was encoded.
type disguise struct{ look, of string }

func newFinder(texts ...string) *finder {
	f := &finder{begins: map[[leastSought]byte][]disguise{}}
	for _, text := range texts {
		for _, look := range disguises(text) {
			if len(look) < leastSought {
				continue
			}
			key := [leastSought]byte([]byte(look))
			if d := (disguise{look, text}); !slices.Contains(f.begins[key], d) {
				f.begins[key] = append(f.begins[key], d)
			}
			f.likely[int(look[0])<<8|int(look[1])] = true
		}
	}
	return f
}

// disguises are a text itself, escaped for a URL or in JSON, in hexadecimal, and in base64 wherever it
// stands in what was encoded.
func disguises(text string) []string {
	escaped := strconv.QuoteToASCII(text)
	all := []string{text, url.QueryEscape(text), hex.EncodeToString([]byte(text)), escaped[1 : len(escaped)-1]}
	for before := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", before) + text))
		// What depends on the bytes before and after is left out.
		all = append(all, encoded[(before*8+5)/6:(before+len(text))*8/6])
	}
	return all
}

// in lists what stands in the data: each text once, with what is around it.
func (f *finder) in(data []byte) []string {
	var found []string
	seen := map[string]bool{}
	for i := 0; i+leastSought <= len(data); i++ {
		if !f.likely[int(data[i])<<8|int(data[i+1])] {
			continue
		}
		for _, d := range f.begins[[leastSought]byte(data[i:i+leastSought])] {
			if !seen[d.of] && strings.HasPrefix(string(data[i:min(len(data), i+len(d.look))]), d.look) {
				seen[d.of] = true
				found = append(found, fmt.Sprintf("%q: …%q…", d.of, data[max(0, i-80):min(len(data), i+len(d.look)+20)]))
			}
		}
	}
	return found
}

func TestTheFinderFindsWhatIsDisguised(t *testing.T) {
	f := newFinder("another text", "code 9/ä+xyz")
	for name, data := range map[string]string{
		"as it is":    `{"a":"code 9/ä+xyz"}`,
		"at the end":  "code 9/ä+xyz",
		"base64":      base64.StdEncoding.EncodeToString([]byte("code 9/ä+xyz, and more")),
		"base64, 1":   base64.StdEncoding.EncodeToString([]byte("1code 9/ä+xyz, and more")),
		"base64, 2":   base64.StdEncoding.EncodeToString([]byte("22code 9/ä+xyz")),
		"base64, 3":   base64.StdEncoding.EncodeToString([]byte("333code 9/ä+xyz")),
		"hexadecimal": "a0" + hex.EncodeToString([]byte("code 9/ä+xyz")),
		"in JSON":     `"code 9/\u00e4+xyz"`,
		"in a URL":    "?token=" + url.QueryEscape("code 9/ä+xyz"),
	} {
		if found := f.in([]byte(data)); len(found) != 1 || !strings.HasPrefix(found[0], `"code`) {
			t.Errorf("%s: %q", name, found)
		}
	}
	if found := f.in([]byte("code 9/ä+xy, anothertext, code")); len(found) > 0 {
		t.Errorf("nothing is there: %q", found)
	}
}

package sealing_test

import (
	"regexp"
	"testing"

	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// fixed is a sealer whose code key never changes.
func fixed(t testing.TB, first byte) *sealing.Sealer {
	t.Helper()
	identity, err := sealing.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := sealing.Recipients(identity)
	if err != nil {
		t.Fatal(err)
	}
	key := make([]byte, 32)
	key[0] = first
	sealer, err := sealing.NewSealer(recipients, key)
	if err != nil {
		t.Fatal(err)
	}
	return sealer
}

// A code that was given must be the same in every later version: travellers hold it.
func TestMadeCodesNeverChange(t *testing.T) {
	got := fixed(t, 1).MakeCode("travel", "douyin", "1065946966824669548", "c-1").Reveal()
	if want := "585CZXF3WXWXE3M1"; got != want {
		t.Errorf("code %s, want %s", got, want)
	}
}

func TestMadeCodes(t *testing.T) {
	one, other := fixed(t, 1), fixed(t, 2)
	shape := regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{16}$`)
	seen := map[string]bool{}
	for _, names := range [][]string{{"a", "bc"}, {"ab", "c"}, {"abc"}, {"abc", ""}, {"", "abc"}, {"1:a", "b"}, {"1", "a1:b"}} {
		for _, sealer := range []*sealing.Sealer{one, other} {
			code := sealer.MakeCode(names...).Reveal()
			if !shape.MatchString(code) || seen[code] {
				t.Errorf("%q: code %s is of another shape, or came before", names, code)
			}
			seen[code] = true
		}
	}
	if id := one.CodeID(sealing.NewSecret("a")); seen[id] {
		t.Error("an id is a code")
	}
}

func TestMadeCodesAreStableAndDistinct(t *testing.T) {
	sealer := fixed(t, 3)
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.String(), 1, 4)
		a, b := names.Draw(t, "a"), names.Draw(t, "b")
		same := len(a) == len(b)
		for i := range a {
			same = same && a[i] == b[i]
		}
		if sealer.MakeCode(a...).Equal(sealer.MakeCode(b...)) != same {
			t.Fatalf("%q and %q", a, b)
		}
	})
}

func TestContentIDs(t *testing.T) {
	one, other := fixed(t, 1), fixed(t, 2)
	if got, want := one.ContentID([]byte("{}")), one.ContentID([]byte("{}")); got != want {
		t.Errorf("%s, then %s", got, want)
	}
	seen := map[string]bool{}
	for _, sealer := range []*sealing.Sealer{one, other} {
		for _, content := range []string{"", "{}", "{ }", `{"a":1}`} {
			id := sealer.ContentID([]byte(content))
			if seen[id] || id == sealer.CodeID(sealing.NewSecret(content)) || len(id) > 37 {
				t.Errorf("%q: id %s", content, id)
			}
			seen[id] = true
		}
	}
}

// A message that came before an upgrade and comes again after it must be known again.
func TestContentIDsNeverChange(t *testing.T) {
	if got, want := fixed(t, 1).ContentID([]byte("{}")), "h1:200f1eafd871acaa132403e6193b7621"; got != want {
		t.Errorf("id %s, want %s", got, want)
	}
}

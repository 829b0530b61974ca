package sealing_test

import (
	"strings"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/sealing"
)

func recipientFor(t *testing.T, identity string) string {
	t.Helper()
	recipient, err := sealing.Recipient(identity)
	if err != nil {
		t.Fatal(err)
	}
	return recipient
}

// sealedFor some identities.
func sealedFor(t *testing.T, body string, identities ...string) string {
	t.Helper()
	recipients, err := sealing.Recipients(strings.Join(identities, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := sealing.NewSealer(recipients, sealing.NewCodeKey())
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := sealer.Seal([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestFirstIdentitySeals(t *testing.T) {
	first, second := identityFor(t), identityFor(t)
	got := recipientFor(t, "# of today\n"+first+"\n\n"+second+"\n")
	if got != recipientFor(t, first) || got == recipientFor(t, second) {
		t.Errorf("sealed for %s", got)
	}
	for _, none := range []string{"", "# nobody", "AGE-SECRET-KEY-1PLANTED"} {
		if _, err := sealing.Recipient(none); err == nil || strings.Contains(err.Error(), "PLANTED") {
			t.Errorf("%q: %v", none, err)
		}
	}
}

// Known to be current is what is sealed for just these, and whose identities are all there.
func TestCurrent(t *testing.T) {
	a, b, c := identityFor(t), identityFor(t), identityFor(t)
	for name, test := range map[string]struct {
		sealed, held, wanted []string
		want                 bool
	}{
		"the one":                    {[]string{a}, []string{a}, []string{a}, true},
		"both":                       {[]string{a, b}, []string{b, a}, []string{a, b}, true},
		"in another order":           {[]string{a, b}, []string{a, b, c}, []string{b, a}, true},
		"another":                    {[]string{a}, []string{a, b}, []string{b}, false},
		"one more than is wanted":    {[]string{a, b}, []string{a, b}, []string{a}, false},
		"one less than is wanted":    {[]string{a}, []string{a, b}, []string{a, b}, false},
		"as many, and another":       {[]string{a, b}, []string{a, b, c}, []string{a, c}, false},
		"not all identities there":   {[]string{a, b}, []string{a}, []string{a, b}, false},
		"no identity of its own":     {[]string{a}, []string{b}, []string{a}, false},
		"wanted is whom we have not": {[]string{a}, []string{a}, []string{b}, false},
	} {
		var wanted []string
		for _, identity := range test.wanted {
			wanted = append(wanted, recipientFor(t, identity))
		}
		sealed := sealedFor(t, "a push", test.sealed...)
		if got := sealing.Current(sealed, strings.Join(test.held, "\n"), wanted); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if sealing.Current("bm8gYWdlIGZpbGU=", a, []string{recipientFor(t, a)}) || sealing.Current("%", a, nil) {
		t.Error("what is no age file is current")
	}
}

func TestReseal(t *testing.T) {
	old, fresh, other := identityFor(t), identityFor(t), identityFor(t)
	wanted := []string{recipientFor(t, fresh)}
	sealed := sealedFor(t, "a push", old)
	again, err := sealing.Reseal(sealed, fresh+"\n"+old, wanted)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := sealing.Open(again, fresh); err != nil || string(body) != "a push" {
		t.Errorf("%q, %v", body, err)
	}
	if _, err := sealing.Open(again, old); err == nil {
		t.Error("the old identity still opens it")
	}
	if same, err := sealing.Reseal(again, fresh+"\n"+old, wanted); err != nil || same != again {
		t.Errorf("sealed twice: %v", err)
	}
	if got, err := sealing.Reseal(sealed, other, wanted); err == nil || got != "" {
		t.Error("opened with another identity")
	}
	if got, err := sealing.Reseal(sealed, old, []string{"age1nonsense"}); err == nil || got != "" {
		t.Error("sealed for nobody")
	}
	if got, err := sealing.Reseal(sealed, old, nil); err == nil || got != "" {
		t.Error("sealed for nobody")
	}
}

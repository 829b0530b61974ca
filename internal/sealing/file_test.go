package sealing_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/sealing"
)

func identityFor(t *testing.T) string {
	t.Helper()
	identity, err := sealing.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

func TestFileOpensWithItsOwnIdentityOnly(t *testing.T) {
	own, other := identityFor(t), identityFor(t)
	for _, content := range []string{"", "PLANTED", strings.Repeat("PLANTED", 20_000)} {
		sealed, err := sealing.SealFile([]byte(content), own+"\n")
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(sealed, []byte("PLANTED")) {
			t.Error("it can be read")
		}
		if got, err := sealing.OpenFile(sealed, own); err != nil || string(got) != content {
			t.Errorf("%d bytes came back as %d: %v", len(content), len(got), err)
		}
		if got, err := sealing.OpenFile(sealed, other); err == nil || len(got) > 0 {
			t.Error("another identity opens it")
		}
		recipients, err := sealing.Recipients(own)
		if err != nil || bytes.Contains(sealed, []byte(recipients[0])) {
			t.Errorf("whom it is for can be read: %v", err)
		}
		for _, n := range []int{0, 1, len(sealed) / 2, len(sealed) - 1} {
			if got, err := sealing.OpenFile(sealed[:n], own); err == nil || len(got) > 0 {
				t.Errorf("cut after %d bytes it opens", n)
			}
		}
	}
}

func TestFileNeedsAnIdentity(t *testing.T) {
	for _, none := range []string{"", "age1x", "AGE-SECRET-KEY-1PLANTED"} {
		if _, err := sealing.SealFile([]byte("x"), none); err == nil || strings.Contains(err.Error(), "PLANTED") {
			t.Errorf("sealed for %q: %v", none, err)
		}
		if _, err := sealing.OpenFile([]byte("x"), none); err == nil || strings.Contains(err.Error(), "PLANTED") {
			t.Errorf("opened with %q: %v", none, err)
		}
	}
}

func TestSealerNamesItsRecipients(t *testing.T) {
	want, err := sealing.Recipients(identityFor(t) + "\n" + identityFor(t))
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := sealing.NewSealer(want, sealing.NewCodeKey())
	if err != nil {
		t.Fatal(err)
	}
	if got := sealer.Recipients(); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%v, want %v", got, want)
	}
}

package sealing_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"filippo.io/age"
	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// Whatever is sealed, for however many recipients, age itself opens with the identity of any,
// and with no other; and no two seals share anything.
func TestAgeOpensWhatIsSealed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var names []string
		var identities []age.Identity
		for range rapid.IntRange(1, 3).Draw(t, "recipients") {
			identity, err := age.GenerateX25519Identity()
			if err != nil {
				t.Fatal(err)
			}
			names, identities = append(names, identity.Recipient().String()), append(identities, identity)
		}
		sealer, err := sealing.NewSealer(names, sealing.NewCodeKey())
		if err != nil {
			t.Fatal(err)
		}
		body := rapid.SliceOfN(rapid.Byte(), 0, 200_000).Draw(t, "body")
		sealed, again := seal(t, sealer, body), seal(t, sealer, body)
		for i, identity := range identities {
			if opened, err := open(sealed, identity); err != nil || !bytes.Equal(opened, body) {
				t.Fatalf("identity %d of %d: %v", i, len(identities), err)
			}
		}
		for i, line := range strings.Split(string(again), "\n")[1:3] {
			if strings.Contains(string(sealed), line) {
				t.Fatalf("two seals share line %d: %s", i, line)
			}
		}
		stranger, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := open(sealed, stranger); err == nil {
			t.Fatal("a stranger opened it")
		}
	})
}

// A recipient of another kind seals in its own way.
func TestHybridRecipientSeals(t *testing.T) {
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := sealing.NewSealer([]string{identity.Recipient().String()}, sealing.NewCodeKey())
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := open(seal(t, sealer, []byte("body")), identity); err != nil || string(opened) != "body" {
		t.Errorf("opened %q, %v", opened, err)
	}
}

func seal(t interface {
	Helper()
	Fatal(...any)
}, sealer *sealing.Sealer, body []byte) []byte {
	t.Helper()
	text, err := sealer.Seal(body)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func open(sealed []byte, identity age.Identity) ([]byte, error) {
	plain, err := age.Decrypt(bytes.NewReader(sealed), identity)
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	_, err = body.ReadFrom(plain)
	return body.Bytes(), err
}

func BenchmarkSeal(b *testing.B) {
	identity, err := sealing.NewIdentity()
	if err != nil {
		b.Fatal(err)
	}
	recipients, err := sealing.Recipients(identity)
	if err != nil {
		b.Fatal(err)
	}
	sealer, err := sealing.NewSealer(recipients, sealing.NewCodeKey())
	if err != nil {
		b.Fatal(err)
	}
	body := bytes.Repeat([]byte("x"), 400)
	for b.Loop() {
		if _, err := sealer.Seal(body); err != nil {
			b.Fatal(err)
		}
	}
}

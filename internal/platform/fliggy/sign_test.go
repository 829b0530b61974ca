package fliggy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// testKey is made once: making keys is slow.
var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func credentials(key string) platform.Credentials {
	return platform.Credentials{keyPrivateKey: sealing.NewSecret(key)}
}

// checkSignature checks as the platform does, with the public key.
func checkSignature(t testing.TB, text, signature string) {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		t.Fatalf("the signature is not base64: %v", err)
	}
	digest := sha256.Sum256([]byte(text))
	if err := rsa.VerifyPKCS1v15(&testKey().PublicKey, crypto.SHA256, digest[:], raw); err != nil {
		t.Errorf("the signature of %q: %v", text, err)
	}
}

// The worked examples of the protocol's page.
func TestSignedText(t *testing.T) {
	printed, plain := refundSubjects("9007199254740995")
	none, _ := refundSubjects("")
	cases := map[string]struct{ subject, want string }{
		"paging":                        {"", "1001_1758600000000_"},
		"by ids":                        {idsSubject([]string{"30", "4", "200"}), "1001_1758600000000_200,30,4"},
		"detail, price":                 {"88", "1001_1758600000000_88"},
		"order":                         {"9007199254740995", "1001_1758600000000_9007199254740995"},
		"order by out id":               {"", "1001_1758600000000_"},
		"refunds, as printed":           {printed, "1001_1758600000000_9007199254740995_"},
		"refunds, plain":                {plain, "1001_1758600000000_9007199254740995"},
		"refunds of an order by out id": {none, "1001_1758600000000_"},
	}
	for name, tc := range cases {
		if got := signedText("1001", 1758600000000, tc.subject); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// The order of the ids in the question is not signed, and it is left alone.
func TestIDsSubject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfN(rapid.StringMatching(`[0-9]{1,19}`), 1, 100).Draw(t, "ids")
		shuffled := rapid.Permutation(ids).Draw(t, "shuffled")
		before := slices.Clone(shuffled)
		subject := idsSubject(shuffled)
		if subject != idsSubject(ids) {
			t.Error("the order of the ids is signed")
		}
		if !slices.Equal(before, shuffled) {
			t.Error("the caller's ids were moved")
		}
		if !slices.IsSorted(strings.Split(subject, ",")) {
			t.Errorf("%q is not in dictionary order", subject)
		}
	})
}

func TestSignerReadsKeys(t *testing.T) {
	der := pkcs8(t, testKey())
	base := base64.StdEncoding.EncodeToString(der)
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	cases := map[string]string{
		"base64 PKCS#8":          base,
		"base64 with breaks":     " \n" + base[:76] + "\r\n\t" + base[76:] + "\n",
		"PEM PKCS#8":             block("PRIVATE KEY", der),
		"PEM PKCS#1":             block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(testKey())),
		"PEM indented":           strings.ReplaceAll(block("PRIVATE KEY", der), "\n", "\n  "),
		"PEM on one line":        strings.ReplaceAll(block("PRIVATE KEY", der), "\n", " "),
		"PEM with carriage ends": strings.ReplaceAll(block("PRIVATE KEY", der), "\n", "\r\n"),
	}
	for name, key := range cases {
		t.Run(name, func(t *testing.T) {
			s, err := newSigner(credentials(key))
			if err != nil {
				t.Fatal(err)
			}
			signature, err := s.sign("1001_1758600000000_")
			if err != nil {
				t.Fatal(err)
			}
			checkSignature(t, "1001_1758600000000_", signature)
		})
	}
}

func TestSignerRefusesKeys(t *testing.T) {
	base := base64.StdEncoding.EncodeToString(pkcs8(t, testKey()))
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&testKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{
		"missing":      "",
		"blank":        " \n",
		"not base64":   "s3cret!",
		"not a key":    base64.StdEncoding.EncodeToString([]byte("s3cret")),
		"cut short":    base[:len(base)/4*3],
		"a public key": base64.StdEncoding.EncodeToString(public),
		"not RSA":      base64.StdEncoding.EncodeToString(pkcs8(t, curve)),
		"two blocks":   strings.Repeat("-----BEGIN PRIVATE KEY-----\n"+base+"\n-----END PRIVATE KEY-----\n", 2),
	}
	for name, key := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Adapter{}.NewClient(platform.Account{Holder: platform.Holder{ID: "1001", Credentials: credentials(key)}}, nil)
			if !errors.Is(err, platform.ErrCredentials) {
				t.Fatalf("NewClient() = %v; want an error that wraps ErrCredentials", err)
			}
			if !strings.Contains(err.Error(), "privateKey") {
				t.Errorf("%q does not name the key", err)
			}
			if text := strings.TrimSpace(key); text != "" && strings.Contains(err.Error(), text[:min(6, len(text))]) {
				t.Errorf("%q quotes the key", err)
			}
		})
	}
}

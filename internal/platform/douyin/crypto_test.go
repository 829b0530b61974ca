package douyin

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// encrypted is a value as the platform encrypts it.
func encrypted(secret, text string) string {
	key := []byte(aligned(secret))
	return sealedBy(key, key[16:], text)
}

func sealedBy(key, iv []byte, text string) string {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	n := aes.BlockSize - len(text)%aes.BlockSize
	padded := append([]byte(text), bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)
	return base64.StdEncoding.EncodeToString(padded)
}

func TestAligned(t *testing.T) {
	full := "0123456789abcdef0123456789abcdef"
	for secret, want := range map[string]string{
		full:         full,
		full[:31]:    "#" + full[:31],
		full[:30]:    "#" + full[:30] + "#",
		full[:29]:    "##" + full[:29] + "#",
		full + "x":   full[1:] + "x",
		"xy" + full:  "y" + full[:31],
		"xyz" + full: "z" + full[:31],
		"":           strings.Repeat("#", 32),
	} {
		if got := aligned(secret); got != want {
			t.Errorf("aligned(%q) = %q, want %q", secret, got, want)
		}
	}
}

func TestDecryptLocal(t *testing.T) {
	key := []byte(aligned(testSecret))
	good := encrypted(testSecret, "13812345678")
	cases := map[string]struct {
		value, secret string
		want          string // empty: it does not decrypt
	}{
		"a number":               {good, testSecret, "13812345678"},
		"a short secret":         {encrypted("abc", "13812345678"), "abc", "13812345678"},
		"a long secret":          {encrypted(testSecret+"abc", "13812345678"), testSecret + "abc", "13812345678"},
		"a whole block":          {encrypted(testSecret, "1234567890123456"), testSecret, "1234567890123456"},
		"Chinese":                {encrypted(testSecret, "中文"), testSecret, "中文"},
		"another secret":         {good, "another", ""},
		"the other product's IV": {sealedBy(key, key[:16], "13812345678"), testSecret, ""},
		"no text":                {encrypted(testSecret, ""), testSecret, ""},
		"not printable":          {encrypted(testSecret, "\x00\x01"), testSecret, ""},
		"not UTF-8":              {encrypted(testSecret, "\xff\xfe"), testSecret, ""},
		"not base64":             {"!", testSecret, ""},
		"empty":                  {"", testSecret, ""},
		"half a block":           {base64.StdEncoding.EncodeToString([]byte("12345678")), testSecret, ""},
		"in clear":               {"13812345678", testSecret, ""},
		"the page's sample":      {"2yxFypQ39OrifivISATEqA==", testSecret, ""},
	}
	for name, tc := range cases {
		got, ok := decryptLocal(tc.value, tc.secret)
		if got.Reveal() != tc.want || ok != (tc.want != "") {
			t.Errorf("%s: %v, want %v", name, ok, tc.want != "")
		}
	}
}

// What is encrypted for a secret decrypts by it; whatever else comes, nothing panics.
func TestDecryptLocalRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[a-z0-9]{0,40}`).Draw(t, "secret")
		text := rapid.StringMatching(`[ -~]{1,40}`).Draw(t, "text")
		if got, ok := decryptLocal(encrypted(secret, text), secret); !ok || got.Reveal() != text {
			t.Errorf("decrypted: %v", ok)
		}
		raw := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "raw")
		_, _ = decryptLocal(base64.StdEncoding.EncodeToString(raw), secret)
	})
}

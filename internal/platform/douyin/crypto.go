package douyin

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// platformEncrypted is the prefix of values that only the platform's own call decrypts
// (documented). All others are encrypted for the app by its secret.
const platformEncrypted = "Enc."

const keySize = 32

// aligned makes a key of 32 characters of the secret (documented): a shorter one is padded
// with '#', a longer one trimmed, one character at a time, left and right in turn, the left
// first.
func aligned(secret string) string {
	for left := true; len(secret) != keySize; left = !left {
		switch {
		case len(secret) < keySize && left:
			secret = "#" + secret
		case len(secret) < keySize:
			secret += "#"
		case left:
			secret = secret[1:]
		default:
			secret = secret[:len(secret)-1]
		}
	}
	return secret
}

// decryptLocal decrypts a value of an SPI (documented): base64 of AES-256-CBC with PKCS#7
// padding. The IV is the key's last 16 characters; the platform has another rule, with the
// first 16, for another product. What is no printable text was not decrypted.
func decryptLocal(value, secret string) (sealing.Secret, bool) {
	text, err := base64.StdEncoding.DecodeString(value)
	if err != nil || len(text) == 0 || len(text)%aes.BlockSize != 0 {
		return sealing.Secret{}, false
	}
	key := []byte(aligned(secret))
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealing.Secret{}, false // unreachable: the key has 32 bytes
	}
	cipher.NewCBCDecrypter(block, key[keySize-aes.BlockSize:]).CryptBlocks(text, text)
	text, ok := unpadded(text)
	if !ok || !printable(string(text)) {
		return sealing.Secret{}, false
	}
	return sealing.NewSecret(string(text)), true
}

// unpadded takes off PKCS#7 padding.
func unpadded(text []byte) ([]byte, bool) {
	n := int(text[len(text)-1])
	if n < 1 || n > aes.BlockSize || !bytes.HasSuffix(text, bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, false
	}
	return text[:len(text)-n], true
}

func printable(text string) bool {
	return text != "" && utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

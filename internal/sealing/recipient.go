package sealing

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"
)

// x25519Label tells the key that wraps a file key from every other (C2SP's age specification, as
// is all that Wrap does).
const x25519Label = "age-encryption.org/v1/X25519"

// x25519Recipient wraps a file key as age.X25519Recipient does, and what it makes is the same
// to whoever opens it. It multiplies on the curve twice, not five times: a push is acknowledged
// when it is sealed, and in a storm that is most of the work.
type x25519Recipient struct{ key *ecdh.PublicKey }

// bech32 is how a recipient is written, behind "age1" and before a checksum of six letters.
var bech32 = base32.NewEncoding("qpzry9x8gf2tvdw0s3jn54khce6mua7l").WithPadding(base32.NoPadding)

const bech32Checksum = 6

// quick is a recipient that wraps faster, where one is known for its kind.
func quick(recipient age.Recipient) (age.Recipient, error) {
	plain, ok := recipient.(*age.X25519Recipient)
	if !ok {
		return recipient, nil
	}
	text := strings.TrimPrefix(plain.String(), "age1")
	point, err := bech32.DecodeString(text[:len(text)-bech32Checksum])
	if err != nil {
		return nil, fmt.Errorf("recipient %s: %w", plain, err)
	}
	key, err := ecdh.X25519().NewPublicKey(point)
	if err != nil {
		return nil, fmt.Errorf("recipient %s: %w", plain, err)
	}
	return x25519Recipient{key}, nil
}

// Wrap encrypts a file key to the recipient, under a key that is used once. It fails for a
// recipient that is no point of full order.
func (r x25519Recipient) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	ephemeral, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	shared, err := ephemeral.ECDH(r.key)
	if err != nil {
		return nil, err
	}
	share := ephemeral.PublicKey().Bytes()
	wrapping, err := hkdf.Key(sha256.New, shared, slices.Concat(share, r.key.Bytes()), x25519Label, chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.New(wrapping)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, chacha20poly1305.NonceSize) // zero, for the key is used once
	return []*age.Stanza{{Type: "X25519", Args: []string{base64.RawStdEncoding.EncodeToString(share)}, Body: aead.Seal(nil, nonce, fileKey, nil)}}, nil
}

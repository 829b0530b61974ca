package sctt

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// keySecret is the key of the credentials Secret.
const keySecret = "secret"

// The values of a Signature.
const (
	MD5        = "MD5"        // digest of the message
	SHA256     = "SHA256"     // digest of the message
	HMACSHA256 = "HMACSHA256" // of the message, with the secret as the key

	UpperHex = "UpperHex"
	LowerHex = "LowerHex"
	Base64   = "Base64" // standard, padded
)

var (
	algorithms = []string{MD5, SHA256, HMACSHA256}
	encodings  = []string{UpperHex, LowerHex, Base64}
)

// Signature is the merchant's signing rule, as the Channel has it: SCTT's own is not public.
// The same rule signs our calls and checks the pushes; whether SCTT's is the same for both
// is unknown.
type Signature struct {
	algorithm, encoding string
	message             template
}

// newSignature reads a rule. Its errors name the field below spec.sctt.
func newSignature(algorithm, encoding, message string) (*Signature, error) {
	if err := oneOf("signature.algorithm", algorithm, algorithms); err != nil {
		return nil, err
	}
	if err := oneOf("signature.encoding", encoding, encodings); err != nil {
		return nil, err
	}
	t, err := parseTemplate(message)
	if err != nil {
		return nil, fmt.Errorf("signature.message %w", err)
	}
	if algorithm != HMACSHA256 && !t.names(nameSecret) {
		return nil, fmt.Errorf("signature.message has no {secret}, which %s needs: without it anyone could compute the sign", algorithm)
	}
	return &Signature{algorithm: algorithm, encoding: encoding, message: t}, nil
}

func oneOf(name, value string, known []string) error {
	if slices.Contains(known, value) {
		return nil
	}
	return fmt.Errorf("%s is %.32q, and not one of %s", name, value, strings.Join(known, ", "))
}

// sign gives the sign of a call or a push. The error names a field of the template that
// holds neither a text nor a number.
func (s *Signature) sign(message fields.Object, secret sealing.Secret) (string, error) {
	text, err := s.message.render(message, secret)
	if err != nil {
		return "", err
	}
	digest := s.digest(text, secret)
	switch s.encoding {
	case UpperHex:
		return strings.ToUpper(hex.EncodeToString(digest)), nil
	case LowerHex:
		return hex.EncodeToString(digest), nil
	case Base64:
		return base64.StdEncoding.EncodeToString(digest), nil
	}
	return "", errors.New("the encoding is unknown")
}

func (s *Signature) digest(text string, secret sealing.Secret) []byte {
	switch s.algorithm {
	case MD5:
		sum := md5.Sum([]byte(text))
		return sum[:]
	case SHA256:
		sum := sha256.Sum256([]byte(text))
		return sum[:]
	}
	mac := hmac.New(sha256.New, []byte(secret.Reveal()))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// equal compares signs in constant time. The case of hexadecimal digits is of no account:
// it says nothing, and which one SCTT writes is known of its samples only.
func (s *Signature) equal(oneSign, otherSign string) bool {
	if s.encoding != Base64 {
		oneSign, otherSign = strings.ToLower(oneSign), strings.ToLower(otherSign)
	}
	return hmac.Equal([]byte(oneSign), []byte(otherSign))
}

// readSecret reads the account's secret. White space at its ends is of no account. The error
// wraps platform.ErrCredentials.
func readSecret(credentials platform.Credentials) (sealing.Secret, error) {
	text := strings.TrimSpace(credentials[keySecret].Reveal())
	if text == "" {
		return sealing.Secret{}, fmt.Errorf("%w: %s is missing", platform.ErrCredentials, keySecret)
	}
	return sealing.NewSecret(text), nil
}

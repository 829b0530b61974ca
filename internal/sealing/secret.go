package sealing

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a text that must not come to rest in clear: a voucher code, a document
// number, a key, a token, a raw push. However it is printed, logged or marshalled,
// it shows nothing of itself; only Reveal gives the text.
type Secret struct {
	// Nobody compares secrets by ==: it would not compile. Equal does, in constant time.
	_ [0]func()
	// text is a pointer because fmt prints the unexported fields of others by
	// reflection, past every method here: of a pointer it shows the address only.
	text *string
}

// NewSecret wraps a text.
func NewSecret(text string) Secret { return Secret{text: &text} }

// Reveal returns the text. Every call is a place a reviewer looks at.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether there is no text at all.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// Equal reports whether two secrets are the same text. Digests are compared, which are of one length
// whatever the texts are: the time it takes depends neither on where the texts differ, nor on whether
// they are of one length. It grows with the length of each, 64 bytes at a time, as hashing does.
func (s Secret) Equal(other Secret) bool {
	mine, others := sha256.Sum256([]byte(s.Reveal())), sha256.Sum256([]byte(other.Reveal()))
	return subtle.ConstantTimeCompare(mine[:], others[:]) == 1
}

// String redacts.
func (s Secret) String() string { return redacted }

// GoString redacts.
func (s Secret) GoString() string { return redacted }

// Format redacts under every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalJSON redacts.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText redacts.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue redacts for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalLog redacts for logr.
func (s Secret) MarshalLog() any { return redacted }

package sealing

import (
	"fmt"
	"log/slog"
)

// Hidden is embedded in a struct that holds secrets in clear, such as a push as it came:
// however the struct is printed, logged or marshalled, it shows nothing of itself. It hides
// the struct itself and where it is an exported field; fmt looks past every method at the
// unexported fields of others, so whatever holds it in one embeds Hidden too.
type Hidden struct{ Unprinted }

// MarshalJSON redacts.
func (Hidden) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText redacts.
func (Hidden) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Unprinted is Hidden for a struct whose JSON is what it is there for: the body of an answer,
// the content of a sealed file. A log hides it by itself; what holds it, a log may write as JSON.
type Unprinted struct{}

// String redacts.
func (Unprinted) String() string { return redacted }

// GoString redacts.
func (Unprinted) GoString() string { return redacted }

// Format redacts under every verb.
func (Unprinted) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue redacts for slog.
func (Unprinted) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalLog redacts for logr.
func (Unprinted) MarshalLog() any { return redacted }

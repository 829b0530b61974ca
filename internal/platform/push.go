package platform

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// Errors of the receiving side. Receivers wrap them; the webhook server answers by them.
var (
	// ErrMalformed is a push that will never be accepted as it stands.
	ErrMalformed = errors.New("malformed push")
	// ErrForged is a push whose signature is missing or wrong.
	ErrForged = errors.New("signature refused")
	// ErrOtherAccount is a push about another account than the one it was sent for.
	ErrOtherAccount = errors.New("the push is about another account")
	// ErrCredentials is a credentials Secret that lacks a key or holds one that does not parse.
	ErrCredentials = errors.New("credentials unusable")
	// ErrSettings is a Channel whose own block for its platform lacks something.
	ErrSettings = errors.New("settings incomplete")
)

// Push is one HTTP request from a platform, as it came: printed, it shows nothing.
type Push struct {
	sealing.Hidden

	// Path is the tail behind the platform's prefix, such as "product-change".
	Path string
	// Query and Header of the request.
	Query  url.Values
	Header http.Header
	// Body as received, at most the server's cap.
	Body []byte
	// ReceivedAt is when the body had been read.
	ReceivedAt time.Time
	// Unproven: nothing proves who sent it, neither a signature nor the Channel's guard. Whoever
	// received it sets this when it has been checked.
	Unproven bool
}

// Receiver is what comes in: a platform's pushes and the dialect of its replies. It
// has no state and does no I/O.
type Receiver interface {
	// Paths are the push path tails the platform posts to. They never change: they
	// are registered with the platform.
	Paths() []string

	// Open reads the envelope of a push: enough to know whose it is. A body that is
	// none of the platform's gives an error that wraps ErrMalformed.
	Open(Push) (Message, error)

	// Reply is the answer to a push at the path, in the platform's dialect. Why is what was
	// wrong with a malformed push, by the names of its fields and never by their values;
	// empty with any other outcome.
	Reply(path string, outcome Outcome, why string) Reply
}

// Message is an opened push. Its body was parsed once; what it says is read when
// its sender is known.
type Message interface {
	// Account is the account the push names; empty if it names none.
	Account() string

	// Type is the platform's own name of the push, bounded to the names the adapter
	// knows and "unknown": it is a metric label.
	Type() string

	// Verify checks the platform's signature with the holder's credentials. A signature that
	// is wrong, or missing where there must be one, gives an error that wraps ErrForged, a
	// push that is about somebody else one that wraps ErrOtherAccount.
	Verify(Holder) (Proof, error)

	// Events are what the push says: at least one, or an error that wraps ErrMalformed.
	// A Challenge and an Inquiry say nothing by themselves: theirs are none.
	Events() ([]Event, error)
}

// Proof is what a push's signature proves of its sender.
type Proof string

// The proofs.
const (
	// ProofSigned: the signature is right.
	ProofSigned Proof = "signed"
	// ProofNone: the platform signs no pushes. They are hints, which make us ask.
	ProofNone Proof = "none"
	// ProofMissing: it carries no signature, though the platform has one. The Channel's guard
	// must prove the sender, and the Channel's own path say whose push it is.
	ProofMissing Proof = "missing"
	// ProofUnchecked: it carries a signature, and no rule to check it by is known. The
	// Channel's guard must prove the sender.
	ProofUnchecked Proof = "unchecked"
)

// Challenge is a Message by which the platform asks whether we are there. It may name
// no account; one that is signed must be so by some account of the platform.
type Challenge interface {
	Message
	// Signed reports whether it carries a signature.
	Signed() bool
	// Echo is the reply that the platform waits for.
	Echo() Reply
}

// Outcome is what became of a push.
type Outcome string

// The outcomes. They are metric labels and decide the reply.
const (
	// OutcomeRecorded: the fact is durable.
	OutcomeRecorded Outcome = "recorded"
	// OutcomeDuplicate: the fact was durable already.
	OutcomeDuplicate Outcome = "duplicate"
	// OutcomeOlder: a newer change was announced already.
	OutcomeOlder Outcome = "older"
	// OutcomeAnswered: it asked, was answered, and had nothing to record.
	OutcomeAnswered Outcome = "answered"
	// OutcomeMalformed: will never be accepted.
	OutcomeMalformed Outcome = "malformed"
	// OutcomeTooLarge: the body exceeds the cap.
	OutcomeTooLarge Outcome = "too_large"
	// OutcomeUnknownAccount: no Channel holds the account.
	OutcomeUnknownAccount Outcome = "unknown_account"
	// OutcomeForged: signature, token or address refused.
	OutcomeForged Outcome = "forged"
	// OutcomeRetry: cannot be recorded now, by no fault of the push.
	OutcomeRetry Outcome = "retry"
)

// Accepted reports whether the sender need not send the push again.
func (o Outcome) Accepted() bool {
	return o == OutcomeRecorded || o == OutcomeDuplicate || o == OutcomeOlder || o == OutcomeAnswered
}

// Reply is an HTTP answer.
type Reply struct {
	sealing.Hidden

	Status      int
	ContentType string
	Body        []byte
}

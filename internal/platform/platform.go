// Package platform is the boundary between this project and the distribution
// platforms. It says what comes in (Receiver, Message, Event, Reply), what may be
// asked (Client and its parts), how failures are told apart (Error), and it holds
// the only outbound HTTP client (Transport). It must not know any one platform, nor
// Kubernetes: adapters in the folders below translate a platform's wire format into
// these types and back.
package platform

import (
	"context"
	"encoding/json"
	"time"

	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// Adapter is one platform: how its pushes are read and how it is asked.
type Adapter interface {
	Receiver

	// DefaultEndpoint is the platform's production base URL.
	DefaultEndpoint() string

	// Settings reads the Channel's own block for this platform, as JSON; nil where the
	// Channel has none. Only the adapter looks into what it gives.
	Settings(json.RawMessage) (any, error)

	// PushesDecide reports that the platform cannot be asked for orders: what proven pushes
	// say of them is all there is to know.
	PushesDecide() bool

	// SignsPushes reports that the platform signs some of its pushes at least. Where it signs
	// none, only the Channel's guard can prove who sends them.
	SignsPushes() bool

	// NewClient makes the client of one account. Credentials that are missing or do
	// not parse give an error that wraps ErrCredentials and names the key; settings that
	// asking needs and the Channel does not have, one that wraps ErrSettings.
	NewClient(Account, *Transport) (Client, error)
}

// Holder is who holds an account, as far as a push can be checked against it.
type Holder struct {
	// ID of the account on the platform.
	ID string
	// Credentials are the values of the Channel's Secret by key.
	Credentials Credentials
	// Settings are what the adapter read of the Channel's own block.
	Settings any
}

// Account is what a Client needs to speak for an account.
type Account struct {
	Holder
	// Endpoint is the base URL, without a trailing slash.
	Endpoint string
	// Tokens keeps the account's access token where every replica finds it.
	Tokens Tokens
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Tokens keeps one access token for an account, for all replicas: a platform that
// retires the old token with each new one must not be asked by each of them.
type Tokens interface {
	// Token gives a token that is good for some time to come. Where none is known, it has
	// one fetched, by one caller of one replica at a time. A token that the platform
	// refused is named in refused and not given again; the zero Secret refuses none.
	Token(ctx context.Context, refused sealing.Secret, fetch func(context.Context) (Token, error)) (sealing.Secret, error)
}

// Token is a fresh access token.
type Token struct {
	Text sealing.Secret
	// Lasts is how long it is good for from now on.
	Lasts time.Duration
}

// Credentials are the values of a Channel's credentials Secret by key.
type Credentials map[string]sealing.Secret

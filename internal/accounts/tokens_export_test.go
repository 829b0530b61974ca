package accounts

import (
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// NewTokens makes what a replica's registry keeps for a Channel's endpoint, with a clock.
func NewTokens(reader client.Reader, writer client.Writer, channel *v1alpha1.Channel, endpoint string, now func() time.Time) platform.Tokens {
	made := newAccessTokens(reader, writer, channel, endpoint)
	made.now = now
	return made
}

// TryAgain is what a reload of the Channel does.
func TryAgain(tokens platform.Tokens) { tokens.(*accessTokens).tryAgain() }

// Idle: no renewal is under way.
func Idle(tokens platform.Tokens) bool {
	t := tokens.(*accessTokens)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.renewal == nil || t.renewal.over()
}

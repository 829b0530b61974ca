package accounts

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// This file is the access token in memory: who gets which, and when a better one is due.
// tokens_renewal.go gets the better one, tokens_secret.go is the Secret it is shared in.

const (
	// renewBefore is how long before its end a token is renewed, but never more than half
	// of what it lasts.
	renewBefore = 10 * time.Minute
	// grace is how long a token works after the next one was fetched (documented by the
	// only platform that has such tokens).
	grace = 5 * time.Minute
	// maxRefused tokens are remembered: only the newest two could be offered again.
	maxRefused = 8
)

// tokens keeps the Channel's access token: the same object as long as what the token is
// for stays, so that a reload forgets neither the token nor that it was refused.
func (r *Registry) tokens(channel *v1alpha1.Channel, endpoint string) platform.Tokens {
	r.mu.Lock()
	defer r.mu.Unlock()
	made := newAccessTokens(r.reader, r.writer, channel, endpoint)
	e := r.byName[client.ObjectKeyFromObject(channel)]
	if e == nil {
		return made
	}
	if e.tokens != nil && e.tokens.account == made.account && e.tokens.owner.UID == made.owner.UID {
		e.tokens.tryAgain()
		return e.tokens
	}
	e.tokens = made
	return made
}

// accessTokens shares one access token with the other replicas through a Secret.
//
// The token in memory is given without any call to the API server until it is due. Then
// the Secret is read, and what another replica put there is taken. Only if there is
// nothing better a new token is fetched, by the one replica whose claim the API server
// takes (a write with the resource version that was read). Until the new token is there,
// everybody goes on with the old one, if that can still be good.
type accessTokens struct {
	reader  client.Reader
	writer  client.Writer
	key     client.ObjectKey
	owner   metav1.OwnerReference
	account string
	holder  string // names this process in claims
	now     func() time.Time

	mu      sync.Mutex
	current accessToken
	// unwritten: current was fetched here and is not in the Secret yet.
	unwritten bool
	refused   []sealing.Secret
	renewal   *renewal // the newest; nil if there was none

	// What follows belongs to the renewal under way; there is only one at a time.
	gap, rest time.Duration
	seen      claim
	seenAt    time.Time
}

// accessToken is a token as the Secret has it; the zero one is none.
type accessToken struct {
	text            sealing.Secret
	issued, expires time.Time
}

// renewal is one try to have a better token.
type renewal struct {
	// done is closed when it is over; err and again may be read then.
	done chan struct{}
	err  error
	// again is when the next may begin, by this machine's own clock.
	again time.Time
}

func newAccessTokens(reader client.Reader, writer client.Writer, channel *v1alpha1.Channel, endpoint string) *accessTokens {
	account := sha256.Sum256([]byte(strings.Join(
		[]string{string(channel.Spec.Platform), channel.Spec.Account, strings.TrimRight(endpoint, "/")}, "\n")))
	host, _ := os.Hostname() // only for people: what follows it is unique
	return &accessTokens{
		reader: reader, writer: writer, now: time.Now,
		key: client.ObjectKey{Namespace: channel.Namespace, Name: AccessTokenSecretName(channel.Name)},
		owner: metav1.OwnerReference{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Channel",
			Name: channel.Name, UID: channel.UID},
		account: hex.EncodeToString(account[:]),
		holder:  host + "-" + rand.Text(),
	}
}

// Token gives the access token. It waits only where no token is known that can still be
// good, and no longer than the context lasts. fetch must not call Token. A failed fetch
// gives its error to all who wait for it, and to those who ask shortly after.
func (t *accessTokens) Token(ctx context.Context, refused sealing.Secret, fetch func(context.Context) (platform.Token, error)) (sealing.Secret, error) {
	t.refuse(refused)
	for {
		token, better := t.look(ctx, fetch)
		if better == nil {
			return token, nil
		}
		select {
		case <-better.done:
		case <-ctx.Done():
			return sealing.Secret{}, fmt.Errorf("wait for the access token: %w", ctx.Err())
		}
		if better.err != nil {
			return t.leftover(better.err)
		}
	}
}

// refuse remembers a token that the platform refused.
func (t *accessTokens) refuse(token sealing.Secret) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if token.IsZero() || t.isRefused(token) {
		return
	}
	t.refused = append(t.refused, token)
	if len(t.refused) > maxRefused {
		t.refused = slices.Delete(t.refused, 0, 1)
	}
}

func (t *accessTokens) isRefused(token sealing.Secret) bool {
	return slices.ContainsFunc(t.refused, token.Equal)
}

// look gives the token in memory if that will do; else the renewal to wait for. It begins
// one where one is due, also if the token will do for now.
func (t *accessTokens) look(ctx context.Context, fetch func(context.Context) (platform.Token, error)) (sealing.Secret, *renewal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	good := t.good(t.current, now)
	if good && t.current.fresh(now) && !t.unwritten {
		return t.current.text, nil
	}
	if t.renewal == nil || t.renewal.mayFollow() {
		t.renewal = &renewal{done: make(chan struct{})}
		// Not under the caller's context: others wait for it too, and a platform that has
		// issued a token has retired another.
		go t.run(context.WithoutCancel(ctx), t.renewal, fetch)
	}
	if good && t.current.works(now) {
		return t.current.text, nil
	}
	return sealing.Secret{}, t.renewal
}

// good: there is such a token, and it is neither over nor refused.
func (t *accessTokens) good(token accessToken, now time.Time) bool {
	return !token.text.IsZero() && token.expires.After(now) && !t.isRefused(token.text)
}

// margin is how long before its end a token is due.
func (a accessToken) margin() time.Duration { return min(renewBefore, a.expires.Sub(a.issued)/2) }

// fresh: not due yet.
func (a accessToken) fresh(now time.Time) bool { return a.expires.Sub(now) > a.margin() }

// works: not over, even if another replica fetched the next one as soon as this was due.
func (a accessToken) works(now time.Time) bool { return a.expires.Sub(now) > max(0, a.margin()-grace) }

// leftover is what is given when a renewal failed: the old token while it is good, for
// it may work, else why.
func (t *accessTokens) leftover(err error) (sealing.Secret, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.good(t.current, t.now()) {
		return t.current.text, nil
	}
	return sealing.Secret{}, err
}

// tryAgain forgets that a renewal failed: the Channel was read anew, and with it the
// credentials.
func (t *accessTokens) tryAgain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.renewal != nil && t.renewal.over() {
		t.renewal = nil
	}
}

func (r *renewal) over() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

func (r *renewal) mayFollow() bool { return r.over() && !time.Now().Before(r.again) }

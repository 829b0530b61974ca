package accounts

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// This file renews an access token: by what another replica put into the Secret, or, under a
// claim that all replicas see, by asking the platform.

// Annotations of the Secret while a replica renews the token: who, and until when.
const (
	renewalByAnnotation    = v1alpha1.GroupName + "/renewal-by"
	renewalUntilAnnotation = v1alpha1.GroupName + "/renewal-until"
)

const (
	// refusedGap is how long after a token was issued no other is fetched because that one
	// is refused: whoever else uses the same key retires our tokens as we retire theirs.
	refusedGap = time.Minute
	// claimLasts is how long a claim keeps other replicas from renewing.
	claimLasts = 30 * time.Second
	// renewWithin ends a renewal well before its claim ends, so that clocks may differ by
	// the rest.
	renewWithin = 25 * time.Second
	// keepWithin bounds the writing of a token that was fetched, and of a claim given up.
	keepWithin = 10 * time.Second

	// A renewal that another replica is at is looked at again after these gaps.
	shortestGap, longestGap = 20 * time.Millisecond, time.Second
	// A renewal that failed is tried again after these: all replicas together stay far
	// below the 500 token calls that a platform allows in 5 minutes.
	shortestRest, longestRest = time.Second, 16 * time.Second

	// shortestLife of a token: one that is over sooner would have us fetch all the time.
	shortestLife = 2 * time.Second
	// maxRaces is how often a write is tried that others get in the way of.
	maxRaces = 5

	tokenOp = "access token"
)

// claim says which replica renews the token, and until when; the zero one is none.
type claim struct{ by, until string }

// run is a renewal. While another replica is at it, the gap to the next look belongs to
// the renewal, so that all who wait here look together.
func (t *accessTokens) run(ctx context.Context, r *renewal, fetch func(context.Context) (platform.Token, error)) {
	busy, err := t.renew(ctx, fetch)
	switch {
	case err != nil:
		t.gap, t.rest = 0, min(max(2*t.rest, shortestRest), longestRest)
		r.err, r.again = err, time.Now().Add(t.rest)
		ctrl.LoggerFrom(ctx).WithName("accounts").Info("the access token is not renewed", "secret", t.key, "why", err)
	case busy:
		t.gap = min(max(2*t.gap, shortestGap), longestGap)
		<-time.After(t.gap)
	default:
		t.gap, t.rest = 0, 0
	}
	close(r.done)
}

// renew takes the better token that the Secret has, or fetches one. busy: another replica
// is at it.
func (t *accessTokens) renew(ctx context.Context, fetch func(context.Context) (platform.Token, error)) (busy bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, renewWithin)
	defer cancel()
	secret, err := t.read(ctx)
	if err != nil {
		return false, err
	}
	stored := t.stored(secret)
	if t.adopt(stored) {
		return false, nil
	}
	if t.isUnwritten() {
		return false, t.keep(ctx, secret)
	}
	if err := t.tooSoon(stored); err != nil {
		return false, err
	}
	if t.claimed(secret) {
		return true, nil
	}
	if err := t.claim(ctx, secret); errors.Is(err, errRaced) {
		return true, nil
	} else if err != nil {
		return false, t.failure("claim", err)
	}
	return false, t.fetch(ctx, secret, fetch)
}

// adopt takes a token that is newer than the one in memory, or the only good one, and
// reports whether nothing else is to be done.
func (t *accessTokens) adopt(stored accessToken) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if !t.good(t.current, now) {
		t.unwritten = false // nobody wants it
	}
	if t.good(stored, now) && (stored.issued.After(t.current.issued) || !t.good(t.current, now)) {
		t.current, t.unwritten = stored, false
	}
	return t.good(t.current, now) && t.current.fresh(now) && !t.unwritten
}

func (t *accessTokens) isUnwritten() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unwritten
}

// tooSoon is why no token is fetched though the newest is refused: it was issued just now.
func (t *accessTokens) tooSoon(stored accessToken) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	newest := stored
	if t.current.issued.After(stored.issued) {
		newest = t.current
	}
	// A time far ahead comes from a clock that is wrong: it must not stop us for long.
	age := t.now().Sub(newest.issued)
	if newest.text.IsZero() || !t.isRefused(newest.text) || age.Abs() >= refusedGap {
		return nil
	}
	return &platform.Error{Kind: platform.Throttled, Reason: platform.ReasonThrottled, Op: tokenOp,
		RetryAfter: refusedGap - max(age, 0),
		Text: "the platform refuses a token that it issued just now, and one a minute is fetched at most: " +
			"something else uses the same key (another environment?), and each new token retires those before it"}
}

// claimed reports whether another replica holds the renewal. A claim that does not change
// ends here after as long as a claim lasts, whatever the clock of its holder says.
func (t *accessTokens) claimed(secret *corev1.Secret) bool {
	there := claim{secret.Annotations[renewalByAnnotation], secret.Annotations[renewalUntilAnnotation]}
	now := t.now()
	if there != t.seen {
		t.seen, t.seenAt = there, now
	}
	until, err := time.Parse(time.RFC3339, there.until)
	return there.by != "" && there.by != t.holder && err == nil && until.After(now) && now.Sub(t.seenAt) < claimLasts
}

// claim takes the renewal. A token that was refused goes with it: no replica shall begin
// with it.
func (t *accessTokens) claim(ctx context.Context, secret *corev1.Secret) error {
	before := secret.DeepCopy()
	metav1.SetMetaDataAnnotation(&secret.ObjectMeta, renewalByAnnotation, t.holder)
	metav1.SetMetaDataAnnotation(&secret.ObjectMeta, renewalUntilAnnotation, text(t.now().Add(claimLasts)))
	t.mu.Lock()
	if t.isRefused(sealing.NewSecret(string(secret.Data[tokenKey]))) {
		delete(secret.Data, tokenKey)
	}
	t.mu.Unlock()
	return t.write(ctx, before, secret)
}

func release(secret *corev1.Secret) {
	delete(secret.Annotations, renewalByAnnotation)
	delete(secret.Annotations, renewalUntilAnnotation)
}

// fetch asks the platform for a token, under a claim, and keeps it.
func (t *accessTokens) fetch(ctx context.Context, secret *corev1.Secret, fetch func(context.Context) (platform.Token, error)) error {
	asked := t.now().Round(0) // the wall clock: it goes on while a machine sleeps
	token, err := fetch(ctx)
	if err == nil && (token.Text.IsZero() || token.Lasts < shortestLife) {
		err = &platform.Error{Kind: platform.Transient, Reason: platform.ReasonBadAnswer, Op: tokenOp,
			Text: "the answer has no token, or one that is over at once"}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepWithin)
	defer cancel()
	if err != nil {
		t.giveUp(ctx, secret)
		return err
	}
	t.mu.Lock()
	t.current, t.unwritten = accessToken{token.Text, asked, asked.Add(token.Lasts)}, true
	t.mu.Unlock()
	return t.keep(ctx, secret)
}

// giveUp ends our claim. If that fails the claim ends by itself.
func (t *accessTokens) giveUp(ctx context.Context, secret *corev1.Secret) {
	for range maxRaces {
		before := secret.DeepCopy()
		release(secret)
		if !errors.Is(t.write(ctx, before, secret), errRaced) {
			return
		}
		var err error
		if secret, err = t.read(ctx); err != nil || secret.Annotations[renewalByAnnotation] != t.holder {
			return
		}
	}
}

// keep writes the token in memory to the Secret, unless that has a newer one.
//
// If it fails, the token is used all the same, and written when somebody asks for a token
// after a rest. Until then another replica, or this one after a restart, may fetch another
// token: then this one is refused after the grace, and the other is found in the Secret.
// No more can happen than one token call too many for each replica.
func (t *accessTokens) keep(ctx context.Context, secret *corev1.Secret) error {
	var err error
	for range maxRaces {
		before := secret.DeepCopy()
		token := t.fill(secret)
		if err = t.write(ctx, before, secret); err == nil {
			t.written(token)
			return nil
		} else if !errors.Is(err, errRaced) {
			break
		}
		if secret, err = t.read(ctx); err != nil {
			return err
		}
		t.adopt(t.stored(secret))
		if !t.isUnwritten() {
			return nil
		}
	}
	return t.failure("write", err)
}

func (t *accessTokens) written(token accessToken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current.text.Equal(token.text) {
		t.unwritten = false
	}
}

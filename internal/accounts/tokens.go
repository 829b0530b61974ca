package accounts

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// Keys of the operator's own Secret <channel>-access-token.
const (
	tokenKey     = "token"
	expiresAtKey = "expiresAt"
	issuedAtKey  = "issuedAt"
	// accountKey is a hash of what the token was fetched for: platform, account, endpoint.
	accountKey = "account"
)

// Annotations of that Secret while a replica renews the token: who, and until when.
const (
	renewalByAnnotation    = v1alpha1.GroupName + "/renewal-by"
	renewalUntilAnnotation = v1alpha1.GroupName + "/renewal-until"
)

const (
	// renewBefore is how long before its end a token is renewed, but never more than half
	// of what it lasts.
	renewBefore = 10 * time.Minute
	// grace is how long a token works after the next one was fetched (documented by the
	// only platform that has such tokens).
	grace = 5 * time.Minute
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
	// maxRefused tokens are remembered: only the newest two could be offered again.
	maxRefused = 8
	// maxRaces is how often a write is tried that others get in the way of.
	maxRaces = 5

	tokenOp = "access token"
)

// AccessTokenSecretName is the name of the Secret in which the operator keeps a
// Channel's access token. It is none of SecretNames: a renewal reloads nothing.
func AccessTokenSecretName(channel string) string { return channel + "-access-token" }

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

// claim says which replica renews the token, and until when; the zero one is none.
type claim struct{ by, until string }

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

// run is a renewal. While another replica is at it, the gap to the next look belongs to
// the renewal, so that all who wait here look together.
func (t *accessTokens) run(ctx context.Context, r *renewal, fetch func(context.Context) (platform.Token, error)) {
	busy, err := t.renew(ctx, fetch)
	switch {
	case err != nil:
		t.gap, t.rest = 0, min(max(2*t.rest, shortestRest), longestRest)
		r.err, r.again = err, time.Now().Add(t.rest)
		ctrl.LoggerFrom(ctx).WithName("accounts").Info("the access token is not renewed", "secret", t.key, "why", err.Error())
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

// fill puts the token in memory into the Secret, and takes our claim out.
func (t *accessTokens) fill(secret *corev1.Secret) accessToken {
	t.mu.Lock()
	token := t.current
	t.mu.Unlock()
	if secret.Annotations[renewalByAnnotation] == t.holder {
		release(secret)
	}
	secret.Data = map[string][]byte{
		tokenKey:     []byte(token.text.Reveal()),
		issuedAtKey:  []byte(text(token.issued)),
		expiresAtKey: []byte(text(token.expires)),
		accountKey:   []byte(t.account),
	}
	return token
}

func (t *accessTokens) written(token accessToken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current.text.Equal(token.text) {
		t.unwritten = false
	}
}

// text is a time as the Secret has it.
func text(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }

// stored reads the token out of the Secret. One that is for another account or endpoint,
// or that cannot be read, is none.
func (t *accessTokens) stored(secret *corev1.Secret) accessToken {
	issued, errIssued := time.Parse(time.RFC3339, string(secret.Data[issuedAtKey]))
	expires, errExpires := time.Parse(time.RFC3339, string(secret.Data[expiresAtKey]))
	token := string(secret.Data[tokenKey])
	if token == "" || string(secret.Data[accountKey]) != t.account || errIssued != nil || errExpires != nil {
		return accessToken{}
	}
	return accessToken{sealing.NewSecret(token), issued, expires}
}

// read reads the Secret from the API server; it is an unmade one if there is none. A
// Secret of that name that is somebody else's gives an error.
func (t *accessTokens) read(ctx context.Context) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := t.reader.Get(ctx, t.key, secret)
	if apierrors.IsNotFound(err) {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: t.key.Namespace, Name: t.key.Name,
			Labels: map[string]string{v1alpha1.LabelChannel: t.owner.Name}}}, nil
	}
	if err != nil {
		return nil, t.failure("read", err)
	}
	if secret.Labels[v1alpha1.LabelChannel] != t.owner.Name {
		return nil, fmt.Errorf("the Secret %s is not the operator's: it has no label %s=%s; rename or delete it: %w",
			t.key, v1alpha1.LabelChannel, t.owner.Name,
			&platform.Error{Kind: platform.Refused, Reason: platform.ReasonCredentials, Op: tokenOp, Text: "it cannot be kept"})
	}
	return secret, nil
}

// write makes the Secret, or changes it if nobody else did since it was read. Whatever is
// written belongs to the Channel, and goes with it.
func (t *accessTokens) write(ctx context.Context, before, secret *corev1.Secret) error {
	secret.OwnerReferences = []metav1.OwnerReference{t.owner}
	var err error
	if before.ResourceVersion == "" {
		if err = t.writer.Create(ctx, secret); apierrors.IsAlreadyExists(err) {
			return errRaced
		}
		return err
	}
	err = t.writer.Patch(ctx, secret, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return errRaced
	}
	return err
}

// errRaced: somebody else made, changed or deleted the Secret since it was read.
var errRaced = errors.New("somebody else changed it at the same time")

// failure is an error of the API server's. It is not wrapped: nothing of it is shown that
// could be the token.
func (t *accessTokens) failure(what string, err error) error {
	t.mu.Lock()
	token := t.current.text
	t.mu.Unlock()
	encoded := sealing.NewSecret(base64.StdEncoding.EncodeToString([]byte(token.Reveal())))
	return fmt.Errorf("%s Secret %s: %w", what, t.key, &platform.Error{Kind: platform.Transient, Reason: platform.ReasonUnavailable,
		Op: tokenOp, Text: sealing.Scrub(err.Error(), token, encoded)})
}

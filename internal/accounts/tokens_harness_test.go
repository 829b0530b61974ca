package accounts_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	renewalBy    = v1alpha1.GroupName + "/renewal-by"
	renewalUntil = v1alpha1.GroupName + "/renewal-until"

	lasts    = 2 * time.Hour
	endpoint = "https://open.example.com"
)

// clock is what all replicas of a test read.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// issuer is a platform's token call: it tells which tokens it issued, and when.
type issuer struct {
	*clock
	mu     sync.Mutex
	issued []time.Time
	// answer, if it is there, answers in its place; n counts from 1.
	answer func(ctx context.Context, n int) (platform.Token, error)
	// lasts of its tokens; 2 h if zero.
	lasts time.Duration
}

func (i *issuer) fetch(ctx context.Context) (platform.Token, error) {
	i.mu.Lock()
	i.issued = append(i.issued, i.now())
	n, answer := len(i.issued), i.answer
	token := issued(n)
	if i.lasts != 0 {
		token.Lasts = i.lasts
	}
	i.mu.Unlock()
	if answer != nil {
		return answer(ctx, n)
	}
	return token, nil
}

// issued is the nth token of an issuer.
func issued(n int) platform.Token {
	return platform.Token{Text: tokenText(n), Lasts: lasts}
}

// tokenText holds no digit in its planted part: no scrubber would know it for a secret.
func tokenText(n int) sealing.Secret {
	if n == 0 {
		return sealing.Secret{}
	}
	return sealing.NewSecret(fmt.Sprintf("clt.planted%s", strings.Repeat("x", n)))
}

func (i *issuer) issuedSoFar() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.issued)
}

func (i *issuer) answers(answer func(ctx context.Context, n int) (platform.Token, error)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = answer
}

// link is a replica's way to the real API server. before, if it is there, is called
// ahead of each call and may fail it; after may turn its success into a failure.
type link struct {
	client.Client
	mu            sync.Mutex
	calls         int
	before, after func(verb string) error
}

func (l *link) do(verb string, call func() error) error {
	l.mu.Lock()
	l.calls++
	before, after := l.before, l.after
	l.mu.Unlock()
	if before != nil {
		if err := before(verb); err != nil {
			return err
		}
	}
	if err := call(); err != nil || after == nil {
		return err
	}
	return after(verb)
}

func (l *link) Get(ctx context.Context, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	return l.do("get", func() error { return l.Client.Get(ctx, key, o, options...) })
}

func (l *link) Create(ctx context.Context, o client.Object, options ...client.CreateOption) error {
	return l.do("create", func() error { return l.Client.Create(ctx, o, options...) })
}

func (l *link) Patch(ctx context.Context, o client.Object, patch client.Patch, options ...client.PatchOption) error {
	return l.do("patch", func() error { return l.Client.Patch(ctx, o, patch, options...) })
}

func (l *link) set(before, after func(verb string) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before, l.after = before, after
}

func (l *link) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

// errLeaky is an API server that says too much.
func errLeaky(token sealing.Secret) error {
	return fmt.Errorf("%w: it did not take %s", errAway, token.Reveal())
}

// replica is one process' view of a Channel's token.
type replica struct {
	platform.Tokens
	*link
}

// shared is a Channel whose token several replicas share.
type shared struct {
	*place
	*issuer
	channel *v1alpha1.Channel
	ctx     context.Context //nolint:containedctx // carries the logger that is checked
	mu      sync.Mutex
	logged  []string
}

func share(t *testing.T) *shared {
	t.Helper()
	s := &shared{place: open(t), issuer: &issuer{clock: &clock{at: time.Now()}}}
	s.channel = s.owner("main")
	log := funcr.New(func(_, args string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.logged = append(s.logged, args)
	}, funcr.Options{Verbosity: 4})
	s.ctx = ctrl.LoggerInto(logr.NewContext(t.Context(), log), log)
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, line := range s.logged {
			if strings.Contains(line, "planted") {
				t.Errorf("logged: %s", line)
			}
		}
	})
	return s
}

// owner is a Channel as the API server would give it; tokens need no more of it.
func (p *place) owner(name string) *v1alpha1.Channel {
	return &v1alpha1.Channel{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: name, UID: types.UID("uid-of-" + name)},
		Spec:       v1alpha1.ChannelSpec{Platform: v1alpha1.PlatformDouyin, Account: "key"},
	}
}

func (s *shared) replica() *replica { return s.replicaOf(s.channel, endpoint) }

func (s *shared) replicaOf(channel *v1alpha1.Channel, endpoint string) *replica {
	l := &link{Client: s.api}
	return &replica{accounts.NewTokens(l, l, channel, endpoint, s.now), l}
}

func (s *shared) replicas(n int) []*replica {
	var made []*replica
	for range n {
		made = append(made, s.replica())
	}
	return made
}

// ask asks for a token and checks that an error shows none. It gives up in the end.
func (s *shared) ask(r *replica, refused sealing.Secret) (sealing.Secret, error) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, 20*time.Second)
	defer cancel()
	token, err := r.Token(ctx, refused, s.fetch)
	if err != nil && strings.Contains(err.Error(), "planted") {
		s.Errorf("the error shows a token: %v", err)
	}
	if (err == nil) == token.IsZero() {
		s.Errorf("token is zero: %v, err %v", token.IsZero(), err)
	}
	return token, err
}

// gets checks that a replica gives the nth token.
func (s *shared) gets(r *replica, n int) {
	s.Helper()
	s.instead(r, sealing.Secret{}, n)
}

// instead checks that a replica gives the nth token for a refused one.
func (s *shared) instead(r *replica, refused sealing.Secret, n int) {
	s.Helper()
	if token, err := s.ask(r, refused); err != nil || !token.Equal(tokenText(n)) {
		s.Errorf("got %q, %v; want token %d", token.Reveal(), err, n)
	}
}

// crowd asks each replica from 64 goroutines at once; all must get the nth token.
func (s *shared) crowd(replicas []*replica, refused sealing.Secret, n int) {
	s.Helper()
	var all sync.WaitGroup
	start := make(chan struct{})
	for _, r := range replicas {
		for range 64 {
			all.Go(func() {
				<-start
				s.instead(r, refused, n)
			})
		}
	}
	close(start)
	all.Wait()
}

// fetched checks how often the platform was asked for a token.
func (s *shared) fetched(n int) {
	s.Helper()
	if got := s.issuedSoFar(); got != n {
		s.Errorf("the platform was asked for a token %d times, want %d", got, n)
	}
}

// kept is the Secret as it is now.
func (s *shared) kept() *corev1.Secret {
	s.Helper()
	var secret corev1.Secret
	if err := s.get(&secret, "main-access-token"); err != nil {
		s.Fatal(err)
	}
	return &secret
}

// keeps waits until the Secret has the nth token and no claim.
func (s *shared) keeps(n int) {
	s.Helper()
	s.until(fmt.Sprintf("the Secret has token %d", n), func() bool {
		var secret corev1.Secret
		err := s.get(&secret, "main-access-token")
		if err != nil && !apierrors.IsNotFound(err) {
			s.Fatal(err)
		}
		return string(secret.Data["token"]) == tokenText(n).Reveal() && len(secret.Annotations) == 0
	})
}

// change changes the Secret behind everybody's back.
func (s *shared) change(f func(*corev1.Secret)) {
	s.Helper()
	secret := s.kept()
	f(secret)
	if err := s.api.Update(s.Context(), secret); err != nil {
		s.Fatal(err)
	}
}

// deadClaim leaves the claim of a replica that died.
func (s *shared) deadClaim(lasts time.Duration) {
	s.Helper()
	s.change(func(secret *corev1.Secret) {
		metav1.SetMetaDataAnnotation(&secret.ObjectMeta, renewalBy, "a-replica-that-died")
		metav1.SetMetaDataAnnotation(&secret.ObjectMeta, renewalUntil, s.now().Add(lasts).UTC().Format(time.RFC3339Nano))
	})
}

// ownerOf is the reference by which a Secret goes with the Channel.
func ownerOf(channel *v1alpha1.Channel) []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Channel",
		Name: channel.Name, UID: channel.UID}}
}

// gate holds fetches until it is opened; began tells of each.
type gate struct {
	began  chan struct{}
	opened chan struct{}
}

// gated makes the fetches wait.
func (s *shared) gated() *gate {
	g := &gate{began: make(chan struct{}, 1000), opened: make(chan struct{})}
	s.answers(func(_ context.Context, n int) (platform.Token, error) {
		g.began <- struct{}{}
		<-g.opened
		return issued(n), nil
	})
	return g
}

// begins waits for a fetch.
func (s *shared) begins(g *gate) {
	s.Helper()
	select {
	case <-g.began:
	case <-time.After(20 * time.Second):
		s.Error("no fetch began")
	}
}

func (g *gate) open() { close(g.opened) }

// fails checks for an *Error of a kind and gives how long it asks to wait.
func (s *shared) fails(r *replica, refused sealing.Secret, kind platform.Kind, says string) time.Duration {
	s.Helper()
	_, err := s.ask(r, refused)
	failure := asError(err)
	if failure == nil || failure.Kind != kind || !strings.Contains(err.Error(), says) {
		s.Fatalf("got %v, want one of kind %s that says %q", err, kind, says)
	}
	return failure.RetryAfter
}

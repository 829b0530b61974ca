package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

func asError(err error) *platform.Error {
	e, _ := errors.AsType[*platform.Error](err)
	return e
}

// Two replicas under load ask for one token per two hours, and for one when it is refused.
func TestOneTokenForAllReplicas(t *testing.T) {
	s := share(t)
	both := s.replicas(2)
	s.crowd(both, sealing.Secret{}, 1)
	s.fetched(1)

	calls := both[0].count() + both[1].count()
	s.advance(lasts - 10*time.Minute - time.Second)
	s.crowd(both, sealing.Secret{}, 1)
	if more := both[0].count() + both[1].count() - calls; more != 0 {
		t.Errorf("%d calls to the API server for a token that is not due", more)
	}

	s.advance(10*time.Minute + 2*time.Second)
	s.crowd(both, sealing.Secret{}, 2)
	s.fetched(2)

	s.advance(time.Minute)
	s.crowd(both, tokenText(2), 3)
	s.fetched(3)
	s.crowd(both, tokenText(2), 3) // those who tell late
	s.fetched(3)
}

// A token that is due is renewed once, and nobody waits for it.
func TestDueTokenIsUsedUntilThereIsAnother(t *testing.T) {
	s := share(t)
	both := s.replicas(2)
	s.crowd(both, sealing.Secret{}, 1)
	s.advance(lasts - 9*time.Minute)
	g := s.gated()
	s.crowd(both, sealing.Secret{}, 1)
	s.begins(g)
	s.crowd(both, sealing.Secret{}, 1)
	g.open()
	for _, r := range both {
		s.until("the new token is given", func() bool {
			token, err := s.ask(r, sealing.Secret{})
			return err == nil && token.Equal(tokenText(2))
		})
	}
	s.fetched(2)
}

// A token that is due for so long that another replica's renewal could have retired it is
// not given while a better one may be had; when none can be had, it is.
func TestTokenThatMayBeRetiredIsGivenLast(t *testing.T) {
	s := share(t)
	first, second := s.replica(), s.replica()
	s.gets(first, 1)
	s.gets(second, 1)
	s.advance(lasts - 4*time.Minute)
	s.gets(first, 2)
	s.gets(second, 2)
	s.fetched(2)

	s.advance(lasts - 4*time.Minute)
	s.answers(func(context.Context, int) (platform.Token, error) { return platform.Token{}, errAway })
	s.gets(first, 2)
	s.fetched(3)
	s.advance(4 * time.Minute)
	if _, err := s.ask(first, sealing.Secret{}); !errors.Is(err, errAway) {
		t.Errorf("an expired token, or %v", err)
	}
}

// The half of what a short token lasts is its margin.
func TestShortTokenIsRenewedAtHalfTime(t *testing.T) {
	s := share(t)
	s.lasts = 8 * time.Minute
	r := s.replica()
	s.gets(r, 1)
	calls := r.count()
	s.advance(4*time.Minute - time.Second)
	s.gets(r, 1)
	if r.count() != calls {
		t.Error("looked at before half time")
	}
	s.advance(2 * time.Second)
	s.gets(r, 1)
	s.keeps(2)
	s.fetched(2)
}

func TestTokenSecret(t *testing.T) {
	s := share(t)
	s.gets(s.replica(), 1)
	secret := s.kept()
	if got := secret.Labels; !maps.Equal(got, map[string]string{v1alpha1.LabelChannel: "main"}) {
		t.Errorf("labels %v", got)
	}
	if diff := cmp.Diff(ownerOf(s.channel), secret.OwnerReferences); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
	if len(secret.Annotations) != 0 {
		t.Errorf("a claim is left: %v", secret.Annotations)
	}
	if got := slices.Sorted(maps.Keys(secret.Data)); !slices.Equal(got, []string{"account", "expiresAt", "issuedAt", "token"}) {
		t.Errorf("keys %v", got)
	}
	for key, want := range map[string]time.Time{"issuedAt": s.now(), "expiresAt": s.now().Add(lasts)} {
		if got, err := time.Parse(time.RFC3339, string(secret.Data[key])); err != nil || !got.Equal(want) {
			t.Errorf("%s is %s, %v; want %s", key, got, err, want)
		}
	}

	// What lost its owner gets it back with the next token, and so does a Channel made anew.
	s.change(func(secret *corev1.Secret) { secret.OwnerReferences = nil })
	s.advance(lasts)
	s.channel.UID = types.UID("uid-of-another")
	s.gets(s.replica(), 2)
	if diff := cmp.Diff(ownerOf(s.channel), s.kept().OwnerReferences); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
}

// A replica that starts, or is behind, takes what is there.
func TestTokenOfAnotherReplicaIsTaken(t *testing.T) {
	s := share(t)
	first, second := s.replica(), s.replica()
	s.gets(first, 1)
	s.gets(second, 1)
	s.advance(time.Hour)
	s.instead(first, tokenText(1), 2)
	s.gets(second, 1) // it works, as far as this one knows
	s.instead(second, tokenText(1), 2)
	s.gets(s.replica(), 2)
	s.fetched(2)
}

// What is refused right after it was issued would be refused again and again: somebody
// else uses the key.
func TestRefusedRightAfterItWasIssued(t *testing.T) {
	s := share(t)
	both := s.replicas(2)
	s.crowd(both, sealing.Secret{}, 1)
	for _, r := range both {
		s.advance(25 * time.Second)
		if wait := s.fails(r, tokenText(1), platform.Throttled, "something else uses the same key"); wait <= 0 || wait > time.Minute {
			t.Errorf("wait %s", wait)
		}
	}
	s.fetched(1)
	s.advance(10 * time.Second) // a minute since
	for _, r := range both {
		accounts.TryAgain(r.Tokens)
	}
	s.crowd(both, tokenText(1), 2)
	s.fetched(2)
}

// A clock that was wrong, here or elsewhere, does not keep a refused token for long.
func TestIssuedInTheFuture(t *testing.T) {
	s := share(t)
	s.advance(24 * time.Hour)
	s.gets(s.replica(), 1)
	s.advance(-24 * time.Hour)
	r := s.replica()
	s.gets(r, 1)
	s.instead(r, tokenText(1), 2)
	s.fetched(2)
}

// A platform that gives the refused token again is not asked over and over.
func TestRefusedTokenIsIssuedAgain(t *testing.T) {
	s := share(t)
	r := s.replica()
	s.gets(r, 1)
	s.advance(2 * time.Minute)
	s.answers(func(context.Context, int) (platform.Token, error) { return issued(1), nil })
	s.fails(r, tokenText(1), platform.Throttled, "refuses a token")
	accounts.TryAgain(r.Tokens)
	s.fails(r, tokenText(1), platform.Throttled, "refuses a token")
	s.fetched(2)
	another := s.replica() // does not know that it is refused
	s.fails(another, tokenText(1), platform.Throttled, "refuses a token")
	s.fetched(2)
}

// The claim of a refused token takes it out: no replica that starts begins with it.
func TestRefusedTokenIsTakenOut(t *testing.T) {
	s := share(t)
	r := s.replica()
	s.gets(r, 1)
	s.advance(time.Hour)
	s.answers(func(context.Context, int) (platform.Token, error) { return platform.Token{}, errAway })
	if _, err := s.ask(r, tokenText(1)); !errors.Is(err, errAway) {
		t.Fatal(err)
	}
	if _, there := s.kept().Data["token"]; there {
		t.Error("the refused token is still in the Secret")
	}
	s.answers(nil)
	s.gets(s.replica(), 3)
}

// Who waits for another replica gets its token; who holds an old one that works goes on.
func TestLosers(t *testing.T) {
	s := share(t)
	winner, loser, late := s.replica(), s.replica(), s.replica()
	s.gets(winner, 1)
	s.gets(loser, 1)
	s.advance(lasts - 5*time.Minute - 10*time.Second)
	g := s.gated()
	s.gets(winner, 1)
	s.begins(g)
	for range 3 {
		s.gets(loser, 1)
	}
	s.gets(late, 1)             // knows it from the Secret alone
	s.advance(20 * time.Second) // now it may have been retired
	var all sync.WaitGroup
	for _, r := range []*replica{winner, loser, late} {
		for range 8 {
			all.Go(func() { s.gets(r, 2) })
		}
	}
	calls := loser.count()
	s.until("the loser looks again", func() bool { return loser.count() > calls+1 })
	s.fetched(2)
	g.open()
	all.Wait()
	s.fetched(2)
}

// The claim of a replica that died ends.
func TestHolderThatDied(t *testing.T) {
	for name, until := range map[string]time.Duration{
		"by its time":                            30 * time.Second,
		"by ours, where its clock was far ahead": 24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			s := share(t)
			s.gets(s.replica(), 1)
			s.advance(lasts)
			s.deadClaim(until)
			r := s.replica()
			// Nobody else is coming: the wait ends with the context.
			ctx, cancel := context.WithTimeout(s.ctx, 3*time.Second)
			defer cancel()
			if _, err := r.Token(ctx, sealing.Secret{}, s.fetch); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("waiting: %v", err)
			}
			s.fetched(1)
			looked := r.count()
			if looked < 2 || looked > 30 {
				t.Errorf("looked %d times", looked)
			}
			s.advance(29 * time.Second)
			again, cancelAgain := context.WithTimeout(s.ctx, 100*time.Millisecond)
			defer cancelAgain()
			if _, err := r.Token(again, sealing.Secret{}, s.fetch); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("waiting: %v", err)
			}
			s.fetched(1)
			s.advance(2 * time.Second)
			s.crowd([]*replica{r}, sealing.Secret{}, 2)
			s.fetched(2)
			s.keeps(2)
		})
	}
}

// Nobody polls for callers who have gone.
func TestNobodyWaitsAnyMore(t *testing.T) {
	s := share(t)
	s.gets(s.replica(), 1)
	s.advance(lasts)
	s.deadClaim(30 * time.Second)
	r := s.replica()
	ctx, cancel := context.WithCancel(s.ctx)
	left := make(chan error, 64)
	for range cap(left) {
		go func() {
			_, err := r.Token(ctx, sealing.Secret{}, s.fetch)
			left <- err
		}()
	}
	s.until("it was looked at", func() bool { return r.count() > 1 })
	cancel()
	s.until("all have left", func() bool { return len(left) == cap(left) })
	for range cap(left) {
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("waiting: %v", err)
		}
	}
	s.until("nothing is under way", func() bool { return accounts.Idle(r.Tokens) })
	s.advance(time.Minute)
	s.fetched(1)
}

// The context of one caller ends; the fetch is everybody's and goes on.
func TestCallerLeavesDuringTheFetch(t *testing.T) {
	s := share(t)
	r := s.replica()
	g := s.gated()
	ctx, cancel := context.WithCancel(s.ctx)
	left := make(chan error, 1)
	go func() {
		_, err := r.Token(ctx, sealing.Secret{}, s.fetch)
		left <- err
	}()
	s.begins(g)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { s.gets(r, 1) })
	}
	cancel()
	s.until("the caller has left", func() bool { return len(left) > 0 })
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("left with %v", err)
	}
	g.open()
	all.Wait()
	s.keeps(1)
	s.fetched(1)
}

// A failed fetch fails all who wait for it, once; it leaves no claim behind.
func TestFetchFails(t *testing.T) {
	s := share(t)
	refused := &platform.Error{Kind: platform.Refused, Reason: platform.ReasonCredentials, Op: "token", Text: "no such key"}
	s.answers(func(_ context.Context, n int) (platform.Token, error) {
		if n == 1 {
			return platform.Token{}, refused
		}
		return issued(n), nil
	})
	r := s.replica()
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			if _, err := s.ask(r, sealing.Secret{}); asError(err) != refused {
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	s.fetched(1)
	if left := s.kept().Annotations; len(left) != 0 {
		t.Errorf("a claim is left: %v", left)
	}
	s.gets(s.replica(), 2) // another replica need not wait
	s.until("it tries again after a rest", func() bool {
		token, err := s.ask(r, sealing.Secret{})
		return err == nil && token.Equal(tokenText(2))
	})
	s.fetched(2)
}

// A platform that fails for long is asked less and less, and at once when the Channel
// was read anew, for the credentials may be mended.
func TestFailuresAreFollowedByRests(t *testing.T) {
	s := share(t)
	s.answers(func(context.Context, int) (platform.Token, error) { return platform.Token{}, errAway })
	r := s.replica()
	begin := time.Now()
	s.until("it was tried twice", func() bool {
		_, err := s.ask(r, sealing.Secret{})
		return errors.Is(err, errAway) && s.issuedSoFar() == 2
	})
	if took := time.Since(begin); took < 900*time.Millisecond {
		t.Errorf("tried again after %s", took)
	}
	accounts.TryAgain(r.Tokens)
	s.answers(nil)
	s.gets(r, 3)
}

func TestAnswersWithoutAToken(t *testing.T) {
	for name, token := range map[string]platform.Token{
		"no text":       {Lasts: lasts},
		"empty":         {Text: sealing.NewSecret(""), Lasts: lasts},
		"no time":       {Text: tokenText(1)},
		"before now":    {Text: tokenText(1), Lasts: -time.Hour},
		"over at once":  {Text: tokenText(1), Lasts: time.Second},
		"nothing given": {},
	} {
		t.Run(name, func(t *testing.T) {
			s := share(t)
			s.answers(func(context.Context, int) (platform.Token, error) { return token, nil })
			s.fails(s.replica(), sealing.Secret{}, platform.Transient, "no token")
			s.fetched(1)
			if kept := s.kept(); len(kept.Data) != 0 || len(kept.Annotations) != 0 {
				t.Errorf("kept %d keys, %v", len(kept.Data), kept.Annotations)
			}
		})
	}
}

// A Secret of somebody else's is neither read nor changed.
func TestForeignSecret(t *testing.T) {
	for name, label := range map[string]string{"no label": "", "another Channel's": "other"} {
		t.Run(name, func(t *testing.T) {
			s := share(t)
			s.gets(s.replica(), 1)
			s.change(func(secret *corev1.Secret) {
				delete(secret.Labels, v1alpha1.LabelChannel)
				if label != "" {
					secret.Labels = map[string]string{v1alpha1.LabelChannel: label}
				}
			})
			before := s.kept()
			r := s.replica()
			s.fails(r, sealing.Secret{}, platform.Refused, "main-access-token is not the operator's")
			s.fetched(1)
			if diff := cmp.Diff(before, s.kept()); diff != "" {
				t.Errorf("changed (-before +after):\n%s", diff)
			}
			// Out of the way, all is well.
			s.delete(before)
			accounts.TryAgain(r.Tokens)
			s.gets(r, 2)
		})
	}
}

// A token of another account, of another endpoint, or that cannot be read is none.
func TestOtherTokensAreNotTaken(t *testing.T) {
	for name, change := range map[string]func(s *shared) *replica{
		"another endpoint": func(s *shared) *replica { return s.replicaOf(s.channel, "https://sandbox.example.com") },
		"another account": func(s *shared) *replica {
			s.channel.Spec.Account = "other"
			return s.replica()
		},
		"another platform": func(s *shared) *replica {
			s.channel.Spec.Platform = v1alpha1.PlatformSCTT
			return s.replica()
		},
		"no token":       func(s *shared) *replica { return s.broken("token", "") },
		"no end":         func(s *shared) *replica { return s.broken("expiresAt", "") },
		"end unreadable": func(s *shared) *replica { return s.broken("expiresAt", "soon") },
		"no beginning":   func(s *shared) *replica { return s.broken("issuedAt", "") },
		"whose unknown":  func(s *shared) *replica { return s.broken("account", "") },
		"over":           func(s *shared) *replica { return s.broken("expiresAt", "2001-01-01T00:00:00Z") },
	} {
		t.Run(name, func(t *testing.T) {
			s := share(t)
			s.gets(s.replica(), 1)
			r := change(s)
			s.gets(r, 2)
			s.keeps(2)
			s.fetched(2)
		})
	}
	t.Run("but with a slash at the end it is the same", func(t *testing.T) {
		s := share(t)
		s.gets(s.replica(), 1)
		s.gets(s.replicaOf(s.channel, endpoint+"/"), 1)
		s.fetched(1)
	})
}

// broken spoils a key of the Secret and gives a replica that starts.
func (s *shared) broken(key, value string) *replica {
	s.change(func(secret *corev1.Secret) { secret.Data[key] = []byte(value) })
	return s.replica()
}

// The Secret goes while a token is fetched: it comes back with the token.
func TestSecretIsDeletedUnderWay(t *testing.T) {
	s := share(t)
	r := s.replica()
	s.gets(r, 1)
	s.delete(s.kept())
	s.gets(r, 1) // in memory it lives on
	s.advance(lasts)
	g := s.gated()
	var all sync.WaitGroup
	all.Go(func() { s.gets(r, 2) })
	s.begins(g)
	s.delete(s.kept())
	g.open()
	all.Wait()
	s.keeps(2)
	if diff := cmp.Diff(ownerOf(s.channel), s.kept().OwnerReferences); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
	s.gets(s.replica(), 2)
	s.fetched(2)
}

// Whatever happens between a look at the Secret and a write of it is noticed.
func TestRaces(t *testing.T) {
	// meanwhile runs something once, ahead of the nth write of a replica.
	meanwhile := func(r *replica, nth int, what func()) {
		writes := 0
		r.set(func(verb string) error {
			if verb == "get" {
				return nil
			}
			if writes++; writes == nth {
				what()
			}
			return nil
		}, nil)
	}
	for name, test := range map[string]struct {
		there   bool // the Secret, with token 1, which is over
		write   int  // 1 the claim, 2 the token
		what    func(s *shared)
		gets    int
		fetches int
	}{
		"another makes it first":      {false, 1, func(s *shared) { s.gets(s.replica(), 1) }, 1, 1},
		"another renews it first":     {true, 1, func(s *shared) { s.gets(s.replica(), 2) }, 2, 2},
		"it goes ahead of the claim":  {true, 1, func(s *shared) { s.delete(s.kept()) }, 2, 2},
		"it goes ahead of the token":  {true, 2, func(s *shared) { s.delete(s.kept()) }, 2, 2},
		"it is changed in the middle": {true, 2, func(s *shared) { s.change(func(o *corev1.Secret) { o.Labels["more"] = "x" }) }, 2, 2},
		"another took over, and is done": {true, 2, func(s *shared) {
			s.advance(31 * time.Second)
			s.gets(s.replica(), 3)
		}, 3, 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := share(t)
			if test.there {
				s.gets(s.replica(), 1)
				s.advance(lasts)
			}
			r := s.replica()
			meanwhile(r, test.write, func() { test.what(s) })
			s.gets(r, test.gets)
			s.fetched(test.fetches)
			s.keeps(test.gets)
		})
	}
}

// The API server goes away when a token was fetched: it is used, and written when that
// is possible.
func TestTokenThatCannotBeWritten(t *testing.T) {
	notAfterTheClaim := func(verb string) error {
		if verb == "patch" {
			return errLeaky(tokenText(1))
		}
		return nil
	}
	for name, set := range map[string]func(r *replica){
		"not written":                  func(r *replica) { r.set(notAfterTheClaim, nil) },
		"written, and the answer lost": func(r *replica) { r.set(nil, notAfterTheClaim) },
	} {
		t.Run(name, func(t *testing.T) {
			s := share(t)
			r := s.replica()
			set(r)
			s.crowd([]*replica{r}, sealing.Secret{}, 1)
			s.crowd([]*replica{r}, sealing.Secret{}, 1)
			s.fetched(1)
			r.set(nil, nil)
			s.until("it is written", func() bool {
				s.gets(r, 1)
				return string(s.kept().Data["token"]) == tokenText(1).Reveal() && len(s.kept().Annotations) == 0
			})
			s.gets(s.replica(), 1)
			s.fetched(1)
		})
	}
}

// What could not be written gives way to what another replica fetched since, and is not
// written when it was refused.
func TestUnwrittenTokenGivesWay(t *testing.T) {
	for name, refused := range map[string]sealing.Secret{"unknown": {}, "refused": tokenText(1)} {
		t.Run(name, func(t *testing.T) {
			s := share(t)
			r := s.replica()
			r.set(func(verb string) error {
				if verb == "patch" {
					return errAway
				}
				return nil
			}, nil)
			s.gets(r, 1)
			s.advance(31 * time.Second) // the claim is over
			s.gets(s.replica(), 2)
			r.set(nil, nil)
			accounts.TryAgain(r.Tokens)
			s.until("the newer one is taken", func() bool {
				token, err := s.ask(r, refused)
				return err == nil && token.Equal(tokenText(2))
			})
			s.keeps(2)
			s.fetched(2)
		})
	}
}

// What could not be written is not given up for the older one that the Secret still has.
func TestUnwrittenTokenIsNewer(t *testing.T) {
	s := share(t)
	r := s.replica()
	s.gets(r, 1)
	s.advance(lasts - 4*time.Minute)
	writes := 0
	r.set(func(verb string) error {
		if verb == "patch" {
			if writes++; writes > 1 { // the claim came through
				return errAway
			}
		}
		return nil
	}, nil)
	s.gets(r, 2)
	r.set(nil, nil)
	accounts.TryAgain(r.Tokens)
	s.gets(r, 2)
	s.keeps(2)
	s.gets(r, 2)
	s.fetched(2)
}

// That a token was issued just now counts too where it could not be written.
func TestUnwrittenTokenIsRefused(t *testing.T) {
	s := share(t)
	r := s.replica()
	r.set(func(verb string) error {
		if verb == "patch" {
			return errAway
		}
		return nil
	}, nil)
	s.gets(r, 1)
	r.set(nil, nil)
	for range 2 {
		accounts.TryAgain(r.Tokens)
		s.fails(r, tokenText(1), platform.Throttled, "refuses a token")
	}
	s.fetched(1)
	if _, there := s.kept().Data["token"]; there {
		t.Error("a refused token was written")
	}
	s.advance(time.Minute)
	accounts.TryAgain(r.Tokens)
	s.gets(r, 2)
	s.keeps(2)
}

// Without the API server nothing is fetched: nobody could say who else does.
func TestAPIServerIsAway(t *testing.T) {
	for name, away := range map[string]string{"reading": "get", "making": "create", "claiming": "patch"} {
		t.Run(name, func(t *testing.T) {
			s := share(t)
			r := s.replica()
			fetched := 0
			if away != "create" {
				s.gets(r, 1)
				s.advance(lasts - 4*time.Minute)
				fetched = 1
			}
			r.set(func(verb string) error {
				if verb != away {
					return nil
				}
				return errLeaky(tokenText(fetched)) // it cannot know another
			}, nil)
			if fetched > 0 {
				s.gets(r, 1) // is all there is, and not over
				s.advance(4 * time.Minute)
			}
			s.fails(r, sealing.Secret{}, platform.Transient, "it did not take")
			s.fetched(fetched)
			r.set(nil, nil)
			accounts.TryAgain(r.Tokens)
			s.gets(r, fetched+1)
		})
	}
	t.Run("the namespace is gone", func(t *testing.T) {
		s := share(t)
		s.channel.Namespace += "-is-not-there"
		s.fails(s.replica(), sealing.Secret{}, platform.Transient, "main-access-token")
		s.fetched(0)
	})
}

// What the API server quotes of a Secret that it refuses may be a token that this replica does not know.
func TestTokenErrorsQuoteNothingOfTheAPIServer(t *testing.T) {
	s := share(t)
	r := s.replica()
	r.set(func(string) error { return apierrors.NewInternalError(errors.New("no `planted token` is taken")) }, nil)
	s.fails(r, sealing.Secret{}, platform.Transient, "no … is taken")
}

// A claim that could not be given up is its holder's still, and nobody else's for long.
func TestClaimThatCannotBeGivenUp(t *testing.T) {
	s := share(t)
	s.answers(func(context.Context, int) (platform.Token, error) { return platform.Token{}, errAway })
	r := s.replica()
	r.set(func(verb string) error {
		if verb == "patch" {
			return errAway
		}
		return nil
	}, nil)
	if _, err := s.ask(r, sealing.Secret{}); !errors.Is(err, errAway) {
		t.Fatal(err)
	}
	if len(s.kept().Annotations) != 2 {
		t.Fatalf("the claim is gone: %v", s.kept().Annotations)
	}
	r.set(nil, nil)
	s.answers(nil)
	accounts.TryAgain(r.Tokens)
	s.gets(r, 2)
	s.keeps(2)
}

// A claim is given up though the Secret changed in the meantime, and only one's own is.
func TestClaimIsGivenUpOnce(t *testing.T) {
	for name, test := range map[string]struct {
		change func(secret *corev1.Secret)
		left   int
	}{
		"changed": {func(secret *corev1.Secret) { secret.Labels["more"] = "x" }, 0},
		"taken over": {func(secret *corev1.Secret) {
			metav1.SetMetaDataAnnotation(&secret.ObjectMeta, renewalBy, "another")
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := share(t)
			s.answers(func(context.Context, int) (platform.Token, error) {
				s.change(test.change)
				return platform.Token{}, errAway
			})
			if _, err := s.ask(s.replica(), sealing.Secret{}); !errors.Is(err, errAway) {
				t.Fatal(err)
			}
			if left := s.kept().Annotations; len(left) != test.left {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// What a Channel is loaded with stays the same over reloads, as long as it is for the
// same account and endpoint.
func TestTokensOutliveReloads(t *testing.T) {
	p := open(t)
	channel := p.channel("main")
	given := func() platform.Tokens {
		p.Helper()
		p.load(channel)
		p.adapter.mu.Lock()
		defer p.adapter.mu.Unlock()
		return p.adapter.account.Tokens
	}
	first := given()
	if first == nil {
		t.Fatal("no tokens")
	}
	channel.Spec.Limits = v1alpha1.ChannelLimits{}
	withLimits(1, 1, 1)(channel)
	if given() != first {
		t.Error("a reload made others")
	}
	channel.Spec.Endpoint = "https://sandbox.example.com"
	second := given()
	channel.Spec.Endpoint += "/"
	if second == first || given() != second {
		t.Error("they are for another endpoint, or were made again for the same")
	}
	channel.Spec.Account = "20002"
	third := given()
	if third == second {
		t.Error("they are for another account")
	}
	channel.UID = "made-anew"
	if given() == third {
		t.Error("they belong to a Channel that is gone")
	}
}

// One who reads through the registry shares the token with the others, and a renewal
// reloads no Channel.
func TestTokensOfTheRegistry(t *testing.T) {
	p := open(t)
	channel := p.channel("main")
	i := &issuer{clock: &clock{at: time.Now()}}
	for range 2 {
		p.again()
		p.load(channel)
		token, err := p.adapter.account.Tokens.Token(t.Context(), sealing.Secret{}, i.fetch)
		if err != nil || !token.Equal(tokenText(1)) {
			t.Errorf("got %v, %v", token, err)
		}
	}
	if i.issuedSoFar() != 1 {
		t.Errorf("%d fetches", i.issuedSoFar())
	}
	var secret corev1.Secret
	if err := p.get(&secret, accounts.AccessTokenSecretName("main")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ownerOf(channel), secret.OwnerReferences); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
	if slices.Contains(accounts.SecretNames(channel), secret.Name) {
		t.Error("each renewal reloads the Channel")
	}
	if key := client.ObjectKeyFromObject(&secret); key.String() != fmt.Sprintf("%s/main-access-token", p.namespace) {
		t.Errorf("it is %s", key)
	}
}

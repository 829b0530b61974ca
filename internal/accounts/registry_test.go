package accounts_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/test/env"
)

func TestNothingIsUnknownBeforeTheStart(t *testing.T) {
	p := open(t)
	p.found("main", accounts.ErrNotKnownYet, accounts.ErrNotKnownYet)
	p.load(p.channel("main"))
	p.holds("main") // what is known receives already
	if _, err := p.ByAccount(v1alpha1.PlatformFliggy, "2"); !errors.Is(err, accounts.ErrNotKnownYet) {
		t.Errorf("another account: %v", err)
	}
	if p.Ready() {
		t.Error("ready before the start")
	}
	p.started()
	p.holds("main")
	for _, err := range []error{
		second(p.ByAccount(v1alpha1.PlatformFliggy, "2")),
		second(p.ByAccount(v1alpha1.PlatformFliggy, "")),
		second(p.ByAccount(v1alpha1.PlatformDouyin, "20001")),
		second(p.ByName(types.NamespacedName{Namespace: p.namespace, Name: "other"})),
		second(p.ByName(types.NamespacedName{Namespace: "other", Name: "main"})),
	} {
		if !errors.Is(err, accounts.ErrUnknown) {
			t.Errorf("not there: %v", err)
		}
	}
	if p.NeedLeaderElection() {
		t.Error("only the leader would receive")
	}
}

func second(_ *accounts.Account, err error) error { return err }

func TestStartLoadsEveryChannel(t *testing.T) {
	p := open(t)
	for i := range 3 {
		p.channel(fmt.Sprint("c", i), func(c *v1alpha1.Channel) { c.Spec.Account = fmt.Sprint(i) })
	}
	// What somebody has to mend does not hold up the rest.
	p.channel("broken", func(c *v1alpha1.Channel) { c.Spec.Account, c.Spec.CredentialsRef.Name = "9", "none" })
	p.started()
	for _, id := range []string{"0", "1", "2", "9"} {
		if _, err := p.ByAccount(v1alpha1.PlatformFliggy, id); err != nil {
			t.Errorf("account %s: %v", id, err)
		}
	}
}

// Not ready, and nothing is unknown, until each Channel there was could be loaded once.
func TestStartRetries(t *testing.T) {
	for name, fail := range map[string]func(*reader){
		"a Secret cannot be read":   func(r *reader) { r.away("credentials") },
		"Channels cannot be listed": func(r *reader) { r.listed = func(*v1alpha1.ChannelList) error { return errAway } },
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			p.channel("main")
			tried := make(chan struct{}, 100)
			fail(p.reader)
			if inner := p.reader.failing; inner != nil {
				p.reader.failing = func(key client.ObjectKey, o client.Object) bool {
					failed := inner(key, o)
					if failed {
						tried <- struct{}{}
					}
					return failed
				}
			} else {
				p.reader.listed = func(*v1alpha1.ChannelList) error { tried <- struct{}{}; return errAway }
			}
			p.start()
			for range 2 {
				p.until("it is tried", func() bool { return len(tried) > 0 })
				<-tried
				p.found("main", accounts.ErrNotKnownYet, accounts.ErrNotKnownYet)
				if _, err := p.ByAccount(v1alpha1.PlatformFliggy, "2"); !errors.Is(err, accounts.ErrNotKnownYet) || p.Ready() {
					t.Errorf("another account: %v; ready: %v", err, p.Ready())
				}
			}
			p.reader.mu.Lock()
			p.reader.failing, p.reader.listed = nil, nil
			p.reader.mu.Unlock()
			p.until("the registry is ready", p.Ready)
			p.holds("main")
			if _, err := p.ByAccount(v1alpha1.PlatformFliggy, "2"); !errors.Is(err, accounts.ErrUnknown) {
				t.Errorf("another account: %v", err)
			}
		})
	}
}

// A Channel that was deleted while the start was under way is not kept for ever.
func TestStartForgetsWhatWasDeletedMeanwhile(t *testing.T) {
	p := open(t)
	gone := p.channel("gone")
	p.channel("main", func(c *v1alpha1.Channel) { c.Spec.Account = "2" })
	p.delete(gone)
	p.reader.listed = func(list *v1alpha1.ChannelList) error { // the list is older than the deletion
		list.Items = append(list.Items, *gone)
		return nil
	}
	p.started()
	p.found("gone", accounts.ErrUnknown, accounts.ErrUnknown)
	if _, err := p.ByAccount(v1alpha1.PlatformFliggy, "2"); err != nil {
		t.Errorf("the other Channel: %v", err)
	}
}

// A Channel that came later and could not be loaded yet is known to be there.
func TestNewChannelIsAnnouncedBeforeItIsLoaded(t *testing.T) {
	p := open(t)
	p.started()
	p.found("main", accounts.ErrUnknown, accounts.ErrUnknown)
	channel := p.channel("main")
	p.reader.away("credentials")
	if _, err := p.Reconcile(t.Context(), request(channel)); !errors.Is(err, errAway) {
		t.Errorf("Reconcile: %v", err)
	}
	p.found("main", accounts.ErrNotKnownYet, accounts.ErrNotKnownYet)
}

func request(channel *v1alpha1.Channel) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKeyFromObject(channel)}
}

func TestForget(t *testing.T) {
	p := open(t)
	p.started()
	channel := p.channel("main")
	if _, err := p.Reconcile(t.Context(), request(channel)); err != nil {
		t.Fatal(err)
	}
	p.holds("main")

	// An API server that does not answer says nothing about the Channel.
	p.reader.failing = func(client.ObjectKey, client.Object) bool { return true }
	if _, err := p.Reconcile(t.Context(), request(channel)); !errors.Is(err, errAway) {
		t.Errorf("Reconcile: %v", err)
	}
	p.holds("main")
	p.reader.failing = nil

	p.delete(channel)
	for range 2 { // twice is once
		if _, err := p.Reconcile(t.Context(), request(channel)); err != nil {
			t.Fatal(err)
		}
		p.found("main", accounts.ErrUnknown, accounts.ErrUnknown)
	}
	if p.Asking(client.ObjectKeyFromObject(channel)) != nil {
		t.Error("a deleted Channel can be asked")
	}

	again := p.channel("main")
	p.load(again)
	p.holds("main")
	p.Forget(client.ObjectKeyFromObject(again))
	p.found("main", accounts.ErrUnknown, accounts.ErrUnknown)
}

// taken checks a Channel whose account another holds.
func (p *place) taken(channel *v1alpha1.Channel, holder string) {
	p.Helper()
	account := p.Asking(client.ObjectKeyFromObject(channel))
	if account == nil || account.Problem == nil || account.Problem.Reason != v1alpha1.ReasonAccountTaken ||
		!strings.Contains(account.Problem.Message, holder) || account.Client != nil {
		p.Errorf("Channel %s: %+v, want AccountTaken by %s", channel.Name, account, holder)
	}
	if _, err := p.ByName(client.ObjectKeyFromObject(channel)); !errors.Is(err, accounts.ErrUnknown) {
		p.Errorf("Channel %s receives: %v", channel.Name, err)
	}
}

// The oldest holds an account, whichever was loaded first; of the same age, the first by name.
func TestAccountTaken(t *testing.T) {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		ages   map[string]time.Time
		holder string
	}{
		"the older":             {map[string]time.Time{"a": noon.Add(time.Second), "b": noon, "c": noon.Add(time.Hour)}, "b"},
		"of the same age":       {map[string]time.Time{"a": noon, "b": noon, "c": noon}, "a"},
		"two of the same age":   {map[string]time.Time{"a": noon.Add(time.Second), "b": noon, "c": noon}, "b"},
		"the last in the order": {map[string]time.Time{"a": noon.Add(2 * time.Second), "b": noon.Add(time.Second), "c": noon}, "c"},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			channels := map[string]*v1alpha1.Channel{}
			for name, created := range test.ages {
				channels[name] = p.channel(name)
				channels[name].CreationTimestamp = metav1.NewTime(created) // as a cache would give it
			}
			for _, order := range []string{"abc", "acb", "bac", "bca", "cab", "cba"} {
				p.again()
				p.reader.listed = func(list *v1alpha1.ChannelList) error { list.Items = nil; return nil }
				p.started()
				for _, letter := range order {
					if err := p.Load(t.Context(), channels[string(letter)]); err != nil {
						t.Fatal(err)
					}
				}
				p.holds(test.holder)
				for name, channel := range channels {
					if name != test.holder {
						p.taken(channel, p.namespace+"/"+test.holder)
					}
				}
				if account := p.Asking(client.ObjectKeyFromObject(channels[test.holder])); account.Problem != nil || account.Client == nil {
					t.Errorf("the holder: %+v", account.Problem)
				}
			}
		})
	}
}

func TestNobodyTakesAnotherAccount(t *testing.T) {
	p := open(t)
	p.load(p.channel("a"))
	p.load(p.channel("b", func(c *v1alpha1.Channel) { c.Spec.Account = "2" }))
	sctt := p.loadAny(p.channel("c", func(c *v1alpha1.Channel) { c.Spec.Platform = v1alpha1.PlatformSCTT }))
	if sctt.Problem.Reason != v1alpha1.ReasonPlatformNotSupported {
		t.Errorf("the same id on another platform: %+v", sctt.Problem)
	}
	p.holds("a")
}

func TestAccountIsTakenOverWhenItsHolderIsDeleted(t *testing.T) {
	setup := func(t *testing.T) (p *place, first, second *v1alpha1.Channel) {
		p = open(t)
		p.started()
		first, second = p.channel("a"), p.channel("b")
		p.load(first)
		if err := p.Load(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		p.holds("a")
		p.taken(second, "a")
		return p, first, second
	}
	free := func(p *place, channel *v1alpha1.Channel) {
		p.Helper()
		p.holds(channel.Name)
		if account := p.Asking(client.ObjectKeyFromObject(channel)); account.Problem != nil || account.Client == nil {
			p.Errorf("it cannot be asked: %+v", account.Problem)
		}
	}
	t.Run("the deletion is seen first", func(t *testing.T) {
		p, first, second := setup(t)
		p.delete(first)
		if _, err := p.Reconcile(t.Context(), request(first)); err != nil {
			t.Fatal(err)
		}
		free(p, second)
	})
	t.Run("the other is looked at first", func(t *testing.T) {
		p, first, second := setup(t)
		p.delete(first)
		p.load(second)
		free(p, second)
	})
	t.Run("the API server does not answer", func(t *testing.T) {
		p, _, second := setup(t)
		p.reader.failing = func(_ client.ObjectKey, o client.Object) bool { _, is := o.(*v1alpha1.Channel); return is }
		if err := p.Load(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		p.holds("a")
		p.taken(second, "a")
	})
	t.Run("and is made anew, younger", func(t *testing.T) {
		p, first, second := setup(t)
		p.delete(first)
		p.load(second)
		anew := p.channel("a")
		anew.CreationTimestamp = metav1.NewTime(second.CreationTimestamp.Add(time.Second))
		if err := p.Load(t.Context(), anew); err != nil {
			t.Fatal(err)
		}
		p.holds("b")
		p.taken(anew, "b")
	})
}

// Looking up while everything changes: for the race detector, and that an account that
// is there all the time is found all the time.
func TestLookUpsDuringLoads(t *testing.T) {
	p := open(t)
	steady := p.channel("steady")
	coming := p.channel("coming", func(c *v1alpha1.Channel) { c.Spec.Account = "2" })
	p.load(steady)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond): // two cores: the API server needs them too
				}
				if _, err := p.ByAccount(v1alpha1.PlatformFliggy, "20001"); err != nil {
					t.Errorf("steady: %v", err)
					return
				}
				_, _ = p.ByName(client.ObjectKeyFromObject(coming))
				_ = p.Asking(client.ObjectKeyFromObject(coming))
			}
		})
	}
	var loads sync.WaitGroup
	for _, channel := range []*v1alpha1.Channel{steady, coming, steady, coming} {
		loads.Go(func() {
			for range 5 {
				if err := p.Load(t.Context(), channel); err != nil {
					t.Error(err)
				}
				if channel == coming {
					p.Forget(client.ObjectKeyFromObject(coming))
				}
			}
		})
	}
	loads.Wait()
	close(stop)
	all.Wait()
}

// Two loads of a Channel at a time could end in the other order than they read.
func TestOneLoadAtATimeThoughForgottenMeanwhile(t *testing.T) {
	p := open(t)
	channel := p.channel("main")
	var underWay, most atomic.Int32
	entered, leave := make(chan struct{}, 2), make(chan struct{})
	p.reader.stale = func(key client.ObjectKey, _ client.Object) (bool, error) {
		if key.Name == "credentials" {
			most.Store(max(most.Load(), underWay.Add(1)))
			entered <- struct{}{}
			<-leave
			underWay.Add(-1)
		}
		return false, nil
	}
	var loads sync.WaitGroup
	load := func() {
		if err := p.Load(t.Context(), channel); err != nil {
			t.Error(err)
		}
	}
	loads.Go(load)
	<-entered
	p.Forget(client.ObjectKeyFromObject(channel))
	loads.Go(load)
	p.until("the second waits its turn, or is under way too", func() bool { return p.Loads(client.ObjectKeyFromObject(channel)) == 2 || underWay.Load() == 2 })
	close(leave)
	loads.Wait()
	if most.Load() != 1 {
		t.Errorf("%d loads at a time", most.Load())
	}
	p.holds("main")
	if n := p.Loads(client.ObjectKeyFromObject(channel)); n != 0 {
		t.Errorf("%d are kept in line when all are through", n)
	}
}

func TestSecretNames(t *testing.T) {
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Name: "main"}}
	channel.Spec.CredentialsRef.Name = "credentials"
	if got := accounts.SecretNames(channel); !slices.Equal(got, []string{"credentials", "main-sealing"}) {
		t.Errorf("%v", got)
	}
	withToken("token")(channel)
	if got := accounts.SecretNames(channel); !slices.Equal(got, []string{"credentials", "main-sealing", "push-token"}) {
		t.Errorf("%v", got)
	}
}

// Under a real manager: each Secret that a Channel depends on wakes it, and so do its
// making, its change and its deletion.
func TestRegistryFollowsTheCluster(t *testing.T) {
	p := open(t)
	p.underManager(env.Config())
	p.found("main", accounts.ErrUnknown, accounts.ErrUnknown)

	channel := p.channel("main", withToken("token"), func(c *v1alpha1.Channel) { c.Spec.CredentialsRef.Name = "later" })
	name := client.ObjectKeyFromObject(channel)
	reason := func() string {
		account := p.Asking(name)
		switch {
		case account == nil:
			return "nothing"
		case account.Problem != nil:
			return account.Problem.Reason + ": " + account.Problem.Message
		}
		return ""
	}
	p.until("the token is missing", func() bool { return strings.Contains(reason(), "push-token") })
	p.secret("push-token", map[string]string{"token": "t"})
	p.until("the credentials are missing", func() bool { return strings.Contains(reason(), "Secret later") })
	p.holds("main")
	p.secret("later", map[string]string{"privateKey": privateKey()})
	p.until("all is well", func() bool { return reason() == "" })

	secret := p.sealing("main")
	secret.Data = map[string][]byte{identityKey: []byte("broken")}
	if err := p.api.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	p.until("the sealing Secret is broken", func() bool { return strings.HasPrefix(reason(), v1alpha1.ReasonSealingInvalid) })
	p.delete(secret)
	p.until("it is made anew", func() bool { return reason() == "" })

	if err := p.get(channel, "main"); err != nil {
		t.Fatal(err)
	}
	channel.Spec.Endpoint = "http://127.0.0.1:1"
	if err := p.api.Update(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	p.until("the endpoint is refused", func() bool { return strings.HasPrefix(reason(), v1alpha1.ReasonEndpointNotAllowed) })
	p.delete(channel)
	p.until("it is forgotten", func() bool { return errors.Is(second(p.ByName(name)), accounts.ErrUnknown) })
}

// What was listed, or read, before its turn came may be older than what was loaded meanwhile.
func TestOlderChannelIsNotLoadedOverANewer(t *testing.T) {
	t.Run("listed before it was changed", func(t *testing.T) {
		p := open(t)
		older := p.channel("main")
		newer := older.DeepCopy()
		newer.Spec.Suspend = true
		if err := p.api.Update(t.Context(), newer); err != nil {
			t.Fatal(err)
		}
		p.reader.listed = func(list *v1alpha1.ChannelList) error {
			list.Items = []v1alpha1.Channel{*older}
			return p.Load(t.Context(), newer) // as Reconcile does between the list and the load
		}
		p.started()
		if !p.Asking(client.ObjectKeyFromObject(newer)).Suspended {
			t.Error("the older Channel was loaded over the newer")
		}
	})
	t.Run("deleted, and made anew", func(t *testing.T) {
		p := open(t)
		older := p.channel("main")
		p.delete(older)
		newer := p.channel("main", func(c *v1alpha1.Channel) { c.Spec.Account = "2" })
		p.load(newer)
		if err := p.Load(t.Context(), older); err != nil {
			t.Fatal(err)
		}
		if _, err := p.ByAccount(v1alpha1.PlatformFliggy, "2"); err != nil {
			t.Errorf("the Channel that is there: %v", err)
		}
		p.found("main", accounts.ErrNotKnownYet, nil) // not started: nothing is unknown
	})
}

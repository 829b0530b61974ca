package accounts_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/douyin"
	"github.com/laidoulaile/channel-operator/internal/platform/sctt"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// kept is a place whose registries keep a copy.
type kept struct {
	*place
	dir, keyDir string
	options     accounts.Options
	asked       atomic.Int32 // reads of an API server that is away
}

func openKept(t *testing.T) *kept {
	t.Helper()
	k := &kept{place: open(t), dir: t.TempDir(), keyDir: t.TempDir()}
	k.restart()
	return k
}

// restart makes another registry, as the next process does.
func (k *kept) restart() {
	k.Helper()
	k.again()
	k.options = k.place.options()
	k.options.Adapters[v1alpha1.PlatformDouyin], k.options.Adapters[v1alpha1.PlatformSCTT] = douyin.Adapter{}, sctt.Adapter{}
	k.options.Copy = openCopy(k, k.dir, k.keyDir)
	k.Registry = accounts.NewRegistry(k.options)
}

// away makes all reads fail.
func (k *kept) away() {
	k.reader.mu.Lock()
	defer k.reader.mu.Unlock()
	k.reader.failing = func(client.ObjectKey, client.Object) bool { k.asked.Add(1); return true }
}

func (k *kept) back() {
	k.reader.mu.Lock()
	defer k.reader.mu.Unlock()
	k.reader.failing = nil
}

// runs starts the registry, and gives what stops it.
func (k *kept) runs() (stop func()) {
	k.Helper()
	ctx, cancel := context.WithCancel(k.Context())
	done := make(chan error, 1)
	go func() { done <- k.Start(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			k.Errorf("Start: %v", err)
		}
	}
}

// restored restarts without the API server.
func (k *kept) restored() {
	k.Helper()
	k.restart()
	k.away()
	k.Restore(k.Context())
	if n := k.writes.n.Load(); n != 0 || k.asked.Load() != 0 {
		k.Errorf("restoring asked for %d writes and %d reads", n, k.asked.Load())
	}
}

func of(p v1alpha1.Platform, account string) func(*v1alpha1.Channel) {
	return func(c *v1alpha1.Channel) {
		c.Spec.Platform, c.Spec.Account, c.Spec.CredentialsRef.Name = p, account, strings.ToLower(string(p))
	}
}

// What a push needs is the same before and after: secrets of signatures, the rule of a
// signature, tokens, networks, ids of codes, recipients, whether it is suspended.
func TestRestoredAccountsReceiveAsBefore(t *testing.T) {
	k := openKept(t)
	k.secret("douyin", map[string]string{"clientSecret": planted + "1", "previousClientSecret": planted + "2"})
	k.secret("sctt", map[string]string{"secret": planted + "3"})
	k.secret("push-token", map[string]string{"token": "first" + planted + "\nsecond" + planted, "unrelated": "UNRELATED"})
	own, err := sealing.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := sealing.Recipients(own)
	if err != nil {
		t.Fatal(err)
	}
	channels := []*v1alpha1.Channel{
		k.channel("plain", withToken("token"), func(c *v1alpha1.Channel) {
			c.Spec.Receive.AllowedCIDRs, c.Spec.Suspend = []string{"192.0.2.0/24"}, true
		}),
		k.channel("douyin", of(v1alpha1.PlatformDouyin, "aw1"), withRecipients(recipients...),
			func(c *v1alpha1.Channel) {
				c.Spec.Douyin = &v1alpha1.DouyinChannel{AccountID: "7", AllowLegacySign: true}
			}),
		k.channel("sctt", of(v1alpha1.PlatformSCTT, "m1"), func(c *v1alpha1.Channel) {
			c.Spec.SCTT = &v1alpha1.SCTTChannel{Currency: "CNY", Signature: &v1alpha1.SCTTSignature{Algorithm: "HMACSHA256", Encoding: "LowerHex", Message: "{request_time}{secret}"}}
		}),
	}
	stop := k.runs()
	k.until("ready", k.Ready)
	before := map[string]*accounts.Account{}
	for _, channel := range channels {
		account := k.Asking(client.ObjectKeyFromObject(channel))
		if account.Problem != nil || account.Unreadable != nil {
			t.Fatalf("%s: %+v, %v", channel.Name, account.Problem, account.Unreadable)
		}
		before[channel.Name] = account
	}
	stop()
	k.copyHoldsNoIdentity(own)

	k.restored()
	if !k.Ready() {
		t.Error("not ready")
	}
	for _, channel := range channels {
		name, was := client.ObjectKeyFromObject(channel), before[channel.Name]
		account, err := k.ByAccount(channel.Spec.Platform, channel.Spec.Account)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if byName, err := k.ByName(name); err != nil || byName != account {
			t.Errorf("%s by its name: %v", name, err)
		}
		k.same(account, was)
		if k.Asking(name) != nil {
			t.Errorf("%s may be asked before the API server has given it", name)
		}
	}
	guard := k.mustBe("plain").Guard
	for token, fits := range map[string]bool{"first" + planted: true, "second" + planted: true, "third": false} {
		if guard.Admits(sealing.NewSecret(token), netip.MustParseAddr("192.0.2.1")) != fits || guard.Admits(sealing.NewSecret(token), netip.MustParseAddr("198.51.100.1")) {
			t.Errorf("the guard is another with token %.5s", token)
		}
	}
	for _, err := range []error{
		second(k.ByAccount(v1alpha1.PlatformFliggy, "other")),
		second(k.ByName(types.NamespacedName{Namespace: k.namespace, Name: "other"})),
		second2(k.OnPlatform(v1alpha1.PlatformDouyin)),
	} {
		if !errors.Is(err, accounts.ErrNotKnownYet) {
			t.Errorf("not in the copy: %v", err)
		}
	}
}

func second2(_ []*accounts.Account, err error) error { return err }

func (k *kept) mustBe(name string) *accounts.Account {
	k.Helper()
	account, err := k.ByName(types.NamespacedName{Namespace: k.namespace, Name: name})
	if err != nil {
		k.Fatal(err)
	}
	return account
}

// same compares all that a push needs.
func (k *kept) same(got, want *accounts.Account) {
	k.Helper()
	if got.ID != want.ID || got.Platform != want.Platform || got.Suspended != want.Suspended || got.PushesDecide != want.PushesDecide ||
		!reflect.DeepEqual(got.Settings, want.Settings) || !reflect.DeepEqual(got.Problem, want.Problem) ||
		!reflect.DeepEqual(got.Sealer.Recipients(), want.Sealer.Recipients()) || len(got.Credentials) != len(want.Credentials) {
		k.Errorf("%s: restored as %+v, was %+v", want.Name, got, want)
	}
	for key, secret := range want.Credentials {
		if !got.Credentials[key].Equal(secret) {
			k.Errorf("%s: the credential %s is another", want.Name, key)
		}
	}
	code := platform.Code{Text: sealing.NewSecret("4711")}
	if got.CodeID(code) != want.CodeID(code) || !got.MakeCode("o", "u").Equal(want.MakeCode("o", "u")) ||
		got.Sealer.ContentID([]byte("x")) != want.Sealer.ContentID([]byte("x")) {
		k.Errorf("%s: ids of codes are others", want.Name)
	}
	sealed, err := got.Sealer.Seal([]byte("body"))
	if err != nil {
		k.Fatal(err)
	}
	if identity := string(k.sealing(want.Name).Data["identity.age"]); identity != "" {
		if body, err := sealing.Open(sealed, identity); err != nil || string(body) != "body" {
			k.Errorf("%s: what it seals does not open: %v", want.Name, err)
		}
	}
}

// copyHoldsNoIdentity: nothing that opens what was sealed, and nothing that nobody needs, is
// in the copy; and nothing of it can be read without its key.
func (k *kept) copyHoldsNoIdentity(identities ...string) {
	k.Helper()
	raw, err := os.ReadFile(filepath.Join(k.dir, accounts.CopyName))
	if err != nil {
		k.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(k.keyDir, accounts.KeyName))
	if err != nil {
		k.Fatal(err)
	}
	content, err := sealing.OpenFile(raw, string(key))
	if err != nil {
		k.Fatal(err)
	}
	for _, part := range append(identities, "AGE-SECRET-KEY", "identity.age", "UNRELATED") {
		if strings.Contains(string(content), part) {
			k.Errorf("the copy holds %.14s…", part)
		}
	}
	var parsed struct {
		Channels []struct{ Secrets map[string]map[string][]byte }
	}
	if err := json.Unmarshal(content, &parsed); err != nil {
		k.Fatal(err)
	}
	secrets := 0
	for _, channel := range parsed.Channels {
		for _, secret := range channel.Secrets {
			for name, value := range secret {
				secrets++
				if strings.Contains(string(raw), string(value)) {
					k.Errorf("%s can be read in the file", name)
				}
				if strings.Contains(string(value), "AGE-SECRET-KEY") || strings.Contains(string(value), "UNRELATED") {
					k.Errorf("%s is in the copy, and none of its business", name)
				}
			}
		}
	}
	if secrets == 0 {
		k.Error("the copy holds no secret")
	}
}

// A Channel whose credentials are another's sealing Secret brings no identity into the copy.
func TestNoIdentityByAnotherName(t *testing.T) {
	k := openKept(t)
	k.channel("first")
	k.channel("second", func(c *v1alpha1.Channel) { c.Spec.Account, c.Spec.CredentialsRef.Name = "2", "first-sealing" })
	stop := k.runs()
	k.until("ready", k.Ready)
	stop()
	k.copyHoldsNoIdentity()
}

// The oldest Channel that claims an account holds it, also restored; and of the other it
// cannot be said yet that it holds none.
func TestRestoredAccountIsTakenByTheOldest(t *testing.T) {
	k := openKept(t)
	older := k.channel("z-older")
	k.until("a second has passed", func() bool { return time.Since(older.CreationTimestamp.Time) > 1100*time.Millisecond })
	k.channel("a-younger")
	stop := k.runs()
	k.until("ready", k.Ready)
	k.holds("z-older")
	stop()
	k.restored()
	k.holds("z-older")
	k.found("a-younger", nil, accounts.ErrNotKnownYet)
}

// The API server knows better: what is gone is forgotten, what is there is loaded.
func TestStartForgetsRestoredChannelsThatAreGone(t *testing.T) {
	k := openKept(t)
	gone := k.channel("gone")
	stays := k.channel("stays", func(c *v1alpha1.Channel) { c.Spec.Account = "2" })
	stop := k.runs()
	k.until("ready", k.Ready)
	stop()
	k.restored()
	k.holds("gone")
	k.delete(gone)
	k.back()
	stop = k.runs()
	k.until("gone", func() bool {
		_, err := k.ByAccount(v1alpha1.PlatformFliggy, "20001")
		return errors.Is(err, accounts.ErrUnknown)
	})
	if k.Asking(client.ObjectKeyFromObject(stays)) == nil {
		t.Error("the API server has given it, and it is not to be asked")
	}
	stop()
	k.restored()
	k.found("gone", accounts.ErrNotKnownYet, accounts.ErrNotKnownYet)
	if _, err := k.ByAccount(v1alpha1.PlatformFliggy, "2"); err != nil {
		t.Errorf("the other: %v", err)
	}
}

// A Channel that could never be loaded holds its account also after a restart, and makes no
// keys: the API server may have them.
func TestChannelThatWasNeverLoadedIsNotRestored(t *testing.T) {
	k := openKept(t)
	stop := k.runs()
	k.until("ready", k.Ready)
	k.reader.away("credentials")
	if err := k.Load(t.Context(), k.channel("main")); !errors.Is(err, errAway) {
		t.Fatalf("%v", err)
	}
	if err := k.Load(t.Context(), k.channel("other", func(c *v1alpha1.Channel) { c.Spec.Account, c.Spec.CredentialsRef.Name = "2", "none" })); err != nil {
		t.Fatal(err)
	}
	stop()
	k.restored()
	k.found("main", accounts.ErrNotKnownYet, accounts.ErrNotKnownYet)
	if _, err := k.ByAccount(v1alpha1.PlatformFliggy, "2"); err != nil {
		t.Errorf("the other: %v", err) // without credentials: it receives
	}
}

// A copy that is of no use is as none; and it stays as it is until every Channel is loaded.
func TestUselessCopyIsReplacedWhenTheAPIServerHasAnswered(t *testing.T) {
	for name, content := range map[string]func(k *kept) []byte{
		"newer":  func(k *kept) []byte { return sealed(k, k.keyDir, `{"version":2}`) },
		"cut":    func(*kept) []byte { return []byte("age-encryption.org/v1\n") },
		"nobody": func(k *kept) []byte { return sealed(k, k.keyDir, `{"version":1,"channels":[]}`) },
	} {
		t.Run(name, func(t *testing.T) {
			k := openKept(t)
			k.channel("main")
			path := filepath.Join(k.dir, accounts.CopyName)
			before := content(k)
			if err := os.WriteFile(path, before, 0o600); err != nil {
				t.Fatal(err)
			}
			k.restored()
			if k.Ready() {
				t.Error("ready without any account")
			}
			k.found("main", accounts.ErrNotKnownYet, accounts.ErrNotKnownYet)
			tried := k.asked.Load()
			stop := k.runs()
			k.until("it is tried", func() bool { return k.asked.Load() > tried+1 })
			if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
				t.Errorf("the copy was touched: %v", err)
			}
			k.back()
			k.until("ready", k.Ready)
			stop()
			if found, err := openCopy(t, k.dir, k.keyDir).Read(); err != nil || len(found) != 1 || found[0].Name != "main" {
				t.Errorf("the copy is not replaced: %d, %v", len(found), err)
			}
		})
	}
}

// Whatever changes, the copy is written at most once a second, and holds the newest soon.
func TestCopyIsWrittenSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		api := &small{channel: v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "c"},
			Spec: v1alpha1.ChannelSpec{Platform: v1alpha1.PlatformSCTT, Account: "m", CredentialsRef: v1alpha1.SecretReference{Name: "credentials"}}}}
		api.rotate("0")
		registry := accounts.NewRegistry(accounts.Options{Channels: api, Secrets: api, Copy: openCopy(t, dir, dir),
			Adapters: map[v1alpha1.Platform]platform.Adapter{v1alpha1.PlatformSCTT: sctt.Adapter{}}})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		ended := make(chan struct{})
		go func() { defer close(ended); _ = registry.Start(ctx) }()
		synctest.Wait() // it reads no more of what changes from here on
		writes, last := 0, ""
		look := func() {
			synctest.Wait()
			if content, err := os.ReadFile(filepath.Join(dir, accounts.CopyName)); err == nil && string(content) != last {
				writes, last = writes+1, string(content)
			}
		}
		for i := range 100 { // 10 s
			api.rotate(fmt.Sprint(i))
			if err := registry.Load(ctx, &api.channel); err != nil {
				t.Fatal(err)
			}
			look()
			time.Sleep(100 * time.Millisecond)
		}
		if writes < 9 || writes > 12 {
			t.Errorf("written %d times in 10 s", writes)
		}
		holds := func(want string) {
			t.Helper()
			found, err := openCopy(t, dir, dir).Read()
			if err != nil || string(found[0].Secrets["credentials"]["secret"]) != want {
				t.Errorf("the copy is not the newest: %v", err)
			}
		}
		time.Sleep(time.Second)
		look()
		holds("99")
		rest := writes
		for range 100 {
			if err := registry.Load(ctx, &api.channel); err != nil { // nothing new
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
			look()
		}
		if writes != rest {
			t.Errorf("written %d times, and nothing was new", writes-rest)
		}
		// One that is gone goes from the copy too.
		registry.Forget(client.ObjectKeyFromObject(&api.channel))
		time.Sleep(2 * time.Second)
		if found, err := openCopy(t, dir, dir).Read(); err != nil || len(found) != 0 {
			t.Errorf("the copy keeps what was forgotten: %d, %v", len(found), err)
		}
		// What changed just before the end is not missed.
		api.rotate("x")
		if err := registry.Load(ctx, &api.channel); err != nil {
			t.Fatal(err)
		}
		api.rotate("y")
		if err := registry.Load(ctx, &api.channel); err != nil {
			t.Fatal(err)
		}
		stop()
		<-ended
		holds("y")
	})
}

// small is an API server with one Channel, in memory.
type small struct {
	channel v1alpha1.Channel
	secrets map[string]map[string][]byte
}

func (s *small) rotate(secret string) {
	s.secrets = map[string]map[string][]byte{
		"credentials": {"secret": []byte(secret)},
		"c-sealing": {"code-id.key": []byte("QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="),
			"identity.age": []byte(ownIdentity())},
	}
}

var ownIdentity = func() func() string {
	made, err := sealing.NewIdentity()
	if err != nil {
		panic(err)
	}
	return func() string { return made }
}()

func (s *small) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	switch o := into.(type) {
	case *v1alpha1.Channel:
		*o = s.channel
	case *corev1.Secret:
		if s.secrets[key.Name] == nil {
			return apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
		}
		*o = corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}, Data: s.secrets[key.Name]}
	}
	return nil
}

func (s *small) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	list.(*v1alpha1.ChannelList).Items = []v1alpha1.Channel{s.channel}
	return nil
}

// One Channel that cannot be loaded, for a reason of its own, keeps no other from being received
// for, nor from being kept in the copy; and nobody is told that there is no such account.
func TestOneChannelThatCannotBeLoadedHoldsUpNoOther(t *testing.T) {
	for name, problem := range map[string]error{
		"forbidden":           apierrors.NewForbidden(corev1.Resource("secrets"), "locked", errors.New("no rights")),
		"gone":                apierrors.NewNotFound(corev1.Resource("namespaces"), "travel"),
		"unreadable":          apierrors.NewInternalError(errors.New("it cannot be decrypted")),
		"cannot make":         apierrors.NewInvalid(v1alpha1.SchemeGroupVersion.WithKind("Secret").GroupKind(), "locked", nil),
		"a webhook refuses":   apierrors.NewBadRequest("admission webhook denied the request"),
		"somebody was first":  apierrors.NewAlreadyExists(corev1.Resource("secrets"), "locked-sealing"),
		"somebody changes it": apierrors.NewConflict(corev1.Resource("secrets"), "locked-sealing", errors.New("the object has been modified")),
	} {
		t.Run(name, func(t *testing.T) {
			k := openKept(t)
			k.channel("main")
			k.channel("locked", func(c *v1alpha1.Channel) { c.Spec.Account = "2" })
			if !apierrors.IsForbidden(problem) && !apierrors.IsInternalError(problem) { // to make the Secret is refused
				k.writes.Writer = refuses{k.writes.Writer, "locked-sealing", problem}
			} else {
				k.reader.stale = fails("locked-sealing", problem)
			}
			stop := k.runs()
			k.until("ready", k.Ready)
			k.holds("main")
			k.triesAgain()
			if _, err := k.ByAccount(v1alpha1.PlatformFliggy, "3"); !errors.Is(err, accounts.ErrUnknown) {
				t.Errorf("an account of nobody: %v", err)
			}
			stop()
			k.restored()
			k.holds("main")
			k.triesAgain()
		})
	}
}

// While the API server itself fails there is no saying who is ready; but those it gives are kept.
func TestThoseThatAreLoadedAreKeptWhileOthersCannotBeRead(t *testing.T) {
	for name, why := range map[string]error{
		"away":         errAway,
		"busy":         apierrors.NewTooManyRequests("too many requests", 1),
		"slow":         apierrors.NewTimeoutError("the request did not complete", 1),
		"who are you?": apierrors.NewUnauthorized("the token has expired"),
		"behind":       apierrors.NewServiceUnavailable("etcd is away"),
	} {
		t.Run(name, func(t *testing.T) {
			k := openKept(t)
			k.channel("main")
			k.channel("locked", func(c *v1alpha1.Channel) { c.Spec.Account = "2" })
			k.reader.stale = fails("locked-sealing", why)
			stop := k.runs()
			k.until("main is kept", func() bool {
				found, err := openCopy(t, k.dir, k.keyDir).Read()
				return err == nil && len(found) == 2 && len(found[1].Secrets) > 0
			})
			if k.Ready() {
				t.Error("ready, though the API server fails")
			}
			k.triesAgain()
			stop()
		})
	}
}

// refuses to make an object.
type refuses struct {
	client.Writer
	name string
	err  error
}

func (r refuses) Create(ctx context.Context, o client.Object, options ...client.CreateOption) error {
	if o.GetName() == r.name {
		return r.err
	}
	return r.Writer.Create(ctx, o, options...)
}

// fails has all reads of a Secret end so.
func fails(secret string, err error) func(client.ObjectKey, client.Object) (bool, error) {
	return func(key client.ObjectKey, _ client.Object) (bool, error) { return key.Name == secret, err }
}

// triesAgain checks that pushes for the account 2 are to be sent again.
func (k *kept) triesAgain() {
	k.Helper()
	if _, err := k.ByAccount(v1alpha1.PlatformFliggy, "2"); err == nil || errors.Is(err, accounts.ErrUnknown) {
		k.Errorf("the account that cannot be loaded: %v", err)
	}
}

// A replica that is limited to some namespaces now does not receive for what it knew of others.
func TestOnlyItsNamespacesAreRestored(t *testing.T) {
	k := openKept(t)
	k.channel("main")
	stop := k.runs()
	k.until("ready", k.Ready)
	stop()
	for namespace, want := range map[string]error{k.namespace: nil, "another": accounts.ErrNotKnownYet} {
		k.restart()
		k.options.Namespaces = []string{namespace}
		k.Registry = accounts.NewRegistry(k.options)
		k.away()
		k.Restore(t.Context())
		k.found("main", want, want)
	}
}

package accounts_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/test/env"
)

// underManager runs the place's registry as main.go does, towards an API server that is reached so.
func (p *place) underManager(reached *rest.Config) {
	p.Helper()
	mgr, err := ctrl.NewManager(reached, ctrl.Options{
		Scheme:     p.scheme,
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
		Cache:      cache.Options{DefaultNamespaces: map[string]cache.Config{p.namespace: {}}},
	})
	if err != nil {
		p.Fatal(err)
	}
	options := p.options()
	options.Channels, options.Secrets, options.Writer = mgr.GetClient(), mgr.GetAPIReader(), mgr.GetClient()
	p.Registry = accounts.NewRegistry(options)
	if err := p.SetupWithManager(mgr); err != nil {
		p.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(p.Context()) }()
	p.Cleanup(func() { // the test's context has ended
		if err := <-done; err != nil {
			p.Errorf("manager: %v", err)
		}
	})
	p.until("the registry is ready", p.Ready)
}

// looks are the lists and watches of Secrets that are under way, and all there ever were.
type looks struct {
	mu        sync.Mutex
	open      int
	all       []string
	transport http.RoundTripper
}

func (l *looks) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/secrets") {
		l.mu.Lock()
		l.open++
		l.all = append(l.all, r.URL.Path)
		l.mu.Unlock()
		go func() {
			<-r.Context().Done()
			l.mu.Lock()
			defer l.mu.Unlock()
			l.open--
		}()
	}
	return l.transport.RoundTrip(r)
}

func (l *looks) seen() (open int, all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open, slices.Clone(l.all)
}

// Secrets are watched in the namespaces that have Channels, as long as they have any, and
// nowhere else.
func TestSecretsAreWatchedWhereChannelsAre(t *testing.T) {
	p := open(t)
	seen := &looks{}
	reached := env.Config()
	reached.Wrap(func(next http.RoundTripper) http.RoundTripper { seen.transport = next; return seen })
	p.underManager(reached)
	if _, all := seen.seen(); len(all) > 0 {
		t.Errorf("without any Channel: %q", all)
	}
	for range 2 { // and again when there is another first Channel
		first := p.channel("first")
		second := p.channel("second", func(c *v1alpha1.Channel) { c.Spec.Account = "2" })
		p.until("both are loaded", func() bool {
			return p.Asking(client.ObjectKeyFromObject(first)) != nil && p.Asking(client.ObjectKeyFromObject(second)) != nil
		})
		p.until("its namespace is watched", func() bool { open, _ := seen.seen(); return open == 1 })
		p.delete(first)
		p.until("it is forgotten", func() bool { return p.Asking(client.ObjectKeyFromObject(first)) == nil })
		// A change is seen as long as there is a Channel.
		var credentials corev1.Secret
		if err := p.get(&credentials, "credentials"); err != nil {
			t.Fatal(err)
		}
		p.delete(&credentials)
		p.until("the deletion is seen", func() bool { return p.Asking(client.ObjectKeyFromObject(second)).Problem != nil })
		p.delete(second)
		p.until("nothing is watched any more", func() bool { open, _ := seen.seen(); return open == 0 })
	}
	_, all := seen.seen()
	for _, path := range all {
		if path != "/api/v1/namespaces/"+p.namespace+"/secrets" {
			t.Errorf("looked at %s", path)
		}
	}
}

// kubectl keeps what it applied, a Secret's content too, in an annotation: none stays in memory.
func TestWatchedSecretsKeepNoContent(t *testing.T) {
	p := open(t)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: "applied",
		Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: planted}}, StringData: map[string]string{"key": planted}}
	if err := p.api.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	api, err := metadata.NewForConfig(env.Config())
	if err != nil {
		t.Fatal(err)
	}
	seen := accounts.WatchedObjects(api, p.namespace, func(stop func()) { t.Cleanup(stop) })
	p.until("it is seen", func() bool { return len(seen.List()) == 1 })
	if text := fmt.Sprintf("%+v", seen.List()[0]); strings.Contains(text, planted) || !strings.Contains(text, "applied") {
		t.Errorf("in memory is %s", text)
	}
}

// Where the manager may not read Secrets, the Channel says how to let it, nothing is refused for
// good, and it works by itself when it may.
func TestSecretsThatMayNotBeRead(t *testing.T) {
	p := open(t)
	user := "manager-of-" + p.namespace
	p.allow(user, "channels", rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"channels"}, Verbs: []string{"get", "list", "watch"}})
	channel := p.channel("main")
	reached := env.Config()
	reached.Impersonate.UserName = user
	p.underManager(reached)

	name := client.ObjectKeyFromObject(channel)
	p.until("it is known why", func() bool { return p.Asking(name) != nil })
	p.locked(name)
	if _, err := p.ByAccount(v1alpha1.PlatformFliggy, "3"); !errors.Is(err, accounts.ErrUnknown) {
		t.Errorf("an account of nobody: %v", err)
	}

	all := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "list", "watch", "create", "patch"}}
	p.allow(user, "secrets", all)
	p.until("it works", func() bool { account := p.Asking(name); return account != nil && account.Problem == nil })
	p.holds("main")
	keys := p.sealing("main").Data

	// Taken away, nothing is asked, as soon as it is looked at, but pushes are received as they
	// were, as long as the Channel says the same of them; and given again, the keys are the same.
	p.delete(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: "secrets"}})
	p.until("it is locked", func() bool {
		if err := p.Load(t.Context(), channel); err != nil {
			t.Fatal(err)
		}
		return p.Asking(name).Problem != nil
	})
	if account, err := p.ByName(name); err != nil || account.Sealer == nil || account.Client != nil || !account.Restored || p.Asking(name).Problem.Reason != v1alpha1.ReasonSecretsForbidden {
		t.Errorf("received by %+v, %v", account, err)
	}
	narrow := channel.DeepCopy()
	narrow.Spec.Receive.AllowedCIDRs = []string{"203.0.113.0/24"}
	narrow.Generation++ // as if it were the newest
	if err := p.Load(t.Context(), narrow); err != nil {
		t.Fatal(err)
	}
	p.locked(name)
	p.allow(user, "secrets-again", all)
	p.until("it works again", func() bool {
		if err := p.Load(t.Context(), channel); err != nil {
			t.Fatal(err)
		}
		return p.Asking(name).Problem == nil
	})
	if now := p.sealing("main").Data; fmt.Sprint(now) != fmt.Sprint(keys) {
		t.Error("the keys are others")
	}
}

// forbids has all reads of Secrets refused, as where the rights are missing; without it none is.
func (p *place) forbids(all bool) {
	p.reader.mu.Lock()
	defer p.reader.mu.Unlock()
	p.reader.stale = nil
	if all {
		p.reader.stale = func(key client.ObjectKey, o client.Object) (bool, error) {
			_, is := o.(*corev1.Secret)
			return is, apierrors.NewForbidden(corev1.Resource("secrets"), key.Name, errors.New("no rights"))
		}
	}
}

// While the rights are missing, what was read before counts for what the Channel said then, and for
// no other word of it that bears on receiving.
func TestWhatIsReceivedByWithoutRights(t *testing.T) {
	_, recipient := identity(t)
	for name, test := range map[string]struct {
		change func(*v1alpha1.ChannelSpec)
		goesOn bool
	}{
		"nothing":         {func(*v1alpha1.ChannelSpec) {}, true},
		"suspended":       {func(s *v1alpha1.ChannelSpec) { s.Suspend = true }, true},
		"other limits":    {func(s *v1alpha1.ChannelSpec) { s.Limits.Burst = ptr.To[int32](7) }, true},
		"a network":       {func(s *v1alpha1.ChannelSpec) { s.Receive.AllowedCIDRs = []string{"203.0.113.0/24"} }, false},
		"recipients":      {func(s *v1alpha1.ChannelSpec) { s.Sealing.Recipients = []string{recipient} }, false},
		"the credentials": {func(s *v1alpha1.ChannelSpec) { s.CredentialsRef.Name = "others" }, false},
		"legacy signs":    {func(s *v1alpha1.ChannelSpec) { s.Douyin = &v1alpha1.DouyinChannel{AllowLegacySign: true} }, false},
		"its own block":   {func(s *v1alpha1.ChannelSpec) { s.SCTT = &v1alpha1.SCTTChannel{Currency: "CNY"} }, false},
	} {
		for _, restored := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restored %v", name, restored), func(t *testing.T) {
				k := openKept(t)
				channel := k.channel("main")
				stop := k.runs()
				k.until("ready", k.Ready)
				stop()
				if restored {
					k.restored()
					k.back()
				}
				k.forbids(true)
				changed := channel.DeepCopy()
				test.change(&changed.Spec)
				changed.Generation++ // as if it were the newest
				if err := k.Load(t.Context(), changed); err != nil {
					t.Fatal(err)
				}
				if !test.goesOn {
					k.locked(client.ObjectKeyFromObject(channel))
				} else if account, err := k.ByName(client.ObjectKeyFromObject(channel)); err != nil || account.Sealer == nil || account.Client != nil {
					t.Errorf("received by %+v, %v", account, err)
				}
				k.forbids(false)
				k.load(channel)
			})
		}
	}
}

// locked checks a Channel whose Secrets may not be read: it says what to do, asks nothing, and
// its pushes are to be sent again.
func (p *place) locked(name types.NamespacedName) {
	p.Helper()
	account := p.Asking(name)
	p.clean(account)
	says := "kubectl create rolebinding " + accounts.SecretsRole + " -n " + p.namespace + " "
	if account.Problem == nil || account.Problem.Reason != v1alpha1.ReasonSecretsForbidden || !strings.Contains(account.Problem.Message, says) || account.Client != nil {
		p.Errorf("Problem = %+v", account.Problem)
	}
	for _, err := range []error{second(p.ByAccount(account.Platform, account.ID)), second(p.ByName(name))} {
		if err == nil || !strings.Contains(err.Error(), says) || errors.Is(err, accounts.ErrUnknown) {
			p.Errorf("a push: %v", err)
		}
	}
}

// allow lets a user do something in the place.
func (p *place) allow(user, name string, rule rbacv1.PolicyRule) {
	p.Helper()
	meta := metav1.ObjectMeta{Namespace: p.namespace, Name: name}
	for _, object := range []client.Object{
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{rule}},
		&rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}},
	} {
		if err := p.api.Create(p.Context(), object); err != nil {
			p.Fatal(err)
		}
	}
}

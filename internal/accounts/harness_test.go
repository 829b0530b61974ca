package accounts_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fliggy"
	"github.com/laidoulaile/channel-operator/test/env"
)

func TestMain(m *testing.M) {
	// Each check of a property is dozens of writes to a real API server here; `make faults` makes more.
	if err := flag.Set("rapid.checks", "30"); err != nil {
		panic(err)
	}
	ctrl.SetLogger(logr.Discard())
	os.Exit(env.Main(m))
}

// planted stands in every secret value: no error and no message may show it.
const planted = "PLANTED"

// privateKey works for Fliggy.
var privateKey = sync.OnceValue(func() string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(der)
})

// place is a namespace of the real API server, and a registry of what is in it.
type place struct {
	*testing.T
	*accounts.Registry
	api       client.Client
	scheme    *runtime.Scheme
	namespace string
	adapter   *adapter
	// reader is what the registry reads through: it can be made to fail.
	reader *reader
	// writes that the registry asked of the API server.
	writes *counter
}

func open(t *testing.T) *place {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	api, err := client.New(env.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	p := &place{T: t, api: api, scheme: scheme, namespace: env.Namespace(t, api)}
	p.again()
	return p
}

// again gives the place a registry that knows nothing yet, as a restart does.
func (p *place) again() {
	p.reader = &reader{Reader: p.api, namespace: p.namespace}
	p.adapter = &adapter{}
	p.writes = &counter{Writer: p.api}
	p.Registry = accounts.NewRegistry(p.options())
}

func (p *place) options() accounts.Options {
	return accounts.Options{
		Adapters: map[v1alpha1.Platform]platform.Adapter{v1alpha1.PlatformFliggy: p.adapter},
		Channels: p.reader, Secrets: p.reader, Writer: p.writes,
		RoundTripper: roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(nil))}, nil
		}),
	}
}

// start runs the registry as the manager does, until the test ends.
func (p *place) start() {
	p.Helper()
	ctx, stop := context.WithCancel(p.Context())
	done := make(chan error, 1)
	go func() { done <- p.Start(ctx) }()
	p.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			p.Errorf("Start: %v", err)
		}
	})
}

func (p *place) started() {
	p.Helper()
	p.start()
	p.until("the registry is ready", p.Ready)
}

// until polls.
func (p *place) until(what string, is func() bool) {
	p.Helper()
	deadline := time.Now().Add(time.Minute)
	for !is() {
		if time.Now().After(deadline) {
			p.Fatalf("not so in time: %s", what)
		}
		select {
		case <-p.Context().Done():
			p.Fatal(p.Context().Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// channel makes a Channel of the account 20001 with working credentials, unless adjusted.
func (p *place) channel(name string, adjust ...func(*v1alpha1.Channel)) *v1alpha1.Channel {
	p.Helper()
	if err := p.get(&corev1.Secret{}, "credentials"); apierrors.IsNotFound(err) {
		p.secret("credentials", map[string]string{"privateKey": privateKey()})
	}
	channel := &v1alpha1.Channel{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: name},
		Spec: v1alpha1.ChannelSpec{Platform: v1alpha1.PlatformFliggy, Account: "20001",
			CredentialsRef: v1alpha1.SecretReference{Name: "credentials"}},
	}
	for _, f := range adjust {
		f(channel)
	}
	if err := p.api.Create(p.Context(), channel); err != nil {
		p.Fatal(err)
	}
	return channel
}

// secret makes one; a sealing Secret has the label of its Channel.
func (p *place) secret(name string, data map[string]string) *corev1.Secret {
	p.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: name}, StringData: data}
	if channel, is := strings.CutSuffix(name, "-sealing"); is {
		secret.Labels = map[string]string{v1alpha1.LabelChannel: channel}
	}
	if err := p.api.Create(p.Context(), secret); err != nil {
		p.Fatal(err)
	}
	return secret
}

func (p *place) get(o client.Object, name string) error {
	return p.api.Get(p.Context(), client.ObjectKey{Namespace: p.namespace, Name: name}, o)
}

func (p *place) sealing(channel string) *corev1.Secret {
	p.Helper()
	var secret corev1.Secret
	if err := p.get(&secret, channel+"-sealing"); err != nil {
		p.Fatal(err)
	}
	return &secret
}

func (p *place) delete(o client.Object) {
	p.Helper()
	if err := p.api.Delete(p.Context(), o); err != nil {
		p.Fatal(err)
	}
}

// load loads a Channel that has nothing wrong with it.
func (p *place) load(channel *v1alpha1.Channel) *accounts.Account {
	p.Helper()
	account := p.loadAny(channel)
	if account.Problem != nil || account.Unreadable != nil || account.Client == nil {
		p.Fatalf("Problem %v, Unreadable %v", account.Problem, account.Unreadable)
	}
	return account
}

func (p *place) loadAny(channel *v1alpha1.Channel) *accounts.Account {
	p.Helper()
	if err := p.Load(p.Context(), channel); err != nil {
		p.Fatal(err)
	}
	account := p.Asking(client.ObjectKeyFromObject(channel))
	if account == nil {
		p.Fatal("loaded, and not there")
	}
	p.clean(account)
	return account
}

// clean checks that nothing an account shows holds a secret.
func (p *place) clean(account *accounts.Account) {
	p.Helper()
	shown := []string{fmt.Sprintf("%+v", *account)}
	if account.Problem != nil {
		shown = append(shown, account.Problem.Message)
	}
	if account.Unreadable != nil {
		shown = append(shown, account.Unreadable.Error())
	}
	for _, text := range shown {
		if strings.Contains(text, planted) || strings.Contains(text, strings.ToLower(planted)) {
			p.Errorf("shows a secret: %s", text)
		}
	}
}

// problem checks an account that cannot be asked: why, and whether it receives.
func (p *place) problem(account *accounts.Account, reason, says string, receives bool) {
	p.Helper()
	if account.Problem == nil || account.Problem.Reason != reason || !strings.Contains(account.Problem.Message, says) {
		p.Fatalf("Problem = %+v, want %s that says %q", account.Problem, reason, says)
	}
	if account.Client != nil {
		p.Error("it can be asked all the same")
	}
	got, err := p.ByAccount(account.Platform, account.ID)
	byName, errByName := p.ByName(types.NamespacedName{Namespace: account.Namespace, Name: account.Name})
	if (err == nil) != receives || (errByName == nil) != receives || got != account || byName != account {
		p.Errorf("receives: %v, %v; want %v", err, errByName, receives)
	}
	if !receives && (errors.Is(err, accounts.ErrUnknown) || errors.Is(err, accounts.ErrNotKnownYet)) {
		p.Errorf("%v is no reason", err)
	}
}

// found checks what both look-ups say of the account 20001 and a Channel.
func (p *place) found(name string, byAccount, byName error) {
	p.Helper()
	_, err := p.ByAccount(v1alpha1.PlatformFliggy, "20001")
	_, errByName := p.ByName(types.NamespacedName{Namespace: p.namespace, Name: name})
	if !errors.Is(err, byAccount) || !errors.Is(errByName, byName) {
		p.Errorf("by account: %v, by name: %v; want %v, %v", err, errByName, byAccount, byName)
	}
}

// holds checks whose the account 20001 is.
func (p *place) holds(name string) {
	p.Helper()
	account, err := p.ByAccount(v1alpha1.PlatformFliggy, "20001")
	if err != nil || account.Name != name {
		p.Fatalf("the account is %+v, %v; want Channel %s", account, err, name)
	}
	if byName, err := p.ByName(types.NamespacedName{Namespace: p.namespace, Name: name}); err != nil || byName != account {
		p.Errorf("by name: %v, %v", byName, err)
	}
}

// adapter is Fliggy's, and keeps what it was given.
type adapter struct {
	fliggy.Adapter
	mu         sync.Mutex
	account    platform.Account
	transports []*platform.Transport
}

func (a *adapter) NewClient(account platform.Account, transport *platform.Transport) (platform.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.account = account
	a.transports = append(a.transports, transport)
	return a.Adapter.NewClient(account, transport)
}

func (a *adapter) last() *platform.Transport {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.transports[len(a.transports)-1]
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// counter writes to the real API server, and counts.
type counter struct {
	client.Writer
	n atomic.Int32
}

func (c *counter) Create(ctx context.Context, o client.Object, options ...client.CreateOption) error {
	c.n.Add(1)
	return c.Writer.Create(ctx, o, options...)
}

func (c *counter) Patch(ctx context.Context, o client.Object, patch client.Patch, options ...client.PatchOption) error {
	c.n.Add(1)
	return c.Writer.Patch(ctx, o, patch, options...)
}

// errAway is an API server that does not answer.
var errAway = errors.New("the API server is away")

// reader reads from the real API server what lies in one namespace. What `failing` says
// fails; `stale` answers, and `listed` alters, in the API server's place.
type reader struct {
	client.Reader
	namespace string
	mu        sync.Mutex
	failing   func(key client.ObjectKey, o client.Object) bool
	stale     func(key client.ObjectKey, o client.Object) (bool, error)
	listed    func(*v1alpha1.ChannelList) error
}

func (r *reader) Get(ctx context.Context, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	r.mu.Lock()
	failing, stale := r.failing, r.stale
	r.mu.Unlock()
	if failing != nil && failing(key, o) {
		return errAway
	}
	if stale != nil {
		if done, err := stale(key, o); done {
			return err
		}
	}
	return r.Reader.Get(ctx, key, o, options...)
}

func (r *reader) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if err := r.Reader.List(ctx, list, append(options, client.InNamespace(r.namespace))...); err != nil {
		return err
	}
	r.mu.Lock()
	listed := r.listed
	r.mu.Unlock()
	if listed != nil {
		return listed(list.(*v1alpha1.ChannelList))
	}
	return nil
}

// away makes the reads of these Secrets fail; without a name none does.
func (r *reader) away(names ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failing = func(key client.ObjectKey, o client.Object) bool {
		_, secret := o.(*corev1.Secret)
		for _, name := range names {
			if secret && name == key.Name {
				return true
			}
		}
		return false
	}
}

func withToken(key string) func(*v1alpha1.Channel) {
	return func(c *v1alpha1.Channel) {
		c.Spec.Receive.TokenSecretRef = &v1alpha1.SecretKeyReference{Name: "push-token", Key: key}
	}
}

func withRecipients(recipients ...string) func(*v1alpha1.Channel) {
	return func(c *v1alpha1.Channel) { c.Spec.Sealing.Recipients = recipients }
}

func withLimits(perSecond, burst, concurrency int32) func(*v1alpha1.Channel) {
	return func(c *v1alpha1.Channel) {
		c.Spec.Limits = v1alpha1.ChannelLimits{RequestsPerSecond: ptr.To(perSecond), Burst: ptr.To(burst), Concurrency: ptr.To(concurrency)}
	}
}

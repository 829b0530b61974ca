package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/ledger"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/douyin"
	"github.com/laidoulaile/channel-operator/internal/sealing"
	"github.com/laidoulaile/channel-operator/test/env"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(env.Main(m))
}

// desk is somebody with kubectl in a namespace, and the operator's own way of recording.
type desk struct {
	*testing.T
	client.Client
	namespace, kubeconfig string
}

func sit(t *testing.T) *desk {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, rbacv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(env.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{T: t, Client: c, namespace: env.Namespace(t, c), kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	config := env.Config()
	written := clientcmdapi.NewConfig()
	written.Clusters["c"] = &clientcmdapi.Cluster{Server: "https://" + strings.TrimPrefix(config.Host, "https://"), CertificateAuthorityData: config.CAData}
	written.AuthInfos["u"] = &clientcmdapi.AuthInfo{ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}
	written.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u", Namespace: d.namespace}
	written.CurrentContext = "x"
	if err := clientcmd.WriteToFile(*written, d.kubeconfig); err != nil {
		t.Fatal(err)
	}
	return d
}

// said is what a command line said.
type said struct {
	out, err string
	code     int
}

func (d *desk) kubectl(args ...string) said {
	d.Helper()
	streams, _, out, errOut := genericiooptions.NewTestIOStreams()
	code := run(d.Context(), append(args, "--kubeconfig", d.kubeconfig, "--cache-dir", d.TempDir()), streams)
	return said{out.String(), errOut.String(), code}
}

// want checks the exit code, and that both outputs have these texts.
func (s said) want(t *testing.T, code int, texts ...string) said {
	t.Helper()
	if s.code != code {
		t.Errorf("exit code %d, want %d:\n%s%s", s.code, code, s.out, s.err)
	}
	for _, text := range texts {
		if !strings.Contains(s.out+s.err, text) {
			t.Errorf("%q was not said:\n%s%s", text, s.out, s.err)
		}
	}
	return s
}

// without checks that nothing of this was said.
func (s said) without(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(s.out+s.err, text) {
			t.Errorf("%q was said:\n%s%s", text, s.out, s.err)
		}
	}
}

// codes are what -o json shows.
func (s said) codes(t *testing.T) []shownCode {
	t.Helper()
	var shown shownOrder
	if err := json.Unmarshal([]byte(s.out), &shown); err != nil {
		t.Fatalf("%v: %s%s", err, s.out, s.err)
	}
	return shown.Codes
}

func newIdentity(t *testing.T) (identity, recipient string) {
	t.Helper()
	identity, err := sealing.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	recipient, err = sealing.Recipient(identity)
	if err != nil {
		t.Fatal(err)
	}
	return identity, recipient
}

func (d *desk) file(text string) string {
	d.Helper()
	name := filepath.Join(d.TempDir(), "identity")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		d.Fatal(err)
	}
	return name
}

// line is a Channel as the operator serves it.
type line struct {
	*desk
	name    string
	adapter platform.Adapter
	code    []byte
	account accounts.Account
}

// channel makes a Channel that is sealed for these recipients or, without any, for the
// identity of its Secret, which is made.
func (d *desk) channel(name string, of v1alpha1.Platform, recipients ...string) *line {
	d.Helper()
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Namespace: d.namespace, Name: name}, Spec: v1alpha1.ChannelSpec{
		Platform: of, Account: "1", CredentialsRef: v1alpha1.SecretReference{Name: "credentials"},
		Sealing: v1alpha1.ChannelSealing{Recipients: recipients}}}
	if err := d.Create(d.Context(), channel); err != nil {
		d.Fatal(err)
	}
	l := &line{desk: d, name: name, adapter: adapters[of], code: sealing.NewCodeKey()}
	data := map[string][]byte{"code-id.key": []byte(base64.StdEncoding.EncodeToString(l.code))}
	if len(recipients) == 0 {
		identity, _ := newIdentity(d.T)
		data["identity.age"] = []byte(identity + "\n")
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: d.namespace, Name: name + "-sealing",
		Labels: map[string]string{v1alpha1.LabelChannel: name}}, Data: data}
	if err := d.Create(d.Context(), secret); err != nil {
		d.Fatal(err)
	}
	l.account = accounts.Account{Namespace: d.namespace, Name: name, Platform: of, Holder: platform.Holder{ID: "1"}}
	return l
}

func (l *line) secret() *corev1.Secret {
	l.Helper()
	secret := &corev1.Secret{}
	if err := l.Get(l.Context(), client.ObjectKey{Namespace: l.namespace, Name: l.name + "-sealing"}, secret); err != nil {
		l.Fatal(err)
	}
	return secret
}

func (l *line) identities() string { return string(l.secret().Data["identity.age"]) }

// serve makes the account anew, as a registry does when Channel or Secret have changed.
func (l *line) serve() {
	l.Helper()
	channel := &v1alpha1.Channel{}
	if err := l.Get(l.Context(), client.ObjectKey{Namespace: l.namespace, Name: l.name}, channel); err != nil {
		l.Fatal(err)
	}
	recipients := channel.Spec.Sealing.Recipients
	if len(recipients) == 0 {
		recipient, err := sealing.Recipient(l.identities())
		if err != nil {
			l.Fatal(err)
		}
		recipients = []string{recipient}
	}
	sealer, err := sealing.NewSealer(recipients, l.code)
	if err != nil {
		l.Fatal(err)
	}
	l.account.Sealer = sealer
}

// push records a push as the operator does, and gives the names of the orders it is about
// and the codes that it, or its answer, names.
func (l *line) push(tail, body string) (orders []string, codes []platform.Code) {
	l.Helper()
	l.serve()
	push := platform.Push{Path: tail, Body: []byte(body), ReceivedAt: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)}
	message, err := l.adapter.Open(push)
	if err != nil {
		l.Fatal(err)
	}
	events, err := message.Events()
	if inquiry, asks := message.(platform.Inquiry); asks {
		holder := platform.Holder{Settings: douyin.Settings{CodeSource: douyin.SourceGenerate}}
		var answer platform.Answer
		answer, err = inquiry.Answer(holder, platform.Known{MakeCode: l.account.MakeCode, CodeID: l.account.CodeID})
		events = answer.Events
	}
	if err != nil {
		l.Fatal(err)
	}
	if _, err := ledger.New(l, l, nil).Commit(l.Context(), &l.account, push, events); err != nil {
		l.Fatal(err)
	}
	for _, event := range events {
		if event.Order != nil {
			orders = append(orders, ledger.ObjectName(l.name, event.Order.OrderID))
			codes = append(codes, event.Order.Codes...)
		}
	}
	return orders, codes
}

func (l *line) order(name string) *v1alpha1.OrderVoucher {
	l.Helper()
	order := &v1alpha1.OrderVoucher{}
	if err := l.Get(l.Context(), client.ObjectKey{Namespace: l.namespace, Name: name}, order); err != nil {
		l.Fatal(err)
	}
	return order
}

// sample is one of the samples that an adapter is tested with.
func sample(t *testing.T, of, name string) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("..", "..", "internal", "platform", of, "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// eventually waits until something is so.
func (d *desk) eventually(is func() bool, otherwise string) {
	d.Helper()
	err := wait.PollUntilContextTimeout(d.Context(), 20*time.Millisecond, 30*time.Second, true,
		func(context.Context) (bool, error) { return is(), nil })
	if err != nil {
		d.Fatal(otherwise)
	}
}

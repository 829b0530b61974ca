package accounts_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	identityKey = "identity.age"
	codeIDKey   = "code-id.key"
)

// opens checks that what an account seals is opened by an identity.
func opens(t *testing.T, account *accounts.Account, identity string) {
	t.Helper()
	sealed, err := account.Sealer.Seal([]byte("a push"))
	if err != nil {
		t.Fatal(err)
	}
	if body, err := sealing.Open(sealed, identity); err != nil || string(body) != "a push" {
		t.Errorf("opened %q, %v", body, err)
	}
}

func codeID(account *accounts.Account) string {
	return account.Sealer.CodeID(sealing.NewSecret("A1B2"))
}

func identity(t *testing.T) (secret, recipient string) {
	t.Helper()
	secret, err := sealing.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := sealing.Recipients(secret)
	if err != nil {
		t.Fatal(err)
	}
	return secret, recipients[0]
}

func newCodeKey() string { return base64.StdEncoding.EncodeToString(sealing.NewCodeKey()) }

func TestSealingSecretIsMadeOnceAndKept(t *testing.T) {
	p := open(t)
	channel := p.channel("main")
	first := p.load(channel)
	made := p.sealing("main")
	if made.Labels[v1alpha1.LabelChannel] != "main" || len(made.OwnerReferences) != 0 {
		t.Errorf("labels %v, owners %v: it must be found, and outlive its Channel", made.Labels, made.OwnerReferences)
	}
	if keys := len(made.Data); keys != 2 || !bytes.HasPrefix(made.Data[identityKey], []byte("AGE-SECRET-KEY-1")) {
		t.Errorf("%d keys", keys)
	}
	if key, err := base64.StdEncoding.DecodeString(string(made.Data[codeIDKey])); err != nil || len(key) != 32 {
		t.Errorf("%s: %d bytes, %v", codeIDKey, len(key), err)
	}
	opens(t, first, string(made.Data[identityKey]))

	for turn := range 2 { // a reload, and a restart
		before := p.writes.n.Load()
		again := p.load(channel)
		if n := p.writes.n.Load() - before; n != 0 {
			t.Errorf("turn %d: a look that finds all there costs %d writes", turn, n)
		}
		if codeID(again) != codeID(first) {
			t.Error("the same code has another id")
		}
		opens(t, again, string(made.Data[identityKey]))
		if kept := p.sealing("main"); kept.ResourceVersion != made.ResourceVersion {
			t.Error("the Secret was written again")
		}
		p.again()
	}
	// Deleting the Channel, and making it anew, keeps what was sealed readable.
	p.delete(channel)
	if codeID(p.load(p.channel("main"))) != codeID(first) {
		t.Error("a Channel made anew has other keys")
	}
}

// Two replicas at once: whoever is second reads what the first made.
func TestTwoRegistriesAgree(t *testing.T) {
	p := open(t)
	channel := p.channel("main")
	var all sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		registry := accounts.NewRegistry(p.options())
		all.Go(func() {
			for registry.Load(t.Context(), channel) != nil {
				if t.Context().Err() != nil {
					return
				}
			}
			account := registry.Asking(client.ObjectKeyFromObject(channel))
			ids[i] = codeID(account)
			opens(t, account, string(p.sealing("main").Data[identityKey]))
		})
	}
	all.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("the same code has ids %s and %s", id, ids[0])
		}
	}
}

// A registry whose look at the Secret is out of date loses: it makes nothing, replaces
// nothing, and gives no account with keys that are not kept.
func TestSecondToMakeASecretLoses(t *testing.T) {
	for name, stale := range map[string]func(o client.Object, key client.ObjectKey) error{
		"there was none": func(_ client.Object, key client.ObjectKey) error {
			return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.Name)
		},
		"it lacked keys": func(o client.Object, key client.ObjectKey) error {
			*o.(*corev1.Secret) = corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, ResourceVersion: "1",
				Labels: map[string]string{v1alpha1.LabelChannel: "main"}}}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			channel := p.channel("main")
			first := p.load(channel)
			kept := p.sealing("main")

			p.again()
			p.reader.stale = func(key client.ObjectKey, o client.Object) (bool, error) {
				if key.Name != "main-sealing" {
					return false, nil
				}
				return true, stale(o, key)
			}
			err := p.Load(t.Context(), channel)
			if err == nil || strings.Contains(err.Error(), "AGE-SECRET") {
				t.Errorf("Load: %v", err)
			}
			if account := p.Asking(client.ObjectKeyFromObject(channel)); account != nil {
				t.Error("there is an account whose keys are not kept")
			}
			p.reader.stale = nil
			if codeID(p.load(channel)) != codeID(first) {
				t.Error("the next look found other keys")
			}
			if now := p.sealing("main"); now.ResourceVersion != kept.ResourceVersion {
				t.Error("the Secret was written")
			}
		})
	}
}

func TestMissingKeysAreCompleted(t *testing.T) {
	own, recipient := identity(t)
	code := newCodeKey()
	for name, test := range map[string]struct {
		there   map[string]string
		adjust  []func(*v1alpha1.Channel)
		makes   []string
		written bool
	}{
		"nothing":               {map[string]string{}, nil, []string{identityKey, codeIDKey}, true},
		"only the identity":     {map[string]string{identityKey: own}, nil, []string{codeIDKey}, true},
		"only the code key":     {map[string]string{codeIDKey: code}, nil, []string{identityKey}, true},
		"both":                  {map[string]string{identityKey: own, codeIDKey: code}, nil, nil, false},
		"something else":        {map[string]string{"note": "keep me"}, nil, []string{identityKey, codeIDKey}, true},
		"own recipients":        {map[string]string{codeIDKey: code}, []func(*v1alpha1.Channel){withRecipients(recipient)}, nil, false},
		"own recipients, empty": {map[string]string{}, []func(*v1alpha1.Channel){withRecipients(recipient)}, []string{codeIDKey}, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			before := p.secret("main-sealing", test.there)
			p.load(p.channel("main", test.adjust...))
			after := p.sealing("main")
			want := map[string]string{}
			maps.Copy(want, test.there)
			got := map[string]string{}
			for key, value := range after.Data {
				got[key] = string(value)
			}
			for _, key := range test.makes {
				if got[key] == "" {
					t.Errorf("%s was not made", key)
				}
				want[key] = got[key]
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("data (-want +got):\n%s", diff)
			}
			if written := after.ResourceVersion != before.ResourceVersion; written != test.written {
				t.Errorf("written: %v", written)
			}
		})
	}
}

// A Secret of the name that is not labelled as the Channel's is somebody else's: nothing is sealed with
// its keys, nor anything put into it, and the condition says what to do. Labelled, it is used.
func TestForeignSealingSecret(t *testing.T) {
	own, _ := identity(t)
	for name, labels := range map[string]map[string]string{"no label": nil, "another Channel's": {v1alpha1.LabelChannel: "other"}} {
		for what, data := range map[string]map[string]string{"with keys": {identityKey: own, codeIDKey: newCodeKey()}, "with one": {identityKey: own}, "empty": {}} {
			t.Run(name+" "+what, func(t *testing.T) {
				p := open(t)
				foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: "main-sealing", Labels: labels}, StringData: data}
				if err := p.api.Create(t.Context(), foreign); err != nil {
					t.Fatal(err)
				}
				channel := p.channel("main")
				account := p.loadAny(channel)
				p.problem(account, v1alpha1.ReasonSealingInvalid, v1alpha1.LabelChannel+"=main", false)
				if account.Sealer != nil {
					t.Error("it seals with somebody else's keys")
				}
				there := p.sealing("main")
				if there.ResourceVersion != foreign.ResourceVersion {
					t.Error("the Secret was written")
				}
				there.Labels = map[string]string{v1alpha1.LabelChannel: "main"}
				if err := p.api.Update(t.Context(), there); err != nil {
					t.Fatal(err)
				}
				p.load(channel)
				p.holds("main")
			})
		}
	}
}

// With recipients of one's own the operator cannot read what it seals, and makes no key
// that could.
func TestOwnRecipients(t *testing.T) {
	p := open(t)
	own, recipient := identity(t)
	second, secondRecipient := identity(t)
	account := p.load(p.channel("main", withRecipients(recipient, secondRecipient)))
	if keys := p.sealing("main").Data; len(keys) != 1 || len(keys[codeIDKey]) == 0 {
		t.Errorf("%d keys, want %s alone", len(keys), codeIDKey)
	}
	opens(t, account, own)
	opens(t, account, second)

	// An identity that is there from before is neither used nor dropped.
	p.secret("other-sealing", map[string]string{identityKey: second, codeIDKey: newCodeKey()})
	other := p.load(p.channel("other", withRecipients(recipient), func(c *v1alpha1.Channel) { c.Spec.Account = "2" }))
	opens(t, other, own)
	sealed, err := other.Sealer.Seal([]byte("a push"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealing.Open(sealed, second); err == nil {
		t.Error("sealed to an identity that is not among the recipients")
	}
	if string(p.sealing("other").Data[identityKey]) != second {
		t.Error("the identity was replaced")
	}
}

// Whoever moves to recipients of their own, and takes the identity away, does not get it back:
// not at once, and not when they move back.
func TestIdentityThatIsTakenAwayStaysAway(t *testing.T) {
	p := open(t)
	channel := p.channel("main")
	p.load(channel)
	was := string(p.sealing("main").Data[identityKey])
	set := func(identity string) {
		t.Helper()
		secret := p.sealing("main")
		delete(secret.Data, identityKey)
		if identity != "" {
			secret.Data[identityKey] = []byte(identity)
		}
		if err := p.api.Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
	}
	_, recipient := identity(t)
	channel.Spec.Sealing.Recipients = []string{recipient}
	set("")
	p.load(channel)
	if _, there := p.sealing("main").Data[identityKey]; there {
		t.Error("the identity is back")
	}
	set(was) // seen, and not needed
	p.load(channel)
	set("")
	channel.Spec.Sealing.Recipients = nil
	p.load(channel)
	if now := string(p.sealing("main").Data[identityKey]); now == "" || now == was {
		t.Error("not another identity")
	}
}

// The key of the codes' ids comes back whatever seals.
func TestCodeKeyComesBackWithOwnRecipients(t *testing.T) {
	p := open(t)
	_, recipient := identity(t)
	channel := p.channel("main", withRecipients(recipient))
	before := codeID(p.load(channel))
	p.delete(p.sealing("main"))
	if codeID(p.load(channel)) != before {
		t.Error("the same code has another id")
	}
}

func TestUnusableSealingStopsReceiving(t *testing.T) {
	good, recipient := identity(t)
	short := base64.StdEncoding.EncodeToString([]byte(planted))
	for name, test := range map[string]struct {
		there  map[string]string
		adjust []func(*v1alpha1.Channel)
		says   string
	}{
		"no identity":           {map[string]string{identityKey: planted, codeIDKey: newCodeKey()}, nil, identityKey},
		"empty identity":        {map[string]string{identityKey: "", codeIDKey: newCodeKey()}, nil, identityKey},
		"broken identity":       {map[string]string{identityKey: good[:40] + planted, codeIDKey: newCodeKey()}, nil, identityKey},
		"another kind of key":   {map[string]string{identityKey: "AGE-PLUGIN-PLANTED-1QQQQ", codeIDKey: newCodeKey()}, nil, identityKey},
		"two lines, one broken": {map[string]string{identityKey: good + "\n" + planted, codeIDKey: newCodeKey()}, nil, identityKey},
		"a recipient":           {map[string]string{identityKey: recipient, codeIDKey: newCodeKey()}, nil, identityKey},
		"no base64":             {map[string]string{identityKey: good, codeIDKey: "%" + planted}, nil, codeIDKey},
		"short code key":        {map[string]string{identityKey: good, codeIDKey: short}, nil, "bytes"},
		"empty code key":        {map[string]string{identityKey: good, codeIDKey: ""}, nil, "bytes"},
		"no recipient":          {map[string]string{}, []func(*v1alpha1.Channel){withRecipients("age1notarecipient")}, "recipient"},
		"of low order":          {map[string]string{}, []func(*v1alpha1.Channel){withRecipients("age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z")}, "low order"},
		"one good recipient":    {map[string]string{}, []func(*v1alpha1.Channel){withRecipients(recipient, "age1"+recipient[4:len(recipient)-1])}, "recipient"},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			before := p.secret("main-sealing", test.there)
			channel := p.channel("main", test.adjust...)
			account := p.loadAny(channel)
			p.problem(account, v1alpha1.ReasonSealingInvalid, test.says, false)
			after := p.sealing("main")
			for key := range test.there {
				if !bytes.Equal(after.Data[key], before.Data[key]) {
					t.Errorf("%s was replaced", key)
				}
			}
			if bits := good[20:40]; strings.Contains(account.Problem.Message, bits) {
				t.Errorf("%s shows the identity", account.Problem.Message)
			}
			// Mended, it receives: on the next look.
			after.Data = map[string][]byte{identityKey: []byte(good), codeIDKey: []byte(newCodeKey())}
			if err := p.api.Update(t.Context(), after); err != nil {
				t.Fatal(err)
			}
			channel.Spec.Sealing.Recipients = nil
			p.load(channel)
			p.holds("main")
		})
	}
}

// What is wrong first is what is told, where several things are.
func TestSealingProblemIsToldFirst(t *testing.T) {
	p := open(t)
	p.secret("main-sealing", map[string]string{identityKey: planted})
	account := p.loadAny(p.channel("main", withToken("token"), func(c *v1alpha1.Channel) { c.Spec.CredentialsRef.Name = "none" }))
	p.problem(account, v1alpha1.ReasonSealingInvalid, identityKey, false)
}

// The API server refuses what the registry must make: that may pass, and nothing is known wrongly.
func TestSealingSecretCannotBeMade(t *testing.T) {
	p := open(t)
	channel := p.channel("main")
	gone := channel.DeepCopy()
	gone.Namespace = p.namespace + "-is-not-there"
	err := p.Load(t.Context(), gone)
	if err == nil || !strings.Contains(err.Error(), "main-sealing") {
		t.Errorf("Load: %v", err)
	}
	if _, err := p.ByName(client.ObjectKeyFromObject(gone)); !errors.Is(err, accounts.ErrNotKnownYet) {
		t.Errorf("ByName: %v", err)
	}
}

// The first identity seals, and those below it open what was sealed before.
func TestFirstIdentitySeals(t *testing.T) {
	p := open(t)
	first, _ := identity(t)
	second, _ := identity(t)
	p.secret("main-sealing", map[string]string{identityKey: first + "\n" + second + "\n", codeIDKey: newCodeKey()})
	account := p.load(p.channel("main"))
	opens(t, account, first)
	sealed, err := account.Sealer.Seal([]byte("a push"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealing.Open(sealed, second); err == nil {
		t.Error("sealed for an identity that is to be given up")
	}
}

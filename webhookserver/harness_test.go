package webhookserver_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fliggy"
	"github.com/laidoulaile/channel-operator/webhookserver"
)

// The account of the test data, and its Channel.
const (
	holder      = "20001"
	byAccount   = "/api/webhooks/fliggy/"
	byChannel   = "/api/channels/travel/fliggy-main/"
	productTail = "product-change"
	orderTail   = "order-status"
	plain       = "text/plain; charset=utf-8"
)

// lines is everything the process logs: the logger can be set only once.
var lines logged

type logged struct {
	mu   sync.Mutex
	text []string
}

func (l *logged) add(prefix, args string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, prefix+" "+args)
}

// take gives what was logged since the last take.
func (l *logged) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text
	l.text = nil
	return text
}

func TestMain(m *testing.M) {
	ctrl.SetLogger(funcr.New(lines.add, funcr.Options{Verbosity: 100}))
	os.Exit(m.Run())
}

// book is a registry and a ledger in memory: what the server is given.
type book struct {
	mu       sync.Mutex
	accounts map[string]found // by account id, and by namespace/name
	looked   int

	// record decides; nil records.
	record   func(context.Context) (platform.Outcome, error)
	recorded []recorded

	// look gives what is known; looks are whether each was fresh.
	look     func(lookup platform.Lookup, fresh bool) (platform.Known, error)
	looks    []bool
	notReady bool
}

type found struct {
	account *accounts.Account
	err     error
}

type recorded struct {
	account *accounts.Account
	push    platform.Push
	events  []platform.Event
}

func (b *book) ByAccount(p v1alpha1.Platform, id string) (*accounts.Account, error) {
	if p != v1alpha1.PlatformFliggy {
		return nil, accounts.ErrUnknown
	}
	return b.find(id)
}

func (b *book) ByName(name types.NamespacedName) (*accounts.Account, error) {
	return b.find(name.String())
}

func (b *book) OnPlatform(p v1alpha1.Platform) ([]*accounts.Account, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.notReady {
		return nil, accounts.ErrNotKnownYet
	}
	var all []*accounts.Account
	for _, one := range b.accounts {
		if one.account != nil && one.account.Platform == p && one.err == nil {
			all = append(all, one.account)
		}
	}
	return all, nil
}

func (b *book) Look(_ context.Context, _ *accounts.Account, lookup platform.Lookup, fresh bool) (platform.Known, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looks = append(b.looks, fresh)
	if b.look == nil {
		return platform.Known{}, nil
	}
	return b.look(lookup, fresh)
}

func (b *book) find(key string) (*accounts.Account, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looked++
	if one, ok := b.accounts[key]; ok {
		return one.account, one.err
	}
	return nil, accounts.ErrUnknown
}

func (b *book) Commit(ctx context.Context, account *accounts.Account, push platform.Push, events []platform.Event) (platform.Outcome, error) {
	return b.Record(ctx, account, push, events)
}

func (b *book) Record(ctx context.Context, account *accounts.Account, push platform.Push, events []platform.Event) (platform.Outcome, error) {
	b.mu.Lock()
	b.recorded = append(b.recorded, recorded{account, push, events})
	b.mu.Unlock()
	if b.record != nil {
		return b.record(ctx)
	}
	return platform.OutcomeRecorded, nil
}

// account is the one account, found by its id and by its Channel.
func account() *accounts.Account {
	return &accounts.Account{Namespace: "travel", Name: "fliggy-main", Platform: v1alpha1.PlatformFliggy, Holder: platform.Holder{ID: holder}, Receiver: fliggy.Adapter{}}
}

func with(a *accounts.Account, err error) *book {
	return &book{accounts: map[string]found{holder: {a, err}, "travel/fliggy-main": {a, err}}}
}

func (b *book) handler(proxies ...netip.Prefix) http.Handler {
	return webhookserver.NewHandler(b.options(proxies...))
}

func (b *book) options(proxies ...netip.Prefix) webhookserver.Options {
	return webhookserver.Options{
		Receivers: map[v1alpha1.Platform]platform.Receiver{v1alpha1.PlatformFliggy: fliggy.Adapter{}},
		Accounts:  b, Recorder: b, TrustedProxies: proxies,
	}
}

// sample is a push of the adapter's test data.
func sample(t testing.TB, file string) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("..", "internal", "platform", "fliggy", "testdata", "push", file))
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// tailOf is the tail a file of the test data belongs to.
func tailOf(file string) string {
	if strings.HasPrefix(filepath.Base(file), "order-") {
		return orderTail
	}
	return productTail
}

func post(h http.Handler, target, body string, adjust ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))
	for _, f := range adjust {
		f(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// answered checks a reply byte for byte.
func answered(t *testing.T, w *httptest.ResponseRecorder, status int, body string) {
	t.Helper()
	// http.Error, where no platform's dialect is known, ends its line.
	if w.Code != status || strings.TrimSuffix(w.Body.String(), "\n") != body || w.Header().Get("Content-Type") != plain {
		t.Errorf("answered %d %q %q, want %d %q %q", w.Code, w.Header().Get("Content-Type"), w.Body, status, plain, body)
	}
}

// await receives, and fails rather than wait for ever.
func await[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came in time")
		panic("not reached")
	}
}

// counted are the pushes by platform, channel, type and outcome since the process
// started, and under "replies" how many were timed.
func counted(t *testing.T) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(webhookserver.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			switch family.GetName() {
			case "channel_operator_pushes_total":
				key := strings.Join([]string{labels["platform"], labels["channel"], labels["type"], labels["outcome"]}, "|")
				got[key] = metric.GetCounter().GetValue()
			case "channel_operator_pushes_slowed_total":
				got["slowed "+labels["channel"]] = metric.GetCounter().GetValue()
			case "channel_operator_push_reply_seconds":
				got["replies "+labels["platform"]] = float64(metric.GetHistogram().GetSampleCount())
			}
		}
	}
	return got
}

func since(before, after map[string]float64) map[string]float64 {
	grown := map[string]float64{}
	for key, value := range after {
		if n := value - before[key]; n != 0 {
			grown[key] = n
		}
	}
	return grown
}

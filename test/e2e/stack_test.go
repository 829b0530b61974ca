// Package e2e drives the real manager binary from outside: a real API server, the fake
// platform on loopback, pushes over HTTP, and kubectl for what people see.
package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
	"github.com/laidoulaile/channel-operator/test/env"
)

const (
	productPath = "/api/webhooks/fliggy/product-change"
	orderPath   = "/api/webhooks/fliggy/order-status"
	// eventually is how long a thing that must happen may take on a busy machine: the
	// longest gap after a minute of failures is about 80 s.
	eventually = 3 * time.Minute
)

var (
	shared     *env.Manager // receives for all tests but those that start their own
	api        client.Client
	accountIDs atomic.Int64
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	// Two tests may do little but wait for a minute each: the others do not wait for them too.
	if err := flag.Set("test.parallel", "3"); err != nil {
		panic(err)
	}
	os.Exit(finish(env.Main(m)))
}

// finish stops the shared manager and fails the run if the race detector found something.
func finish(code int) int {
	if shared == nil {
		return code
	}
	_ = shared.Stop() // without an API server it may well end with an error
	if strings.Contains(shared.Log.String(), "DATA RACE") {
		fmt.Println("the race detector found, in the manager:\n" + shared.Log.String())
		return 1
	}
	return code
}

// setUp starts what all tests share, once.
var setUp = sync.OnceValue(func() error {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return err
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	var err error
	if api, err = client.New(env.Config(), client.Options{Scheme: scheme}); err != nil {
		return err
	}
	shared, err = env.StartManager(env.ManagerOptions{})
	return err
})

func scrape(t testing.TB, m *env.Manager) string {
	t.Helper()
	response, err := http.Get("http://" + m.Metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// world is a test's own part of the stack: a namespace, an account on a fake platform,
// and its Channel.
type world struct {
	testing.TB
	ctx       context.Context
	namespace string
	account   string
	channel   string // its name
	fake      *platformtest.Fliggy
	endpoint  string
	manager   *env.Manager
	retries   atomic.Int64 // of its pushes
}

// openWorld makes a world without an account.
func openWorld(t testing.TB) *world {
	t.Helper()
	if err := setUp(); err != nil {
		t.Fatal(err)
	}
	return &world{TB: t, ctx: t.Context(), namespace: env.Namespace(t, api), manager: shared}
}

// newWorld makes a world with an account on Fliggy; alter may change the Channel before it
// is created.
func newWorld(t testing.TB, alter ...func(*v1alpha1.Channel)) *world {
	t.Helper()
	w := openWorld(t)
	w.account = strconv.FormatInt(9007199254740993+accountIDs.Add(1), 10)
	fake, err := platformtest.NewFliggy(platformtest.FliggyConfig{Account: w.account, PushBase: "http://" + shared.Push, RetryEvery: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	w.fake = fake
	w.serve(&v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Name: "fliggy"}, Spec: v1alpha1.ChannelSpec{
		Platform: v1alpha1.PlatformFliggy, Account: w.account}}, fake, map[string]string{"privateKey": fake.PrivateKey()}, alter...)
	return w
}

// serve serves a fake platform, and makes its Channel and waits until it is Ready.
func (w *world) serve(channel *v1alpha1.Channel, fake http.Handler, credentials map[string]string, alter ...func(*v1alpha1.Channel)) {
	w.Helper()
	server := httptest.NewServer(fake)
	w.Cleanup(server.Close)
	w.endpoint, w.channel = server.URL, channel.Name
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "credentials"}, StringData: credentials})
	channel.Spec.Endpoint, channel.Spec.CredentialsRef = w.endpoint, v1alpha1.SecretReference{Name: "credentials"}
	for _, change := range alter {
		change(channel)
	}
	w.create(channel)
	w.eventually(func() error {
		if err := w.get(channel); err != nil {
			return err
		}
		return ready(channel.Status.Conditions, channel.Generation, channel.Status.ObservedGeneration)
	})
}

func (w *world) create(object client.Object) {
	w.Helper()
	object.SetNamespace(w.namespace)
	if err := api.Create(w.ctx, object); err != nil {
		w.Fatal(err)
	}
}

func (w *world) get(object client.Object) error {
	return api.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: object.GetName()}, object)
}

func (w *world) product(id string) *v1alpha1.ProductSync {
	return &v1alpha1.ProductSync{ObjectMeta: metav1.ObjectMeta{Name: w.channel + "-" + id}}
}

func (w *world) order(id string) *v1alpha1.OrderVoucher {
	return &v1alpha1.OrderVoucher{ObjectMeta: metav1.ObjectMeta{Name: w.channel + "-" + id}}
}

func ready(conds []metav1.Condition, generation, observed int64) error {
	if err := conditions.Check(conds, generation, observed); err != nil {
		return err
	}
	if reason, is := conditions.Of(conds); !is || observed != generation {
		return fmt.Errorf("Ready=%v (%s), generation %d, observed %d: %+v", is, reason, generation, observed, conds)
	}
	return nil
}

// productReady waits until a product speaks of its newest generation and fits.
func (w *world) productReady(id string, fits func(*v1alpha1.ProductSync) error) *v1alpha1.ProductSync {
	w.Helper()
	ps := w.product(id)
	w.eventually(func() error {
		if err := w.get(ps); err != nil {
			return err
		}
		if err := ready(ps.Status.Conditions, ps.Generation, ps.Status.ObservedGeneration); err != nil {
			return err
		}
		return fits(ps)
	})
	return ps
}

func (w *world) orderReady(id string, phase v1alpha1.OrderPhase) *v1alpha1.OrderVoucher {
	w.Helper()
	ov := w.order(id)
	w.eventually(func() error {
		if err := w.get(ov); err != nil {
			return err
		}
		if err := ready(ov.Status.Conditions, ov.Generation, ov.Status.ObservedGeneration); err != nil {
			return err
		}
		if ov.Status.Phase != phase {
			return fmt.Errorf("phase %s, want %s", ov.Status.Phase, phase)
		}
		return nil
	})
	return ov
}

func (w *world) eventually(condition func() error) {
	w.Helper()
	deadline := time.Now().Add(eventually)
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("not within %s: %v\n%s", eventually, err, lastLines(w.manager.Log.String(), 15))
		}
		select {
		case <-w.ctx.Done():
			w.Fatal(w.ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// mostRetries is how many pushes of a world may have to be sent again: on a busy machine the API server may
// once take longer than a reply can wait. Who refuses each first try is found out.
const mostRetries = 2

// retried counts the tries of a push after its first, and reports whether they are still few.
func (w *world) retried(attempts int) bool {
	return w.retries.Add(int64(attempts-1)) <= mostRetries
}

// send has the platform push a body, and fails unless it is accepted, and most are at the first try.
func (w *world) send(path string, body []byte, errs ...error) {
	w.Helper()
	for _, err := range errs {
		if err != nil {
			w.Fatal(err)
		}
	}
	if d := w.fake.Push(w.ctx, path, body); !d.Accepted || !w.retried(d.Attempts) || d.Body != "success" {
		w.Fatalf("push %s: %+v", path, d)
	}
}

// post sends a body as it is and gives the status and the reply.
func (w *world) post(path, contentType, body string) (int, string) {
	w.Helper()
	response, err := http.Post("http://"+w.manager.Push+path, contentType, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	reply, err := io.ReadAll(response.Body)
	if err != nil {
		w.Fatal(err)
	}
	return response.StatusCode, string(reply)
}

// kubectl is what people see.
func (w *world) kubectl(args ...string) string {
	w.Helper()
	out, err := env.Kubectl(append([]string{"--namespace", w.namespace}, args...)...)
	if err != nil {
		w.Fatalf("kubectl %v: %v\n%s", args, err, out)
	}
	return out
}

// row is the cells of an object's line in a table, by column.
func row(t testing.TB, table, name string) map[string]string {
	t.Helper()
	lines := strings.Split(table, "\n")
	heads := strings.Fields(lines[0])
	for _, line := range lines[1:] {
		cells := strings.Fields(line)
		if len(cells) > 0 && cells[0] == name {
			// PRICE and REFUNDED hold a blank, as in "350.50 CNY": join what belongs together.
			joined := cells[:1:1]
			for _, cell := range cells[1:] {
				if cell == "CNY" {
					joined[len(joined)-1] += " CNY"
					continue
				}
				joined = append(joined, cell)
			}
			if len(joined) != len(heads) {
				t.Fatalf("row %q does not fit %q", line, lines[0])
			}
			cellsByHead := map[string]string{}
			for i, head := range heads {
				cellsByHead[head] = joined[i]
			}
			return cellsByHead
		}
	}
	t.Fatalf("no %s in\n%s", name, table)
	return nil
}

// everythingStored is all of the world's objects but Secrets, as the API server stores them.
func (w *world) everythingStored() string {
	w.Helper()
	var all strings.Builder
	for _, list := range []client.ObjectList{&v1alpha1.ChannelList{}, &v1alpha1.ProductSyncList{}, &v1alpha1.OrderVoucherList{}, &corev1.EventList{}} {
		if err := api.List(w.ctx, list, client.InNamespace(w.namespace)); err != nil {
			w.Fatal(err)
		}
		if err := json.NewEncoder(&all).Encode(list); err != nil {
			w.Fatal(err)
		}
	}
	return all.String()
}

// Package faults breaks the real manager, and the ways to it, while it works, and looks
// at what is left: nothing acknowledged may be lost, and nobody may hear two answers.
package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
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

// eventually is how long a thing that must happen may take on a busy machine.
const eventually = 2 * time.Minute

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(env.Main(m))
}

// world is a manager that is started again whenever it dies, with a gate in front of all
// that it talks to.
type world struct {
	testing.TB
	api       client.Client
	namespace string
	gate      *gate
	server    string // the gate before the API server
	push      string
	journal   string            // its directory; empty: the managers have none
	keys      string            // the directory of the key of what lies beside the journal
	flags     []string          // of the manager, besides the usual ones
	patient   bool              // the manager may fail to start: it is started again
	made      []func() []string // codes and links of each account's orders, as they are, which no Secret has
	stop      func()            // ends the manager for good

	mu      sync.Mutex
	manager *env.Manager
	up      bool
	logs    []*env.Log
	deaths  int
	unborn  int // starts that failed
	closing bool
}

func newWorld(t testing.TB) *world {
	t.Helper()
	g := &gate{}
	w := &world{TB: t, gate: g, server: g.serve(t, apiServer(t, env.Config()))}
	w.begin()
	return w
}

// begin starts a manager and keeps one running until the test ends.
func (w *world) begin() {
	w.Helper()
	t := w.TB
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
	w.api, w.namespace = api, env.Namespace(t, api)
	if w.push, err = env.FreeAddress(); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	if w.start(); w.manager == nil {
		t.FailNow()
	}
	go w.supervise(over)
	w.stop = sync.OnceFunc(func() {
		w.mu.Lock()
		w.closing = true
		manager := w.manager
		w.mu.Unlock()
		_ = manager.Stop()
		<-over
	})
	t.Cleanup(func() {
		made, kept := w.planted()
		f := newFinder(slices.Concat(made, kept)...)
		w.searchMetrics(f)
		w.stop()
		for _, log := range w.logs {
			if strings.Contains(log.String(), "DATA RACE") {
				t.Errorf("the race detector found\n%s", log)
			}
		}
		w.searchKept(f)
	})
}

// start starts a manager; where that may fail, as often as it takes.
func (w *world) start() {
	for {
		manager, err := env.StartManager(env.ManagerOptions{Server: w.server, Push: w.push, Flags: w.flags})
		w.mu.Lock()
		if err == nil {
			w.manager, w.up = manager, true
			w.logs = append(w.logs, manager.Log)
			w.mu.Unlock()
			return
		}
		w.unborn++
		again := w.patient && !w.closing
		w.mu.Unlock()
		if !again {
			w.Error(err)
			return
		}
	}
}

// supervise starts the manager again whenever it dies, as a cluster would.
func (w *world) supervise(over chan<- struct{}) {
	defer close(over)
	for {
		w.mu.Lock()
		manager := w.manager
		w.mu.Unlock()
		<-manager.Ended()
		w.mu.Lock()
		closing := w.closing
		w.deaths++
		w.up = false
		w.mu.Unlock()
		if closing {
			return
		}
		w.start()
		w.mu.Lock()
		manager, closing = w.manager, w.closing
		w.mu.Unlock()
		if closing { // the test ended while it was being started
			_ = manager.Stop()
			return
		}
	}
}

// kill ends the manager at once. One that is just being started works already, and is known a
// moment later.
func (w *world) kill() {
	for deadline := time.Now().Add(time.Minute); w.isUp() != nil && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	w.mu.Lock()
	manager := w.manager
	w.mu.Unlock()
	manager.Kill()
}

// died is how often the manager died.
func (w *world) died() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.deaths
}

// isUp reports that a manager receives, or why not.
func (w *world) isUp() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.up {
		return errors.New("no manager is up")
	}
	return nil
}

// gauge reads a metric that the manager has one of, with its labels if it has any.
func (w *world) gauge(name string) (float64, error) {
	exposed, err := w.exposed()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(exposed)) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("there is no metric %s", name)
}

// exposed is what the manager's /metrics shows.
func (w *world) exposed() ([]byte, error) {
	w.mu.Lock()
	address := w.manager.Metrics
	w.mu.Unlock()
	asking := http.Client{Timeout: 10 * time.Second} // the manager may stand still
	response, err := asking.Get("http://" + address + "/metrics")
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	return io.ReadAll(response.Body)
}

func (w *world) log() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, log := range w.logs[max(0, len(w.logs)-2):] {
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		all = append(all, lines[max(0, len(lines)-12):]...)
	}
	return strings.Join(all, "\n")
}

func (w *world) create(object client.Object) {
	w.Helper()
	object.SetNamespace(w.namespace)
	if err := w.api.Create(w.Context(), object); err != nil {
		w.Fatal(err)
	}
}

func (w *world) eventually(condition func() error) {
	w.Helper()
	if err := w.within(condition); err != nil {
		w.Fatal(err)
	}
}

// within is eventually for goroutines, which cannot end a test.
func (w *world) within(condition func() error) error {
	deadline := time.Now().Add(eventually)
	for {
		err := condition()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) || w.Context().Err() != nil {
			return fmt.Errorf("not within %s: %w\n%s", eventually, err, w.log())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// shop is an account on a fake platform, and its Channel.
type shop struct {
	*world
	fake *platformtest.Douyin
	name string
}

// open makes an account on a fake platform behind the gate. scale is the share of the
// platform's own pauses between tries.
func (w *world) open(name string, scale float64, settings v1alpha1.DouyinChannel) *shop {
	w.Helper()
	return w.openWith(name, scale, settings, func(platform http.Handler) http.Handler { return platform })
}

// openWith is open, with something before the platform.
func (w *world) openWith(name string, scale float64, settings v1alpha1.DouyinChannel, before func(http.Handler) http.Handler) *shop {
	w.Helper()
	fake, err := platformtest.NewDouyin(platformtest.DouyinConfig{
		ClientKey: "aw" + w.namespace + name, PushBase: "http://" + w.push, RetryEvery: 100 * time.Millisecond, RetryScale: scale})
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	over := make(chan struct{})
	go func() { defer close(over); fake.Run(ctx) }()
	w.Cleanup(func() { cancel(); <-over })
	w.made = append(w.made, func() (codes []string) {
		if third := settings.ThirdPartyCodes; third == nil || third.Source != "Generate" {
			return nil
		}
		for _, order := range fake.Orders() {
			for _, certificate := range order.Certificates {
				codes = append(codes, certificate.Code)
			}
		}
		return codes
	})
	settings.AccountID = fake.AccountID()
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: map[string]string{"clientSecret": fake.ClientSecret()}})
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ChannelSpec{
		Platform: v1alpha1.PlatformDouyin, Account: fake.ClientKey(), Endpoint: w.gate.serve(w, before(fake)),
		CredentialsRef: v1alpha1.SecretReference{Name: name}, Douyin: &settings}}
	w.createChannel(channel)
	return &shop{world: w, fake: fake, name: name}
}

// createChannel makes a Channel and waits until it is Ready.
func (w *world) createChannel(channel *v1alpha1.Channel) {
	w.Helper()
	w.create(channel)
	w.eventually(func() error {
		if err := w.api.Get(w.Context(), client.ObjectKeyFromObject(channel), channel); err != nil {
			return err
		}
		return ready(channel.Status.Conditions, channel.Generation, channel.Status.ObservedGeneration)
	})
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

// order waits until the order is Ready in a phase.
func (s *shop) order(id string, phase v1alpha1.OrderPhase) *v1alpha1.OrderVoucher {
	s.Helper()
	ov := &v1alpha1.OrderVoucher{}
	s.eventually(func() error {
		if err := s.api.Get(s.Context(), client.ObjectKey{Namespace: s.namespace, Name: s.name + "-" + id}, ov); err != nil {
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

// decide patches an order's spec, as a person or a service does.
func (s *shop) decide(id string, change func(*v1alpha1.OrderVoucherSpec)) {
	s.Helper()
	ov := &v1alpha1.OrderVoucher{}
	s.eventually(func() error {
		if err := s.api.Get(s.Context(), client.ObjectKey{Namespace: s.namespace, Name: s.name + "-" + id}, ov); err != nil {
			return err
		}
		before := ov.DeepCopy()
		change(&ov.Spec)
		return s.api.Patch(s.Context(), ov, client.MergeFrom(before))
	})
}

// steps counts what is written about one order: its object, and answers to the platform.
func stepsOf(id string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		if r.Method == http.MethodGet {
			return false
		}
		path := r.URL.Path
		return strings.HasSuffix(path, "/ordervouchers") || strings.Contains(path, "/ordervouchers/") && strings.Contains(path, id) ||
			strings.Contains(path, "create/callback") || strings.Contains(path, "refund/audit") || strings.Contains(path, "order/audit")
	}
}

package controllers

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	toolswatch "k8s.io/client-go/tools/watch"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/event"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/ledger"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fliggy"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
	"github.com/laidoulaile/channel-operator/test/env"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	// The stacks mostly wait for a gap to pass: more of them at a time than there are cores.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	// A connection that carries nothing is noticed sooner than by default (30 and 15 s).
	for name, seconds := range map[string]string{"HTTP2_READ_IDLE_TIMEOUT_SECONDS": "3", "HTTP2_PING_TIMEOUT_SECONDS": "6"} {
		if err := os.Setenv(name, seconds); err != nil {
			panic(err)
		}
	}
	os.Exit(env.Main(m))
}

const (
	account  = "9007199254740993" // above 2^53
	patience = 30 * time.Second   // for two busy cores; what is waited for takes milliseconds to seconds
)

// stack is the controllers, with all they need, on a namespace of their own: a real API
// server, the ledger, and the fake Fliggy behind HTTP. A watch sees every state that
// any object is ever in.
type stack struct {
	*testing.T
	api       client.WithWatch
	namespace string
	fake      *platformtest.Fliggy
	// script is another platform, whose answers the test writes.
	script   *script
	endpoint string
	registry *accounts.Registry
	book     *ledger.Ledger
	// cached reads what the controllers read.
	cached client.Reader
	// life outlasts the test's own context: rules are checked while all still runs.
	life context.Context
	stop func()
	// receives: the ledger looks into the cache and counts what it shows, as in main.go.
	receives bool
	// ahead is how much the controllers' clock is ahead.
	ahead atomic.Int64

	mu     sync.Mutex
	seen   map[string][]client.Object // by kind and name, oldest first
	writes map[string]int             // status writes of the controllers, by resource and name
	errors []string
	// expected is an error that may be logged, also late; nil: none.
	expected error
	// hinder answers requests of the controllers in the API server's place; nil, or a nil
	// answer without an error, leaves it to that.
	hinder func(*http.Request, http.RoundTripper) (*http.Response, error)
	// through is where the controllers find the API server; empty is itself.
	through string
	// kept says of which objects the journal keeps something; nil: of none.
	kept func(client.Object) bool
	// eventless: the API server takes no events, or the controllers cannot know that they are due.
	eventless bool
}

// start runs a stack. When the test ends, what it saw is checked against the rules that
// always hold.
func start(t *testing.T, alter ...func(*stack)) *stack {
	t.Helper()
	t.Parallel()
	s := &stack{T: t, fake: newFake(t), script: newScript(), seen: map[string][]client.Object{}, writes: map[string]int{}, life: context.WithoutCancel(t.Context())}
	for _, alter := range alter {
		alter(s)
	}
	server := httptest.NewServer(s.fake)
	t.Cleanup(server.Close)
	s.endpoint = server.URL
	var err error
	s.api, err = client.NewWithWatch(env.Config(), client.Options{Scheme: scheme(t)})
	must(t, err)
	s.namespace = env.Namespace(t, s.api)
	s.watch()
	s.run()
	t.Cleanup(s.checkRules)
	return s
}

func newFake(t *testing.T) *platformtest.Fliggy {
	t.Helper()
	fake, err := platformtest.NewFliggy(platformtest.FliggyConfig{Account: account})
	must(t, err)
	return fake
}

func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	must(t, clientgoscheme.AddToScheme(scheme))
	must(t, v1alpha1.AddToScheme(scheme))
	return scheme
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run starts the manager, wired as main.go does, on the stack's namespace alone.
func (s *stack) run() {
	s.Helper()
	counted := env.Config()
	if s.through != "" {
		counted.Host = s.through
	}
	counted.Wrap(func(next http.RoundTripper) http.RoundTripper { return countWrites{s, next} })
	cached := CacheOptions()
	cached.DefaultNamespaces = map[string]cache.Config{s.namespace: {}}
	mgr, err := ctrl.NewManager(counted, ctrl.Options{
		Scheme:     s.api.Scheme(),
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Logger:     funcr.New(func(_, line string) { s.logged(line) }, funcr.Options{}),
		Controller: config.Controller{SkipNameValidation: ptr.To(true)}, // a stack per test
		Cache:      cached,
		Client: client.Options{Cache: &client.CacheOptions{
			EnableReadYourWritesConsistency: ptr.To(true),
			DisableFor:                      []client.Object{&corev1.Secret{}},
		}},
	})
	must(s.T, err)
	s.cached = mgr.GetClient()
	s.book = ledger.New(s.api, s.api, nil)
	if s.receives {
		s.book = ledger.New(s.api, mgr.GetCache(), nil)
		s.book.Events = mgr.GetEventRecorder("test")
		must(s.T, s.book.Watch(s.Context(), mgr.GetCache()))
		must(s.T, mgr.Add(s.book))
	}
	s.registry = accounts.NewRegistry(accounts.Options{
		Adapters: map[v1alpha1.Platform]platform.Adapter{v1alpha1.PlatformFliggy: fliggy.Adapter{}, v1alpha1.PlatformDouyin: s.script},
		Channels: mgr.GetClient(), Secrets: mgr.GetAPIReader(), Writer: s.api,
		RoundTripper: platform.NewRoundTripper(true), AllowPrivate: true,
	})
	must(s.T, s.registry.SetupWithManager(mgr))
	events := mgr.GetEventRecorder("test")
	doubts := make(chan event.GenericEvent, 64)
	doubt := func(name types.NamespacedName) {
		doubts <- event.GenericEvent{Object: &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}}
	}
	must(s.T, AddIndexes(s.Context(), mgr.GetFieldIndexer()))
	must(s.T, (&ChannelReconciler{Client: mgr.GetClient(), Events: events, Accounts: s.registry, Discoverer: s.book, Doubts: doubts, Unknown: s.book, unknownEvery: 50 * time.Millisecond, Now: s.now,
		PushPath: func(p v1alpha1.Platform, tail string) string { return "/push/" + string(p) + "/" + tail }}).SetupWithManager(mgr))
	must(s.T, (&ProductSyncReconciler{Client: mgr.GetClient(), Events: events, Accounts: s.registry, Doubt: doubt, Kept: s.kept, Workers: 2, Now: s.now}).SetupWithManager(mgr))
	must(s.T, (&OrderVoucherReconciler{Client: mgr.GetClient(), Events: events, Accounts: s.registry, Doubt: doubt, Kept: s.kept, Workers: 2, Now: s.now}).SetupWithManager(mgr))

	ctx, cancel := context.WithCancel(s.life)
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		must(s.T, <-ended)
	})
	s.Cleanup(func() { s.stop() })
}

// now is the controllers' clock.
func (s *stack) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

// countWrites counts the status writes that the API server took, changed or not.
type countWrites struct {
	*stack
	next http.RoundTripper
}

func (c countWrites) RoundTrip(request *http.Request) (*http.Response, error) {
	c.mu.Lock()
	hinder := c.hinder
	c.mu.Unlock()
	if hinder != nil {
		if response, err := hinder(request, c.next); response != nil || err != nil {
			return response, err
		}
	}
	response, err := c.next.RoundTrip(request)
	if object, ok := strings.CutSuffix(request.URL.Path, "/status"); ok && request.Method == http.MethodPatch && err == nil && response.StatusCode == http.StatusOK {
		name := path.Base(object)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.writes[path.Base(path.Dir(object))+"/"+name]++
	}
	return response, err
}

// restart stops the manager, when its events are out, and starts another.
func (s *stack) restart(meanwhile func()) {
	s.Helper()
	s.settle(s.strayEvents)
	s.stop()
	meanwhile()
	s.run()
}

// logged keeps what is logged as an error; that the manager is stopped is none.
func (s *stack) logged(line string) {
	if !strings.Contains(line, `"error"=`) || strings.Contains(line, "context canceled") {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expected != nil && strings.Contains(line, s.expected.Error()) {
		return
	}
	s.errors = append(s.errors, line)
}

func kinds() map[string]client.ObjectList {
	return map[string]client.ObjectList{
		"Channel": &v1alpha1.ChannelList{}, "ProductSync": &v1alpha1.ProductSyncList{}, "OrderVoucher": &v1alpha1.OrderVoucherList{},
	}
}

// watched is a kind of a namespace.
type watched struct {
	*stack
	list client.ObjectList
}

func (w watched) WatchWithContext(ctx context.Context, from metav1.ListOptions) (watch.Interface, error) {
	return w.api.Watch(ctx, w.list.DeepCopyObject().(client.ObjectList), &client.ListOptions{Namespace: w.namespace, Raw: &from})
}

// watch records every state of every object. The API server ends a watch that it cannot get rid of its
// events on, and one whose connection was silent: it goes on from where it was.
func (s *stack) watch() {
	s.Helper()
	for kind, list := range kinds() {
		must(s.T, s.api.List(s.life, list, client.InNamespace(s.namespace)))
		watcher, err := toolswatch.NewRetryWatcherWithContext(s.life, list.GetResourceVersion(), watched{s, list})
		must(s.T, err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for e := range watcher.ResultChan() {
				if e.Type == watch.Error { // it would judge by a part of what was
					s.Errorf("the watch of each %s ended: %v", kind, e.Object)
					continue
				}
				if object, ok := e.Object.(client.Object); ok && e.Type != watch.Deleted {
					s.mu.Lock()
					key := kind + "/" + object.GetName()
					s.seen[key] = append(s.seen[key], object)
					s.mu.Unlock()
				}
			}
		}()
		s.Cleanup(func() { watcher.Stop(); <-done })
	}
}

// history is every state an object was in, oldest first.
func history[T client.Object](s *stack, kind, name string) []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	var states []T
	for _, object := range s.seen[kind+"/"+name] {
		states = append(states, object.(T))
	}
	return states
}

// checkRules checks what holds for every object at every moment.
func (s *stack) checkRules() {
	s.settle(s.strayEvents)
	s.settle(s.uselessWrites)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range s.errors {
		s.Errorf("an error was logged: %s", line)
	}
	for key, states := range s.seen {
		for i, state := range states {
			current, observed := conditionsOf(state)
			if len(current) == 0 && observed == -1 {
				continue // not looked at yet
			}
			if err := conditions.Check(current, state.GetGeneration(), observed); err != nil {
				s.Errorf("%s, state %d: %v", key, i, err)
			}
			if ps, ok := state.(*v1alpha1.ProductSync); ok && i > 0 && states[i-1].GetUID() == ps.UID {
				s.checkObserved(states[i-1].(*v1alpha1.ProductSync), ps)
			}
		}
	}
}

func conditionsOf(object client.Object) (current []metav1.Condition, observedGeneration int64) {
	switch o := object.(type) {
	case *v1alpha1.Channel:
		return o.Status.Conditions, o.Status.ObservedGeneration
	case *v1alpha1.ProductSync:
		return o.Status.Conditions, o.Status.ObservedGeneration
	case *v1alpha1.OrderVoucher:
		return o.Status.Conditions, o.Status.ObservedGeneration
	}
	return nil, 0
}

// checkObserved: observed never goes back, and never claims what was not announced.
func (s *stack) checkObserved(before, after *v1alpha1.ProductSync) {
	was, is := aspects(before, &before.Status.Observed), aspects(after, &after.Status.Observed)
	for i, one := range is {
		switch {
		case *one.observed == nil && *was[i].observed != nil,
			*was[i].observed != nil && (*one.observed).Before(*was[i].observed),
			*one.observed != nil && (one.announced == nil || one.announced.ChangedAt.Before(*one.observed)):
			s.Errorf("%s: observed %s went from %v to %v, announced %v", after.Name, one.aspect, *was[i].observed, *one.observed, one.announced)
		}
	}
}

// settle waits for the watch, and for what comes late, until there is no problem.
func (s *stack) settle(check func(context.Context) string) {
	ctx, cancel := context.WithTimeout(s.life, patience)
	defer cancel()
	problem := ""
	for ctx.Err() == nil {
		found := s.watchBehind(ctx)
		if found == "" {
			found = check(ctx)
		}
		if found == "" {
			return
		}
		if ctx.Err() == nil || problem == "" {
			problem = found // else it is that the time is up
		}
		tick()
	}
	s.Error(problem)
}

func (s *stack) watchBehind(ctx context.Context) string {
	for kind, list := range kinds() {
		if err := s.api.List(ctx, list, client.InNamespace(s.namespace)); err != nil {
			return err.Error()
		}
		items, err := meta.ExtractList(list)
		if err != nil {
			return err.Error()
		}
		for _, item := range items {
			object := item.(client.Object)
			states := history[client.Object](s, kind, object.GetName())
			if len(states) == 0 || states[len(states)-1].GetResourceVersion() != object.GetResourceVersion() {
				return "the watch has not seen the last of " + object.GetName()
			}
		}
	}
	return ""
}

// uselessWrites: the controllers never write a status that changes nothing.
func (s *stack) uselessWrites(context.Context) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for resource, kind := range map[string]string{"channels": "Channel", "productsyncs": "ProductSync", "ordervouchers": "OrderVoucher"} {
		for key, states := range s.seen {
			name, ok := strings.CutPrefix(key, kind+"/")
			if !ok {
				continue
			}
			changes, last := 0, any(nil)
			for _, state := range states {
				if status := statusOf(state); !equality.Semantic.DeepEqual(last, status) {
					changes, last = changes+1, status
				}
			}
			if changes--; s.writes[resource+"/"+name] > changes { // the first state was not written by us
				return fmt.Sprintf("%s: %d status writes for %d changes", key, s.writes[resource+"/"+name], changes)
			}
		}
	}
	return ""
}

func statusOf(object client.Object) any {
	switch o := object.(type) {
	case *v1alpha1.Channel:
		return o.Status
	case *v1alpha1.ProductSync:
		return o.Status
	case *v1alpha1.OrderVoucher:
		return o.Status
	}
	return nil
}

// strayEvents: there is one event for each transition, and none for anything else. What is Ready
// at the first look made no transition.
func (s *stack) strayEvents(ctx context.Context) string {
	if s.eventless {
		return ""
	}
	var list eventsv1.EventList
	if err := s.api.List(ctx, &list, client.InNamespace(s.namespace)); err != nil {
		return err.Error()
	}
	got := map[string]int32{}
	for _, e := range list.Items {
		what := e.Regarding.Kind + "/" + e.Regarding.Name + " " + e.Reason
		got[what]++
		if e.Series != nil {
			got[what] += max(1, e.Series.Count-1)
		}
	}
	want := s.transitions()
	for what := range want {
		// The recorder folds repetitions into a series, whose count comes late.
		if got[what] < 1 || got[what] > want[what] {
			return fmt.Sprintf("%s: %d events for %d transitions", what, got[what], want[what])
		}
	}
	for what := range got {
		if want[what] == 0 {
			return fmt.Sprintf("%s: %d events without a transition", what, got[what])
		}
	}
	return ""
}

// transitions counts, by object and reason, how often an object came to other conditions.
func (s *stack) transitions() map[string]int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	count := map[string]int32{}
	for key, states := range s.seen {
		lastReason, lastReady := "", false
		for _, state := range states {
			current, _ := conditionsOf(state)
			reason, ready := conditions.Of(current)
			changed, first := reason != lastReason || ready != lastReady, lastReason == ""
			if changed && (!first || !ready) {
				count[key+" "+reason]++
			}
			lastReason, lastReady = reason, ready
		}
		countAnswers(count, key, states)
	}
	return count
}

// countAnswers counts the answers that a platform took: one event each.
func countAnswers(count map[string]int32, key string, states []client.Object) {
	known := map[string]bool{}
	for _, state := range states {
		ov, ok := state.(*v1alpha1.OrderVoucher)
		for i := 0; ok && i < len(ov.Status.Answers); i++ {
			if id := ov.Status.Answers[i].NotificationID; !known[id] {
				known[id] = true
				count[key+" "+eventAnswered]++
			}
		}
	}
}

// eventually waits until check says nothing is missing.
func (s *stack) eventually(check func() string) {
	s.Helper()
	deadline := time.Now().Add(patience)
	missing := check()
	for ; missing != "" && time.Now().Before(deadline); missing = check() {
		tick()
	}
	if missing != "" {
		s.Fatalf("after %s: %s", patience, missing)
	}
}

// tick is the pause between two looks of a test.
func tick() { <-time.After(20 * time.Millisecond) }

// get reads an object from the API server, past every cache.
func get[T any, P interface {
	*T
	client.Object
}](s *stack, name string) P {
	s.Helper()
	object := P(new(T))
	must(s.T, s.api.Get(s.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, object))
	return object
}

// waitFor waits until an object is there, looked at in its newest generation, with the
// reason, and as want says, if it is given.
func waitFor[T any, P interface {
	*T
	client.Object
}](s *stack, name, reason string, want ...func(P) bool) P {
	s.Helper()
	object := P(new(T))
	s.eventually(func() string {
		*object = *new(T)
		if err := s.api.Get(s.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, object); err != nil {
			return err.Error()
		}
		current, observed := conditionsOf(object)
		got, _ := conditions.Of(current)
		fits := !slices.ContainsFunc(want, func(fits func(P) bool) bool { return !fits(object) })
		if got != reason || observed != object.GetGeneration() || !fits {
			return fmt.Sprintf("%s is not %s (as wanted: %v): generation %d of %d, conditions %+v", name, reason, fits, observed, object.GetGeneration(), current)
		}
		return ""
	})
	return object
}

var (
	channelIs = waitFor[v1alpha1.Channel, *v1alpha1.Channel]
	productIs = waitFor[v1alpha1.ProductSync, *v1alpha1.ProductSync]
	orderIs   = waitFor[v1alpha1.OrderVoucher, *v1alpha1.OrderVoucher]
)

// channel makes a Channel on the fake, without a Secret.
func (s *stack) channel(name string, alter ...func(*v1alpha1.Channel)) {
	s.Helper()
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, Spec: v1alpha1.ChannelSpec{
		Platform: v1alpha1.PlatformFliggy, Account: account, Endpoint: s.endpoint, CredentialsRef: v1alpha1.SecretReference{Name: "key"}}}
	for _, alter := range alter {
		alter(channel)
	}
	must(s.T, s.api.Create(s.Context(), channel))
}

// secret makes or replaces the Channels' Secret.
func (s *stack) secret(privateKey string) {
	s.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "key"}, Data: map[string][]byte{"privateKey": []byte(privateKey)}}
	if err := s.api.Update(s.Context(), secret); err != nil {
		must(s.T, s.api.Create(s.Context(), secret))
	}
}

// connected is a stack with a Channel `ch` that works, and one product, 88, that is known.
func connected(t *testing.T) *stack {
	t.Helper()
	s := start(t)
	s.connect()
	return s
}

// connect makes that Channel and that product.
func (s *stack) connect(alter ...func(*v1alpha1.Channel)) {
	s.Helper()
	s.offer("88")
	s.secret(s.fake.PrivateKey())
	s.channel("ch", alter...)
	channelIs(s, "ch", v1alpha1.ReasonConnected)
}

// offer puts a product on the platform.
func (s *stack) offer(id string) {
	s.Helper()
	must(s.T, s.fake.PutProduct(platformtest.Product{ID: id, Title: "西湖一晚双早套餐", Start: "2026-09-23", Days: 30, Price: "350.50", Stock: 12}))
}

// patch merges a JSON patch into an object.
func (s *stack) patch(object client.Object, name, body string) {
	s.Helper()
	object.SetNamespace(s.namespace)
	object.SetName(name)
	must(s.T, s.api.Patch(s.Context(), object, client.RawPatch(types.MergePatchType, []byte(body))))
}

// request asks for a look now.
func (s *stack) request(object client.Object, name, value string) {
	s.Helper()
	s.patch(object, name, fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationRequestedAt, value))
}

// push has the Channel `ch` receive a push body, as the webhook server would.
func (s *stack) push(path string, body []byte, errs ...error) {
	s.Helper()
	for _, err := range errs {
		must(s.T, err)
	}
	push := platform.Push{Path: path, Body: body, ReceivedAt: time.Now()}
	message, err := fliggy.Adapter{}.Open(push)
	must(s.T, err)
	events, err := message.Events()
	must(s.T, err)
	var holder *accounts.Account
	s.eventually(func() string {
		if holder, err = s.registry.ByAccount(v1alpha1.PlatformFliggy, message.Account()); err != nil {
			return err.Error()
		}
		return ""
	})
	outcome, err := s.book.Record(s.Context(), holder, push, events)
	if err != nil || outcome != platform.OutcomeRecorded {
		s.Fatalf("push: %s, %v", outcome, err)
	}
}

// announce pushes a change of a product, such as PRICE_CHANGE.
func (s *stack) announce(change, id string) {
	s.Helper()
	s.push(platformtest.FliggyProductPath, s.fake.ProductPush("VACATION_RESOURCE_"+change, id, time.Now()))
}

// sell places an order with two issued codes on a platform, and gives the push of the codes.
func (s *stack) sell(on *platformtest.Fliggy, id string) []byte {
	s.Helper()
	must(s.T, on.PutOrder(platformtest.Order{ID: id, OutOrderID: "T-" + id, ProductID: "88", Quantity: 2, Price: 35050}))
	_, err := on.Pay(id)
	must(s.T, err)
	body, err := on.IssueCodes(id, platformtest.OrderCode{Code: "CODE-" + id + "-1", Persons: 1}, platformtest.OrderCode{Code: "CODE-" + id + "-2", Persons: 1})
	must(s.T, err)
	return body
}

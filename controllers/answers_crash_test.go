package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/ledger"
	"github.com/laidoulaile/channel-operator/internal/order"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/test/env"
)

// bench looks at orders of a scripted platform one look at a time, without a manager: on
// the real API server, past every cache, at times that the test sets.
type bench struct {
	*testing.T
	api       client.Client
	namespace string
	script    *script
	registry  *accounts.Registry
	book      *ledger.Ledger
	now       time.Time
	told      *events.FakeRecorder
}

func newBench(t *testing.T) *bench {
	t.Helper()
	t.Parallel()
	b := &bench{T: t, script: newScript(), now: time.Now().UTC().Truncate(time.Second), told: events.NewFakeRecorder(10_000)}
	var err error
	b.api, err = client.New(env.Config(), client.Options{Scheme: scheme(t)})
	must(t, err)
	b.namespace = env.Namespace(t, b.api)
	b.registry = accounts.NewRegistry(accounts.Options{
		Adapters: map[v1alpha1.Platform]platform.Adapter{v1alpha1.PlatformDouyin: b.script},
		Channels: b.api, Secrets: b.api, Writer: b.api, RoundTripper: platform.NewRoundTripper(true), AllowPrivate: true,
	})
	b.book = ledger.New(b.api, b.api, nil)
	must(t, b.api.Create(t.Context(), &corev1.Secret{ObjectMeta: b.meta("key")}))
	channel := &v1alpha1.Channel{ObjectMeta: b.meta("dy"), Spec: v1alpha1.ChannelSpec{
		Platform: v1alpha1.PlatformDouyin, Account: "app", CredentialsRef: v1alpha1.SecretReference{Name: "key"}}}
	must(t, b.api.Create(t.Context(), channel))
	must(t, b.registry.Load(t.Context(), channel))
	return b
}

func (b *bench) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: b.namespace, Name: name}
}

// process is a fresh one: it remembers nothing of those before it.
func (b *bench) process(api client.Client) *OrderVoucherReconciler {
	return &OrderVoucherReconciler{Client: api, Events: b.told, Accounts: b.registry, Doubt: func(types.NamespacedName) {},
		Now: func() time.Time { return b.now }, looks: newLooks(b.now)}
}

// tell records a notification, received now.
func (b *bench) tell(told platform.OrderNotification) {
	b.Helper()
	holder := b.registry.Asking(types.NamespacedName{Namespace: b.namespace, Name: "dy"})
	push := platform.Push{Path: "script", Body: []byte("{}"), ReceivedAt: b.now}
	if outcome, err := b.book.Record(b.Context(), holder, push, []platform.Event{{Order: &told}}); err != nil || outcome != platform.OutcomeRecorded {
		b.Fatalf("push: %s, %v", outcome, err)
	}
}

func (b *bench) order(id string) *v1alpha1.OrderVoucher {
	b.Helper()
	ov := &v1alpha1.OrderVoucher{}
	must(b.T, b.api.Get(b.Context(), client.ObjectKey{Namespace: b.namespace, Name: "dy-" + id}, ov))
	return ov
}

func (b *bench) patch(id, body string) {
	b.Helper()
	must(b.T, b.api.Patch(b.Context(), &v1alpha1.OrderVoucher{ObjectMeta: b.meta("dy-" + id)}, client.RawPatch(types.MergePatchType, []byte(body))))
}

// look has a process look at an order once.
func (b *bench) look(process *OrderVoucherReconciler, id string) (*v1alpha1.OrderVoucher, ctrl.Result) {
	b.Helper()
	result, err := process.Reconcile(b.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: b.namespace, Name: "dy-" + id}})
	must(b.T, err)
	ov := b.order(id)
	if err := conditions.Check(ov.Status.Conditions, ov.Generation, ov.Status.ObservedGeneration); err != nil {
		b.Errorf("order %s: %v", id, err)
	}
	return ov, result
}

var errKilled = errors.New("killed")

// killer ends a process at one of its steps: before or after something was done by the
// platform, the API server or the process itself. Nothing that it does later comes about.
type killer struct {
	mu   sync.Mutex
	at   int
	step int
	dead bool
	last string
}

func (k *killer) do(what string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.step++; k.step == k.at {
		k.dead, k.last = true, what
	}
	if k.dead {
		return errKilled
	}
	return nil
}

// client reaches the API server until the process is killed.
func (k *killer) client(b *bench) client.Client {
	b.Helper()
	config := env.Config()
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return mortal{k, next} })
	api, err := client.New(config, client.Options{Scheme: b.api.Scheme(), Mapper: b.api.RESTMapper()})
	must(b.T, err)
	return api
}

type mortal struct {
	*killer
	next http.RoundTripper
}

func (m mortal) RoundTrip(request *http.Request) (*http.Response, error) {
	what := request.Method + " " + request.URL.Path
	if err := m.do("before " + what); err != nil {
		return nil, err
	}
	response, err := m.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if err := m.do("after " + what); err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	return response, nil
}

// TestAnswersSurviveACrashAtAnyStep walks all steps of the look that answers: a process is
// killed at each of them, another takes over, and in the end the platform was told one
// thing, however often, and the order is settled.
func TestAnswersSurviveACrashAtAnyStep(t *testing.T) {
	b := newBench(t)
	must(t, b.api.Create(t.Context(), &corev1.Secret{ObjectMeta: b.meta("codes"), Data: map[string][]byte{codesKey: []byte("PLANTED-1\nPLANTED-2\n")}}))
	refund := func(decision string, alter func(*scriptedOrder)) func(string) {
		return func(id string) {
			o := b.script.sell(id, 2)
			o.codes = map[string]string{"u-1": "A", "u-2": "B"}
			if alter != nil {
				alter(o)
			}
			b.tell(b.script.wantsRefund(id, "r", b.now.Add(24*time.Hour), "u-1"))
			if decision != "" {
				b.patch(id, `{"spec":{"refundDecisions":[{"refundID":"r","approve":`+decision+`}]}}`)
			}
		}
	}
	for _, scene := range []struct {
		name    string
		policy  bool
		prepare func(id string)
		told    string
		result  v1alpha1.Result
		phase   v1alpha1.OrderPhase
	}{
		{"codes", false, func(id string) {
			b.script.sell(id, 2)
			b.tell(wantsCodes(id, 2, b.now.Add(10*time.Minute)))
			b.patch(id, `{"spec":{"codesSecretRef":{"name":"codes"}}}`)
		}, "u-1=PLANTED-1 u-2=PLANTED-2", v1alpha1.ResultIssued, v1alpha1.OrderIssued},
		{"approved", false, refund("true", nil), "r of refund_apply: true  u-1=", v1alpha1.ResultApproved, v1alpha1.OrderPartlyRefunded},
		{"refused", false, refund("false", nil), "r of refund_apply: false  u-1=", v1alpha1.ResultRefused, v1alpha1.OrderIssued},
		{"unused", true, refund("", nil), "r of refund_apply: true  u-1=", v1alpha1.ResultApproved, v1alpha1.OrderPartlyRefunded},
		{"used", true, refund("", func(o *scriptedOrder) { o.used["u-1"] = true }), "r of refund_apply: false used already u-1=", v1alpha1.ResultRefused, v1alpha1.OrderPartlyUsed},
	} {
		b.script.approvesUnused = scene.policy
		steps := 0
		for killed := true; killed; {
			steps++
			id := fmt.Sprintf("%s-%d", scene.name, steps)
			scene.prepare(id)
			killed = b.crash(id, steps)
			var ov *v1alpha1.OrderVoucher
			for range 3 {
				ov, _ = b.look(b.process(b.api), id)
			}
			told := b.script.told(id)
			if len(told) == 0 || len(slices.Compact(slices.Clone(told))) != 1 || told[0] != scene.told {
				t.Errorf("%s: the platform was told %q", id, told)
			}
			if !ready(ov.Status.Conditions) || ov.Status.Phase != scene.phase || isAtRisk(ov) || ov.Status.Deadline != nil || len(order.Owed(ov.Spec, ov.Status)) > 0 {
				t.Errorf("%s is not settled: %+v", id, ov.Status)
			}
			for _, answer := range ov.Status.Answers {
				if answer.Result != scene.result {
					t.Errorf("%s: answer %+v", id, answer)
				}
			}
			if !killed && (len(told) != 1 || len(ov.Status.Answers) != 1) {
				t.Errorf("%s, not killed: told %q, answers %+v", id, told, ov.Status.Answers)
			}
		}
		if steps < 11 { // read, ask, (read the codes), tell, ask, write: before and after each
			t.Errorf("%s: only %d steps", scene.name, steps)
		}
	}
}

// crash has a process look at an order and kills it at a step; it reports whether the look
// was long enough for that.
func (b *bench) crash(id string, step int) bool {
	b.Helper()
	k := &killer{at: step}
	b.script.step = k.do
	defer func() { b.script.step = nil }()
	process := b.process(k.client(b))
	_, err := process.Reconcile(b.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: b.namespace, Name: "dy-" + id}})
	if !k.dead && err != nil {
		b.Errorf("%s: %v", id, err)
	}
	return k.dead
}

// TestPlatformThatShowsNothingIsToldTheSame again after a crash, however late it shows
// what it took.
func TestPlatformThatShowsNothingIsToldTheSame(t *testing.T) {
	b := newBench(t)
	must(t, b.api.Create(t.Context(), &corev1.Secret{ObjectMeta: b.meta("codes"), Data: map[string][]byte{codesKey: []byte("A\nB\n")}}))
	o := b.script.sell("1", 2)
	b.tell(wantsCodes("1", 2, b.now.Add(10*time.Minute)))
	b.patch("1", `{"spec":{"codesSecretRef":{"name":"codes"}}}`)
	b.killAt("1", "after issue")
	shown := o.codes
	o.codes = map[string]string{} // not to be seen yet
	ov, _ := b.look(b.process(b.api), "1")
	if diff := cmp.Diff([]string{"u-1=A u-2=B", "u-1=A u-2=B"}, b.script.told("1")); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	if len(ov.Status.Answers) != 1 || !cmp.Equal(shown, o.codes) {
		t.Errorf("answers %+v", ov.Status.Answers)
	}
}

// TestOtherCodesAreNotTold where the platform shows that it took some, though the process
// that told them did not live to record it.
func TestOtherCodesAreNotTold(t *testing.T) {
	b := newBench(t)
	secret := &corev1.Secret{ObjectMeta: b.meta("codes"), Data: map[string][]byte{codesKey: []byte("A\nB\n")}}
	must(t, b.api.Create(t.Context(), secret))
	b.script.sell("1", 2)
	b.tell(wantsCodes("1", 2, b.now.Add(10*time.Minute)))
	b.patch("1", `{"spec":{"codesSecretRef":{"name":"codes"}}}`)
	b.killAt("1", "after issue")
	secret.Data[codesKey] = []byte("C\nD\n")
	must(t, b.api.Update(t.Context(), secret))
	ov, _ := b.look(b.process(b.api), "1")
	if diff := cmp.Diff([]string{"u-1=A u-2=B"}, b.script.told("1")); diff != "" || !ready(ov.Status.Conditions) || ov.Status.Phase != v1alpha1.OrderIssued {
		t.Errorf("%+v: %s", ov.Status, diff)
	}
}

// killAt kills the look at an order at the step of that name.
func (b *bench) killAt(id, what string) {
	b.Helper()
	k := &killer{}
	b.script.step = func(step string) error {
		k.mu.Lock()
		if step == what {
			k.at = k.step + 1
		}
		k.mu.Unlock()
		return k.do(step)
	}
	defer func() { b.script.step = nil }()
	_, err := b.process(k.client(b)).Reconcile(b.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: b.namespace, Name: "dy-" + id}})
	if err == nil || k.last != what {
		b.Fatalf("killed at %q, not %q: %v", k.last, what, err)
	}
}

// TestDeadlinesByTheClock: what is owed is at risk when half of its time is gone, and is
// looked at just then; it is missed at the deadline, and no longer at risk when it is given.
func TestDeadlinesByTheClock(t *testing.T) {
	b := newBench(t)
	b.script.sell("1", 1)
	begin := b.now
	b.tell(wantsCodes("1", 1, begin.Add(10*time.Minute)))
	process := b.process(b.api)
	var since metav1.Time
	for _, step := range []struct {
		at     time.Duration
		risk   string
		within time.Duration // the next look comes at the latest after
	}{
		{0, "", 5 * time.Minute},
		{5*time.Minute - time.Second, "", time.Second},
		{5 * time.Minute, v1alpha1.ReasonCodesNeeded, 5 * time.Minute},
		{9 * time.Minute, v1alpha1.ReasonCodesNeeded, time.Minute},
		{10 * time.Minute, v1alpha1.ReasonDeadlineMissed, slowestOrderLook},
		{20 * time.Minute, v1alpha1.ReasonDeadlineMissed, slowestOrderLook},
	} {
		b.now = begin.Add(step.at)
		ov, result := b.look(process, "1")
		c := meta.FindStatusCondition(ov.Status.Conditions, v1alpha1.ConditionAtRisk)
		if (c == nil) != (step.risk == "") || c != nil && c.Reason != step.risk {
			t.Errorf("after %s: %+v, want %q", step.at, c, step.risk)
		}
		if c != nil && since.IsZero() {
			if since = c.LastTransitionTime; !since.Time.Equal(b.now) {
				t.Errorf("at risk since %s", since)
			}
		}
		if c != nil && !c.LastTransitionTime.Equal(&since) {
			t.Errorf("after %s: at risk since %s, not %s", step.at, c.LastTransitionTime, since)
		}
		if result.RequeueAfter <= 0 || result.RequeueAfter > step.within {
			t.Errorf("after %s: looks again in %s, not within %s", step.at, result.RequeueAfter, step.within)
		}
		if urgent := result.Priority != nil && *result.Priority == deadlinePriority; urgent != (step.at < 10*time.Minute) {
			t.Errorf("after %s: priority %v", step.at, result.Priority)
		}
	}
	must(t, b.api.Create(t.Context(), &corev1.Secret{ObjectMeta: b.meta("codes"), Data: map[string][]byte{codesKey: []byte("A")}}))
	b.patch("1", `{"spec":{"codesSecretRef":{"name":"codes"}}}`)
	if ov, _ := b.look(process, "1"); isAtRisk(ov) || ov.Status.Deadline != nil || !ready(ov.Status.Conditions) {
		t.Errorf("given, and still %+v", ov.Status)
	}
	// A transition to each reason, and one answer.
	if got := drain(b.told); !slices.Equal(got, []string{"Warning CodesNeeded", "Normal Answered", "Normal Confirmed"}) &&
		!slices.Equal(got, []string{"Normal CodesNeeded", "Normal Confirmed", "Normal Answered"}) {
		t.Errorf("events %q", got)
	}
}

// drain gives the kinds and reasons of the events so far.
func drain(recorder *events.FakeRecorder) []string {
	var kinds []string
	for {
		select {
		case text := <-recorder.Events:
			words := strings.Fields(text)
			kinds = append(kinds, strings.Join(words[:2], " "))
		default:
			return kinds
		}
	}
}

// TestAnswerSurvivesAnAskThatHangs: what the platform took is recorded, though it does not
// answer the question that follows.
func TestAnswerSurvivesAnAskThatHangs(t *testing.T) {
	b := newBench(t)
	must(t, b.api.Create(t.Context(), &corev1.Secret{ObjectMeta: b.meta("codes"), Data: map[string][]byte{codesKey: []byte("A")}}))
	b.script.sell("1", 1)
	b.tell(wantsCodes("1", 1, b.now.Add(10*time.Minute)))
	b.patch("1", `{"spec":{"codesSecretRef":{"name":"codes"}}}`)
	b.script.fail("ask", nil, context.DeadlineExceeded)
	process := b.process(b.api)
	ov, result := b.look(process, "1")
	if len(ov.Status.Answers) != 1 || ov.Status.Phase != v1alpha1.OrderIssuing || ov.Status.Confirmed == nil || result.RequeueAfter > 2*time.Second {
		t.Errorf("%+v, again in %s", ov.Status, result.RequeueAfter)
	}
	b.now = b.now.Add(2 * time.Second)
	if ov, _ := b.look(process, "1"); ov.Status.Phase != v1alpha1.OrderIssued || !ready(ov.Status.Conditions) {
		t.Errorf("%+v", ov.Status)
	}
}

// TestAnswersWithoutTheQuestion: codes and a person's decision do not wait for a platform
// that cannot say what the order is; the policy does.
func TestAnswersWithoutTheQuestion(t *testing.T) {
	b := newBench(t)
	b.script.approvesUnused = true
	must(t, b.api.Create(t.Context(), &corev1.Secret{ObjectMeta: b.meta("codes"), Data: map[string][]byte{codesKey: []byte("A")}}))
	b.script.sell("1", 1)
	b.tell(wantsCodes("1", 1, b.now.Add(10*time.Minute)))
	b.patch("1", `{"spec":{"codesSecretRef":{"name":"codes"},"refundDecisions":[{"refundID":"r1","approve":true}]}}`)
	b.tell(b.script.wantsRefund("1", "r1", b.now.Add(time.Hour), "u-1"))
	b.tell(b.script.wantsRefund("1", "r2", b.now.Add(time.Hour), "u-1"))
	b.script.fail("ask", errNotGranted, errNotGranted, errDown)
	ov, _ := b.look(b.process(b.api), "1")
	if len(ov.Status.Answers) != 2 || len(b.script.told("1")) != 2 {
		t.Errorf("told %q, answers %+v", b.script.told("1"), ov.Status.Answers)
	}
	if reason, _ := conditions.Of(ov.Status.Conditions); reason != v1alpha1.ReasonNotGranted {
		t.Errorf("%s", reason)
	}
	// What was made here, or put into the Secret, goes with a decision.
	if !slices.Contains(b.script.told("1"), "r1 of refund_apply: true  u-1=A") {
		t.Errorf("told %q", b.script.told("1"))
	}
}

// TestRefusedAnswerIsTriedSlowly, and stalls the order meanwhile.
func TestRefusedAnswerIsTriedSlowly(t *testing.T) {
	b := newBench(t)
	must(t, b.api.Create(t.Context(), &corev1.Secret{ObjectMeta: b.meta("codes"), Data: map[string][]byte{codesKey: []byte("PLANTED")}}))
	b.script.sell("1", 1)
	b.tell(wantsCodes("1", 1, b.now.Add(24*time.Hour)))
	b.patch("1", `{"spec":{"codesSecretRef":{"name":"codes"}}}`)
	b.script.fail("issue", &platform.Error{Kind: platform.Refused, Reason: platform.ReasonRequest, Op: "issue", Code: "7", Text: "PLANTED is no code"})
	ov, result := b.look(b.process(b.api), "1")
	ready := meta.FindStatusCondition(ov.Status.Conditions, v1alpha1.ConditionReady)
	if ready.Reason != v1alpha1.ReasonAnswerFailed || !meta.IsStatusConditionTrue(ov.Status.Conditions, v1alpha1.ConditionStalled) ||
		!isAtRisk(ov) || strings.Contains(ready.Message, "PLANTED") || result.RequeueAfter < time.Minute {
		t.Errorf("%+v, again in %s", ov.Status.Conditions, result.RequeueAfter)
	}
	if ov, _ := b.look(b.process(b.api), "1"); isAtRisk(ov) || len(ov.Status.Answers) != 1 {
		t.Errorf("%+v", ov.Status)
	}
}

// TestMadeCodesGoWithARefusal: those that were made here, not those of another key.
func TestMadeCodesGoWithARefusal(t *testing.T) {
	b := newBench(t)
	o := b.script.sell("1", 2)
	holder := b.registry.Asking(types.NamespacedName{Namespace: b.namespace, Name: "dy"})
	made := holder.MakeCode("1", "u-1")
	o.codes = map[string]string{"u-1": made.Reveal(), "u-2": "-other"}
	issued := platform.OrderNotification{OrderID: "1", MessageID: "issue:1", Kind: string(v1alpha1.NotificationCodesIssued), PlatformType: "issue_codes",
		Codes: []platform.Code{{ID: "u-1", Text: made}, {ID: "u-2", Text: codesOf("-other")[0]}}, Replied: &platform.Replied{Result: platform.ResultIssued}}
	b.tell(issued)
	b.tell(b.script.wantsRefund("1", "r", b.now.Add(time.Hour), "u-1", "u-2"))
	b.patch("1", `{"spec":{"refundDecisions":[{"refundID":"r","approve":false}]}}`)
	b.look(b.process(b.api), "1")
	if diff := cmp.Diff([]string{"r of refund_apply: false  u-1=" + made.Reveal() + " u-2="}, b.script.told("1")); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// TestAnswersStopWhenThePlatformIsDown: the next one would only wait for the same.
func TestAnswersStopWhenThePlatformIsDown(t *testing.T) {
	b := newBench(t)
	b.script.sell("1", 2).codes = map[string]string{"u-1": "A", "u-2": "B"}
	b.tell(b.script.wantsRefund("1", "r1", b.now.Add(time.Hour), "u-1"))
	b.tell(b.script.wantsRefund("1", "r2", b.now.Add(2*time.Hour), "u-2"))
	b.patch("1", `{"spec":{"refundDecisions":[{"refundID":"r1","approve":true},{"refundID":"r2","approve":true}]}}`)
	b.script.fail("decide", errDown)
	if ov, _ := b.look(b.process(b.api), "1"); len(b.script.told("1")) != 0 || len(ov.Status.Answers) != 0 {
		t.Errorf("told %q, answers %+v", b.script.told("1"), ov.Status.Answers)
	}
	b.script.fail("decide", errRequest) // refused is this one alone
	if ov, _ := b.look(b.process(b.api), "1"); len(b.script.told("1")) != 1 || len(ov.Status.Answers) != 1 {
		t.Errorf("told %q, answers %+v", b.script.told("1"), ov.Status.Answers)
	}
}

// TestRefusalShowsNoCode: a platform's error that repeats a code is told without it.
func TestRefusalShowsNoCode(t *testing.T) {
	b := newBench(t)
	must(t, b.api.Create(t.Context(), &corev1.Secret{ObjectMeta: b.meta("codes"), Data: map[string][]byte{codesKey: []byte("happytravel")}}))
	b.script.sell("1", 1)
	b.tell(wantsCodes("1", 1, b.now.Add(10*time.Minute)))
	b.patch("1", `{"spec":{"codesSecretRef":{"name":"codes"}}}`)
	process := b.process(b.api)
	b.look(process, "1")
	b.tell(b.script.wantsRefund("1", "r", b.now.Add(time.Hour), "u-1"))
	b.patch("1", `{"spec":{"refundDecisions":[{"refundID":"r","approve":false}]}}`)
	b.script.fail("decide", &platform.Error{Kind: platform.Refused, Reason: platform.ReasonRequest, Op: "audit", Text: "no coupon happytravel"})
	ov, _ := b.look(process, "1")
	if reason, _ := conditions.Of(ov.Status.Conditions); reason != v1alpha1.ReasonAnswerFailed || strings.Contains(fmt.Sprint(ov.Status), "happytravel") {
		t.Errorf("%+v", ov.Status.Conditions)
	}
}

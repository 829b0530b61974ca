package faults

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
)

// scenario is a scene that the platform plays with us, and how it must end.
type scenario struct {
	name string
	shop *shop
	// prepare what was before; play the scene to its end, whoever dies; then check.
	prepare, play, check func(s *shop, id string)
	// steps are as many as it must take at least, or the walk has not seen them.
	steps int
}

// The manager is killed (SIGKILL) at each of its steps, one by one, until the scene has no
// more: each time it ends the same, and asked again the platform hears the same again. In the
// long run it is killed before each step, and after it. In the short one it is killed before each
// step of one scene, and after each step of the next, as the seed says: between any two steps is
// the same place, but for who heard of the first.
func TestKilledBetweenAnyTwoStepsItAnswersTheSame(t *testing.T) {
	seed, long := number(t, "FAULTS_SEED", int(time.Now().UnixNano()%1_000_000)), number(t, "FAULTS_DELIVERIES", 0) > 0
	t.Logf("FAULTS_SEED=%d", seed)
	moments := func(scene int) []bool {
		if long {
			return []bool{false, true}
		}
		return []bool{(seed+scene)%2 == 0}
	}
	w := newWorld(t)
	generate := v1alpha1.DouyinChannel{ThirdPartyCodes: &v1alpha1.DouyinThirdPartyCodes{Source: "Generate"}}
	external := v1alpha1.DouyinChannel{ThirdPartyCodes: &v1alpha1.DouyinThirdPartyCodes{Source: "External"}}
	unused := generate
	unused.Refunds = &v1alpha1.DouyinRefunds{Decision: "ApproveUnused"}
	makes := w.open("makes", 0.04, generate)
	waits := w.open("waits", 0.04, external)
	decides := w.open("decides", 0.0005, generate)
	approves := w.open("approves", 0.0005, unused)

	for i, scene := range []scenario{
		{name: "codes made here", shop: makes, prepare: paid, play: issued, check: sameCodesAgain, steps: 2},
		{name: "codes made elsewhere", shop: waits, prepare: paid, play: suppliedLater, check: suppliedCodes, steps: 4},
		{name: "refund decided by a person", shop: decides, prepare: sold, play: decidedLater(true), check: refunded, steps: 4},
		{name: "refund refused by a person", shop: decides, prepare: sold, play: decidedLater(false), check: refusedToo, steps: 4},
		{name: "refund approved at once", shop: approves, prepare: sold, play: refundedAtOnce, check: refunded, steps: 2},
	} {
		t.Run(scene.name, func(t *testing.T) { w.walk(t, scene, fmt.Sprintf("10659469%02d", i), moments(i)) })
	}
}

// walk plays the scene again and again, each time with one more step before death: before it,
// after it, or one after the other. The ids of its orders begin with those of orders.
func (w *world) walk(t *testing.T, scene scenario, orders string, moments []bool) {
	s := *scene.shop
	defer func(whole testing.TB) { s.TB = whole }(s.TB) // which outlives this scene
	s.TB = t
	for n := 1; ; n++ {
		for _, after := range moments {
			id := fmt.Sprintf("%s%02d%d", orders, n, rank(after))
			// Who died last may not be back yet, and what was before the scene asks only as long
			// as the scene's platform does: a third of a second, where its hours are short.
			s.eventually(w.isUp)
			scene.prepare(&s, id)
			w.gate.watch(stepsOf(id), n, after, w.kill)
			deaths := w.died()
			scene.play(&s, id)
			steps := w.gate.rest()
			s.eventually(w.isUp)
			scene.check(&s, id)
			if complaints := s.fake.Complaints(); len(complaints) > 0 {
				t.Fatalf("killed at step %d (after it: %v) of %v, the platform complains: %q", n, after, steps, complaints)
			}
			if len(steps) < n { // there is no such step: the scene was played to its end
				if w.died() != deaths {
					t.Fatalf("the manager died at no step of ours\n%s", w.log())
				}
				if n <= scene.steps {
					t.Fatalf("only %d steps: %v", n-1, steps)
				}
				t.Logf("%d steps, each survived: %v", n-1, steps)
				return
			}
			s.eventually(func() error {
				if w.died() == deaths {
					return fmt.Errorf("nobody died at step %d of %v", n, steps)
				}
				return nil
			})
		}
	}
}

func rank(after bool) int {
	if after {
		return 1
	}
	return 0
}

// paid is an order that waits for its codes.
func paid(s *shop, id string) {
	s.Helper()
	if err := s.fake.PutOrder(platformtest.DouyinOrder{ID: id, ProductID: platformtest.DouyinProductID, Count: 2, Price: 100, ThirdParty: true}); err != nil {
		s.Fatal(err)
	}
	if _, err := s.fake.Pay(id); err != nil {
		s.Fatal(err)
	}
}

// issued asks for codes until it is answered.
func issued(s *shop, id string) {
	s.Helper()
	delivery, err := s.fake.Issue(s.Context(), id)
	if err != nil || !delivery.Accepted {
		s.Fatalf("issue: %+v, %v\n%s", delivery, err, s.log())
	}
	s.order(id, v1alpha1.OrderIssued)
}

// sold is an order whose codes were issued.
func sold(s *shop, id string) {
	s.Helper()
	paid(s, id)
	issued(s, id)
}

// sameCodesAgain: asked again, the codes are the ones that were given, and they are
// recorded once. (That they are the same the fake sees.)
func sameCodesAgain(s *shop, id string) {
	s.Helper()
	before, _ := s.fake.Order(id)
	issued(s, id)
	after, _ := s.fake.Order(id)
	if !slices.Equal(before.Certificates, after.Certificates) || before.Certificates[0].Code == "" || before.Certificates[0].Code == before.Certificates[1].Code {
		s.Errorf("codes %+v, then %+v", before.Certificates, after.Certificates)
	}
	if ov := s.order(id, v1alpha1.OrderIssued); len(ov.Spec.Notifications) != 1 || len(ov.Status.Codes) != 2 {
		s.Errorf("%d notifications, %d codes", len(ov.Spec.Notifications), len(ov.Status.Codes))
	}
}

func suppliedLater(s *shop, id string) {
	s.Helper()
	delivery, err := s.fake.Issue(s.Context(), id)
	if err != nil || !delivery.Accepted {
		s.Fatalf("issue: %+v, %v\n%s", delivery, err, s.log())
	}
	s.seen(id, func(status v1alpha1.OrderVoucherStatus) bool { return status.Deadline != nil })
	s.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "codes-" + id}, StringData: map[string]string{"codes": "A-" + id + "\nB-" + id + "\n"}})
	s.decide(id, func(spec *v1alpha1.OrderVoucherSpec) {
		spec.CodesSecretRef = &v1alpha1.SecretReference{Name: "codes-" + id}
	})
	s.order(id, v1alpha1.OrderIssued)
}

func suppliedCodes(s *shop, id string) {
	s.Helper()
	order, _ := s.fake.Order(id)
	if got := []string{order.Certificates[0].Code, order.Certificates[1].Code}; !slices.Equal(got, []string{"A-" + id, "B-" + id}) {
		s.Errorf("the platform has the codes %q", got)
	}
	// Who died between giving the codes and writing that down sees that the platform has them.
	if ov := s.order(id, v1alpha1.OrderIssued); len(ov.Spec.Notifications) != 1 || ov.Status.Deadline != nil || len(ov.Status.Answers) > 1 {
		s.Errorf("%d notifications, deadline %v, answers %v", len(ov.Spec.Notifications), ov.Status.Deadline, ov.Status.Answers)
	}
}

// applied asks for a refund of everything until it is answered.
func applied(s *shop, id string) {
	s.Helper()
	_, delivery, err := s.fake.ApplyRefund(s.Context(), id, "plans changed")
	if err != nil || !delivery.Accepted {
		s.Fatalf("apply for a refund: %+v, %v\n%s", delivery, err, s.log())
	}
}

func refundedAtOnce(s *shop, id string) {
	s.Helper()
	applied(s, id)
	s.order(id, v1alpha1.OrderRefunded)
}

func decidedLater(approve bool) func(s *shop, id string) {
	return func(s *shop, id string) {
		s.Helper()
		applied(s, id)
		refund := s.request(id)
		s.seen(id, func(status v1alpha1.OrderVoucherStatus) bool { return status.Phase == v1alpha1.OrderRefundRequested })
		s.decide(id, func(spec *v1alpha1.OrderVoucherSpec) {
			spec.RefundDecisions = []v1alpha1.RefundDecision{{RefundID: refund.ID, Approve: approve, Reason: "as agreed"}}
		})
		if approve {
			s.order(id, v1alpha1.OrderRefunded)
		} else {
			s.order(id, v1alpha1.OrderIssued)
		}
	}
}

// seen waits until the status of an order shows what a person waits for, who decides on what is shown.
func (s *shop) seen(id string, shows func(v1alpha1.OrderVoucherStatus) bool) {
	s.Helper()
	s.eventually(func() error {
		ov := &v1alpha1.OrderVoucher{}
		err := s.api.Get(s.Context(), client.ObjectKey{Namespace: s.namespace, Name: s.name + "-" + id}, ov)
		if err == nil && !shows(ov.Status) {
			err = fmt.Errorf("order %s shows phase %s, deadline %v", id, ov.Status.Phase, ov.Status.Deadline)
		}
		return err
	})
}

// request is the platform's own record of the refund that was applied for.
func (s *shop) request(id string) platformtest.DouyinAfterSale {
	s.Helper()
	for _, refund := range s.fake.AfterSales() {
		if refund.OrderID == id {
			return refund
		}
	}
	s.Fatalf("no refund of order %s was applied for", id)
	return platformtest.DouyinAfterSale{}
}

func refunded(s *shop, id string) {
	s.Helper()
	s.order(id, v1alpha1.OrderRefunded)
	s.repeatedTheSame(id)
}

func refusedToo(s *shop, id string) {
	s.Helper()
	s.order(id, v1alpha1.OrderIssued)
	s.repeatedTheSame(id)
}

// repeatedTheSame: the request asked again is answered as it was, and changes nothing.
func (s *shop) repeatedTheSame(id string) {
	s.Helper()
	before := s.request(id)
	delivery, err := s.fake.RepeatRefund(s.Context(), before.ID)
	if err != nil || !delivery.Accepted {
		s.Fatalf("repeat the request: %+v, %v", delivery, err)
	}
	if after := s.request(id); !reflect.DeepEqual(after, before) {
		s.Errorf("the refund was %+v, and then %+v", before, after)
	}
}

package controllers

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/unproven"
)

// bound is how many unknown objects a Channel may have here.
const bound = 20

// forgeable is a stack that receives, with a Channel `ch` whose pushes nothing proves.
func forgeable(t *testing.T) *stack {
	t.Helper()
	s := start(t, func(s *stack) { s.receives = true })
	s.connect(func(c *v1alpha1.Channel) {
		c.Spec.Receive.UnknownObjects.Max = ptr.To[int32](bound)
		c.Spec.Limits = v1alpha1.ChannelLimits{RequestsPerSecond: ptr.To[int32](1000), Burst: ptr.To[int32](1000)}
	})
	s.counted("ch", 0)
	return s
}

func (s *stack) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: s.namespace, Name: name}
}

// holder is the account that pushes name.
func (s *stack) holder(p v1alpha1.Platform, id string) *accounts.Account {
	s.Helper()
	var holder *accounts.Account
	s.eventually(func() (missing string) {
		var err error
		if holder, err = s.registry.ByAccount(p, id); err != nil {
			missing = err.Error()
		}
		return missing
	})
	return holder
}

// claim has the ledger record a push about a product or an order, proven or not.
func (s *stack) claim(of *accounts.Account, doubtful bool, event platform.Event) (platform.Outcome, error) {
	return s.book.Record(s.Context(), of, platform.Push{Body: []byte("{}"), ReceivedAt: s.now(), Unproven: doubtful}, []platform.Event{event})
}

// claimed is claim of what must be recorded.
func (s *stack) claimed(of *accounts.Account, doubtful bool, event platform.Event) {
	s.Helper()
	if outcome, err := s.claim(of, doubtful, event); err != nil || outcome != platform.OutcomeRecorded {
		s.Fatalf("recorded: %s, %v", outcome, err)
	}
}

func changeOf(id string) platform.Event {
	return platform.Event{Product: &platform.ProductChange{ProductID: id, Aspects: []platform.Aspect{platform.AspectPrice},
		ChangedAt: time.Now(), MessageID: fmt.Sprintf("%s-%d", id, time.Now().UnixNano()), Type: "T"}}
}

func orderOf(id string) platform.Event {
	return platform.Event{Order: &platform.OrderNotification{OrderID: id, MessageID: fmt.Sprintf("%s-%d", id, time.Now().UnixNano()),
		Kind: string(v1alpha1.NotificationStatusChanged), PlatformType: "T"}}
}

// objects are the names of the products and orders that there are.
func (s *stack) objects() (all []client.Object) {
	s.Helper()
	var products v1alpha1.ProductSyncList
	var orders v1alpha1.OrderVoucherList
	must(s.T, s.api.List(s.Context(), &products, client.InNamespace(s.namespace)))
	must(s.T, s.api.List(s.Context(), &orders, client.InNamespace(s.namespace)))
	for i := range products.Items {
		all = append(all, &products.Items[i])
	}
	for i := range orders.Items {
		all = append(all, &orders.Items[i])
	}
	return all
}

// says waits until the Channel says so of unknown objects, and is Ready all the while; empty:
// it says nothing.
func (s *stack) says(channel, reason string) {
	s.Helper()
	s.eventually(func() string {
		current := get[v1alpha1.Channel](s, channel).Status.Conditions
		if _, ready := conditions.Of(current); !ready {
			s.Fatalf("the Channel is not Ready: %+v", current)
		}
		is := ""
		if c := meta.FindStatusCondition(current, v1alpha1.ConditionUnknownObjects); c != nil {
			is = c.Reason
		}
		if is != reason {
			return fmt.Sprintf("the Channel says %q, want %q", is, reason)
		}
		return ""
	})
}

// counted waits until so many objects of a Channel count as unknown.
func (s *stack) counted(channel string, want int) {
	s.Helper()
	s.eventually(func() string {
		if n, _, counted := s.book.Unknown(s.key(channel)); !counted || n != want {
			return fmt.Sprintf("%d are counted (%v), want %d", n, counted, want)
		}
		return ""
	})
}

// lookAll has every object that is not Ready looked at, and waits until it was, or is gone.
func (s *stack) lookAll(request string) {
	s.Helper()
	for _, object := range s.objects() {
		current, _ := conditionsOf(object)
		if _, ready := conditions.Of(current); !ready {
			s.look(object, request)
		}
	}
}

func (s *stack) look(object client.Object, request string) {
	s.Helper()
	name := object.GetName()
	body := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationRequestedAt, request)
	must(s.T, client.IgnoreNotFound(s.api.Patch(s.Context(), object, client.RawPatch(types.MergePatchType, body))))
	s.eventually(func() string {
		err := s.api.Get(s.Context(), s.key(name), object)
		if client.IgnoreNotFound(err) != nil {
			return err.Error()
		}
		handled := request
		switch o := object.(type) {
		case *v1alpha1.ProductSync:
			handled = o.Status.LastHandledRequestedAt
		case *v1alpha1.OrderVoucher:
			handled = o.Status.LastHandledRequestedAt
		}
		if err == nil && handled != request {
			return name + " was not looked at"
		}
		return ""
	})
}

// deny lets the platform say often enough, and for long enough, that it does not know what is
// not Ready; the look that deletes comes after it.
func (s *stack) deny() {
	s.Helper()
	s.denyOften()
	s.ahead.Add(int64(defaultUnknownTTL))
}

func (s *stack) denyOften() {
	s.Helper()
	for i := range leastDenials {
		s.lookAll(fmt.Sprint("denied ", i))
		s.ahead.Add(int64(denialGap + time.Second))
	}
}

// The whole protection: a forger fills no more than the bound, the Channel says so, what is
// known or proven gets through, and in the end all that nobody knows is gone.
func TestForgerCannotFillTheCluster(t *testing.T) {
	s := forgeable(t)
	of := s.holder(v1alpha1.PlatformFliggy, account)
	s.claimed(of, true, changeOf("88"))
	productIs(s, "ch-88", v1alpha1.ReasonSynced)
	s.counted("ch", 0)

	var group sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for i := range 2 * bound {
		for _, event := range []platform.Event{changeOf(fmt.Sprint("9", i)), orderOf(fmt.Sprint("9", i))} {
			group.Go(func() {
				outcome, err := s.claim(of, true, event)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && outcome == platform.OutcomeRecorded:
					taken++
				case err == nil || outcome != platform.OutcomeRetry:
					t.Errorf("refused: %s, %v", outcome, err)
				}
			})
		}
	}
	group.Wait()
	if n := len(s.objects()); taken != bound || n != bound+1 {
		t.Errorf("%d were taken, and there are %d objects; want %d and the true one", taken, n, bound)
	}
	s.says("ch", v1alpha1.ReasonBoundReached)

	s.claimed(of, true, changeOf("88"))
	s.offer("89")
	s.claimed(of, false, changeOf("89"))
	productIs(s, "ch-89", v1alpha1.ReasonSynced)

	s.deny()
	s.lookAll("the last")
	for _, object := range s.objects() {
		if name := object.GetName(); name != "ch-88" && name != "ch-89" {
			t.Errorf("%s is still there", name)
		}
	}
	s.says("ch", "")
	s.claimed(of, true, changeOf("777"))
	productIs(s, "ch-777", v1alpha1.ReasonNotFound)
	s.says("ch", v1alpha1.ReasonPushedUnproven)
}

// What the platform confirms, however late, counts no more and is kept, whatever it says after.
func TestWhatIsConfirmedLateIsKept(t *testing.T) {
	s := forgeable(t)
	of := s.holder(v1alpha1.PlatformFliggy, account)
	s.claimed(of, true, changeOf("90"))
	productIs(s, "ch-90", v1alpha1.ReasonNotFound)
	s.says("ch", v1alpha1.ReasonPushedUnproven)
	s.deny()
	s.offer("90")
	s.look(get[v1alpha1.ProductSync](s, "ch-90"), "confirmed")
	productIs(s, "ch-90", v1alpha1.ReasonSynced)
	s.says("ch", "")
	s.fake.DeleteProduct("90")
	s.look(get[v1alpha1.ProductSync](s, "ch-90"), "deleted on the platform")
	if state := get[v1alpha1.ProductSync](s, "ch-90").Status.State; state != v1alpha1.ProductDeleted {
		t.Errorf("state %s", state)
	}
}

// What a proven push is about, or a person has set something of, is kept though nobody knows it.
func TestWhatIsProvenOrTouchedIsKept(t *testing.T) {
	s := forgeable(t)
	of := s.holder(v1alpha1.PlatformFliggy, account)
	for _, id := range []string{"91", "92", "93"} {
		s.claimed(of, true, changeOf(id))
		productIs(s, "ch-"+id, v1alpha1.ReasonNotFound)
	}
	s.counted("ch", 3)
	s.claimed(of, false, changeOf("91"))
	if labels := get[v1alpha1.ProductSync](s, "ch-91").Labels; labels[v1alpha1.LabelUnproven] != "" {
		t.Errorf("labels %v", labels)
	}
	s.patch(&v1alpha1.ProductSync{}, "ch-92", `{"metadata":{"labels":{"team":"ours"}}}`)
	s.deny()
	s.lookAll("the last")
	s.eventually(func() string {
		if n := len(s.objects()); n != 2 {
			return fmt.Sprint(n, " are there")
		}
		return ""
	})
	get[v1alpha1.ProductSync](s, "ch-91")
	get[v1alpha1.ProductSync](s, "ch-92")
}

// What somebody restores has its old label and no status: it may have been confirmed before. It is
// kept, and takes no room.
func TestWhatIsRestoredIsKept(t *testing.T) {
	s := forgeable(t)
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: s.namespace, Name: name, Labels: map[string]string{
			v1alpha1.LabelChannel: "ch", v1alpha1.LabelPlatform: "Fliggy", v1alpha1.LabelUnproven: unproven.Label(time.Now().Add(-time.Hour))}}
	}
	of := v1alpha1.ChannelReference{Name: "ch"}
	must(t, s.api.Create(t.Context(), &v1alpha1.ProductSync{ObjectMeta: meta("ch-94"), Spec: v1alpha1.ProductSyncSpec{ChannelRef: of, ProductID: "94"}}))
	must(t, s.api.Create(t.Context(), &v1alpha1.OrderVoucher{ObjectMeta: meta("ch-95"), Spec: v1alpha1.OrderVoucherSpec{ChannelRef: of, OrderID: "95",
		Notifications: []v1alpha1.Notification{{ID: "m-1", Type: v1alpha1.NotificationStatusChanged, PlatformType: "T", ReceivedAt: metav1.NowMicro(), Sealed: "x"}}}}))
	productIs(s, "ch-94", v1alpha1.ReasonNotFound)
	orderIs(s, "ch-95", v1alpha1.ReasonNotFound)
	s.deny()
	s.lookAll("the last")
	if n := len(s.objects()); n != 2 {
		t.Errorf("%d objects are there", n)
	}
	s.counted("ch", 0)
}

// Whoever pushes about it again and again keeps nothing: the time counts from the first denial.
func TestUnprovenPushesRenewNothing(t *testing.T) {
	s := forgeable(t)
	of := s.holder(v1alpha1.PlatformFliggy, account)
	s.claimed(of, true, orderOf("96"))
	orderIs(s, "ch-96", v1alpha1.ReasonNotFound)
	s.denyOften()
	s.ahead.Add(int64(defaultUnknownTTL - time.Hour))
	s.claimed(of, true, orderOf("96"))
	s.lookAll("too early")
	if n := len(s.objects()); n != 1 {
		t.Errorf("%d objects are there, an hour before", n)
	}
	s.ahead.Add(int64(time.Hour))
	s.lookAll("the last")
	if n := len(s.objects()); n != 0 {
		t.Errorf("%d objects are there", n)
	}
}

// A push that arrives when the platform was asked already, and the object is about to be
// deleted, keeps it.
func TestPushBetweenLookAndDeletionKeepsTheObject(t *testing.T) {
	s := start(t, func(s *stack) { s.receives = true })
	s.secret("key")
	s.channel("dy", onScript)
	channelIs(s, "dy", v1alpha1.ReasonConnected)
	of := s.holder(v1alpha1.PlatformDouyin, "app")
	s.claimed(of, true, orderOf("1"))
	orderIs(s, "dy-1", v1alpha1.ReasonNotFound)
	s.deny()

	push := sync.OnceFunc(func() {
		if outcome, err := s.claim(of, true, orderOf("1")); err != nil {
			t.Errorf("the push: %s, %v", outcome, err)
		}
	})
	refused := &platform.Error{Kind: platform.Gone, Reason: platform.ReasonNotFound, Op: "ask", Code: "404"}
	s.script.set(func(platform *script) {
		platform.step = func(at string) error {
			if at == "before ask" { // what was read of the order is what it was before this push
				push()
				return refused
			}
			return nil
		}
	})
	order := get[v1alpha1.OrderVoucher](s, "dy-1")
	uid := order.UID
	s.look(order, "the last")
	if order = get[v1alpha1.OrderVoucher](s, "dy-1"); order.UID != uid || len(order.Spec.Notifications) != 2 {
		t.Errorf("the order has %d notifications; it is the same: %v", len(order.Spec.Notifications), order.UID == uid)
	}
	s.ahead.Add(int64(defaultUnknownTTL))
	s.look(order, "much later")
	if err := s.api.Get(s.Context(), s.key("dy-1"), order); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("with no push since then it is still there: %v", err)
	}
}

// While something that was pushed about it waits in the journal, it is not deleted: the push may be
// one that is proven, and then what is on the object already is needed.
func TestWhatIsKeptInTheJournalKeepsTheObject(t *testing.T) {
	kept := &sync.Map{}
	s := start(t, func(s *stack) {
		s.receives = true
		s.kept = func(o client.Object) bool { _, is := kept.Load(o.GetName()); return is }
	})
	s.connect(func(*v1alpha1.Channel) {})
	of := s.holder(v1alpha1.PlatformFliggy, account)
	for _, event := range []platform.Event{orderOf("1"), changeOf("2"), orderOf("3")} {
		s.claimed(of, true, event)
	}
	s.eventually(func() string {
		if _, notFound, _ := s.book.Unknown(s.key("ch")); notFound != 3 {
			return fmt.Sprintf("the platform denied %d", notFound)
		}
		return ""
	})
	for _, name := range []string{"ch-1", "ch-2"} {
		kept.Store(name, nil)
	}
	s.deny()
	s.lookAll("the last")
	if n := len(s.objects()); n != 2 {
		t.Errorf("%d objects are there, want the two of which something is kept", n)
	}
	kept.Clear()
	s.ahead.Add(int64(denialGap))
	s.lookAll("all is written")
	if n := len(s.objects()); n != 0 {
		t.Errorf("%d objects are there", n)
	}
}

var (
	midday  = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	unknown = &platform.Error{Kind: platform.Gone, Reason: platform.ReasonNotFound}
)

// Only what all speaks against is deleted; each single doubt keeps it.
func TestEachDoubtKeepsAStray(t *testing.T) {
	doomed := func() stray {
		return stray{marked: true, made: midday, lastWord: midday, denied: true, denials: denial{times: leastDenials, first: midday},
			strayTerms: strayTerms{ready: true, ttl: time.Hour}}
	}
	later := midday.Add(time.Hour)
	if remove, _ := decideStray(doomed(), later); !remove {
		t.Error("it is not deleted")
	}
	for name, test := range map[string]struct {
		doubt func(*stray)
		look  time.Duration
	}{
		"made by hand, by discovery or proven": {func(s *stray) { s.marked = false }, 0},
		"somebody set something":               {func(s *stray) { s.touched = true }, 0},
		"known once":                           {func(s *stray) { s.confirmed = true }, 0},
		"no plain denial":                      {func(s *stray) { s.denied = false }, 0},
		"the Channel does not work":            {func(s *stray) { s.ready = false }, 0},
		"denied too seldom":                    {func(s *stray) { s.denials.times-- }, denialGap},
		"a push waits in the journal":          {func(s *stray) { s.kept = true }, denialGap},
		"made lately":                          {func(s *stray) { s.made = s.made.Add(time.Minute) }, time.Minute},
		"denied only lately":                   {func(s *stray) { s.denials.first = midday.Add(2 * time.Minute) }, 2 * time.Minute},
		"pushed about a moment ago":            {func(s *stray) { s.lastWord = later.Add(-time.Minute) }, denialGap - time.Minute},
	} {
		s := doomed()
		test.doubt(&s)
		if remove, look := decideStray(s, later); remove || look != test.look {
			t.Errorf("%s: deleted: %v, looked at again after %s, want %s", name, remove, look, test.look)
		}
	}
}

// A push has the platform asked again before the deletion, but none puts that off for ever.
func TestPushesPutADeletionOffForAWhile(t *testing.T) {
	s := stray{marked: true, made: midday, denied: true, denials: denial{times: leastDenials, first: midday}, strayTerms: strayTerms{ready: true, ttl: time.Hour}}
	for _, test := range []struct {
		now, pushed time.Duration
		look        time.Duration
	}{
		{now: time.Hour, pushed: time.Hour - denialGap},
		{now: time.Hour, pushed: time.Hour, look: denialGap},
		{now: 2*time.Hour - time.Minute, pushed: 2*time.Hour - time.Minute, look: time.Minute},
		{now: 2 * time.Hour, pushed: 2 * time.Hour},
	} {
		s.lastWord = midday.Add(test.pushed)
		if remove, look := decideStray(s, midday.Add(test.now)); remove != (test.look == 0) || look != test.look {
			t.Errorf("pushed after %s, %s after the first denial: deleted: %v, looked at again after %s", test.pushed, test.now, remove, look)
		}
	}
}

// Whatever of an object no push sets keeps it, and a push that came last counts from then.
func TestWhatAPersonSetsKeepsAStray(t *testing.T) {
	marked := func(o client.Object) {
		o.SetLabels(map[string]string{v1alpha1.LabelUnproven: unproven.Label(midday), v1alpha1.LabelChannel: "ch"})
	}
	for name, alter := range map[string]func(*v1alpha1.OrderVoucher){
		"suspend":         func(ov *v1alpha1.OrderVoucher) { ov.Spec.Suspend = true },
		"codesSecretRef":  func(ov *v1alpha1.OrderVoucher) { ov.Spec.CodesSecretRef = &v1alpha1.SecretReference{Name: "c"} },
		"refundDecisions": func(ov *v1alpha1.OrderVoucher) { ov.Spec.RefundDecisions = []v1alpha1.RefundDecision{{}} },
		"an answer given": func(ov *v1alpha1.OrderVoucher) { ov.Status.Answers = []v1alpha1.OrderAnswer{{}} },
		"a label":         func(ov *v1alpha1.OrderVoucher) { ov.Labels["team"] = "ours" },
		"an annotation":   func(ov *v1alpha1.OrderVoucher) { ov.Annotations = map[string]string{"note": "mine"} },
		"a finalizer":     func(ov *v1alpha1.OrderVoucher) { ov.Finalizers = []string{"x/y"} },
	} {
		var ov v1alpha1.OrderVoucher
		marked(&ov)
		alter(&ov)
		if s := strayOrder(&ov); !s.marked || !s.touched {
			t.Errorf("%s: %+v", name, s)
		}
	}
	for name, alter := range map[string]func(*v1alpha1.ProductSync){
		"suspend":        func(ps *v1alpha1.ProductSync) { ps.Spec.Suspend = true },
		"resyncInterval": func(ps *v1alpha1.ProductSync) { ps.Spec.ResyncInterval = &metav1.Duration{} },
	} {
		var ps v1alpha1.ProductSync
		marked(&ps)
		alter(&ps)
		if s := strayProduct(&ps); !s.marked || !s.touched {
			t.Errorf("%s: %+v", name, s)
		}
	}
	var ov v1alpha1.OrderVoucher
	if s := strayOrder(&ov); s.marked {
		t.Errorf("without the label: %+v", s)
	}
	marked(&ov)
	ov.Annotations = map[string]string{v1alpha1.AnnotationRequestedAt: "now"}
	ov.CreationTimestamp = metav1.NewTime(midday)
	ov.Spec.Notifications = []v1alpha1.Notification{{ReceivedAt: metav1.NewMicroTime(midday.Add(time.Hour))}}
	if s := strayOrder(&ov); !s.marked || s.touched || s.confirmed || !s.made.Equal(midday) || !s.lastWord.Equal(midday.Add(time.Hour)) {
		t.Errorf("%+v", s)
	}
	var ps v1alpha1.ProductSync
	ps.CreationTimestamp = metav1.NewTime(midday)
	ps.Spec.Announced.Stock = &v1alpha1.Announcement{ChangedAt: metav1.NewMicroTime(midday.Add(time.Minute))}
	if s := strayProduct(&ps); s.marked || s.touched || !s.made.Equal(midday) || !s.lastWord.Equal(midday.Add(time.Minute)) {
		t.Errorf("%+v", s)
	}
}

// Many pushes in a row, each of which makes us ask, are one denial; any other answer is none.
func TestDenialsAreApartAndInARow(t *testing.T) {
	var d denials
	name := types.NamespacedName{Name: "ch-1"}
	hear := func(after time.Duration, err error) denial { return d.hear(name, err, midday.Add(after)) }
	for i, test := range []struct {
		after time.Duration
		err   error
		want  int
	}{
		{0, unknown, 1}, {time.Second, unknown, 1}, {denialGap, unknown, 2},
		{denialGap + time.Second, context.DeadlineExceeded, 2}, {3 * denialGap, unknown, 3},
		{4 * denialGap, &platform.Error{Kind: platform.Refused, Reason: platform.ReasonNotGranted}, 0}, {5 * denialGap, unknown, 1},
		{6 * denialGap, &platform.Error{Kind: platform.Gone, Reason: platform.ReasonOffSale}, 0}, {7 * denialGap, unknown, 1},
		{8 * denialGap, nil, 0}, {9 * denialGap, unknown, 1}, {10 * denialGap, unknown, 2},
	} {
		if got := hear(test.after, test.err).times; got != test.want {
			t.Errorf("step %d: %d denials, want %d", i, got, test.want)
		}
	}
	if since := hear(11*denialGap, unknown).first; !since.Equal(midday.Add(9 * denialGap)) {
		t.Errorf("they count from %s", since)
	}
}

// The condition changes with the order of magnitude, and not with each object.
func TestUnknownObjectsAreToldCoarsely(t *testing.T) {
	var channel v1alpha1.Channel
	channel.Spec.Receive.UnknownObjects.Max = ptr.To[int32](100)
	writes := 0
	tell := func(objects, notFound int) string {
		risk := unknownRisk(&channel, &unknownCount{objects, notFound})
		before := channel.Status.Conditions
		channel.Status.Conditions = conditions.SetUnknownObjects(before, risk, 1, midday)
		if !ptr.Equal(riskIn(meta.FindStatusCondition(before, v1alpha1.ConditionUnknownObjects)), risk) {
			writes++
		}
		if risk == nil {
			return ""
		}
		return risk.Reason
	}
	for n := range 100 {
		want := v1alpha1.ReasonPushedUnproven
		if n == 0 {
			want = ""
		}
		if got := tell(n, n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	for _, n := range []int{100, 99, 101, 91, 100} { // as confirmations and new ones come and go
		if got := tell(n, 50); got != v1alpha1.ReasonBoundReached {
			t.Errorf("%d: %s", n, got)
		}
	}
	if writes != 3 { // 1, 10, the bound
		t.Errorf("%d writes", writes)
	}
	if unknownRisk(&channel, nil) == nil {
		t.Error("what is not counted yet is taken for none")
	}
	if got := tell(89, 0); got != "" {
		t.Errorf("what was only not asked for yet is told: %s", got)
	}
	channel.Spec.Receive.UnknownObjects.Max = ptr.To[int32](0)
	if got := tell(0, 0); got != "" {
		t.Errorf("with nothing: %s", got)
	}
}

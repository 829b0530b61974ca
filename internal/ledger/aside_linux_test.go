package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/journal"
	"github.com/laidoulaile/channel-operator/internal/ledger"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/test/env"
)

// replica is one of those that receive for a book's account, with a journal of its own.
type replica struct {
	*kept
	name string
	// looks at the Channels, and writes of what they show; those fail while mute is set.
	looks, shows atomic.Int64
	mute         atomic.Bool
	events       *events.FakeRecorder

	mu   sync.Mutex
	logs []string
}

func (b *book) replica(t *testing.T, name string) *replica {
	t.Helper()
	r := &replica{kept: &kept{book: &book{TB: t, api: b.api, account: b.account}, server: &switched{}, dir: t.TempDir()}, name: name}
	r.begin(t)
	return r
}

// begin starts the replica as a new process does.
func (r *replica) begin(t *testing.T) {
	t.Helper()
	var err error
	if r.journal, err = journal.Open(journal.Options{Dir: r.dir}); err != nil {
		t.Fatal(err)
	}
	api := interceptor.NewClient(r.server.client(t).(client.WithWatch), interceptor.Funcs{
		SubResourceApply: func(ctx context.Context, c client.Client, sub string, o runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			r.shows.Add(1)
			if r.mute.Load() {
				return errors.New("connection refused")
			}
			return c.SubResource(sub).Apply(ctx, o, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			r.looks.Add(1)
			return c.List(ctx, list, opts...)
		},
	})
	r.Ledger = ledger.New(api, api, r.journal)
	r.LookOften(r.name, 10*time.Millisecond)
	r.events = events.NewFakeRecorder(100)
	r.Events = r.events
	log := funcr.New(func(_, args string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.logs = append(r.logs, args)
	}, funcr.Options{})
	ctx, cancel := context.WithCancel(ctrl.LoggerInto(context.WithoutCancel(t.Context()), log))
	over := make(chan struct{})
	go func() { defer close(over); _ = r.Start(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		<-over
		if err := r.journal.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	r.looked(1)
}

// looked waits until the replica has looked at the Channels so many times more.
func (r *replica) looked(times int64) {
	r.Helper()
	until := r.looks.Load() + times
	r.comes("looks at the Channels", func() bool { return r.looks.Load() > until })
}

// empties waits until nothing is left in the journal but what is set aside.
func (r *replica) empties() {
	r.Helper()
	r.comes("the journal empties", func() bool { return r.journal.Stats().Records == 0 })
}

func (b *book) comes(what string, there func() bool) {
	b.Helper()
	for deadline := time.Now().Add(20 * time.Second); !there(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("never came: %s", what)
		}
	}
}

// keepAll has the replica acknowledge pushes from its journal, and then reach the API server.
func (r *replica) keepAll(events ...platform.Event) {
	r.Helper()
	r.server.away.Store(true)
	for _, event := range events {
		r.record(push(planted), event)
	}
	r.server.away.Store(false)
}

// logged is how many lines tell of something.
func (r *replica) logged(what string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.logs {
		if strings.Contains(line, what) {
			n++
		}
	}
	return n
}

func (b *book) channel() *v1alpha1.Channel {
	b.Helper()
	var channel v1alpha1.Channel
	if err := b.api.Get(b.Context(), client.ObjectKey{Namespace: b.account.Namespace, Name: b.account.Name}, &channel); err != nil {
		b.Fatal(err)
	}
	return &channel
}

// request sets requested-at of the Channel.
func (b *book) request(value string) {
	b.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationRequestedAt, value)
	if err := b.api.Patch(b.Context(), b.channel(), client.RawPatch(types.MergePatchType, patch)); err != nil {
		b.Fatal(err)
	}
}

// shows waits until the Channel shows so many records of each replica.
func (b *book) shows(want map[string]int32) []v1alpha1.ChannelSetAside {
	b.Helper()
	var got []v1alpha1.ChannelSetAside
	b.comes(fmt.Sprintf("%v on the Channel", want), func() bool {
		records := map[string]int32{}
		got = b.channel().Status.SetAside
		for _, entry := range got {
			records[entry.Replica] = entry.Records
		}
		return cmp.Equal(records, want)
	})
	return got
}

// broken is a notification that the API server never takes.
func broken(id, message string) platform.Event {
	event := told(id, message)
	event.Order.Kind = "NoSuchKind"
	return event
}

// occupy gives both names of an order to objects of others, and says how to mend that.
func (b *book) occupy(id string) (free func()) {
	b.Helper()
	var objects []client.Object
	for _, name := range []string{ledger.ObjectName(b.account.Name, id), ledger.HashedName(b.account.Name, id)} {
		objects = append(objects, &v1alpha1.OrderVoucher{ObjectMeta: metav1.ObjectMeta{Namespace: b.account.Namespace, Name: name},
			Spec: v1alpha1.OrderVoucherSpec{ChannelRef: v1alpha1.ChannelReference{Name: b.account.Name}, OrderID: "another"}})
	}
	for _, object := range objects {
		if err := b.api.Create(b.Context(), object); err != nil {
			b.Fatal(err)
		}
	}
	return func() {
		for _, object := range objects {
			if err := b.api.Delete(b.Context(), object); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// What is set aside stands on its Channel without what it says, and is tried again when
// somebody asks, once for each time.
func TestWhatIsSetAsideIsShownAndTriedAgain(t *testing.T) {
	b := open(t, "fliggy")
	b.createChannel()
	free := b.occupy("6")
	r := b.replica(t, "channel-operator-0")
	start := time.Now().Truncate(time.Second)
	r.keepAll(broken("5", "m-1"), told("6", "m-1"), told("6", "m-2"), told("7", "m-1"))
	entry := b.shows(map[string]int32{"channel-operator-0": 3})[0]
	r.empties() // order 7 is written
	if entry.Oldest.Time.Before(start) || entry.Oldest.After(time.Now()) {
		t.Errorf("the oldest is of %s", entry.Oldest)
	}
	if diff := cmp.Diff([]v1alpha1.ChannelSetAsideObject{
		{Object: "order 5", Records: 1, Reason: "Invalid: spec.notifications[0].type: FieldValueNotSupported"},
		{Object: "order 6", Records: 2, Reason: "Invalid: spec.orderID: FieldValueInvalid"},
	}, entry.Objects); diff != "" {
		t.Error(diff)
	}
	if raw, err := json.Marshal(b.channel()); err != nil || strings.Contains(string(raw), "NoSuchKind") || strings.Contains(string(raw), planted) {
		t.Errorf("%v: the Channel shows what was pushed: %s", err, raw)
	}
	if r.logged("set aside in the journal until") == 0 || r.logged("NoSuchKind") > 0 {
		t.Error("the log does not tell of it, or shows what was pushed")
	}
	if wide := b.table(t)["Set Aside"]; wide != "3" {
		t.Errorf("column SET ASIDE: %q", wide)
	}

	shows, writes := r.shows.Load(), r.server.writes.Load()
	r.looked(5)
	if n := r.shows.Load() - shows; n != 0 {
		t.Errorf("%d writes of what is shown already", n)
	}
	if n := r.server.writes.Load() - writes; n != 0 {
		t.Errorf("%d tries that nobody asked for", n)
	}

	free()
	b.request("1")
	entry = b.shows(map[string]int32{"channel-operator-0": 1})[0]
	r.empties() // order 6 is written
	if len(entry.Objects) != 1 || entry.Objects[0].Object != "order 5" {
		t.Errorf("after the mending: %+v", entry.Objects)
	}
	if n := b.order("fliggy-6").Spec.Notifications; len(n) != 2 {
		t.Errorf("%d notifications, want 2", len(n))
	}
	r.comes("the same set aside again", func() bool { return r.journal.Stats().Asides == 1 })
	r.looked(2)
	writes = r.server.writes.Load()
	r.looked(5)
	if n := r.server.writes.Load() - writes; n != 0 {
		t.Errorf("%d tries for one request", n)
	}
	b.request("2")
	r.comes("another try", func() bool { return r.server.writes.Load() > writes })
	b.shows(map[string]int32{"channel-operator-0": 1})
	if event := <-r.events.Events; !strings.Contains(event, "Warning PushSetAside") || strings.Contains(event, "NoSuchKind") {
		t.Errorf("event %q", event)
	}
}

// table is the Channel's row as `kubectl get channels -o wide` has it.
func (b *book) table(t *testing.T) map[string]string {
	t.Helper()
	clientset, err := kubernetes.NewForConfig(env.Config())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := clientset.RESTClient().Get().AbsPath("/apis", v1alpha1.GroupName, "v1alpha1", "namespaces", b.account.Namespace, "channels").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	var table metav1.Table
	if err := json.Unmarshal(raw, &table); err != nil || len(table.Rows) != 1 {
		t.Fatalf("%v: %s", err, raw)
	}
	row := map[string]string{}
	for i, column := range table.ColumnDefinitions {
		row[column.Name] = fmt.Sprint(table.Rows[0].Cells[i])
	}
	return row
}

// Each replica has an entry of its own: one comes and goes without the other.
func TestReplicasShowWhatTheyHaveSetAsideSideBySide(t *testing.T) {
	b := open(t, "fliggy")
	b.createChannel()
	zero, one := b.replica(t, "channel-operator-0"), b.replica(t, "channel-operator-1")
	zero.keepAll(broken("5", "m-1"))
	one.keepAll(broken("5", "m-2"), broken("8", "m-3"))
	b.shows(map[string]int32{"channel-operator-0": 1, "channel-operator-1": 2})
	if wide := b.table(t)["Set Aside"]; wide != "1" && wide != "2" { // the API server prints the first of many, whichever that is
		t.Errorf("column SET ASIDE: %q", wide)
	}
	calm := func() {
		t.Helper()
		before := zero.shows.Load() + one.shows.Load()
		zero.looked(5)
		one.looked(5)
		if n := zero.shows.Load() + one.shows.Load() - before; n != 0 {
			t.Errorf("%d writes of what is shown already", n)
		}
	}
	calm()
	for _, record := range one.journal.Asides() {
		if err := one.journal.Delete(record.Seq); err != nil {
			t.Fatal(err)
		}
	}
	left := b.shows(map[string]int32{"channel-operator-0": 1})
	if left[0].Objects[0].Object != "order 5" {
		t.Errorf("left: %+v", left)
	}
	calm()
	for _, field := range b.channel().ManagedFields {
		if field.Manager == "channel-operator-journal-channel-operator-1" {
			t.Errorf("the replica still owns %s", field.FieldsV1.String())
		}
	}
}

// What a process showed is put right by the next, which never wrote it.
func TestNextProcessTakesBackWhatTheLastOneShowed(t *testing.T) {
	b := open(t, "fliggy")
	b.createChannel()
	b.request("before") // the value that is there already asks for nothing
	free := b.occupy("6")
	r := b.replica(t, "channel-operator-0")
	r.keepAll(told("6", "m-1"))
	b.shows(map[string]int32{"channel-operator-0": 1})
	writes := r.server.writes.Load()
	r.looked(5)
	if n := r.server.writes.Load() - writes; n != 0 {
		t.Errorf("%d tries that nobody asked for", n)
	}
	r.stop()
	free()
	r.begin(t)
	b.shows(map[string]int32{})
	r.empties() // what is not set aside any more may not be written yet
	if n := b.order("fliggy-6").Spec.Notifications; len(n) != 1 {
		t.Errorf("%d notifications, want 1", len(n))
	}
}

// Of a Channel that is not there one log line and one event tell, and it shows what it should
// when it is.
func TestWhatIsSetAsideOfAChannelThatIsGone(t *testing.T) {
	b := open(t, "fliggy")
	r := b.replica(t, "channel-operator-0")
	r.keepAll(broken("5", "m-1"))
	r.comes("a log line", func() bool { return r.logged("the Channel is not there") > 0 })
	r.looked(5)
	if n := r.logged("the Channel is not there"); n != 1 || r.journal.Stats().Asides != 1 {
		t.Errorf("logged %d times; %+v", n, r.journal.Stats())
	}
	if n := len(r.events.Events); n != 1 {
		t.Fatalf("%d events, want 1", n)
	}
	if event := <-r.events.Events; !strings.Contains(event, "Warning PushSetAside") || !strings.Contains(event, "make the Channel again") {
		t.Errorf("the event says %q", event)
	}
	b.createChannel()
	b.shows(map[string]int32{"channel-operator-0": 1})
}

// As long as the API server fails it is tried again, and logged once.
func TestWhatIsSetAsideIsShownWhenTheAPIServerIsBack(t *testing.T) {
	b := open(t, "fliggy")
	b.createChannel()
	r := b.replica(t, "channel-operator-0")
	r.mute.Store(true)
	r.keepAll(broken("5", "m-1"))
	r.comes("tries", func() bool { return r.shows.Load() > 3 })
	if n := r.logged("cannot be shown"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	r.mute.Store(false)
	b.shows(map[string]int32{"channel-operator-0": 1})
	r.comes("an event", func() bool { return len(r.events.Events) > 0 }) // after the status
	if n := len(r.events.Events); n != 1 {
		t.Errorf("%d events", n)
	}
}

// While the journal's disk fails nobody knows what is set aside: what is shown stays.
func TestWhatIsShownStaysWhileTheDiskFails(t *testing.T) {
	b := open(t, "fliggy")
	b.createChannel()
	r := b.replica(t, "channel-operator-0")
	r.keepAll(broken("5", "m-1"))
	b.shows(map[string]int32{"channel-operator-0": 1})
	file := filepath.Join(r.dir, "journal.db")
	fail(t, file)
	if err := r.journal.Put(t.Context(), "order/n/c/1", []byte("x")); !errors.Is(err, journal.ErrFailed) {
		t.Fatal(err)
	}
	r.looked(5)
	if entries := b.channel().Status.SetAside; len(entries) != 1 || !r.journal.Stats().Failed {
		t.Errorf("shown: %+v; %+v", entries, r.journal.Stats())
	}
	if err := os.Rename(file+".away", file); err != nil {
		t.Fatal(err)
	}
	r.comes("the journal heals", func() bool { return !r.journal.Stats().Failed })
}

// fail takes a file away under the process that has it open: writes to it fail, and so does
// opening it again.
func fail(t *testing.T, file string) {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	opened, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range opened {
		if target, err := os.Readlink("/proc/self/fd/" + entry.Name()); err != nil || target != file {
			continue
		}
		fd, err := strconv.Atoi(entry.Name())
		if err := errors.Join(err, os.Rename(file, file+".away"), syscall.Dup3(int(null.Fd()), fd, syscall.O_CLOEXEC)); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("%s is not open", file)
}

// However much is set aside, and whatever a platform calls its orders, the Channel takes it,
// and it is not written twice.
func TestWhatIsShownIsBounded(t *testing.T) {
	b := open(t, "fliggy")
	b.createChannel()
	r := b.replica(t, "channel-operator-0")
	odd := []string{strings.Repeat("长", 300), "a\x00b\u202e\n", "\xff\xfe", "a/b/c"}
	var events []platform.Event
	for _, id := range odd {
		events = append(events, broken(id, "m-1"))
	}
	for i := range 8 {
		events = append(events, broken(fmt.Sprint(i), "m-1"), broken(fmt.Sprint(i), "m-2"))
	}
	r.keepAll(events...)
	entry := b.shows(map[string]int32{"channel-operator-0": 20})[0]
	var objects []string
	for _, o := range entry.Objects {
		objects = append(objects, o.Object)
	}
	want := []string{"order " + strings.Repeat("长", 154), "order a?b??", "order ", "order a/b/c", "order 0", "order 1", "order 2", "order 3"}
	if !slices.EqualFunc(objects, want, func(got, want string) bool { return got == want || want == "order " && strings.HasPrefix(got, want) }) {
		t.Errorf("objects %q", objects)
	}
	if entry.Objects[4].Records != 2 {
		t.Errorf("%+v", entry.Objects[4])
	}
	shows := r.shows.Load()
	r.looked(5)
	if n := r.shows.Load() - shows; n != 0 {
		t.Errorf("%d writes of what is shown already", n)
	}
}

// Of what the API server says, the values that it quotes are left out.
func TestReasonsQuoteNoValues(t *testing.T) {
	status := func(reason metav1.StatusReason, message string, causes ...metav1.StatusCause) error {
		return fmt.Errorf("record m-1: %w", &apierrors.StatusError{ErrStatus: metav1.Status{
			Reason: reason, Message: message, Code: 422, Details: &metav1.StatusDetails{Causes: causes}}})
	}
	cause := metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Field: "spec.orderID", Message: `Invalid value: "` + planted + `": no`}
	policy := metav1.StatusCause{Message: "ValidatingAdmissionPolicy 'none-today' denied request: code " + planted + " at https://x.example/y"}
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"a field":          {status("Invalid", "all: "+planted, cause), "Invalid: spec.orderID: FieldValueInvalid"},
		"a field twice":    {status("Invalid", "", cause, cause, metav1.StatusCause{Field: "x", Type: "T"}), "Invalid: spec.orderID: FieldValueInvalid; x: T"},
		"the object":       {status("Invalid", "", metav1.StatusCause{Field: "<nil>", Type: "T", Message: planted}), "Invalid: the object: T"},
		"a field and more": {status("Invalid", "", metav1.StatusCause{Field: "<nil>", Type: "T"}, cause), "Invalid: spec.orderID: FieldValueInvalid"},
		"a policy":         {status("Invalid", "", policy), "Invalid: ValidatingAdmissionPolicy 'none-today' denied request: code •••••• at [link]"},
		"no cause":         {status("Forbidden", "exceeded quota: small, code "+planted), "Forbidden: exceeded quota: small, code ••••••"},
		"no details":       {&apierrors.StatusError{ErrStatus: metav1.Status{Message: "no"}}, "Refused: no"},
		"no status":        {errors.New("code " + planted), "code ••••••"},
		"very many":        {status("Invalid", "", metav1.StatusCause{Field: strings.Repeat("字", 300), Type: "T"}), "Invalid: " + strings.Repeat("字", 247)},
		"on several lines": {errors.New("a\nb"), "a b"},
	} {
		if got := ledger.ReasonOf(test.err); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

package v1alpha1_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/restmapper"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/test/env"
)

func TestMain(m *testing.M) { os.Exit(env.Main(m)) }

// newClient refuses what the schema does not know, so that a misspelt field fails
// a test instead of being pruned.
func newClient(t *testing.T) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(env.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return client.WithFieldValidation(c, metav1.FieldValidationStrict)
}

func newChannel(namespace string) *v1alpha1.Channel {
	return &v1alpha1.Channel{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "c-"},
		Spec: v1alpha1.ChannelSpec{
			Platform:       v1alpha1.PlatformFliggy,
			Account:        "20001",
			CredentialsRef: v1alpha1.SecretReference{Name: "credentials"},
		},
	}
}

func newProduct(namespace string) *v1alpha1.ProductSync {
	return &v1alpha1.ProductSync{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "p-"},
		Spec: v1alpha1.ProductSyncSpec{
			ChannelRef: v1alpha1.ChannelReference{Name: "fliggy"},
			ProductID:  "88",
		},
	}
}

func newOrder(namespace string) *v1alpha1.OrderVoucher {
	return &v1alpha1.OrderVoucher{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "o-"},
		Spec: v1alpha1.OrderVoucherSpec{
			ChannelRef: v1alpha1.ChannelReference{Name: "fliggy"},
			OrderID:    "9007199254740995",
		},
	}
}

var receivedAt = metav1.NewMicroTime(time.Date(2026, 11, 22, 1, 2, 3, 450_000_000, time.UTC))

func newNotification(id string) v1alpha1.Notification {
	return v1alpha1.Notification{
		ID:           id,
		Type:         v1alpha1.NotificationCodesIssued,
		PlatformType: "ORDER_SEND_CODE_NOTIFY",
		ReceivedAt:   receivedAt,
	}
}

// refusal is what a 422 must say. The zero value stands for "accepted".
type refusal struct {
	field   string
	cause   metav1.CauseType
	message string
}

func (r refusal) check(t *testing.T, err error) {
	t.Helper()
	if r == (refusal{}) {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	if !apierrors.IsInvalid(err) {
		t.Fatalf("got %v, want a refusal (422) of %s", err, r.field)
	}
	var status apierrors.APIStatus
	errors.As(err, &status)
	for _, cause := range status.Status().Details.Causes {
		if cause.Field == r.field && cause.Type == r.cause && strings.Contains(cause.Message, r.message) {
			return
		}
	}
	t.Errorf("no cause is %+v in %+v", r, status.Status().Details.Causes)
}

func invalid(field, message string) refusal {
	return refusal{field: field, cause: metav1.CauseTypeFieldValueInvalid, message: message}
}

func TestExamplesAreAccepted(t *testing.T) {
	c := newClient(t)
	namespace := env.Namespace(t, c)
	for _, example := range readExamples(t) {
		t.Run(example.GetKind()+"/"+example.GetName(), func(t *testing.T) {
			example.SetNamespace(namespace)
			got := example.DeepCopy()
			unstructured.RemoveNestedField(got.Object, "status")
			if err := c.Create(t.Context(), got); err != nil {
				t.Fatal(err)
			}
			if status, ok := example.Object["status"]; ok {
				got.Object["status"] = runtime.DeepCopyJSONValue(status)
				if err := c.Status().Update(t.Context(), got); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(got), got); err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{"spec", "status"} {
				want, ok := example.Object[part]
				if !ok {
					continue
				}
				if diff := cmp.Diff(want, got.Object[part]); diff != "" {
					t.Errorf("%s is not kept as written (-want +got):\n%s", part, diff)
				}
			}
			checkTypesHoldAll(t, got)
		})
	}
}

// checkTypesHoldAll tells whether the Go types carry every field of the object.
func checkTypesHoldAll(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	typed := map[string]any{
		"Channel":      &v1alpha1.Channel{},
		"ProductSync":  &v1alpha1.ProductSync{},
		"OrderVoucher": &v1alpha1.OrderVoucher{},
	}[object.GetKind()]
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, typed, true); err != nil {
		t.Errorf("the Go type lacks a field: %v", err)
	}
}

func readExamples(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	data, err := os.ReadFile("testdata/examples.yaml")
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	var examples []*unstructured.Unstructured
	for {
		example := &unstructured.Unstructured{}
		err := decoder.Decode(example)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(example.Object) > 0 {
			examples = append(examples, example)
		}
	}
	if len(examples) < 5 {
		t.Fatalf("%d examples, want at least 5", len(examples))
	}
	return examples
}

func TestShortNames(t *testing.T) {
	disco, err := discovery.NewDiscoveryClientForConfig(env.Config())
	if err != nil {
		t.Fatal(err)
	}
	cached := memory.NewMemCacheClient(disco)
	mapper := restmapper.NewShortcutExpander(restmapper.NewDeferredDiscoveryRESTMapper(cached), cached, nil)
	for resource, names := range map[string][]string{
		"channels":      {"channels", "channel", "ch"},
		"productsyncs":  {"productsyncs", "productsync", "products", "product", "ps"},
		"ordervouchers": {"ordervouchers", "ordervoucher", "orders", "order", "ov"},
	} {
		for _, name := range names {
			got, err := mapper.ResourceFor(schema.GroupVersionResource{Resource: name})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if want := v1alpha1.SchemeGroupVersion.WithResource(resource); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
	}
}

func TestFieldSelectors(t *testing.T) {
	c := newClient(t)
	namespace := env.Namespace(t, c)
	one, two := "one", "two"
	for _, name := range []string{one, two} {
		channel, product, order := newChannel(namespace), newProduct(namespace), newOrder(namespace)
		channel.Name, channel.Spec.Account = name, "account-"+name
		product.Name, product.Spec.ProductID, product.Spec.ChannelRef.Name = name, "product-"+name, name
		order.Name, order.Spec.OrderID, order.Spec.ChannelRef.Name = name, "order-"+name, name
		order.Spec.OutOrderID = "out-" + name
		for _, object := range []client.Object{channel, product, order} {
			if err := c.Create(t.Context(), object); err != nil {
				t.Fatal(err)
			}
		}
	}
	cases := map[string]struct {
		list     client.ObjectList
		selector client.MatchingFields
		want     []string
	}{
		"product by id":        {&v1alpha1.ProductSyncList{}, client.MatchingFields{"spec.productID": "product-one"}, []string{one}},
		"product by channel":   {&v1alpha1.ProductSyncList{}, client.MatchingFields{"spec.channelRef.name": two}, []string{two}},
		"order by id":          {&v1alpha1.OrderVoucherList{}, client.MatchingFields{"spec.orderID": "order-two"}, []string{two}},
		"order by channel":     {&v1alpha1.OrderVoucherList{}, client.MatchingFields{"spec.channelRef.name": one}, []string{one}},
		"order by outOrderID":  {&v1alpha1.OrderVoucherList{}, client.MatchingFields{"spec.outOrderID": "out-one"}, []string{one}},
		"order by two":         {&v1alpha1.OrderVoucherList{}, client.MatchingFields{"spec.channelRef.name": one, "spec.orderID": "order-two"}, nil},
		"channel by account":   {&v1alpha1.ChannelList{}, client.MatchingFields{"spec.account": "account-two"}, []string{two}},
		"channels by platform": {&v1alpha1.ChannelList{}, client.MatchingFields{"spec.platform": "Fliggy"}, []string{one, two}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if err := c.List(t.Context(), test.list, client.InNamespace(namespace), test.selector); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, namesOf(t, test.list)); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}

func namesOf(t *testing.T, list client.ObjectList) []string {
	t.Helper()
	var names []string
	switch list := list.(type) {
	case *v1alpha1.ChannelList:
		for i := range list.Items {
			names = append(names, list.Items[i].Name)
		}
	case *v1alpha1.ProductSyncList:
		for i := range list.Items {
			names = append(names, list.Items[i].Name)
		}
	case *v1alpha1.OrderVoucherList:
		for i := range list.Items {
			names = append(names, list.Items[i].Name)
		}
	default:
		t.Fatalf("unexpected list %T", list)
	}
	return names
}

func TestIdentityIsImmutable(t *testing.T) {
	c := newClient(t)
	namespace := env.Namespace(t, c)
	cases := map[string]struct {
		object client.Object
		patch  string
		want   refusal
	}{
		"platform": {
			newChannel(namespace), `{"spec":{"platform":"Douyin"}}`,
			invalid("spec.platform", "platform is immutable"),
		},
		"account": {
			newChannel(namespace), `{"spec":{"account":"20002"}}`,
			invalid("spec.account", "account is immutable"),
		},
		"a product's channel": {
			newProduct(namespace), `{"spec":{"channelRef":{"name":"other"}}}`,
			invalid("spec.channelRef", "channelRef is immutable"),
		},
		"productID": {
			newProduct(namespace), `{"spec":{"productID":"89"}}`,
			invalid("spec.productID", "productID is immutable"),
		},
		"an order's channel": {
			newOrder(namespace), `{"spec":{"channelRef":{"name":"other"}}}`,
			invalid("spec.channelRef", "channelRef is immutable"),
		},
		"orderID": {
			newOrder(namespace), `{"spec":{"orderID":"1"}}`,
			invalid("spec.orderID", "orderID is immutable"),
		},
		"the endpoint may change": {
			newChannel(namespace), `{"spec":{"endpoint":"https://example.com"}}`, refusal{},
		},
		"outOrderID may come later": {
			newOrder(namespace), `{"spec":{"outOrderID":"T-1"}}`, refusal{},
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if err := c.Create(t.Context(), test.object); err != nil {
				t.Fatal(err)
			}
			err := c.Patch(t.Context(), test.object, client.RawPatch(types.MergePatchType, []byte(test.patch)))
			test.want.check(t, err)
		})
	}
}

func TestAnnouncedOnlyGrows(t *testing.T) {
	c := newClient(t)
	namespace := env.Namespace(t, c)
	older := refusal{"spec.announced.price", metav1.CauseTypeForbidden, "older than the announced change"}
	const known = `{"changedAt":"2026-01-02T03:04:05.123000Z","messageID":"m-5","type":"PRICE"}`
	cases := map[string]struct {
		next      string
		want      refusal
		unchanged bool
	}{
		"the same again":        {next: known, unchanged: true},
		"newer":                 {next: `{"changedAt":"2026-01-02T03:04:05.124000Z","messageID":"m-1","type":"PRICE"}`},
		"newer, in another day": {next: `{"changedAt":"2026-01-03T00:00:00.000000Z","messageID":"m-1","type":"PRICE"}`},
		"older by one ms":       {next: `{"changedAt":"2026-01-02T03:04:05.122000Z","messageID":"m-9","type":"PRICE"}`, want: older},
		"as old, greater id":    {next: `{"changedAt":"2026-01-02T03:04:05.123000Z","messageID":"m-6","type":"PRICE"}`},
		"as old, smaller id":    {next: `{"changedAt":"2026-01-02T03:04:05.123000Z","messageID":"m-4","type":"PRICE"}`, want: older},
		"one message, another type": {
			next: `{"changedAt":"2026-01-02T03:04:05.123000Z","messageID":"m-5","type":"STOCK"}`, want: older,
		},
		"one message, a later date": {
			next: `{"changedAt":"2026-02-02T03:04:05.123000Z","messageID":"m-5","type":"PRICE"}`, want: older,
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			product := newProduct(namespace)
			if err := c.Create(t.Context(), product); err != nil {
				t.Fatal(err)
			}
			if err := c.Patch(t.Context(), product, announcePrice(known)); err != nil {
				t.Fatal(err)
			}
			before := product.ResourceVersion
			test.want.check(t, c.Patch(t.Context(), product, announcePrice(test.next)))
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(product), product); err != nil {
				t.Fatal(err)
			}
			wantSame := test.unchanged || test.want != refusal{}
			if same := product.ResourceVersion == before; same != wantSame {
				t.Errorf("object unchanged: %v, want %v", same, wantSame)
			}
		})
	}
}

func TestAnnouncedAspectsAreApart(t *testing.T) {
	c := newClient(t)
	product := newProduct(env.Namespace(t, c))
	if err := c.Create(t.Context(), product); err != nil {
		t.Fatal(err)
	}
	if err := c.Patch(t.Context(), product, announcePrice(`{"changedAt":"2026-01-02T00:00:00.000000Z","messageID":"m-2","type":"T"}`)); err != nil {
		t.Fatal(err)
	}
	stock := `{"spec":{"announced":{"stock":{"changedAt":"2026-01-01T00:00:00.000000Z","messageID":"m-1","type":"T"}}}}`
	if err := c.Patch(t.Context(), product, client.RawPatch(types.MergePatchType, []byte(stock))); err != nil {
		t.Fatalf("an older change of another aspect: %v", err)
	}
	if product.Spec.Announced.Price == nil || product.Spec.Announced.Price.MessageID != "m-2" {
		t.Errorf("the price announcement was touched: %+v", product.Spec.Announced.Price)
	}
}

func announcePrice(announcement string) client.Patch {
	return client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"announced":{"price":%s}}}`, announcement))
}

// jsonPatch is one JSON patch operation; appendNotification is the ledger's.
func jsonPatch(t *testing.T, op, path string, value any) client.Patch {
	t.Helper()
	operation := map[string]any{"op": op, "path": path}
	if op != "remove" {
		operation["value"] = value
	}
	data, err := json.Marshal([]any{operation})
	if err != nil {
		t.Fatal(err)
	}
	return client.RawPatch(types.JSONPatchType, data)
}

func appendNotification(t *testing.T, notification v1alpha1.Notification) client.Patch {
	t.Helper()
	return jsonPatch(t, "add", "/spec/notifications/-", notification)
}

func TestNotifications(t *testing.T) {
	c := newClient(t)
	namespace := env.Namespace(t, c)
	changed := newNotification("m-1")
	changed.Succeeded = ptr.To(true)
	other := newNotification("m-1")
	other.Sealed = "b3RoZXI="
	cases := map[string]struct {
		recorded []v1alpha1.Notification
		patch    client.Patch
		want     refusal
		ids      []string
	}{
		"first on an order made without any": {
			patch: appendNotification(t, newNotification("m-1")), ids: []string{"m-1"},
		},
		"second": {
			recorded: []v1alpha1.Notification{newNotification("m-1")},
			patch:    appendNotification(t, newNotification("m-2")), ids: []string{"m-1", "m-2"},
		},
		"the same again": {
			recorded: []v1alpha1.Notification{newNotification("m-1")},
			patch:    appendNotification(t, newNotification("m-1")), ids: []string{"m-1"},
			want: refusal{"spec.notifications[1]", metav1.CauseTypeFieldValueDuplicate, "m-1"},
		},
		"the same id, other content": {
			recorded: []v1alpha1.Notification{newNotification("m-1")},
			patch:    appendNotification(t, other), ids: []string{"m-1"},
			want: refusal{"spec.notifications[1]", metav1.CauseTypeFieldValueDuplicate, "m-1"},
		},
		"a changed field": {
			recorded: []v1alpha1.Notification{newNotification("m-1")},
			patch:    jsonPatch(t, "replace", "/spec/notifications/0", changed), ids: []string{"m-1"},
			want: invalid("spec.notifications[0]", "a recorded notification is immutable"),
		},
		"one dropped when compacted": {
			recorded: []v1alpha1.Notification{newNotification("m-1"), newNotification("m-2")},
			patch:    jsonPatch(t, "remove", "/spec/notifications/0", nil), ids: []string{"m-2"},
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			order := newOrder(namespace)
			order.Spec.Notifications = test.recorded
			if err := c.Create(t.Context(), order); err != nil {
				t.Fatal(err)
			}
			test.want.check(t, c.Patch(t.Context(), order, test.patch))
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(order), order); err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, notification := range order.Spec.Notifications {
				ids = append(ids, notification.ID)
			}
			if diff := cmp.Diff(test.ids, ids); diff != "" {
				t.Errorf("notifications (-want +got):\n%s", diff)
			}
		})
	}
}

// ageFile begins as age files do, in base64.
const ageFile = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+"

// Of a recorded notification what is sealed may be sealed anew. Nothing else may change,
// whether it was there before or not.
func TestOnlyWhatIsSealedMayBeReplaced(t *testing.T) {
	c := newClient(t)
	namespace := env.Namespace(t, c)
	full := fullNotification(1, 0)
	full.Sealed = ageFile + "AAAA"
	full.Reason, full.Remark, full.Truncated = "reason", "remark", true
	full.Price = &v1alpha1.OrderPrice{Text: "1 A$"}
	full.Cancellation = rules(2)
	full.Refund = &v1alpha1.NotifiedRefund{ID: "r-1"}
	full.Deadline = ptr.To(metav1.NewTime(receivedAt.Truncate(time.Second)))
	full.Reply = &v1alpha1.NotificationReply{Result: v1alpha1.ResultIssued, Sealed: ageFile + "BBBB"}
	bare := newNotification("bare")

	later := metav1.NewMicroTime(receivedAt.Add(time.Microsecond))
	says := map[string]func(*v1alpha1.Notification){
		"type":         func(n *v1alpha1.Notification) { n.Type = v1alpha1.NotificationCancelled },
		"platformType": func(n *v1alpha1.Notification) { n.PlatformType = "other" },
		"occurredAt":   func(n *v1alpha1.Notification) { n.OccurredAt = &later },
		"receivedAt":   func(n *v1alpha1.Notification) { n.ReceivedAt = later },
		"succeeded":    func(n *v1alpha1.Notification) { n.Succeeded = ptr.To(false) },
		"reason":       func(n *v1alpha1.Notification) { n.Reason = "other" },
		"remark":       func(n *v1alpha1.Notification) { n.Remark = "other" },
		"price":        func(n *v1alpha1.Notification) { n.Price = &v1alpha1.OrderPrice{Text: "2 A$"} },
		"cancellation": func(n *v1alpha1.Notification) { n.Cancellation = rules(3) },
		"codes":        func(n *v1alpha1.Notification) { n.Codes = []v1alpha1.Code{{ID: "h1:x", Hint: "X•••"}} },
		"truncated":    func(n *v1alpha1.Notification) { n.Truncated = !n.Truncated },
		"refund":       func(n *v1alpha1.Notification) { n.Refund = &v1alpha1.NotifiedRefund{ID: "r-2"} },
		"deadline": func(n *v1alpha1.Notification) {
			n.Deadline = ptr.To(metav1.NewTime(receivedAt.Truncate(time.Second).Add(time.Second)))
		},
		"reply":  func(n *v1alpha1.Notification) { n.Reply = &v1alpha1.NotificationReply{Result: v1alpha1.ResultPending} },
		"sealed": func(n *v1alpha1.Notification) { n.Sealed = "cGxhaW4=" },
	}
	for field := range reflect.TypeFor[v1alpha1.Notification]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if _, tested := says[name]; !tested && name != "id" { // the id tells entries apart
			t.Errorf("whether %s may change is not tested", name)
		}
	}
	if n := reflect.TypeFor[v1alpha1.NotificationReply]().NumField(); n != 2 {
		t.Errorf("a reply has %d fields: of result and sealed it is tested who may change", n)
	}
	for name, says := range says {
		for _, recorded := range []v1alpha1.Notification{full, bare} {
			changed := *recorded.DeepCopy()
			says(&changed)
			checkReplaced(t, c, namespace, recorded, changed, false, name+" of "+recorded.ID)
		}
	}
	dropped := *full.DeepCopy()
	dropped.Price = nil
	checkReplaced(t, c, namespace, full, dropped, false, "price dropped")

	for name, test := range map[string]struct {
		sealed, replied string
		allowed         bool
	}{
		"as they are":        {full.Sealed, full.Reply.Sealed, true},
		"both sealed anew":   {ageFile + "CCCC", ageFile + "DDDD", true},
		"the body":           {ageFile + "CCCC", full.Reply.Sealed, true},
		"the answer":         {full.Sealed, ageFile + "DDDD", true},
		"the body dropped":   {"", full.Reply.Sealed, false},
		"the answer dropped": {full.Sealed, "", false},
		"the answer plain":   {full.Sealed, "cGxhaW4=", false},
	} {
		changed := *full.DeepCopy()
		changed.Sealed, changed.Reply.Sealed = test.sealed, test.replied
		checkReplaced(t, c, namespace, full, changed, test.allowed, name)
	}
	// What was not sealed from the first has nothing to be sealed anew.
	added := *full.DeepCopy()
	added.Reply.Sealed = ""
	without := added.DeepCopy()
	added.Reply = full.Reply
	checkReplaced(t, c, namespace, *without, added, false, "an answer added")
	added = bare
	added.Sealed = ageFile
	checkReplaced(t, c, namespace, bare, added, false, "a body added")
}

func checkReplaced(t *testing.T, c client.Client, namespace string, recorded, changed v1alpha1.Notification, allowed bool, name string) {
	t.Helper()
	order := newOrder(namespace)
	order.Spec.Notifications = []v1alpha1.Notification{newNotification("first"), recorded}
	if err := c.Create(t.Context(), order); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	err := c.Patch(t.Context(), order, jsonPatch(t, "replace", "/spec/notifications/1", changed))
	if allowed != (err == nil) || err != nil && !apierrors.IsInvalid(err) {
		t.Errorf("%s: allowed %v, want %v: %v", name, err == nil, allowed, err)
	}
}

// TestAppendToAnOrderAppliedWithoutNotifications: a person's manifest has no
// notifications field at all, which the typed client above cannot leave out.
func TestAppendToAnOrderAppliedWithoutNotifications(t *testing.T) {
	c := newClient(t)
	order := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.SchemeGroupVersion.String(),
		"kind":       "OrderVoucher",
		"metadata":   map[string]any{"namespace": env.Namespace(t, c), "name": "by-hand"},
		"spec":       map[string]any{"channelRef": map[string]any{"name": "fliggy"}, "orderID": "1"},
	}}
	if err := c.Create(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	if err := c.Patch(t.Context(), order, appendNotification(t, newNotification("m-1"))); err != nil {
		t.Fatal(err)
	}
}

// TestFullOrder: the largest object that etcd takes must still pass validation
// within the API server's CEL budget, or its next push could never be recorded.
func TestFullOrder(t *testing.T) {
	const maxNotifications = 256
	for name, sealed := range map[string]int{"small": 0, "as heavy as may be": 2500} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t)
			order := newOrder(env.Namespace(t, c))
			for i := range maxNotifications - 1 {
				order.Spec.Notifications = append(order.Spec.Notifications, fullNotification(i, sealed))
			}
			if err := c.Create(t.Context(), order); err != nil {
				t.Fatal(err)
			}
			last := fullNotification(maxNotifications-1, sealed)
			if err := c.Patch(t.Context(), order, appendNotification(t, last)); err != nil {
				t.Fatalf("append to a nearly full order: %v", err)
			}
			err := c.Patch(t.Context(), order, appendNotification(t, fullNotification(maxNotifications, 0)))
			refusal{"spec.notifications", metav1.CauseTypeTooMany, "at most 256"}.check(t, err)
		})
	}
}

// The weight of all notifications is bounded, so that a full order stays below what etcd
// takes and its status can always be written.
func TestNotificationsHaveAWeight(t *testing.T) {
	c := newClient(t)
	order := newOrder(env.Namespace(t, c))
	order.Spec.Notifications = []v1alpha1.Notification{fullNotification(0, 390000), fullNotification(1, 390000), fullNotification(2, 100000)}
	if err := c.Create(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	err := c.Patch(t.Context(), order, appendNotification(t, fullNotification(3, 20000)))
	refusal{"spec.notifications", metav1.CauseTypeFieldValueInvalid, "the notifications weigh more"}.check(t, err)

	// What was replied weighs too.
	replied := fullNotification(3, 0)
	replied.Codes = nil
	replied.Reply = &v1alpha1.NotificationReply{Result: v1alpha1.ResultIssued, Sealed: strings.Repeat("a", 20000)}
	err = c.Patch(t.Context(), order, appendNotification(t, replied))
	refusal{"spec.notifications", metav1.CauseTypeFieldValueInvalid, "the notifications weigh more"}.check(t, err)
	replied.Reply = nil
	replied.Cancellation = rules(16) // as much as 19,200 bytes
	err = c.Patch(t.Context(), order, appendNotification(t, replied))
	refusal{"spec.notifications", metav1.CauseTypeFieldValueInvalid, "the notifications weigh more"}.check(t, err)
	replied.Cancellation = rules(1)
	replied.Remark = "remark"
	if err := c.Patch(t.Context(), order, appendNotification(t, replied)); err != nil {
		t.Error(err)
	}
}

func fullNotification(i, sealed int) v1alpha1.Notification {
	notification := newNotification(fmt.Sprintf("message-%06d", i))
	notification.OccurredAt = &receivedAt
	notification.Succeeded = ptr.To(true)
	notification.Sealed = strings.Repeat("a", sealed)
	for j := range 5 {
		notification.Codes = append(notification.Codes, v1alpha1.Code{
			ID: fmt.Sprintf("h1:%040d", j), Hint: "A•••", Persons: ptr.To[int64](2), Used: ptr.To[int64](0),
		})
	}
	return notification
}

func TestStatusBeforeTheFirstLook(t *testing.T) {
	c := newClient(t)
	namespace := env.Namespace(t, c)
	for _, object := range []client.Object{newChannel(namespace), newProduct(namespace), newOrder(namespace)} {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		var got int64
		switch object := object.(type) {
		case *v1alpha1.Channel:
			got = object.Status.ObservedGeneration
		case *v1alpha1.ProductSync:
			got = object.Status.ObservedGeneration
		case *v1alpha1.OrderVoucher:
			got = object.Status.ObservedGeneration
		}
		if got != -1 {
			t.Errorf("%T: status.observedGeneration is %d, want -1", object, got)
		}
	}
}

func TestChannelBounds(t *testing.T) {
	c := newClient(t)
	namespace := env.Namespace(t, c)
	cases := map[string]struct {
		set  func(*v1alpha1.Channel)
		want refusal
	}{
		"as made": {set: func(*v1alpha1.Channel) {}},
		"platform unknown": {
			func(ch *v1alpha1.Channel) { ch.Spec.Platform = "Other" },
			refusal{"spec.platform", metav1.CauseTypeFieldValueNotSupported, "Fliggy"},
		},
		"account missing": {
			func(ch *v1alpha1.Channel) { ch.Spec.Account = "" },
			refusal{"spec.account", metav1.CauseTypeFieldValueRequired, ""},
		},
		"account with a slash": {
			func(ch *v1alpha1.Channel) { ch.Spec.Account = "a/b" }, invalid("spec.account", "should match"),
		},
		"account of 128": {set: func(ch *v1alpha1.Channel) { ch.Spec.Account = strings.Repeat("a", 128) }},
		"account of 129": {
			func(ch *v1alpha1.Channel) { ch.Spec.Account = strings.Repeat("a", 129) },
			refusal{"spec.account", metav1.CauseTypeTooLong, ""},
		},
		"credentials missing": {
			func(ch *v1alpha1.Channel) { ch.Spec.CredentialsRef = v1alpha1.SecretReference{} },
			refusal{"spec.credentialsRef", metav1.CauseTypeFieldValueRequired, ""},
		},
		"endpoint https":    {set: func(ch *v1alpha1.Channel) { ch.Spec.Endpoint = "https://open.douyin.com" }},
		"endpoint loopback": {set: func(ch *v1alpha1.Channel) { ch.Spec.Endpoint = "http://127.0.0.1:30100/base" }},
		"endpoint ftp": {
			func(ch *v1alpha1.Channel) { ch.Spec.Endpoint = "ftp://example.com" },
			invalid("spec.endpoint", "must be an http(s) URL"),
		},
		"endpoint without a host": {
			func(ch *v1alpha1.Channel) { ch.Spec.Endpoint = "https:///path" },
			invalid("spec.endpoint", "must be an http(s) URL"),
		},
		"endpoint no URL": {
			func(ch *v1alpha1.Channel) { ch.Spec.Endpoint = "open.douyin.com" },
			invalid("spec.endpoint", "must be an http(s) URL"),
		},
		"another platform's part": {
			func(ch *v1alpha1.Channel) { ch.Spec.Douyin = &v1alpha1.DouyinChannel{} },
			invalid("spec", "spec.douyin belongs to platform Douyin only"),
		},
		"resync of 10s":  {set: resync(10 * time.Second)},
		"resync of 720h": {set: resync(720 * time.Hour)},
		"resync of 9s":   {resync(9 * time.Second), invalid("spec.products.resyncInterval", "between 10s and 720h")},
		"resync of 721h": {resync(721 * time.Hour), invalid("spec.products.resyncInterval", "between 10s and 720h")},
		"no requests at all": {
			func(ch *v1alpha1.Channel) { ch.Spec.Limits.RequestsPerSecond = ptr.To[int32](0) },
			invalid("spec.limits.requestsPerSecond", "greater than or equal to 1"),
		},
		"too much at once": {
			func(ch *v1alpha1.Channel) { ch.Spec.Limits.Concurrency = ptr.To[int32](101) },
			invalid("spec.limits.concurrency", "less than or equal to 100"),
		},
		"CIDRs": {set: cidrs("203.0.113.0/24", "2001:db8::/32")},
		"an address for a CIDR": {
			cidrs("203.0.113.7"), invalid("spec.receive.allowedCIDRs", "must be a CIDR"),
		},
		"a CIDR twice": {
			cidrs("10.0.0.0/8", "10.0.0.0/8"),
			refusal{"spec.receive.allowedCIDRs[1]", metav1.CauseTypeFieldValueDuplicate, ""},
		},
		"no unknown objects at all": {set: unknownObjects(0, time.Hour)},
		"many, for a month":         {set: unknownObjects(100_000, 720*time.Hour)},
		"too many unknown objects": {
			unknownObjects(100_001, time.Hour), invalid("spec.receive.unknownObjects.max", "less than or equal to 100000"),
		},
		"unknown objects for minutes": {
			unknownObjects(1, 59*time.Minute), invalid("spec.receive.unknownObjects.ttl", "between 1h and 720h"),
		},
		"a recipient that is none": {
			func(ch *v1alpha1.Channel) { ch.Spec.Sealing.Recipients = []string{"AGE-SECRET-KEY-1"} },
			invalid("spec.sealing.recipients[0]", "should match"),
		},
		"a time zone": {set: zone("-03:30")},
		"no time zone": {
			zone("GMT+8"), invalid("spec.sctt.requestTimeZone", "should match"),
		},
		"a zone that is none": {zone("+15:00"), invalid("spec.sctt.requestTimeZone", "should match")},
		"name of 54":          {set: func(ch *v1alpha1.Channel) { ch.Name = strings.Repeat("n", 54) }},
		"name of 55": {
			func(ch *v1alpha1.Channel) { ch.Name = strings.Repeat("n", 55) },
			invalid("<nil>", "at most 54 characters"), // what the API server calls the root,
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			channel := newChannel(namespace)
			test.set(channel)
			test.want.check(t, c.Create(t.Context(), channel))
		})
	}
}

func unknownObjects(most int32, ttl time.Duration) func(*v1alpha1.Channel) {
	return func(ch *v1alpha1.Channel) {
		ch.Spec.Receive.UnknownObjects = v1alpha1.ChannelUnknownObjects{Max: &most, TTL: &metav1.Duration{Duration: ttl}}
	}
}

func resync(interval time.Duration) func(*v1alpha1.Channel) {
	return func(ch *v1alpha1.Channel) {
		ch.Spec.Products.ResyncInterval = &metav1.Duration{Duration: interval}
	}
}

func zone(text string) func(*v1alpha1.Channel) {
	return func(ch *v1alpha1.Channel) {
		ch.Spec.Platform, ch.Spec.SCTT = v1alpha1.PlatformSCTT, &v1alpha1.SCTTChannel{RequestTimeZone: text}
	}
}

func cidrs(cidrs ...string) func(*v1alpha1.Channel) {
	return func(ch *v1alpha1.Channel) { ch.Spec.Receive.AllowedCIDRs = cidrs }
}

func TestProductBounds(t *testing.T) {
	c := newClient(t)
	namespace := env.Namespace(t, c)
	cases := map[string]struct {
		set  func(*v1alpha1.ProductSync)
		want refusal
	}{
		"as made": {set: func(*v1alpha1.ProductSync) {}},
		"id missing": {
			func(ps *v1alpha1.ProductSync) { ps.Spec.ProductID = "" },
			refusal{"spec.productID", metav1.CauseTypeFieldValueRequired, ""},
		},
		"id of 129": {
			func(ps *v1alpha1.ProductSync) { ps.Spec.ProductID = strings.Repeat("1", 129) },
			refusal{"spec.productID", metav1.CauseTypeTooLong, ""},
		},
		"channel missing": {
			func(ps *v1alpha1.ProductSync) { ps.Spec.ChannelRef.Name = "" },
			refusal{"spec.channelRef", metav1.CauseTypeFieldValueRequired, ""},
		},
		"channel name of 64": {
			func(ps *v1alpha1.ProductSync) { ps.Spec.ChannelRef.Name = strings.Repeat("c", 64) },
			refusal{"spec.channelRef.name", metav1.CauseTypeTooLong, ""},
		},
		"announced by nobody": {
			func(ps *v1alpha1.ProductSync) {
				ps.Spec.Announced.Info = &v1alpha1.Announcement{ChangedAt: receivedAt, Type: "T"}
			},
			refusal{"spec.announced.info.messageID", metav1.CauseTypeFieldValueRequired, ""},
		},
		"announced at no time": {
			func(ps *v1alpha1.ProductSync) {
				ps.Spec.Announced.Info = &v1alpha1.Announcement{MessageID: "m", Type: "T"}
			},
			refusal{"spec.announced.info.changedAt", metav1.CauseTypeFieldValueRequired, ""},
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			product := newProduct(namespace)
			test.set(product)
			test.want.check(t, c.Create(t.Context(), product))
		})
	}
}

func TestOrderBounds(t *testing.T) {
	c := newClient(t)
	namespace := env.Namespace(t, c)
	notified := func(set func(*v1alpha1.Notification)) func(*v1alpha1.OrderVoucher) {
		return func(order *v1alpha1.OrderVoucher) {
			notification := newNotification("m-1")
			set(&notification)
			order.Spec.Notifications = []v1alpha1.Notification{notification}
		}
	}
	cases := map[string]struct {
		set  func(*v1alpha1.OrderVoucher)
		want refusal
	}{
		"as made": {set: func(*v1alpha1.OrderVoucher) {}},
		"id missing": {
			func(ov *v1alpha1.OrderVoucher) { ov.Spec.OrderID = "" },
			refusal{"spec.orderID", metav1.CauseTypeFieldValueRequired, ""},
		},
		"type unknown": {
			notified(func(n *v1alpha1.Notification) { n.Type = "Exploded" }),
			refusal{"spec.notifications[0].type", metav1.CauseTypeFieldValueNotSupported, "Other"},
		},
		"id of a message missing": {
			notified(func(n *v1alpha1.Notification) { n.ID = "" }),
			refusal{"spec.notifications[0].id", metav1.CauseTypeFieldValueRequired, ""},
		},
		"500 codes": {set: notified(func(n *v1alpha1.Notification) { n.Codes = codes(500) })},
		"501 codes": {
			notified(func(n *v1alpha1.Notification) { n.Codes = codes(501) }),
			refusal{"spec.notifications[0].codes", metav1.CauseTypeTooMany, "at most 500"},
		},
		"the largest push, sealed": {
			set: notified(func(n *v1alpha1.Notification) { n.Sealed = strings.Repeat("a", 393216) }),
		},
		"a larger one": {
			notified(func(n *v1alpha1.Notification) { n.Sealed = strings.Repeat("a", 393217) }),
			refusal{"spec.notifications[0].sealed", metav1.CauseTypeTooLong, ""},
		},
		"a code's uses below none": {
			notified(func(n *v1alpha1.Notification) {
				n.Codes = codes(1)
				n.Codes[0].Used = ptr.To[int64](-1)
			}),
			invalid("spec.notifications[0].codes[0].used", "greater than or equal to 0"),
		},
		"money without a currency": {
			notified(func(n *v1alpha1.Notification) {
				n.Refund = &v1alpha1.NotifiedRefund{Amount: &v1alpha1.Money{Amount: 1}}
			}),
			refusal{"spec.notifications[0].refund.amount.currency", metav1.CauseTypeFieldValueRequired, ""},
		},
		"money in yuan, not CNY": {
			notified(func(n *v1alpha1.Notification) {
				n.Refund = &v1alpha1.NotifiedRefund{Amount: &v1alpha1.Money{Currency: "cny", Amount: 1}}
			}),
			invalid("spec.notifications[0].refund.amount.currency", "should match"),
		},
		"a price whose currency is not clear": {set: notified(func(n *v1alpha1.Notification) {
			n.Price = &v1alpha1.OrderPrice{Text: "120 ¥"}
		})},
		"a price without a text": {
			notified(func(n *v1alpha1.Notification) {
				n.Price = &v1alpha1.OrderPrice{Money: &v1alpha1.Money{Currency: "CNY", Amount: 1}}
			}),
			refusal{"spec.notifications[0].price.text", metav1.CauseTypeFieldValueRequired, ""},
		},
		"16 rules of cancelling": {set: notified(func(n *v1alpha1.Notification) { n.Cancellation = rules(16) })},
		"17 rules of cancelling": {
			notified(func(n *v1alpha1.Notification) { n.Cancellation = rules(17) }),
			refusal{"spec.notifications[0].cancellation.rules", metav1.CauseTypeTooMany, "at most 16"},
		},
		"a form that is none": {
			notified(func(n *v1alpha1.Notification) { n.Codes = codes(1); n.Codes[0].Form = "9" }),
			refusal{"spec.notifications[0].codes[0].form", metav1.CauseTypeFieldValueNotSupported, "QRCode"},
		},
		"two decisions on one refund": {
			func(ov *v1alpha1.OrderVoucher) {
				ov.Spec.RefundDecisions = []v1alpha1.RefundDecision{{RefundID: "r"}, {RefundID: "r", Approve: true}}
			},
			refusal{"spec.refundDecisions[1]", metav1.CauseTypeFieldValueDuplicate, ""},
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			order := newOrder(namespace)
			test.set(order)
			test.want.check(t, c.Create(t.Context(), order))
		})
	}
}

func rules(n int) *v1alpha1.Cancellation {
	return &v1alpha1.Cancellation{Type: v1alpha1.CancellationByRule, Rules: slices.Repeat([]v1alpha1.CancellationRule{{PlatformType: "1"}}, n)}
}

func codes(n int) []v1alpha1.Code {
	codes := make([]v1alpha1.Code, 0, n)
	for i := range n {
		codes = append(codes, v1alpha1.Code{ID: fmt.Sprintf("h1:%d", i), Hint: "A•••"})
	}
	return codes
}

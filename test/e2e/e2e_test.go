package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
	"github.com/laidoulaile/channel-operator/test/env"
)

// A product and an order with what a platform has of them, ready to change.
const (
	bigOrder = "9007199254740995" // above 2^53
	codeOne  = "PLANTED-CODE-ONE"
	codeTwo  = "PLANTED-CODE-TWO"
)

func (w *world) putProduct(id string) {
	w.Helper()
	if err := w.fake.PutProduct(platformtest.Product{ID: id, Title: "西湖一晚双早套餐", SupplierCode: "XH-01",
		Start: time.Now().Format(time.DateOnly), Days: 30, Price: "350.50", Stock: 12}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) putOrder(id string) {
	w.Helper()
	if err := w.fake.PutOrder(platformtest.Order{ID: id, OutOrderID: "T-" + id, ProductID: "88", Quantity: 2, Price: 35050}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) issue(id string) {
	w.Helper()
	body, err := w.fake.IssueCodes(id, platformtest.OrderCode{Code: codeOne, Persons: 2}, platformtest.OrderCode{Code: codeTwo, Persons: 1})
	w.send(orderPath, body, err)
}

// seedBodies are the bodies of the seed, all ten types, for this world's account.
func (w *world) seedBodies() map[string]string {
	w.Helper()
	root, err := env.Root()
	if err != nil {
		w.Fatal(err)
	}
	bodies := map[string]string{}
	for _, name := range []string{"product-info", "product-valid", "product-invalid", "product-price-stock", "product-price", "product-stock",
		"order-status", "order-send-code", "order-refund", "order-verify"} {
		raw, err := os.ReadFile(filepath.Join(root, "internal", "platform", "fliggy", "testdata", "push", name+".json"))
		if err != nil {
			w.Fatal(err)
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(raw, &fields); err != nil {
			w.Fatal(err)
		}
		fields["distributorId"] = json.RawMessage(w.account)
		body, err := json.Marshal(fields)
		if err != nil {
			w.Fatal(err)
		}
		bodies[name] = string(body)
	}
	return bodies
}

func pathOf(name string) string {
	if strings.HasPrefix(name, "product") {
		return productPath
	}
	return orderPath
}

// All ten push types, as the seed has them, by account and by channel path; a second copy
// of any changes no resourceVersion.
func TestSeedBodiesAreRecordedOnceByEitherPath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bodies := w.seedBodies()
	for name, body := range bodies {
		if status, reply := w.post(pathOf(name), "application/json", body); status != http.StatusOK || reply != "success" {
			t.Errorf("%s: %d %q", name, status, reply)
		}
	}
	settled := w.settled()
	for name, body := range bodies {
		tail := strings.TrimPrefix(pathOf(name), "/api/webhooks/fliggy/")
		for _, path := range []string{pathOf(name), "/api/channels/" + w.namespace + "/fliggy/" + tail} {
			if status, reply := w.post(path, "application/json", body); status != http.StatusOK || reply != "success" {
				t.Errorf("%s again: %d %q", name, status, reply)
			}
		}
	}
	if again := w.settled(); again != settled {
		t.Errorf("second copies changed resource versions:\n%s\n%s", settled, again)
	}
	if !strings.Contains(scrape(t, w.manager), `channel_operator_pushes_total{channel="`+w.namespace+`/fliggy",outcome="duplicate",platform="Fliggy",type="ORDER_SEND_CODE_NOTIFY"} 2`) {
		t.Error("the two duplicates are not counted")
	}
}

// settled waits until every object's status speaks of its generation and gives their versions.
func (w *world) settled() string {
	w.Helper()
	var versions []string
	w.eventually(func() error {
		versions = nil
		var products v1alpha1.ProductSyncList
		var orders v1alpha1.OrderVoucherList
		if err := errors.Join(api.List(w.ctx, &products, client.InNamespace(w.namespace)), api.List(w.ctx, &orders, client.InNamespace(w.namespace))); err != nil {
			return err
		}
		for _, ps := range products.Items {
			if err := conditions.Check(ps.Status.Conditions, ps.Generation, ps.Status.ObservedGeneration); err != nil || ps.Generation != ps.Status.ObservedGeneration {
				return fmt.Errorf("product %s is behind: %w", ps.Name, err)
			}
			versions = append(versions, ps.Name+"@"+ps.ResourceVersion)
		}
		for _, ov := range orders.Items {
			if err := conditions.Check(ov.Status.Conditions, ov.Generation, ov.Status.ObservedGeneration); err != nil || ov.Generation != ov.Status.ObservedGeneration {
				return fmt.Errorf("order %s is behind: %w", ov.Name, err)
			}
			versions = append(versions, ov.Name+"@"+ov.ResourceVersion)
		}
		return nil
	})
	slices.Sort(versions)
	return strings.Join(versions, " ")
}

// The table shows what the pushes mean, under the words people use.
func TestTablesShowWhatHappened(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, id := range []string{"88", "89"} {
		w.putProduct(id)
		w.send(productPath, w.fake.ProductPush("VACATION_RESOURCE_VALID_CHANGE", id, time.Now()))
		w.productReady(id, func(*v1alpha1.ProductSync) error { return nil })
	}
	if err := w.fake.SetOffShelf("89"); err != nil {
		t.Fatal(err)
	}
	w.send(productPath, w.fake.ProductPush("VACATION_RESOURCE_INVALID_CHANGE", "89", time.Now().Add(time.Millisecond)))
	w.putOrder(bigOrder)
	body, err := w.fake.Pay(bigOrder)
	w.send(orderPath, body, err)
	w.issue(bigOrder)
	body, err = w.fake.UseCode(bigOrder, codeOne, 1)
	w.send(orderPath, body, err)
	w.putOrder("6")
	body, err = w.fake.Pay("6")
	w.send(orderPath, body, err)
	body, err = w.fake.IssueCodes("6", platformtest.OrderCode{Code: "ANY", Persons: 1})
	w.send(orderPath, body, err)
	body, err = w.fake.Refund("6", 70100, 2, true)
	w.send(orderPath, body, err)

	w.productReady("88", func(*v1alpha1.ProductSync) error { return nil })
	w.productReady("89", func(ps *v1alpha1.ProductSync) error {
		if ps.Status.State != v1alpha1.ProductOffSale {
			return fmt.Errorf("state %s", ps.Status.State)
		}
		return nil
	})
	w.orderReady(bigOrder, v1alpha1.OrderPartlyUsed)
	w.orderReady("6", v1alpha1.OrderRefunded)
	products, orders := w.kubectl("get", "products"), w.kubectl("get", "orders")
	for _, test := range []struct {
		table, name string
		want        map[string]string
	}{
		{products, "fliggy-88", map[string]string{"CHANNEL": "fliggy", "PRODUCT": "88", "TITLE": "西湖一晚双早套餐", "STATE": "OnSale", "PRICE": "350.50 CNY", "STOCK": "360", "READY": "True"}},
		{products, "fliggy-89", map[string]string{"STATE": "OffSale", "READY": "True"}},
		{orders, "fliggy-" + bigOrder, map[string]string{"ORDER": bigOrder, "PHASE": "PartlyUsed", "CODES": "2", "USED": "1/3", "REFUNDED": "0.00 CNY", "READY": "True"}},
		{orders, "fliggy-6", map[string]string{"PHASE": "Refunded", "REFUNDED": "701.00 CNY", "READY": "True"}},
	} {
		got := row(t, test.table, test.name)
		for column, want := range test.want {
			if got[column] != want {
				t.Errorf("%s %s = %q, want %q", test.name, column, got[column], want)
			}
		}
	}
	for _, word := range []string{"channels", "ch", "product", "products", "ps", "order", "orders", "ov"} {
		w.kubectl("get", word)
	}
}

// A price changed on the platform and pushed stands in the table within a second. The
// machine may be busy with other tests, so the best of a few counts, or of more while none was.
func TestPushedPriceShowsWithinASecond(t *testing.T) {
	w := newWorld(t)
	w.putProduct("88")
	w.send(productPath, w.fake.ProductPush("VACATION_RESOURCE_VALID_CHANGE", "88", time.Now()))
	w.productReady("88", func(*v1alpha1.ProductSync) error { return nil })
	details := w.fake.Calls("queryProductDetailInfo")
	best, price := time.Hour, ""
	for i, end := 0, time.Now().Add(time.Minute); i < 5 || best > time.Second && time.Now().Before(end); i++ {
		price = fmt.Sprintf("%d.00", 400+i)
		if err := w.fake.SetPrice("88", price); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		w.send(productPath, w.fake.ProductPush("VACATION_RESOURCE_PRICE_CHANGE", "88", start))
		w.productReady("88", func(ps *v1alpha1.ProductSync) error {
			if ps.Status.Summary.Price != price+" CNY" {
				return fmt.Errorf("price %s, want %s", ps.Status.Summary.Price, price)
			}
			return nil
		})
		best = min(best, time.Since(start))
	}
	t.Logf("push to status: the best took %s", best)
	if best > time.Second {
		t.Errorf("the best took %s", best)
	}
	if got := w.fake.Calls("queryProductDetailInfo"); got != details {
		t.Errorf("price pushes asked for the detail %d times: price and stock would do", got-details)
	}
	if got := row(t, w.kubectl("get", "products"), "fliggy-88")["PRICE"]; got != price+" CNY" {
		t.Errorf("the table shows %s", got)
	}
}

// With the platform away for a minute, pushes are still received, and everything ends
// Ready with no further push.
func TestPlatformAwayForAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.putProduct("88")
	w.send(productPath, w.fake.ProductPush("VACATION_RESOURCE_VALID_CHANGE", "88", time.Now()))
	w.productReady("88", func(*v1alpha1.ProductSync) error { return nil })
	w.fake.Down()
	back := time.After(time.Minute)
	if err := w.fake.SetPrice("88", "999.00"); err != nil {
		t.Fatal(err)
	}
	w.putOrder(bigOrder)
	if _, err := w.fake.Pay(bigOrder); err != nil {
		t.Fatal(err)
	}
	w.send(productPath, w.fake.ProductPush("VACATION_RESOURCE_PRICE_STOCK_CHANGE", "88", time.Now().Add(time.Second)))
	w.issue(bigOrder)
	w.putProduct("90")
	w.send(productPath, w.fake.ProductPush("VACATION_RESOURCE_INFO_CHANGE", "90", time.Now()))
	w.eventually(func() error {
		for _, ps := range []*v1alpha1.ProductSync{w.product("88"), w.product("90")} {
			if err := w.get(ps); err != nil {
				return err
			}
			if reason, is := conditions.Of(ps.Status.Conditions); is || reason != v1alpha1.ReasonProgressingWithRetry {
				return fmt.Errorf("%s: Ready=%v (%s)", ps.Name, is, reason)
			}
		}
		return nil
	})
	select {
	case <-back:
	case <-w.ctx.Done():
	}
	w.fake.Up()
	w.productReady("88", func(ps *v1alpha1.ProductSync) error {
		if ps.Status.Summary.Price != "999.00 CNY" {
			return errors.New(ps.Status.Summary.Price)
		}
		return nil
	})
	w.productReady("90", func(*v1alpha1.ProductSync) error { return nil })
	w.orderReady(bigOrder, v1alpha1.OrderIssued)
}

// A refund that is pushed and not confirmed never shows; once the platform confirms it,
// it does, with no further push.
func TestUnconfirmedRefundNeverShows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.putOrder(bigOrder)
	if _, err := w.fake.Pay(bigOrder); err != nil {
		t.Fatal(err)
	}
	w.issue(bigOrder)
	w.orderReady(bigOrder, v1alpha1.OrderIssued)
	forged := fmt.Sprintf(`{"pushType":"ORDER_REFUND_NOTIFY","distributorId":%s,"orderId":%q,"outOrderId":"T","timestamp":1758600000500,"messageId":"forged",`+
		`"data":{"success":true,"refundFee":70100,"refundType":1}}`, w.account, bigOrder)
	asked := w.fake.Calls("searchOrder")
	w.send(orderPath, []byte(forged))
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) || w.fake.Calls("searchOrder") < asked+3; {
		ov := w.order(bigOrder)
		if err := w.get(ov); err != nil {
			t.Fatal(err)
		}
		if ov.Status.Phase != v1alpha1.OrderIssued || ov.Status.Totals.Refunded != 0 || ov.Status.Summary.Refunded != "0.00 CNY" {
			t.Fatalf("shows %s, %+v", ov.Status.Phase, ov.Status.Summary)
		}
		if _, is := conditions.Of(ov.Status.Conditions); is && ov.Status.ObservedGeneration == ov.Generation {
			t.Fatal("Ready although the refund is not confirmed")
		}
		time.Sleep(10 * time.Millisecond) // other tests need the API server too
	}
	ov := w.order(bigOrder)
	if err := w.get(ov); err != nil {
		t.Fatal(err)
	}
	if reason, _ := conditions.Of(ov.Status.Conditions); reason != v1alpha1.ReasonNotConfirmed {
		t.Errorf("reason %s", reason)
	}
	if _, err := w.fake.Refund(bigOrder, 70100, 2, true); err != nil {
		t.Fatal(err)
	}
	w.orderReady(bigOrder, v1alpha1.OrderRefunded)
}

// Bad input gets a clear reply, is counted, and leaves nothing behind.
func TestBadInputIsRefusedAndRecordedNowhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *v1alpha1.Channel) {
		c.Spec.Receive.AllowedCIDRs = []string{"127.0.0.0/8"}
	})
	good := fmt.Sprintf(`{"pushType":"VACATION_RESOURCE_INFO_CHANGE","productCategory":"HOTEL_TICKET","productId":"1","distributorId":%s,"changedTime":1758600000000,"timestamp":1758600000500,"messageId":"m"}`, w.account)
	for name, test := range map[string]struct {
		path, body string
		status     int
	}{
		"not JSON":                {productPath, "nonsense", 400},
		"empty":                   {productPath, "", 400},
		"data after":              {productPath, good + "{}", 400},
		"too large":               {productPath, good + strings.Repeat(" ", 256<<10), 413},
		"unknown account":         {productPath, strings.Replace(good, w.account, "1", 1), 404},
		"impossible time":         {productPath, strings.Replace(good, "1758600000000", "17586", 1), 400},
		"an id that is no id":     {productPath, strings.Replace(good, `"productId":"1"`, `"productId":1.5`, 1), 400},
		"no message id":           {productPath, strings.Replace(good, `"messageId":"m"`, `"x":1`, 1), 400},
		"another channel's path":  {"/api/channels/" + w.namespace + "/fliggy/product-change", strings.Replace(good, w.account, "1", 1), 404},
		"order push, wrong codes": {orderPath, fmt.Sprintf(`{"pushType":"ORDER_SEND_CODE_NOTIFY","distributorId":%s,"orderId":"5","outOrderId":"T","timestamp":1758600000500,"messageId":"m","data":{"success":true,"codeInfos":[{"code":"A","num":-1}]}}`, w.account), 400},
	} {
		if status, reply := w.post(test.path, "application/json", test.body); status != test.status || reply != "error" {
			t.Errorf("%s: %d %q, want %d error", name, status, reply, test.status)
		}
	}
	if status, reply := w.post("/api/channels/"+w.namespace+"/nobody/product-change", "application/json", good); status != http.StatusNotFound || reply != "error" {
		t.Errorf("unknown channel: %d %q", status, reply)
	}
	var products v1alpha1.ProductSyncList
	var orders v1alpha1.OrderVoucherList
	if err := errors.Join(api.List(w.ctx, &products, client.InNamespace(w.namespace)), api.List(w.ctx, &orders, client.InNamespace(w.namespace))); err != nil {
		t.Fatal(err)
	}
	if len(products.Items)+len(orders.Items) != 0 {
		t.Errorf("%d products and %d orders were recorded", len(products.Items), len(orders.Items))
	}
	// A type we do not know, from a sender we do: kept, sealed, and acknowledged.
	for _, body := range []string{
		strings.Replace(good, "INFO_CHANGE", "SOMETHING_NEW", 1),
		fmt.Sprintf(`{"pushType":"ORDER_SOMETHING_NEW","distributorId":%s,"orderId":"77","outOrderId":"T","timestamp":1758600000500,"messageId":"n","data":{}}`, w.account),
	} {
		path := productPath
		if strings.Contains(body, "ORDER_") {
			path = orderPath
		}
		if status, reply := w.post(path, "application/json", body); status != http.StatusOK || reply != "success" {
			t.Errorf("unknown type: %d %q", status, reply)
		}
	}
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Name: "fliggy"}}
	if err := w.get(channel); err != nil || len(channel.Status.Notices) != 1 || channel.Status.Notices[0].Subject != "1" {
		t.Errorf("notices %+v, %v", channel.Status.Notices, err)
	}
	ov := w.order("77")
	if err := w.get(ov); err != nil || ov.Spec.Notifications[0].Type != v1alpha1.NotificationOther {
		t.Errorf("order %+v, %v", ov.Spec, err)
	}
}

func TestTokenIsAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *v1alpha1.Channel) { c.Spec.Receive.TokenSecretRef = nil })
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "push"}, StringData: map[string]string{"token": "right\nnext\n"}})
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Name: "fliggy"}}
	if err := w.get(channel); err != nil {
		t.Fatal(err)
	}
	before := channel.DeepCopy()
	channel.Spec.Receive.TokenSecretRef = &v1alpha1.SecretKeyReference{Name: "push", Key: "token"}
	if err := api.Patch(w.ctx, channel, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	body := w.seedBodies()["product-info"]
	w.eventually(func() error {
		if status, reply := w.post(productPath, "application/json", body); status != http.StatusForbidden || reply != "error" {
			return fmt.Errorf("without a token: %d %q", status, reply)
		}
		return nil
	})
	for token, want := range map[string]int{"right": 200, "next": 200, "wrong": 403} {
		if status, _ := w.post(productPath+"?token="+token, "application/json", body); status != want {
			t.Errorf("token %s: %d", token, status)
		}
	}
	if log := w.manager.Log.String(); strings.Contains(log, "token=") || strings.Contains(log, "right") && strings.Contains(log, "?token") {
		t.Error("the log shows a token")
	}
}

// A product the platform does not know, and credentials it refuses: a condition says
// which, and what to do.
func TestConditionsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.putProduct("88")
	w.send(productPath, w.fake.ProductPush("VACATION_RESOURCE_VALID_CHANGE", "88", time.Now()))
	w.productReady("88", func(*v1alpha1.ProductSync) error { return nil })
	w.send(productPath, w.fake.ProductPush("VACATION_RESOURCE_INFO_CHANGE", "404", time.Now()))
	w.eventually(func() error {
		ps := w.product("404")
		if err := w.get(ps); err != nil {
			return err
		}
		if reason, is := conditions.Of(ps.Status.Conditions); is || reason != v1alpha1.ReasonNotFound {
			return fmt.Errorf("Ready=%v (%s)", is, reason)
		}
		return nil
	})
	other, err := platformtest.NewFliggy(platformtest.FliggyConfig{Account: "1", PushBase: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	w.setKey(other.PrivateKey())
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Name: "fliggy"}}
	w.eventually(func() error {
		if err := w.get(channel); err != nil {
			return err
		}
		if reason, is := conditions.Of(channel.Status.Conditions); is || reason != v1alpha1.ReasonCredentialsRefused {
			return fmt.Errorf("Ready=%v (%s)", is, reason)
		}
		return conditions.Check(channel.Status.Conditions, channel.Generation, channel.Status.ObservedGeneration)
	})
	// What depends on it says so too, with or without news of its own.
	w.eventually(func() error {
		ps := w.product("88")
		if err := w.get(ps); err != nil {
			return err
		}
		if reason, is := conditions.Of(ps.Status.Conditions); is || reason != v1alpha1.ReasonChannelNotReady {
			return fmt.Errorf("a product of it: Ready=%v (%s)", is, reason)
		}
		return nil
	})
	// Mending the Secret mends the rest, with no push.
	w.putProduct("404")
	w.setKey(w.fake.PrivateKey())
	w.productReady("404", func(*v1alpha1.ProductSync) error { return nil })
	w.productReady("88", func(*v1alpha1.ProductSync) error { return nil })
}

// A forged "off shelf" is believed until a look that no push asked for, and a deleted
// sealing Secret comes back with the keys it had.
func TestForgedAndLostThingsHeal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.putProduct("88")
	w.send(productPath, w.fake.ProductPush("VACATION_RESOURCE_INVALID_CHANGE", "88", time.Now()))
	state := func(want v1alpha1.ProductState) func(*v1alpha1.ProductSync) error {
		return func(ps *v1alpha1.ProductSync) error {
			if ps.Status.State != want {
				return fmt.Errorf("state %s, want %s", ps.Status.State, want)
			}
			return nil
		}
	}
	w.productReady("88", state(v1alpha1.ProductOffSale))
	w.kubectl("annotate", "product", "fliggy-88", v1alpha1.AnnotationRequestedAt+"=now")
	w.productReady("88", state(v1alpha1.ProductOnSale))

	w.putOrder(bigOrder)
	if _, err := w.fake.Pay(bigOrder); err != nil {
		t.Fatal(err)
	}
	w.issue(bigOrder)
	w.orderReady(bigOrder, v1alpha1.OrderIssued)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "fliggy-sealing"}}
	if err := w.get(secret); err != nil {
		t.Fatal(err)
	}
	kept := secret.Data
	if err := api.Delete(w.ctx, secret); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error {
		if err := w.get(secret); err != nil {
			return err
		}
		for _, key := range []string{"identity.age", "code-id.key"} {
			if string(secret.Data[key]) != string(kept[key]) {
				return fmt.Errorf("%s is another", key)
			}
		}
		return nil
	})
}

func (w *world) setKey(key string) {
	w.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "credentials"}}
	before := secret.DeepCopy()
	secret.Data = map[string][]byte{"privateKey": []byte(key)}
	if err := api.Patch(w.ctx, secret, client.MergeFrom(before)); err != nil {
		w.Fatal(err)
	}
}

// Pushes dropped, doubled, reordered and retried by the platform end in what it has.
func TestPlatformsFaultsEndInItsTruth(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *v1alpha1.Channel) { c.Spec.Products.Discover = true })
	w.fake.Inject(platformtest.Fault{Kind: platformtest.Status5xx, Times: 3})
	w.fake.Inject(platformtest.Fault{Op: "searchOrder", Kind: platformtest.Code, Code: "9000", Times: 2})
	w.fake.Inject(platformtest.Fault{Op: "searchOrder", Kind: platformtest.BadJSON, Times: 1})
	w.fake.Inject(platformtest.Fault{Kind: platformtest.Duplicate, Copies: 3, Times: 2})
	w.fake.Inject(platformtest.Fault{Kind: platformtest.Reorder, Times: 4})
	w.putOrder(bigOrder)
	var bodies [][]byte
	for _, step := range []func() ([]byte, error){
		func() ([]byte, error) { return w.fake.Pay(bigOrder) },
		func() ([]byte, error) {
			return w.fake.IssueCodes(bigOrder, platformtest.OrderCode{Code: codeOne, Persons: 2})
		},
		func() ([]byte, error) { return w.fake.UseCode(bigOrder, codeOne, 1) },
		func() ([]byte, error) { return w.fake.UseCode(bigOrder, codeOne, 1) },
	} {
		body, err := step()
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, body)
	}
	var group sync.WaitGroup
	for _, body := range bodies {
		group.Go(func() { w.fake.Push(w.ctx, platformtest.FliggyOrderPath, body) })
	}
	group.Wait()
	w.fake.ReleasePushes(w.ctx, 7)
	ov := w.orderReady(bigOrder, v1alpha1.OrderUsed)
	if n := len(ov.Spec.Notifications); n != len(bodies) {
		t.Errorf("%d notifications of %d pushes", n, len(bodies))
	}
}

// Codes, document numbers and names stand nowhere in clear but in Secrets.
func TestSecretsStandNowhereInClear(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.putOrder(bigOrder)
	if _, err := w.fake.Pay(bigOrder); err != nil {
		t.Fatal(err)
	}
	body, err := w.fake.IssueCodes(bigOrder, platformtest.OrderCode{Code: codeOne, Persons: 1, Users: []string{platformtest.FliggyTravellerCertificate}})
	w.send(orderPath, body, err)
	failed := fmt.Sprintf(`{"pushType":"ORDER_SEND_CODE_NOTIFY","distributorId":%s,"orderId":"31","outOrderId":"T","timestamp":1758600000500,"messageId":"m",`+
		`"data":{"success":false,"failReason":"%s for %s, see https://x.example/%s","codeInfos":[{"code":"%s","num":1,"qrImagePath":"https://qr.example/%s"}]}}`,
		w.account, codeTwo, platformtest.FliggyTravellerCertificate, codeTwo, codeTwo, codeTwo)
	w.send(orderPath, []byte(failed))
	w.post(orderPath, "application/json", strings.Replace(failed, `"num":1`, `"num":-1`, 1)) // refused: nor may the refusal tell
	w.orderReady(bigOrder, v1alpha1.OrderIssued)
	// A platform's free text may name codes that its own push does not list.
	if _, err := w.fake.RequestRefund(bigOrder, 100, 1, false); err != nil {
		t.Fatal(err)
	}
	body, err = w.fake.RefundFails(bigOrder, "券码 "+codeOne+" 已核销 www.qr.example/q?c="+codeTwo)
	w.send(orderPath, body, err)
	w.eventually(func() error {
		ov := w.order(bigOrder)
		if err := w.get(ov); err != nil {
			return err
		}
		if len(ov.Status.Refunds) != 1 || ov.Status.Refunds[0].Reason == "" {
			return fmt.Errorf("refunds %+v", ov.Status.Refunds)
		}
		return nil
	})
	key := w.fake.PrivateKey()
	for place, text := range map[string]string{"the API server": w.everythingStored(), "the log": w.manager.Log.String(), "the metrics": scrape(t, w.manager)} {
		for _, secret := range []string{codeOne, codeTwo, platformtest.FliggyTravellerCertificate, platformtest.FliggyTravellerName,
			platformtest.FliggyTravellerMobile, "qr.example", "x.example", key[:40]} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %q", place, secret)
			}
		}
	}
}

// One replica leads, every replica receives, and when the leader goes the other takes over.
func TestEveryReplicaReceives(t *testing.T) {
	w := newWorld(t)
	var replicas []*env.Manager
	for range 2 {
		m, err := env.StartManager(env.ManagerOptions{Flags: []string{"--leader-elect", "--leader-elect-namespace", env.ManagerNamespace}})
		if err != nil {
			t.Fatal(err)
		}
		replicas = append(replicas, m)
	}
	for i, m := range replicas {
		w.fake.AimPushes("http://"+m.Push, "")
		id := fmt.Sprint(500 + i)
		w.putProduct(id)
		w.send(productPath, w.fake.ProductPush("VACATION_RESOURCE_INFO_CHANGE", id, time.Now()))
		w.productReady(id, func(*v1alpha1.ProductSync) error { return nil })
	}
	for _, m := range replicas {
		if err := m.Stop(); err != nil {
			t.Errorf("a replica ended with %v\n%s", err, lastLines(m.Log.String(), 10))
		}
		if strings.Contains(m.Log.String(), "DATA RACE") {
			t.Errorf("the race detector found\n%s", m.Log)
		}
	}
}

// A suspended Channel receives, and asks nothing until it is not.
func TestSuspendedChannelReceives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Name: "fliggy"}}
	suspend := func(on bool) {
		t.Helper()
		if err := w.get(channel); err != nil {
			t.Fatal(err)
		}
		before := channel.DeepCopy()
		channel.Spec.Suspend = on
		if err := api.Patch(w.ctx, channel, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
		w.eventually(func() error {
			if err := w.get(channel); err != nil {
				return err
			}
			if _, is := conditions.Of(channel.Status.Conditions); is == on || channel.Status.ObservedGeneration != channel.Generation {
				return fmt.Errorf("Ready=%v", is)
			}
			return nil
		})
	}
	suspend(true)
	w.putProduct("88")
	asked := w.fake.Calls("")
	w.send(productPath, w.fake.ProductPush("VACATION_RESOURCE_INFO_CHANGE", "88", time.Now()))
	w.eventually(func() error {
		ps := w.product("88")
		if err := w.get(ps); err != nil {
			return err
		}
		if reason, is := conditions.Of(ps.Status.Conditions); is || reason != v1alpha1.ReasonChannelNotReady {
			return fmt.Errorf("Ready=%v (%s)", is, reason)
		}
		return nil
	})
	if got := w.fake.Calls(""); got != asked {
		t.Errorf("%d questions while suspended", got-asked)
	}
	suspend(false)
	w.productReady("88", func(*v1alpha1.ProductSync) error { return nil })
}

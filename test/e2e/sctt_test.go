package e2e

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	scttPrefix = "/api/webhooks/sctt/"
	scttToken  = "s3cret-token"
)

// sctt is a world with an account on SCTT.
type sctt struct {
	*world
	fake *platformtest.SCTT
}

// ruled gives the Channel the fake's signing rule.
func ruled(c *v1alpha1.Channel) {
	rule := platformtest.DefaultSCTTSignature
	c.Spec.SCTT.Signature = &v1alpha1.SCTTSignature{Algorithm: rule.Algorithm, Encoding: rule.Encoding, Message: rule.Message}
}

func guarded(c *v1alpha1.Channel) {
	c.Spec.Receive.TokenSecretRef = &v1alpha1.SecretKeyReference{Name: "push", Key: "token"}
}

// newSCTT makes a world with an account; its Channel is made, and not waited for.
func newSCTT(t testing.TB, alter ...func(*v1alpha1.Channel)) *sctt {
	t.Helper()
	w := openWorld(t)
	w.channel, w.account = "sctt", strconv.FormatInt(255456000+accountIDs.Add(1), 10)
	fake, err := platformtest.NewSCTT(platformtest.SCTTConfig{Account: w.account, PushBase: "http://" + shared.Push, PushToken: scttToken,
		ChannelPath: "/api/channels/" + w.namespace + "/sctt", RetryEvery: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "credentials"}, StringData: map[string]string{"secret": fake.Secret()}})
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "push"}, StringData: map[string]string{"token": scttToken}})
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Name: "sctt"}, Spec: v1alpha1.ChannelSpec{
		Platform: v1alpha1.PlatformSCTT, Account: w.account, Endpoint: server.URL,
		CredentialsRef: v1alpha1.SecretReference{Name: "credentials"}, SCTT: &v1alpha1.SCTTChannel{Currency: "CNY"}}}
	for _, change := range alter {
		change(channel)
	}
	w.create(channel)
	return &sctt{world: w, fake: fake}
}

// channelSays waits until the Channel is Ready, or is not for the reason.
func (s *sctt) channelSays(reason string, says string) *v1alpha1.Channel {
	s.Helper()
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Name: "sctt"}}
	s.eventually(func() error {
		if err := s.get(channel); err != nil {
			return err
		}
		got, _ := conditions.Of(channel.Status.Conditions)
		if message := messageOf(channel.Status.Conditions); got != reason || !strings.Contains(message, says) {
			return fmt.Errorf("%s: %s", got, message)
		}
		return conditions.Check(channel.Status.Conditions, channel.Generation, channel.Status.ObservedGeneration)
	})
	return channel
}

func messageOf(all []metav1.Condition) string {
	for _, c := range all {
		if c.Type == v1alpha1.ConditionReady {
			return c.Message
		}
	}
	return ""
}

func (s *sctt) accepted(d platformtest.Delivery) {
	s.Helper()
	if !d.Accepted || !s.retried(d.Attempts) {
		s.Fatalf("delivery %+v\n%s", d, lastLines(s.manager.Log.String(), 10))
	}
}

func (s *sctt) content(body []byte, err error) []byte {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
	return body
}

// tell has the platform tell an order's status, signed and on the common path.
func (s *sctt) tell(id string, status int, remark string) []byte {
	s.Helper()
	body := s.content(s.fake.SetStatus(id, status, remark))
	s.accepted(s.fake.Send(s.ctx, platformtest.SCTTVoucherPath, body))
	return body
}

// Every push arrives by the common path or the Channel's own, and shows; nothing of it that
// opens a voucher stands in clear.
func TestSCTTOrders(t *testing.T) {
	s := newSCTT(t, ruled, guarded)
	s.channelSays(v1alpha1.ReasonConnected, "")

	// Waiting, booked with tickets of all kinds, sent again, and with a ticket changed.
	booked := platformtest.SCTTOrderID
	s.tell(booked, platformtest.SCTTWaiting, "")
	s.orderReady(booked, v1alpha1.OrderIssuing)
	body := s.tell(booked, platformtest.SCTTBooked, "")
	for _, again := range []time.Duration{time.Second, time.Hour} {
		s.accepted(s.fake.Push(s.ctx, platformtest.SCTTVoucherPath, s.fake.SignedAt(body, time.Now().Add(again))))
	}
	order := s.orderReady(booked, v1alpha1.OrderIssued)
	if n := len(order.Spec.Notifications); n != 2 {
		t.Errorf("%d notifications: what was sent again is the same", n)
	}
	s.hasForms(order, "PDF", "Barcode", "QRCode", "ConfirmationNumber", "URL")
	if reason, _ := conditions.Of(order.Status.Conditions); reason != v1alpha1.ReasonNotConfirmable {
		t.Errorf("reason %s", reason)
	}
	told := order.Spec.Notifications[1]
	if told.Price == nil || told.Price.Text != "120.5 AUD" || *told.Price.Money != (v1alpha1.Money{Currency: "AUD", Amount: 12050}) {
		t.Errorf("price %+v", told.Price)
	}
	if c := told.Cancellation; c == nil || c.Type != v1alpha1.CancellationByRule || len(c.Rules) != 1 || c.Rules[0].Percent != "50" {
		t.Errorf("cancellation %+v", told.Cancellation)
	}
	changed := s.content(s.fake.ChangeTicket(booked, 1, 0, platformtest.SCTTTicket{Type: platformtest.SCTTConfirmationNumber, Confirmation: "CNF-NEW-1"}))
	s.accepted(s.fake.Send(s.ctx, platformtest.SCTTVoucherPath, changed))
	s.eventually(func() error {
		if err := s.get(order); err != nil || len(order.Status.Codes) != 6 {
			return fmt.Errorf("%d codes, want the five and the changed one; %w", len(order.Status.Codes), err)
		}
		return nil
	})

	// Failed, with a remark; cancelled by the voucher push; cancelled in a batch.
	s.tell(platformtest.SCTTSecondOrderID, platformtest.SCTTFailed, "满房")
	failed := s.orderReady(platformtest.SCTTSecondOrderID, v1alpha1.OrderFailed)
	if n := failed.Spec.Notifications[0]; n.Reason != "满房" || n.Price == nil || n.Price.Money.Currency != "AUD" {
		t.Errorf("failed: %+v", n)
	}
	s.tell(platformtest.SCTTBigOrderID, platformtest.SCTTBooked, "")
	s.orderReady(platformtest.SCTTBigOrderID, v1alpha1.OrderIssued)
	batch := s.content(s.fake.Cancel(platformtest.SCTTCancelWaiting, "", booked, platformtest.SCTTBigOrderID))
	s.accepted(s.fake.Send(s.ctx, platformtest.SCTTCancelPath, batch))
	s.orderReady(booked, v1alpha1.OrderIssued)
	batch = s.content(s.fake.Cancel(platformtest.SCTTCancelDone, "", booked, platformtest.SCTTBigOrderID))
	s.accepted(s.fake.SendToChannel(s.ctx, platformtest.SCTTCancelPath, batch))
	s.orderReady(booked, v1alpha1.OrderCancelled)
	s.orderReady(platformtest.SCTTBigOrderID, v1alpha1.OrderCancelled)
	// Which of the two came last says nothing.
	s.accepted(s.fake.Send(s.ctx, platformtest.SCTTVoucherPath, body))
	s.orderReady(booked, v1alpha1.OrderCancelled)

	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Name: "sctt"}}
	s.eventually(func() error {
		if err := s.get(channel); err != nil || channel.Status.Credit == nil || channel.Status.LastPushTime == nil {
			return fmt.Errorf("status %+v, %w", channel.Status, err)
		}
		return nil
	})
	s.showsNothing(booked, platformtest.SCTTBigOrderID)
	if complaints := s.fake.Complaints(); len(complaints) > 0 {
		t.Errorf("the platform complains: %q", complaints)
	}
}

func (s *sctt) hasForms(order *v1alpha1.OrderVoucher, want ...string) {
	s.Helper()
	var forms []string
	for _, code := range order.Status.Codes {
		forms = append(forms, code.Form)
	}
	if !slices.Equal(slices.Sorted(slices.Values(forms)), slices.Sorted(slices.Values(want))) {
		s.Errorf("codes of the forms %q, want %q", forms, want)
	}
}

// showsNothing of what opens the orders' vouchers: not in what is stored, logged or measured.
func (s *sctt) showsNothing(orders ...string) {
	s.Helper()
	stored := s.everythingStored()
	for _, id := range orders {
		order, _ := s.fake.Order(id)
		if len(order.Secrets()) == 0 {
			s.Fatalf("order %s has no secrets to look for", id)
		}
		for _, secret := range append(order.Secrets(), s.fake.Secret(), scttToken) {
			for where, text := range map[string]string{"the API server": stored, "the log": s.manager.Log.String(), "the metrics": scrape(s, s.manager)} {
				if strings.Contains(text, secret) {
					s.Errorf("%q stands in %s", secret, where)
				}
			}
		}
	}
}

// The sample that the platform prints, byte for byte: with comments, without merchant, time
// and sign.
func TestSCTTPrintedSample(t *testing.T) {
	s := newSCTT(t, ruled, guarded)
	s.channelSays(v1alpha1.ReasonConnected, "")
	for range 2 {
		s.accepted(s.fake.SendSample(s.ctx))
	}
	order := s.orderReady("123456", v1alpha1.OrderIssuing)
	if len(order.Spec.Notifications) != 1 {
		t.Fatalf("notifications %+v", order.Spec.Notifications)
	}
	s.hasForms(order, "PDF")
	n := order.Spec.Notifications[0]
	if *n.Price.Money != (v1alpha1.Money{Currency: "AUD", Amount: 12000}) || n.Cancellation.Type != v1alpha1.CancellationNone {
		t.Errorf("price %+v, cancellation %+v", n.Price, n.Cancellation)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "sctt-sealing"}}
	if err := s.get(secret); err != nil {
		t.Fatal(err)
	}
	if body, err := sealing.Open(n.Sealed, string(secret.Data["identity.age"])); err != nil || string(body) != string(platformtest.SCTTSample()) {
		t.Errorf("the sealed body is not the sample: %v, %q", err, body)
	}
}

// 25 products on three pages are found, asked for and shown, by nothing but asking.
func TestSCTTCatalogue(t *testing.T) {
	s := newSCTT(t, ruled, func(c *v1alpha1.Channel) {
		c.Spec.Products.Discover = true
		c.Spec.Limits.RequestsPerSecond, c.Spec.Limits.Burst = new(int32(100)), new(int32(100))
	})
	s.channelSays(v1alpha1.ReasonConnected, "")
	var products v1alpha1.ProductSyncList
	s.eventually(func() error {
		if err := api.List(s.ctx, &products, client.InNamespace(s.namespace)); err != nil || len(products.Items) != 25 {
			return fmt.Errorf("%d products, %w", len(products.Items), err)
		}
		for _, p := range products.Items {
			if err := ready(p.Status.Conditions, p.Generation, p.Status.ObservedGeneration); err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
		}
		return nil
	})
	if pages := s.fake.Calls("productlist"); pages < 3 {
		t.Errorf("%d pages were asked for", pages)
	}
	for _, p := range products.Items {
		empty := p.Spec.ProductID == platformtest.SCTTEmptyProductID
		if p.Status.State != v1alpha1.ProductOnSale || p.Status.Title == "" || (p.Status.Summary.Price == "") != empty || len(p.Status.SKUs) == 0 {
			t.Errorf("%s: %+v", p.Name, p.Status)
		}
	}
	table := s.kubectl("get", "products", "sctt-"+platformtest.SCTTProductID, "--no-headers")
	for _, cell := range []string{"OnSale", "100.25 CNY", "True"} {
		if !strings.Contains(table, cell) {
			t.Errorf("no %s in the row %s", cell, table)
		}
	}
	if complaints := s.fake.Complaints(); len(complaints) > 0 {
		t.Errorf("the platform complains: %q", complaints)
	}
}

// Without a rule nothing is asked and no sign can be checked; what a token proves is
// recorded, and its orders are Ready all the same. When the rule comes, all is well.
func TestSCTTWithoutARule(t *testing.T) {
	s := newSCTT(t, guarded, func(c *v1alpha1.Channel) { c.Spec.Products.Discover = true })
	s.channelSays(v1alpha1.ReasonSettingsInvalid, "spec.sctt.signature is not set")
	s.accepted(s.fake.SendSample(s.ctx))
	s.orderReady("123456", v1alpha1.OrderIssuing)
	s.tell(platformtest.SCTTOrderID, platformtest.SCTTBooked, "") // its sign is not checked: the token proves it
	s.orderReady(platformtest.SCTTOrderID, v1alpha1.OrderIssued)
	if calls := s.fake.Calls(""); calls > 0 {
		t.Errorf("%d questions were asked unsigned", calls)
	}
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Name: "sctt"}}
	if err := s.get(channel); err != nil {
		t.Fatal(err)
	}
	before := channel.DeepCopy()
	ruled(channel)
	if err := api.Patch(s.ctx, channel, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	s.channelSays(v1alpha1.ReasonConnected, "")
	s.productReady(platformtest.SCTTProductID, func(*v1alpha1.ProductSync) error { return nil })
	s.tell(platformtest.SCTTSecondOrderID, platformtest.SCTTBooked, "")
	s.orderReady(platformtest.SCTTSecondOrderID, v1alpha1.OrderIssued)
}

// A rule that names what is no field stops asking, and names it; a sign that cannot be
// checked for that is not refused for good.
func TestSCTTRuleWithAnUnknownField(t *testing.T) {
	s := newSCTT(t, func(c *v1alpha1.Channel) {
		ruled(c)
		c.Spec.SCTT.Signature.Message = "{merchant_id}{vouchers}{secret}"
	})
	s.channelSays(v1alpha1.ReasonSettingsInvalid, "{vouchers}")
	body := s.fake.Signed(s.content(s.fake.SetStatus(platformtest.SCTTOrderID, platformtest.SCTTBooked, "")))
	s.refuses(t, scttPrefix+platformtest.SCTTVoucherPath, string(body), 503, "try again")
	s.recordedNothing()
}

// refuses fails unless the push gets the status, a code that is not 0, and says so.
func (s *sctt) refuses(t *testing.T, path, body string, status int, says string) {
	t.Helper()
	got, reply := s.post(path, "application/json", body)
	var envelope struct {
		Code *int            `json:"code"`
		Msg  string          `json:"msg"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal([]byte(reply), &envelope); err != nil || envelope.Code == nil || *envelope.Code == 0 || string(envelope.Data) != "null" {
		t.Errorf("answered %s (%v), want another code than 0", reply, err)
	}
	if got != status || !strings.Contains(envelope.Msg, says) {
		t.Errorf("answered %d %q, want %d that says %q", got, envelope.Msg, status, says)
	}
}

func (s *sctt) recordedNothing() {
	s.Helper()
	var orders v1alpha1.OrderVoucherList
	if err := api.List(s.ctx, &orders, client.InNamespace(s.namespace)); err != nil || len(orders.Items) > 0 {
		s.Errorf("recorded %d orders, %v", len(orders.Items), err)
	}
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Name: "sctt"}}
	if err := s.get(channel); err != nil || len(channel.Status.Notices) > 0 || channel.Status.LastPushTime != nil || channel.Status.Credit != nil {
		s.Errorf("recorded on the Channel: %+v, %v", channel.Status, err)
	}
}

func TestSCTTBadInput(t *testing.T) {
	s := newSCTT(t, ruled, guarded)
	s.channelSays(v1alpha1.ReasonConnected, "")
	order := string(s.content(s.fake.VoucherPush(platformtest.SCTTOrderID)))
	signed := func(content string) string { return string(s.fake.Signed([]byte(content))) }
	with := func(old, other string) string {
		if !strings.Contains(order, old) {
			t.Fatalf("no %s in %s", old, order)
		}
		return signed(strings.Replace(order, old, other, 1))
	}
	good := signed(order)
	sign := good[strings.Index(good, `"sign":"`)+len(`"sign":"`):][:32]
	batch := string(s.content(s.fake.Cancel(platformtest.SCTTCancelDone, "", platformtest.SCTTOrderID, platformtest.SCTTSecondOrderID, platformtest.SCTTBigOrderID)))
	broken := strings.Replace(batch, `"order_code":`+platformtest.SCTTBigOrderID, `"order_code":""`, 1)
	common, own := scttPrefix, "/api/channels/"+s.namespace+"/sctt/"
	const voucher, cancel, token = platformtest.SCTTVoucherPath, platformtest.SCTTCancelPath, "?token=" + scttToken
	for name, test := range map[string]struct {
		path, body string
		status     int
		says       string
	}{
		"wrong sign":                       {common + voucher + token, strings.Replace(good, sign, strings.Repeat("0", 32), 1), 403, "sign"},
		"wrong sign on the Channel's path": {own + voucher + token, strings.Replace(good, sign, strings.Repeat("0", 32), 1), 403, "sign"},
		"no sign":                          {common + voucher + token, strings.Replace(good, `"sign":"`+sign+`",`, "", 1), 403, "sign"},
		"no sign, no token":                {own + voucher, order, 403, "sign"},
		"no sign, another's token":         {own + voucher + "?token=other", order, 403, "sign"},
		"signed, no token":                 {common + voucher, good, 403, "token"},
		"a merchant that nobody is":        {common + voucher + token, strings.Replace(good, s.account, "424242", 1), 404, "merchant"},
		"no merchant":                      {common + voucher + token, order, 404, "merchant"},
		"another merchant on this path":    {own + voucher + token, strings.Replace(good, s.account, "424242", 1), 404, "merchant"},
		"a list for the push":              {common + voucher + token, "[" + good + "]", 400, "object"},
		"two pushes":                       {common + voucher + token, good + good, 400, "object"},
		"no JSON":                          {common + voucher + token, "order_code=1", 400, "object"},
		"a list where an object belongs":   {common + voucher + token, with(`"subjoin":{`, `"subjoin":["x"],"x":{`), 400, "subjoin"},
		"an object where a list belongs":   {common + voucher + token, with(`"vouchers":[]`, `"vouchers":{}`), 400, "vouchers"},
		"texts where objects belong":       {common + voucher + token, with(`"vouchers":[]`, `"vouchers":["x"]`), 400, "vouchers"},
		"a negative price":                 {common + voucher + token, with(`"total_price":120.5`, `"total_price":-120.5`), 400, "total_price is negative"},
		"a price in words":                 {common + voucher + token, with(`"total_price":120.5`, `"total_price":"many"`), 400, "total_price"},
		"no order":                         {common + voucher + token, with(`"order_code":`+platformtest.SCTTOrderID+`,`, ``), 400, "order_code is missing"},
		"no status":                        {common + voucher + token, with(`"order_status":1,`, ``), 400, "order_status is missing"},
		"a status in words":                {common + voucher + token, with(`"order_status":1`, `"order_status":"booked"`), 400, "order_status"},
		"a batch in which one row is bad":  {common + cancel + token, signed(broken), 400, "orderlist[2].order_code"},
		"a batch of which one is a text":   {common + cancel + token, signed(strings.Replace(batch, `"orderlist":[`, `"orderlist":["x",`, 1)), 400, "orderlist"},
		"an empty batch":                   {common + cancel + token, signed(`{"orderlist":[]}`), 400, "orderlist"},
		"no batch":                         {common + cancel + token, signed(order), 400, "orderlist"},
		"a body beyond all bounds":         {common + voucher + token, signed(strings.Replace(order, `"remark":""`, `"remark":"`+strings.Repeat("x", 300<<10)+`"`, 1)), 413, "large"},
	} {
		t.Run(name, func(t *testing.T) { s.refuses(t, test.path, test.body, test.status, test.says) })
	}
	s.recordedNothing()
	if log := s.manager.Log.String(); strings.Contains(log, sign) || strings.Contains(log, scttToken) {
		t.Error("a sign or the token stands in the log")
	}
}

// What is only odd is recorded: refused, a ticket would be lost.
func TestSCTTOddInput(t *testing.T) {
	s := newSCTT(t, ruled)
	s.channelSays(v1alpha1.ReasonConnected, "")
	for i, test := range []struct {
		name, currency string
		kind           int
		text           string
		money          *v1alpha1.Money
		form           string
	}{
		{"a voucher of type 9", "CNY", 9, "8 CNY", &v1alpha1.Money{Currency: "CNY", Amount: 800}, ""},
		{"a currency that is none", "ZZZ", 3, "8 ZZZ", nil, "QRCode"},
		{"a symbol of several", "$", 3, "8 $", nil, "QRCode"},
		{"a symbol of one", "HK$", 3, "8 HK$", &v1alpha1.Money{Currency: "HKD", Amount: 800}, "QRCode"},
	} {
		t.Run(test.name, func(t *testing.T) {
			id := strconv.Itoa(880001 + i)
			if err := s.fake.PutOrder(platformtest.SCTTOrder{ID: id, Total: "8", Currency: test.currency}); err != nil {
				t.Fatal(err)
			}
			ticket := platformtest.SCTTTicket{Type: test.kind, Confirmation: "ODD-" + id}
			body := s.content(s.fake.Issue(id, platformtest.SCTTVoucher{Tickets: []platformtest.SCTTTicket{ticket}}))
			s.accepted(s.fake.Send(s.ctx, platformtest.SCTTVoucherPath, body))
			order := s.orderReady(id, v1alpha1.OrderIssued)
			price := order.Spec.Notifications[0].Price
			if price.Text != test.text || (price.Money == nil) != (test.money == nil) || price.Money != nil && *price.Money != *test.money {
				t.Errorf("price %+v", price)
			}
			if len(order.Status.Codes) != 1 || order.Status.Codes[0].Form != test.form {
				t.Errorf("codes %+v", order.Status.Codes)
			}
		})
	}
}

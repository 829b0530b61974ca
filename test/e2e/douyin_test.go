package e2e

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
	"github.com/laidoulaile/channel-operator/test/env"
)

const douyinPrefix = "/api/webhooks/douyin/"

// douyin is a world with an account on Douyin.
type douyin struct {
	*world
	fake *platformtest.Douyin
}

func generates(c *v1alpha1.Channel) {
	c.Spec.Douyin.ThirdPartyCodes = &v1alpha1.DouyinThirdPartyCodes{Source: "Generate"}
}

func newDouyin(t testing.TB, config platformtest.DouyinConfig, alter ...func(*v1alpha1.Channel)) *douyin {
	t.Helper()
	w := openWorld(t)
	if config.ClientKey == "" {
		config.ClientKey = "aw" + strconv.FormatInt(accountIDs.Add(1), 10) + w.namespace
	}
	config.PushBase, config.RetryEvery, config.RetryScale = "http://"+shared.Push, 100*time.Millisecond, 0.01
	fake, err := platformtest.NewDouyin(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	over := make(chan struct{})
	go func() { defer close(over); fake.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-over })
	w.account = fake.ClientKey()
	w.serve(&v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Name: "douyin"}, Spec: v1alpha1.ChannelSpec{
		Platform: v1alpha1.PlatformDouyin, Account: w.account, Douyin: &v1alpha1.DouyinChannel{AccountID: fake.AccountID()}}},
		fake, map[string]string{"clientSecret": fake.ClientSecret()}, alter...)
	return &douyin{world: w, fake: fake}
}

// push has the platform push a body, and fails unless it is accepted.
func (d *douyin) push(path string, body []byte, errs ...error) {
	d.Helper()
	for _, err := range errs {
		if err != nil {
			d.Fatal(err)
		}
	}
	d.accepted(d.fake.Push(d.ctx, path, body), nil)
}

func (d *douyin) accepted(delivery platformtest.Delivery, err error) {
	d.Helper()
	if err != nil || !delivery.Accepted || !d.retried(delivery.Attempts) {
		d.Fatalf("delivery %+v, %v\n%s", delivery, err, lastLines(d.manager.Log.String(), 10))
	}
}

// event pushes an event of content nobody reads, or that is given.
func (d *douyin) event(name string, content any) {
	d.Helper()
	d.push(platformtest.DouyinEventsPath, d.fake.Event(name, content))
}

// paid makes a paid order, without a push.
func (d *douyin) paid(id string, count int64, thirdParty bool) {
	d.Helper()
	if err := d.fake.PutOrder(platformtest.DouyinOrder{ID: id, ProductID: platformtest.DouyinProductID, Count: count, Price: 100, ThirdParty: thirdParty}); err != nil {
		d.Fatal(err)
	}
	if _, err := d.fake.Pay(id); err != nil {
		d.Fatal(err)
	}
}

func (d *douyin) certificate(orderID string, i int) platformtest.DouyinCertificate {
	d.Helper()
	order, ok := d.fake.Order(orderID)
	if !ok || len(order.Certificates) <= i {
		d.Fatalf("order %s has no certificate %d", orderID, i)
	}
	return order.Certificates[i]
}

// notice waits for a notice on the Channel.
func (d *douyin) notice(platformType, subject string, fits func(v1alpha1.ChannelNotice) bool) {
	d.Helper()
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Name: "douyin"}}
	d.eventually(func() error {
		if err := d.get(channel); err != nil {
			return err
		}
		for _, n := range channel.Status.Notices {
			if n.PlatformType == platformType && n.Subject == subject && fits(n) {
				return nil
			}
		}
		return fmt.Errorf("no such notice of %s about %q: %+v", platformType, subject, channel.Status.Notices)
	})
}

func anyNotice(v1alpha1.ChannelNotice) bool { return true }

// seed is one of the seed's own bodies, as its file prints it.
func seed(t testing.TB, name string) []byte {
	t.Helper()
	root := env.MustRoot(t)
	body, err := os.ReadFile(filepath.Join(root, "internal", "platform", "douyin", "testdata", "push", name))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// Every row of the seed's table arrives, is confirmed by asking, and shows.
func TestDouyinRows(t *testing.T) {
	t.Parallel()
	d := newDouyin(t, platformtest.DouyinConfig{ClientKey: platformtest.DouyinClientKey}, generates)

	// WebHook verify_webhook, in both shapes.
	d.push(platformtest.DouyinEventsPath, d.fake.VerifyWebhook(12345, false))
	d.push(platformtest.DouyinEventsPath, d.fake.VerifyWebhook(67890, true))

	// 生活服务商品审核, 商品状态变更消息: the seed's own bodies.
	product := platformtest.DouyinProductID
	for _, name := range []string{"seed-product-audit.json", "seed-product-status.json"} {
		d.push(platformtest.DouyinEventsPath, seed(t, name))
		d.push(platformtest.DouyinEventsPath, seed(t, name))
	}
	d.productReady(product, func(ps *v1alpha1.ProductSync) error {
		if ps.Status.State != v1alpha1.ProductOnSale || ps.Status.Review == nil || ps.Spec.Announced.Info == nil || ps.Spec.Announced.Availability == nil {
			return fmt.Errorf("state %s, review %+v", ps.Status.State, ps.Status.Review)
		}
		return nil
	})

	// 生活服务订单状态变更通知: the seed's own body; then 抖音码: used, its use cancelled.
	const order = platformtest.DouyinOrderID
	d.paid(order, 1, false)
	d.push(platformtest.DouyinEventsPath, seed(t, "seed-order-notify.json"))
	d.push(platformtest.DouyinEventsPath, seed(t, "seed-order-notify.json"))
	certificate := d.certificate(order, 0).ID
	used, err := d.fake.Verify(order, certificate)
	d.push(platformtest.DouyinEventsPath, used, err)
	d.orderReady(order, v1alpha1.OrderUsed)
	cancelled, err := d.fake.VerifyCancel(order, certificate)
	d.push(platformtest.DouyinEventsPath, cancelled, err)
	d.orderReady(order, v1alpha1.OrderIssued)

	// 抖音码退款申请通知: decided by a person, and confirmed by the platform.
	used, err = d.fake.Verify(order, certificate)
	d.push(platformtest.DouyinEventsPath, used, err)
	asked, err := d.fake.RequestAfterSale(order, certificate, "not as described")
	d.push(platformtest.DouyinEventsPath, asked, err)
	d.eventually(func() error { return d.phase(order, v1alpha1.OrderRefundRequested) })
	d.decide(order, certificate, true)
	d.orderReady(order, v1alpha1.OrderRefunded)

	// 三方码 SPI: may it be ordered, codes, a refund asked for, decided and told.
	if allowed, delivery := d.fake.PreCreate(d.ctx, product, 1); !allowed.Allowed {
		t.Errorf("not to be ordered: %+v, %+v", allowed, delivery)
	}
	const voucher = "1065946966824670001"
	d.paid(voucher, 2, true)
	d.accepted(d.fake.Issue(d.ctx, voucher))
	d.orderReady(voucher, v1alpha1.OrderIssued)
	d.eventually(func() error { // the platform asks once
		if status, delivery := d.fake.QueryStatus(d.ctx, "order", voucher, "999"); len(status) != 1 {
			return fmt.Errorf("status %v, %+v", status, delivery)
		}
		return nil
	})
	used, err = d.fake.Verify(voucher, d.certificate(voucher, 0).ID)
	d.push(platformtest.DouyinEventsPath, used, err)
	d.orderReady(voucher, v1alpha1.OrderPartlyUsed)
	refund, delivery, err := d.fake.ApplyRefund(d.ctx, voucher, "plans changed", d.certificate(voucher, 1).ID)
	d.accepted(delivery, err)
	d.decide(voucher, refund.ID, true)
	d.orderReady(voucher, v1alpha1.OrderPartlyRefunded)

	// 会员信息变更 SPI.
	d.eventually(func() error { // the platform tells it once
		if reply, delivery := d.fake.UpdateMember(d.ctx, "open-1", "13872940561", "13951830627"); !reply.Answered || reply.Code != 0 {
			return fmt.Errorf("%+v, %+v", reply, delivery)
		}
		return nil
	})
	d.notice("member_info_update", "open-1", anyNotice)

	// 预订单状态变更, 商户订座业务变更, 订座配置任务完成: on the order they name, or on the Channel.
	d.event(platformtest.DouyinBookingStatus, map[string]any{"order_id": voucher, "unknown": 1})
	d.event(platformtest.DouyinMerchantConfig, map[string]any{"unknown": 1})
	d.event(platformtest.DouyinBookingConfig, map[string]any{"poi_id": "p-1"})
	d.notice(platformtest.DouyinMerchantConfig, "", anyNotice)
	d.notice(platformtest.DouyinBookingConfig, "p-1", anyNotice)
	booked := d.orderReady(voucher, v1alpha1.OrderPartlyRefunded)
	if !slices.ContainsFunc(booked.Spec.Notifications, func(n v1alpha1.Notification) bool { return n.Type == v1alpha1.NotificationBooking }) {
		t.Error("the booking is not on the order")
	}

	// 商服关系状态回调, 佣金状态变更回调: what they say, and what the platform says of them.
	partner := d.fake.PartnerOrders()[0]
	told, err := d.fake.PartnerOrderPush(partner.ID)
	d.push(platformtest.DouyinEventsPath, told, err)
	d.event(platformtest.DouyinCommissionEvent, map[string]any{"order_id": partner.ID})
	d.notice(platformtest.DouyinPartnerOrderEvent, partner.ID, func(n v1alpha1.ChannelNotice) bool {
		return strings.Contains(n.Detail, strconv.Itoa(partner.Status)) && strings.Contains(n.Detail, partner.MerchantID)
	})
	d.notice(platformtest.DouyinCommissionEvent, partner.ID, anyNotice)
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Name: "douyin"}}
	d.eventually(func() error {
		if err := d.get(channel); err != nil {
			return err
		}
		if len(channel.Status.Inquiries) != 2 {
			return fmt.Errorf("inquiries %+v", channel.Status.Inquiries)
		}
		return nil
	})

	if complaints := d.fake.Complaints(); len(complaints) > 0 {
		t.Errorf("the platform complains: %q", complaints)
	}
	products, orders := d.kubectl("get", "products"), d.kubectl("get", "orders")
	if got := line(products, "douyin-"+product); !strings.Contains(got, "OnSale") || !strings.Contains(got, " CNY ") || !strings.Contains(got, " True ") {
		t.Errorf("product row %q of\n%s", got, products) // its title has blanks
	}
	if got := row(t, orders, "douyin-"+order); got["PHASE"] != "Refunded" || got["CODES"] != "1" || got["READY"] != "True" {
		t.Errorf("order row %v", got)
	}
	if got := row(t, orders, "douyin-"+voucher); got["PHASE"] != "PartlyRefunded" || got["USED"] != "1/2" || got["CODES"] != "2" {
		t.Errorf("order row %v", got)
	}
	described := d.kubectl("describe", "channel", "douyin")
	for _, want := range []string{platformtest.DouyinPartnerOrderEvent, platformtest.DouyinCommissionEvent, platformtest.DouyinBookingConfig, partner.ID} {
		if !strings.Contains(described, want) {
			t.Errorf("kubectl describe does not show %s", want)
		}
	}
	d.nothingSecretShows()
}

// line is an object's line in a table.
func line(table, name string) string {
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, name+" ") {
			return line
		}
	}
	return ""
}

func (d *douyin) phase(id string, want v1alpha1.OrderPhase) error {
	ov := d.order(id)
	if err := d.get(ov); err != nil {
		return err
	}
	if ov.Status.Phase != want {
		return fmt.Errorf("phase %s, want %s", ov.Status.Phase, want)
	}
	return nil
}

// decide writes a decision into the order's spec, as people do.
func (d *douyin) decide(orderID, refundID string, approve bool) {
	d.Helper()
	patch := fmt.Sprintf(`{"spec":{"refundDecisions":[{"refundID":%q,"approve":%t,"reason":"as agreed"}]}}`, refundID, approve)
	d.kubectl("patch", "order", d.channel+"-"+orderID, "--type=merge", "-p", patch)
}

// nothingSecretShows looks for codes, numbers, secrets and tokens where none may be.
func (d *douyin) nothingSecretShows() {
	d.Helper()
	// None of the numbers is round: a metric's sum, 1.1390000000000002, is no telephone number.
	secrets := []string{d.fake.ClientSecret(), "13872940561", "13951830627", platformtest.DouyinContactName}
	for _, order := range d.fake.Orders() {
		for _, c := range order.Certificates {
			if c.Code != "" {
				secrets = append(secrets, c.Code)
			}
		}
	}
	var token corev1.Secret
	if err := api.Get(d.ctx, client.ObjectKey{Namespace: d.namespace, Name: "douyin-access-token"}, &token); err != nil {
		d.Fatal(err)
	}
	if len(token.Data["token"]) == 0 {
		d.Error("the Secret holds no token")
	}
	secrets = append(secrets, string(token.Data["token"]))
	for place, text := range map[string]string{"the API server": d.everythingStored(), "the log": d.manager.Log.String(), "the metrics": scrape(d, d.manager)} {
		for i, secret := range secrets {
			if secret != "" && strings.Contains(text, secret) {
				d.Errorf("%s shows secret %d", place, i)
			}
		}
	}
}

// sent is a request as the platform sends it, before it is spoilt.
type sent struct {
	path   string
	query  url.Values
	header http.Header
	body   string
}

func (d *douyin) signed(path, body string) *sent {
	query, header := d.fake.Signed(path, []byte(body))
	return &sent{path: path, query: query, header: header, body: body}
}

// answer sends it, and gives the status and the body.
func (d *douyin) answer(s *sent) (int, string) {
	d.Helper()
	target := "http://" + d.manager.Push + douyinPrefix + s.path
	if len(s.query) > 0 {
		target += "?" + s.query.Encode()
	}
	request, err := http.NewRequestWithContext(d.ctx, http.MethodPost, target, strings.NewReader(s.body))
	if err != nil {
		d.Fatal(err)
	}
	request.Header = s.header.Clone()
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		d.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		d.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// Each bad push is answered as the table of replies says, and leaves no trace.
func TestDouyinBadInput(t *testing.T) {
	t.Parallel()
	d := newDouyin(t, platformtest.DouyinConfig{}, generates)
	audit := string(d.fake.ProductAudit("1", true, ""))
	issue := `{"order_id":"77","count":1,"certificates":[{"certificate_id":"c-1"}]}`
	events, scene := platformtest.DouyinEventsPath, platformtest.DouyinIssuePath
	eventSign, sceneSign := "X-Douyin-Signature", "X-Life-Sign"
	spoil := func(path, body string, spoils ...func(*sent)) *sent {
		s := d.signed(path, body)
		for _, f := range spoils {
			f(s)
		}
		return s
	}
	without := func(name string) func(*sent) { return func(s *sent) { s.header.Del(name) } }
	with := func(name string, change func(string) string) func(*sent) {
		return func(s *sent) { s.header.Set(name, change(s.header.Get(name))) }
	}
	param := func(name, value string) func(*sent) { return func(s *sent) { s.query.Set(name, value) } }
	twice := func(sign string) string { return hex.EncodeToString([]byte(sign)) }
	inBase64 := func(sign string) string { return base64.StdEncoding.EncodeToString([]byte(sign)) }
	other := func(string) string { return strings.Repeat("ab", 20) }
	many := make([]string, 1000)
	for i := range many {
		many[i] = strconv.Itoa(i)
	}
	query, err := json.Marshal(map[string]any{"scene": "order", "order_ids": many})
	if err != nil {
		t.Fatal(err)
	}
	member := func(account, mobile string) string {
		return fmt.Sprintf(`{"open_id":"o","account_id":%q,"update_time":"1709705974","info":{"mobile":{"old_mobile":"x","new_mobile":%q}}}`, account, mobile)
	}
	ago := strconv.FormatInt(time.Now().Add(-time.Hour).UnixMilli(), 10)

	for name, test := range map[string]struct {
		sent   *sent
		status int
		code   int // error_code; -1 where the body does not matter
	}{
		"event: no signature":                 {spoil(events, audit, without(eventSign)), 403, -1},
		"event: wrong signature":              {spoil(events, audit, with(eventSign, other)), 403, -1},
		"event: signature in hex twice":       {spoil(events, audit, with(eventSign, twice)), 403, -1},
		"event: signature in base64":          {spoil(events, audit, with(eventSign, inBase64)), 403, -1},
		"event: body written anew":            {spoil(events, audit, func(s *sent) { s.body = strings.Replace(s.body, `":`, `": `, 1) }), 403, -1},
		"event: unknown client_key":           {d.signed(events, strings.Replace(audit, d.account, "awnobody", 1)), 404, -1},
		"event: content that is no JSON":      {d.signed(events, `{"event":"life_product_common_audit","client_key":"`+d.account+`","content":"{","msg_id":"m"}`), 400, -1},
		"event: no JSON":                      {d.signed(events, `<xml/>`), 400, -1},
		"event: another merchant's":           {d.signed(events, string(d.fake.Event(platformtest.DouyinTradeOrder, map[string]any{"action": "pay_success", "msg_time": 1722175826, "order": map[string]any{"order_id": "5", "account_id": "1"}}))), 404, -1},
		"challenge: a text":                   {&sent{path: events, header: http.Header{}, body: `{"event":"verify_webhook","client_key":"","content":{"challenge":"12345"}}`}, 400, -1},
		"challenge: none":                     {&sent{path: events, header: http.Header{}, body: `{"event":"verify_webhook","client_key":"","content":{}}`}, 400, -1},
		"challenge: signed by nobody":         {&sent{path: events, header: http.Header{eventSign: {strings.Repeat("ab", 20)}}, body: `{"event":"verify_webhook","client_key":"","content":{"challenge":1}}`}, 403, -1},
		"scene: no signature":                 {spoil(scene, issue, without(sceneSign), func(s *sent) { s.query.Del("sign") }), 401, 401},
		"scene: signed by MD5 only":           {spoil(scene, issue, without(sceneSign)), 401, 401},
		"scene: wrong signature, right MD5":   {spoil(scene, issue, with(sceneSign, other)), 401, 401},
		"scene: signature in hex twice":       {spoil(scene, issue, with(sceneSign, twice)), 401, 401},
		"scene: body written anew":            {spoil(scene, issue, func(s *sent) { s.body += " " }), 401, 401},
		"scene: stale timestamp":              {spoil(scene, issue, param("timestamp", ago)), 401, 401},
		"scene: unknown client_key":           {spoil(scene, issue, param("client_key", "awnobody")), 200, 200},
		"scene: no JSON":                      {d.signed(scene, `order_id=77`), 200, 200},
		"scene: no order":                     {d.signed(scene, `{"count":1}`), 200, 200},
		"scene: no certificate, and no count": {d.signed(scene, `{"order_id":"77"}`), 200, 200},
		"scene: an order of another account":  {d.signed(scene, `{"order_id":"77","account_id":"1","count":1}`), 200, 200},
		"status: a thousand orders":           {d.signed(platformtest.DouyinStatusQueryPath, string(query)), 200, 200},
		"status: none":                        {d.signed(platformtest.DouyinStatusQueryPath, `{"order_ids":[]}`), 200, 200},
		"pre-create: no product":              {d.signed(platformtest.DouyinPreCreatePath, `{"order_id":"77"}`), 200, 20},
		"pre-create: an unknown product":      {d.signed(platformtest.DouyinPreCreatePath, `{"order_id":"77","sku_id":"none"}`), 200, 1},
		"refund: nothing to refund":           {d.signed(platformtest.DouyinRefundApplyPath, `{"order_id":"77"}`), 200, 200},
		"notice: of no order":                 {d.signed(platformtest.DouyinRefundNoticePath, `{"notice_list":[]}`), 200, 200},
		"member: of another account":          {d.signed(platformtest.DouyinMemberPath, member("1", d.fake.Encrypt("13951830627"))), 200, 200},
		"member: a number for somebody else":  {d.signed(platformtest.DouyinMemberPath, member(d.fake.AccountID(), "2yxFypQ39OrifivISATEqA==")), 200, 11},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := d.answer(test.sent)
			if status != test.status {
				t.Errorf("answered %d %s, want %d", status, body, test.status)
			}
			var reply struct {
				Data *struct {
					ErrorCode json.Number `json:"error_code"`
				} `json:"data"`
			}
			if test.code < 0 {
				return
			}
			if err := json.Unmarshal([]byte(body), &reply); err != nil || reply.Data == nil || reply.Data.ErrorCode.String() != strconv.Itoa(test.code) {
				t.Errorf("answered %s (%v), want error_code %d", body, err, test.code)
			}
		})
	}
	for _, list := range []client.ObjectList{&v1alpha1.ProductSyncList{}, &v1alpha1.OrderVoucherList{}} {
		if err := api.List(t.Context(), list, client.InNamespace(d.namespace)); err != nil {
			t.Fatal(err)
		}
		if table, err := json.Marshal(list); err != nil || !strings.Contains(string(table), `"items":[]`) {
			t.Errorf("recorded: %s, %v", table, err)
		}
	}
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Name: "douyin"}}
	if err := d.get(channel); err != nil || len(channel.Status.Notices) != 0 || channel.Status.LastPushTime != nil {
		t.Errorf("recorded on the Channel: %+v, %v", channel.Status, err)
	}
	// And it still listens.
	if status, body := d.answer(d.signed(scene, issue)); status != 200 || !strings.Contains(body, `"error_code":0`) {
		t.Errorf("a good one: %d", status)
	}
}

// Three managers look at the same orders at the same time; the platform hears of one.
func TestDouyinReplicasShareAToken(t *testing.T) {
	d := newDouyin(t, platformtest.DouyinConfig{}, generates)
	var replicas []*env.Manager
	for range 2 {
		m, err := env.StartManager(env.ManagerOptions{})
		if err != nil {
			t.Fatal(err)
		}
		replicas = append(replicas, m)
	}
	for i := range 24 {
		id := strconv.Itoa(10659469668246800 + i)
		d.paid(id, 1, false)
		body, err := d.fake.PayPush(id)
		if err != nil {
			t.Fatal(err)
		}
		// Three managers and their questions leave little to receive with.
		d.eventually(func() error {
			if delivery := d.fake.Push(d.ctx, platformtest.DouyinEventsPath, body); !delivery.Accepted {
				return fmt.Errorf("%+v", delivery)
			}
			return nil
		})
	}
	for i := range 24 {
		d.orderReady(strconv.Itoa(10659469668246800+i), v1alpha1.OrderIssued)
	}
	if issued := d.fake.TokensIssued(); issued != 1 {
		t.Errorf("%d tokens were asked for", issued)
	}
	for _, m := range replicas {
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
		if strings.Contains(m.Log.String(), "DATA RACE") {
			t.Errorf("the race detector found\n%s", m.Log)
		}
	}
	if calls := d.fake.Calls("trade/order/query"); calls < 24 {
		t.Errorf("only %d questions", calls)
	}
}

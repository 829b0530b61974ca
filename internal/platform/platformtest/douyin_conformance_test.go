package platformtest_test

import (
	"bytes"
	gocmp "cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/douyin"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// The orders of the Douyin tests beside the seeded ones.
const (
	douyinUsedOrder    = "1065946966824669600" // all there is: used, refunded, refused
	douyinPendingOrder = "1065946966824669601" // its codes are awaited
	douyinRefundOrder  = "1065946966824669602" // its refunds are awaited
	douyinOwnOrder     = platformtest.DouyinOwnOrderID
	douyinSecret       = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
	mobile             = "13912345678"
)

func TestDouyinConformance(t *testing.T) {
	platformtest.Conformance(t, douyinSubject(t, platformtest.DouyinConfig{}))
}

// TestDouyinConformanceToQuirks runs the suite where the documents contradict each other
// or are silent: every quirk that we must be able to live with.
func TestDouyinConformanceToQuirks(t *testing.T) {
	for name, config := range map[string]platformtest.DouyinConfig{
		"one way": {PushToken: "t&k", Quirks: platformtest.DouyinQuirks{ErrorsInExtra: true, CertificatesInMillis: true, IssueWithoutCertificates: true,
			HeaderSign: true, TimestampInSeconds: true, NoMsgIDHeader: true, ContentAsObject: true, UpperSignatures: true}},
		"the other": {PushToken: "t&k", Quirks: platformtest.DouyinQuirks{ErrorsInData: true, TokenUnsigned: true, LegacySign: true, NoMsgIDField: true}},
	} {
		t.Run(name, func(t *testing.T) { platformtest.Conformance(t, douyinSubject(t, config)) })
	}
}

// pendingReceiver tells every SPI call to wait.
func pendingReceiver(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"data":{"error_code":0,"description":"success","result":0}}`)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// newDouyin is a seeded fake with an order with all there is, and with answers that it
// waits for. The same is made each time.
func newDouyin(t *testing.T, config platformtest.DouyinConfig) *platformtest.Douyin {
	t.Helper()
	config.ClientSecret, config.PushBase = douyinSecret, pendingReceiver(t)
	fake, err := platformtest.NewDouyin(config)
	must(t, err)
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	order := func(id string, count int64, codes ...string) []string {
		o := platformtest.DouyinOrder{ID: id, ProductID: platformtest.DouyinProductID, Count: count, Price: 100, ThirdParty: true,
			Status: platformtest.DouyinPaid, CreatedAt: at, PaidAt: at}
		var ids []string
		for i := range count {
			c := platformtest.DouyinCertificate{ID: fmt.Sprintf("7%s%02d", id[1:], i+1)}
			if len(codes) > 0 {
				o.Status, o.Issue = platformtest.DouyinUsable, platformtest.DouyinIssued
				c.Code, c.Status = codes[i], platformtest.DouyinCertificateUnused
			}
			o.Certificates, ids = append(o.Certificates, c), append(ids, c.ID)
		}
		must(t, fake.PutOrder(o))
		return ids
	}
	used := order(douyinUsedOrder, 3, code1, code2, "CODE-3310-7761")
	_, err = fake.Verify(douyinUsedOrder, used[0])
	must(t, err)
	_, err = fake.Refund(douyinUsedOrder, used[1])
	must(t, err)
	order(douyinPendingOrder, 2)
	_, err = fake.Issue(t.Context(), douyinPendingOrder)
	must(t, err)
	coupons := order(douyinRefundOrder, 3, "CODE-5001-0001", "CODE-5001-0002", "CODE-5001-0003")
	for _, ids := range [][]string{coupons[:2], coupons[2:]} {
		_, _, err = fake.ApplyRefund(t.Context(), douyinRefundOrder, "计划有变", ids...)
		must(t, err)
	}
	own, _ := fake.Order(douyinOwnOrder)
	for _, c := range own.Certificates {
		_, err = fake.Verify(own.ID, c.ID)
		must(t, err)
		_, err = fake.RequestAfterSale(own.ID, c.ID, "体验不好")
		must(t, err)
	}
	fake.ForgiveComplaints()
	return fake
}

func douyinSettings(t *testing.T, block string) any {
	t.Helper()
	settings, err := douyin.Adapter{}.Settings(json.RawMessage(block))
	must(t, err)
	return settings
}

func clientSecret(text string) platform.Credentials {
	return platform.Credentials{"clientSecret": sealing.NewSecret(text)}
}

func douyinSubject(t *testing.T, config platformtest.DouyinConfig) platformtest.Subject {
	t.Helper()
	fake := newDouyin(t, config)
	settings := `{"accountID":"` + platformtest.DouyinAccountID + `","thirdPartyCodes":{"source":"Generate"},"refunds":{"decision":"ApproveUnused"}}`
	if config.Quirks.LegacySign {
		settings = strings.Replace(settings, "{", `{"allowLegacySign":true,`, 1)
	}
	return platformtest.Subject{
		Adapter: douyin.Adapter{}, Account: platformtest.DouyinClientKey,
		Good: clientSecret(douyinSecret), Bad: clientSecret("another" + douyinSecret),
		Unusable: []platform.Credentials{clientSecret(""), clientSecret("  "), {"secret": sealing.NewSecret(douyinSecret)}},
		Settings: douyinSettings(t, settings),
		Types:    douyinTypes, Samples: douyinSamples(t, fake, config.Quirks), Malformed: douyinMalformed(),
		Verdict: func(path string, reply platform.Reply) platformtest.Verdict {
			return platformtest.DouyinVerdict(path, reply.Status, reply.Body)
		},
		RefusedInBody: douyin.Adapter{}.Paths()[1:],
		Start:         func(t *testing.T) platformtest.Running { return runDouyin(t, newDouyin(t, config)) },
		Product:       platformtest.DouyinProductID, UnknownProduct: "7",
		Order: platform.OrderQuestion{OrderID: douyinUsedOrder}, UnknownOrder: platform.OrderQuestion{OrderID: "9007199254740999"},
		Issue: douyinIssue(fake), Decisions: douyinDecisions(fake),
		Notices: []platformtest.AskedNotice{
			{PlatformType: platformtest.DouyinPartnerOrderEvent, Subject: platformtest.DouyinPartnerOrderID},
			{PlatformType: platformtest.DouyinCommissionEvent, Subject: platformtest.DouyinPartnerOrderID},
		},
	}
}

func runDouyin(t *testing.T, fake *platformtest.Douyin) platformtest.Running {
	var catalogue []string
	for _, p := range fake.Products() {
		if p.Online != 0 {
			catalogue = append(catalogue, p.ID)
		}
	}
	secrets := []string{platformtest.DouyinContactName, platformtest.DouyinContactPhone}
	for _, o := range fake.Orders() {
		for _, c := range o.Certificates {
			if c.Code != "" {
				secrets = append(secrets, c.Code)
			}
		}
	}
	return platformtest.Running{
		Endpoint: serveDouyin(t, fake), Inject: fake.Inject, Clear: fake.ClearFaults, Catalogue: catalogue, Secrets: secrets,
		Complaints: fake.Complaints,
		Tokens: &platformtest.RunningTokens{Issued: fake.TokensIssued, End: fake.ExpireTokens,
			Refusal: platformtest.Fault{Op: "goods/product/online/query", Kind: platformtest.Code, Code: "2190008"}},
		Codes: func(orderID string) []string {
			var codes []string
			o, _ := fake.Order(orderID)
			for _, c := range o.Certificates {
				codes = append(codes, c.Code)
			}
			return codes
		},
		Decided: func(d platform.Decision) (approved, told bool) {
			for _, a := range fake.AfterSales() {
				if a.ID == d.RefundID || a.CertificateIDs[0] == d.RefundID {
					return a.State == platformtest.DouyinApproved, a.State == platformtest.DouyinApproved || a.State == platformtest.DouyinRefused
				}
			}
			return false, false
		},
	}
}

func serveDouyin(t *testing.T, fake *platformtest.Douyin) string {
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	return server.URL
}

func douyinIssue(fake *platformtest.Douyin) platform.Issue {
	o, _ := fake.Order(douyinPendingOrder)
	issue := platform.Issue{OrderID: o.ID}
	for i, c := range o.Certificates {
		issue.Codes = append(issue.Codes, platform.Code{ID: c.ID, Text: sealing.NewSecret(fmt.Sprintf("EXTERNAL-77%d", i))})
	}
	return issue
}

// douyinDecisions approve and refuse by turns all that is awaited.
func douyinDecisions(fake *platformtest.Douyin) []platform.Decision {
	var decisions []platform.Decision
	for _, a := range fake.AfterSales() {
		if a.State != platformtest.DouyinPending {
			continue
		}
		o, _ := fake.Order(a.OrderID)
		d := platform.Decision{OrderID: a.OrderID, RefundID: a.ID, PlatformType: "refund_apply", Approve: len(decisions)%2 == 0, Reason: "已确认"}
		if a.Kind == platformtest.DouyinAfterSaleAudit {
			d.PlatformType, d.RefundID = platformtest.DouyinAfterSaleEvent, a.CertificateIDs[0]
		}
		for _, c := range o.Certificates {
			if slices.Contains(a.CertificateIDs, c.ID) {
				code := platform.Code{ID: c.ID}
				if o.ThirdParty {
					code.Text = sealing.NewSecret(c.Code)
				}
				d.Codes = append(d.Codes, code)
			}
		}
		decisions = append(decisions, d)
	}
	return decisions
}

var douyinTypes = []string{
	"verify_webhook", "life_product_common_audit", "life_product_audit", "life_product_status_change",
	"life_trade_order_notify", "life_trade_certificate_notify", "life_hermes_akte_after_sale_audit", "life_hermes_axte_after_sale_audit",
	"life_hermes_akte_booking_status_notification", "life_hermes_akte_merchant_config_update", "life_hermes_akte_booking_config_result",
	"life_hermes_akte_store_config_update", "life_partner_order_notify", "life_partner_commission_notify",
	"pre_create_order", "issue_codes", "refund_apply", "refund_notice", "status_query", "member_info_update",
}

// sampler collects samples as the fake signs them.
type sampler struct {
	t       *testing.T
	fake    *platformtest.Douyin
	quirks  platformtest.DouyinQuirks
	samples []platformtest.Sample
}

// add signs the body and adds the sample, which must name no more than it differs in.
func (s *sampler) add(sample platformtest.Sample, body []byte, err error) {
	s.t.Helper()
	must(s.t, err)
	sample.Query, sample.Header = s.fake.Signed(sample.Path, body)
	sample.Body, sample.Signed = body, true
	if sample.Account == "" && sample.Echo == nil {
		sample.Account = platformtest.DouyinClientKey
	}
	if sample.Name == "" {
		sample.Name = sample.Type
	}
	switch {
	case sample.Path == platformtest.DouyinEventsPath:
		sample.SignedHeaders = []string{"X-Douyin-Signature"}
	case s.quirks.LegacySign:
		sample.SignedQuery = []string{"client_key", "timestamp", "sign"}
	default:
		sample.SignedHeaders, sample.SignedQuery = []string{"X-Life-Sign"}, []string{"client_key", "timestamp"}
	}
	s.samples = append(s.samples, sample)
}

func (s *sampler) event(kind string, body []byte, err error) {
	s.t.Helper()
	s.add(platformtest.Sample{Path: platformtest.DouyinEventsPath, Type: kind, Events: 1, Secrets: []string{code1, code2}}, body, err)
}

func douyinSamples(t *testing.T, fake *platformtest.Douyin, quirks platformtest.DouyinQuirks) []platformtest.Sample {
	s := &sampler{t: t, fake: fake, quirks: quirks}
	s.events()
	s.challenges()
	s.scenes()
	s.foreign()
	return s.samples
}

// events are one of each type, and one that nobody knows.
func (s *sampler) events() {
	f := s.fake
	product := map[string]any{"product_id": platformtest.DouyinProductID, "status": "PASS", "reason": ""}
	s.event("life_product_common_audit", f.ProductAudit(platformtest.DouyinProductID, false, "图片不清晰"), nil)
	s.event("life_product_audit", f.Event("life_product_audit", product), nil)
	s.event("life_product_status_change", f.ProductStatus(platformtest.DouyinProductID, "GOODS_OFFLINE"), nil)
	body, err := f.PayPush(platformtest.DouyinOrderID)
	s.event("life_trade_order_notify", body, err)
	o, _ := f.Order(douyinUsedOrder)
	for _, action := range []string{"verify", "verify_cancel", "refund_success", "a_later_action"} {
		body, err := f.CertificatePush(o.ID, o.Certificates[0].ID, action)
		s.event("life_trade_certificate_notify", body, err)
	}
	after := map[string]any{"account_id": f.AccountID(), "order_id": douyinOwnOrder, "certificate_id": "1", "refund_amount": 100,
		"refund_time": time.Now().Unix(), "apply_reason": map[string]any{"code": []int{1}, "reason_items": []any{map[string]any{"code": 1, "msg": "x"}}}}
	for _, name := range []string{"life_hermes_akte_after_sale_audit", "life_hermes_axte_after_sale_audit"} {
		s.event(name, f.Event(name, after), nil)
	}
	for _, name := range douyinTypes[8:12] {
		s.event(name, f.Event(name, map[string]any{"order_id": douyinOwnOrder, "any": 1}), nil)
		s.event(name, f.Event(name, map[string]any{"poi_id": "6601248937917548557"}), nil)
	}
	body, err = f.PartnerOrderPush(platformtest.DouyinPartnerOrderID)
	s.event("life_partner_order_notify", body, err)
	s.event("life_partner_commission_notify", f.Event("life_partner_commission_notify", map[string]any{"order_id": platformtest.DouyinPartnerOrderID}), nil)
	s.event("unknown", f.Event("life_some_news", product), nil)
}

// challenges are the two shapes, signed and not.
func (s *sampler) challenges() {
	for name, asText := range map[string]bool{"an object": false, "a text": true} {
		sample := platformtest.Sample{Name: "challenge as " + name, Path: platformtest.DouyinEventsPath, Type: "verify_webhook", Echo: []byte(`{"challenge":12345}`)}
		s.add(sample, s.fake.VerifyWebhook(12345, asText), nil)
		sample.Name, sample.Body = sample.Name+", unsigned", s.fake.VerifyWebhook(12345, asText)
		s.samples = append(s.samples, sample)
	}
}

// scene adds an SPI call, as the fake sends it.
func (s *sampler) scene(name, scene string, inquiry *platformtest.Inquired, events int, body any, secrets ...string) {
	s.t.Helper()
	raw, isRaw := body.([]byte)
	if !isRaw {
		var err error
		raw, err = json.Marshal(body)
		must(s.t, err)
	}
	s.add(platformtest.Sample{Name: scene + ": " + name, Path: "spi/" + scene, Type: scene, Events: events, Inquiry: inquiry, Secrets: secrets}, raw, nil)
}

func (s *sampler) scenes() {
	onSale := platform.Known{Product: &platform.KnownProduct{State: platform.ProductOnSale, Stock: new(int64(2))}}
	request := map[string]any{"order_id": "1", "sku_id": platformtest.DouyinProductID, "third_sku_id": "DY-00", "count": 2}
	s.scene("may be ordered", "pre_create_order", &platformtest.Inquired{Known: onSale}, 0, request)
	soldOut := platform.Known{Product: &platform.KnownProduct{State: platform.ProductOnSale, Stock: new(int64(1))}}
	s.scene("sold out", "pre_create_order", &platformtest.Inquired{Known: soldOut, Verdict: platformtest.Refused}, 0, request)

	order := func(id string, known platform.KnownOrder) platform.Known {
		return platform.Known{Orders: map[string]platform.KnownOrder{id: known}}
	}
	issue := map[string]any{"order_id": platformtest.DouyinOrderID, "count": 2, "open_id": "o",
		"certificates": []any{map[string]any{"certificate_id": "71"}, map[string]any{"certificate_id": "72"}}}
	external := douyinSettings(s.t, `{"accountID":"`+platformtest.DouyinAccountID+`"}`)
	paid := order(platformtest.DouyinOrderID, platform.KnownOrder{Phase: "Paid", Confirmed: true})
	s.scene("made here", "issue_codes", &platformtest.Inquired{Known: paid}, 1, issue)
	s.scene("of an order not yet known", "issue_codes", &platformtest.Inquired{}, 1, issue)
	s.scene("from elsewhere", "issue_codes", &platformtest.Inquired{Known: paid, Settings: external}, 1, issue)
	s.scene("without certificates", "issue_codes", &platformtest.Inquired{Known: paid}, 1, map[string]any{"order_id": platformtest.DouyinOrderID, "count": 3})

	apply := map[string]any{"order_id": douyinUsedOrder, "after_sale_id": "91", "refund_amount": 200, "certificates": []any{
		map[string]any{"certificate_id": "71", "code": code1}, map[string]any{"certificate_id": "72", "code": code2}}}
	issued := order(douyinUsedOrder, platform.KnownOrder{Phase: "Issued", Confirmed: true})
	s.scene("decided here", "refund_apply", &platformtest.Inquired{Known: issued}, 1, apply, code1, code2)
	s.scene("decided later", "refund_apply", &platformtest.Inquired{Known: issued, Settings: external}, 1, apply, code1, code2)
	s.scene("of coupons without codes", "refund_apply", &platformtest.Inquired{Known: order(douyinUsedOrder, platform.KnownOrder{Phase: "Paid", Confirmed: true})}, 1,
		map[string]any{"order_id": douyinUsedOrder, "certificates": []any{map[string]any{"certificate_id": "71", "code": ""}}})

	s.scene("told", "refund_notice", nil, 1, map[string]any{"order_id": douyinUsedOrder, "after_sale_type": 3, "notice_list": []any{
		map[string]any{"certificate_id": "71", "code": code1, "total_count": 1, "audit_result": 1, "apply_time": 1722175826, "audit_time": 1722175830}}}, code1)

	s.scene("one known of two", "status_query", &platformtest.Inquired{Known: issued}, 0, map[string]any{"scene": "order", "order_ids": []string{douyinUsedOrder, "5"}})

	member := s.fake.MemberUpdate("f6e35c98", "13800000000", mobile, time.Now())
	s.scene("accepted", "member_info_update", &platformtest.Inquired{}, 1, member, mobile)
	refusing := douyinSettings(s.t, `{"members":{"updates":"Refuse","reason":"请联系门店"}}`)
	s.scene("refused", "member_info_update", &platformtest.Inquired{Settings: refusing, Verdict: platformtest.Refused}, 0, member, mobile)
	s.scene("under another key", "member_info_update", &platformtest.Inquired{Verdict: platformtest.Refused}, 0,
		bytes.ReplaceAll(member, []byte(s.fake.Encrypt(mobile)), []byte("2yxFypQ39OrifivISATEqA==")), mobile)
}

// foreign pushes are rightly signed, and about another merchant.
func (s *sampler) foreign() {
	other := func(sample platformtest.Sample, body []byte) {
		sample.Name, sample.Foreign = sample.Type+" of another merchant", true
		s.add(sample, bytes.ReplaceAll(body, []byte(platformtest.DouyinAccountID), []byte("7376546762393143334")), nil)
	}
	body, err := s.fake.PayPush(platformtest.DouyinOrderID)
	must(s.t, err)
	other(platformtest.Sample{Path: platformtest.DouyinEventsPath, Type: "life_trade_order_notify", Events: 1}, body)
	other(platformtest.Sample{Path: platformtest.DouyinMemberPath, Type: "member_info_update", Events: 1, Inquiry: &platformtest.Inquired{}},
		s.fake.MemberUpdate("f6e35c98", "13800000000", mobile, time.Now()))
	other(platformtest.Sample{Path: platformtest.DouyinIssuePath, Type: "issue_codes", Events: 1, Inquiry: &platformtest.Inquired{}},
		[]byte(`{"order_id":"1","count":1,"account_id":"`+platformtest.DouyinAccountID+`"}`))
}

func douyinMalformed() []platformtest.Malformed {
	bad := func(name, path, body string) platformtest.Malformed {
		return platformtest.Malformed{Name: name, Path: path, Body: []byte(body),
			Query: map[string][]string{"client_key": {platformtest.DouyinClientKey}, "timestamp": {"1722175826000"}}}
	}
	event := func(name, content string) string {
		return `{"event":"` + name + `","client_key":"aw6ufdiwwmx4x7tf","content":` + content + `,"msg_id":"m"}`
	}
	var ids []string
	for i := range 1000 {
		ids = append(ids, fmt.Sprint(i+1))
	}
	many, _ := json.Marshal(map[string]any{"scene": "order", "order_ids": ids})
	return []platformtest.Malformed{
		bad("no event", "events", `{"client_key":"aw6ufdiwwmx4x7tf","content":"{}"}`),
		bad("content is not JSON", "events", event("life_product_status_change", `"product_id=1"`)),
		bad("content lacks the product", "events", event("life_product_status_change", `"{}"`)),
		bad("content lacks the order", "events", event("life_trade_order_notify", `"{\"action\":\"pay_success\",\"order\":{}}"`)),
		bad("a challenge that is a text", "events", `{"event":"verify_webhook","client_key":"","content":{"challenge":"12345"}}`),
		bad("a challenge that is an object", "events", `{"event":"verify_webhook","client_key":"","content":{"challenge":{}}}`),
		bad("no challenge", "events", `{"event":"verify_webhook","client_key":"","content":{}}`),
		bad("no order", "spi/issue_codes", `{"count":1}`),
		bad("no count", "spi/issue_codes", `{"order_id":"1"}`),
		bad("501 codes", "spi/issue_codes", `{"order_id":"1","count":501}`),
		bad("a certificate twice", "spi/issue_codes", `{"order_id":"1","count":2,"certificates":[{"certificate_id":"1"},{"certificate_id":"1"}]}`),
		bad("a thousand orders", "spi/status_query", string(many)),
		bad("no coupons", "spi/refund_apply", `{"order_id":"1"}`),
		bad("no open_id", "spi/member_info_update", `{"account_id":"7376546762393143333","update_time":"1709705974","info":{"mobile":{"new_mobile":"x"}}}`),
	}
}

// newDouyinClient is a client of its own for the fake.
func newDouyinClient(t *testing.T, fake *platformtest.Douyin) platform.Client {
	t.Helper()
	holder := platform.Holder{ID: fake.ClientKey(), Credentials: clientSecret(fake.ClientSecret()), Settings: douyinSettings(t, `{"accountID":"`+fake.AccountID()+`"}`)}
	client, err := douyin.Adapter{}.NewClient(
		platform.Account{Holder: holder, Endpoint: serveDouyin(t, fake), Tokens: platformtest.NewTokens()},
		platform.NewTransport("test", platform.Limits{RequestsPerSecond: 1000, Burst: 1000, Concurrency: 8}, nil))
	must(t, err)
	return client
}

// TestDouyinCodes: what the adapter makes of the platform's own codes.
func TestDouyinCodes(t *testing.T) {
	cases := map[string]struct {
		kind   platform.Kind
		reason platform.Reason
	}{
		"2100001": {platform.Transient, platform.ReasonUnavailable}, "2100004": {platform.Transient, platform.ReasonUnavailable},
		"2119002": {platform.Transient, platform.ReasonUnavailable}, "28001005": {platform.Transient, platform.ReasonUnavailable},
		"2119003": {platform.Throttled, platform.ReasonThrottled}, "28003018": {platform.Throttled, platform.ReasonThrottled},
		"2100005": {platform.Refused, platform.ReasonRequest}, "2119001": {platform.Refused, platform.ReasonRequest},
		"28001007": {platform.Refused, platform.ReasonRequest},
		"2190004":  {platform.Refused, platform.ReasonNotGranted}, "28001018": {platform.Refused, platform.ReasonNotGranted},
	}
	fake := newDouyin(t, platformtest.DouyinConfig{})
	client := newDouyinClient(t, fake).(platform.ProductClient)
	for code, c := range cases {
		fake.ClearFaults()
		fake.Inject(platformtest.Fault{Op: "goods/product/online/get", Kind: platformtest.Code, Code: code})
		_, err := client.Product(t.Context(), wholeProduct(platformtest.DouyinProductID))
		e, ok := errors.AsType[*platform.Error](err)
		if !ok || e.Kind != c.kind || e.Reason != c.reason || e.Code != code {
			t.Errorf("%s: %#v, want %s/%s", code, err, c.kind, c.reason)
		}
	}
}

// TestDouyinFacts: what is answered is what the fake holds.
func TestDouyinFacts(t *testing.T) {
	for name, quirks := range map[string]platformtest.DouyinQuirks{"as seen": {}, "as printed": {CertificatesInMillis: true}} {
		t.Run(name, func(t *testing.T) {
			fake := newDouyin(t, platformtest.DouyinConfig{Quirks: quirks})
			client := newDouyinClient(t, fake)
			checkDouyinProducts(t, fake, client.(platform.ProductClient))
			checkDouyinOrder(t, fake, client.(platform.OrderClient))
			if complaints := fake.Complaints(); len(complaints) > 0 {
				t.Error(complaints)
			}
		})
	}
}

func checkDouyinProducts(t *testing.T, fake *platformtest.Douyin, client platform.ProductClient) {
	t.Helper()
	all := fake.Products()
	states := map[int]platform.ProductState{0: platform.ProductOnSale, 1: platform.ProductOffSale, 2: platform.ProductBanned}
	for i, state := range states {
		got, err := client.Product(t.Context(), wholeProduct(all[i].ID))
		must(t, err)
		if got.State != state || got.Currency != "CNY" || got.Info.Title != all[i].Title || got.Info.SupplierCode != all[i].OutID ||
			!got.Info.SaleEnd.Equal(all[i].SaleEnd) || len(got.SKUs) != 1 || got.SKUs[0].ID != all[i].SkuID || *got.SKUs[0].Stock != *all[i].Stock {
			t.Errorf("%+v %+v", got, got.Info)
		}
		if days := got.SKUs[0].Days; len(days) == 0 || *days[0].Amount != all[i].Amount || *days[0].Market != all[i].Market {
			t.Errorf("%+v", days)
		}
	}
	if got, err := client.Product(t.Context(), wholeProduct(all[3].ID)); err != nil || got.SKUs[0].Stock != nil {
		t.Errorf("%+v, %v: the stock is unlimited", got, err)
	}
	failed, err := client.Product(t.Context(), wholeProduct(all[len(all)-1].ID))
	must(t, err)
	if failed.Info.ReviewReason != "缺少资质" || failed.State == platform.ProductOnSale {
		t.Errorf("%+v %+v", failed, failed.Info)
	}
}

func checkDouyinOrder(t *testing.T, fake *platformtest.Douyin, client platform.OrderClient) {
	t.Helper()
	held, _ := fake.Order(douyinUsedOrder)
	order, err := client.Order(t.Context(), platform.OrderQuestion{OrderID: douyinUsedOrder, Refunds: true})
	must(t, err)
	code := func(i int, used, refunded int64) platform.Code {
		c := held.Certificates[i]
		return platform.Code{ID: c.ID, Text: sealing.NewSecret(c.Code), Persons: new(int64(1)), Used: &used, Refunded: &refunded}
	}
	want := []platform.Code{code(0, 1, 0), code(1, 0, 1), code(2, 0, 0)}
	if diff := cmp.Diff(want, order.Codes, cmp.AllowUnexported(sealing.Secret{})); diff != "" {
		t.Error(diff)
	}
	if order.State != platform.OrderIssued || order.PlatformStatus != "201" || order.RefundState != platform.RefundPartly || *order.Quantity != 3 {
		t.Errorf("%+v", order)
	}
	refunds := []platform.RefundFact{{ID: fake.AfterSales()[0].ID, Currency: "CNY", Amount: new(int64(100)), Quantity: new(int64(1)), Succeeded: new(true)}}
	if diff := cmp.Diff(refunds, order.Refunds, cmpopts.IgnoreFields(platform.RefundFact{}, "At", "Reason", "Quantity")); diff != "" {
		t.Error(diff)
	}
}

// station receives Douyin's pushes with the adapter and remembers what was replied, as the
// webhook server and the ledger do together.
type station struct {
	t      *testing.T
	holder platform.Holder
	mu     sync.Mutex
	known  platform.Known
	events []platform.Event
}

func newStation(t *testing.T, fake *platformtest.Douyin, settings string) *station {
	s := &station{t: t, holder: platform.Holder{ID: fake.ClientKey(), Credentials: clientSecret(fake.ClientSecret()), Settings: douyinSettings(t, settings)}}
	s.known = platform.Known{
		Orders:   map[string]platform.KnownOrder{},
		MakeCode: func(orderID, unit string) sealing.Secret { return sealing.NewSecret("G-" + orderID + "-" + unit) },
		CodeID:   func(c platform.Code) string { return gocmp.Or(c.ID, c.Text.Reveal()) },
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	fake.AimPushes(server.URL, "t&k")
	return s
}

func (s *station) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	reply := s.receive(platform.Push{Path: strings.TrimPrefix(r.URL.Path, "/api/webhooks/douyin/"), Query: r.URL.Query(),
		Header: r.Header, Body: body, ReceivedAt: time.Now()})
	w.Header().Set("Content-Type", reply.ContentType)
	w.WriteHeader(reply.Status)
	_, _ = w.Write(reply.Body)
}

func (s *station) receive(push platform.Push) platform.Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	refuse := func(outcome platform.Outcome, err error) platform.Reply {
		s.t.Logf("%s: %s, %v", push.Path, outcome, err)
		return douyin.Adapter{}.Reply(push.Path, outcome, "")
	}
	m, err := douyin.Adapter{}.Open(push)
	if err != nil {
		return refuse(platform.OutcomeMalformed, err)
	}
	if _, err := m.Verify(s.holder); err != nil {
		return refuse(platform.OutcomeForged, err)
	}
	switch m := m.(type) {
	case platform.Challenge:
		return m.Echo()
	case platform.Inquiry:
		s.known.Now = push.ReceivedAt
		answer, err := m.Answer(s.holder, s.known)
		if err != nil {
			return refuse(platform.OutcomeRetry, err)
		}
		s.record(answer.Events)
		return answer.Reply
	}
	events, err := m.Events()
	if err != nil {
		return refuse(platform.OutcomeMalformed, err)
	}
	s.record(events)
	return douyin.Adapter{}.Reply(push.Path, platform.OutcomeRecorded, "")
}

func (s *station) record(events []platform.Event) {
	s.events = append(s.events, events...)
	for _, e := range events {
		if e.Order == nil || e.Order.Replied == nil {
			continue
		}
		order := s.known.Orders[e.Order.OrderID]
		if order.Recorded == nil {
			order = platform.KnownOrder{Phase: "Issued", Confirmed: true, Recorded: map[string]platform.Recorded{}, Codes: map[string]platform.KnownCode{}}
		}
		recorded := platform.Recorded{Result: string(e.Order.Replied.Result)}
		for _, c := range e.Order.Codes {
			recorded.CodeIDs, recorded.Refs = append(recorded.CodeIDs, s.known.CodeID(c)), append(recorded.Refs, c.ID)
			order.Codes[s.known.CodeID(c)] = platform.KnownCode{}
		}
		order.Recorded[e.Order.MessageID] = recorded
		s.known.Orders[e.Order.OrderID] = order
	}
}

// kinds of the order notifications that were received.
func (s *station) kinds() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var kinds []string
	for _, e := range s.events {
		if e.Order != nil {
			kinds = append(kinds, e.Order.Kind)
		}
	}
	return kinds
}

// TestDouyinScenes: the fake and the adapter through every scene, with replies lost and
// pushes repeated, and nothing for the platform to complain of.
func TestDouyinScenes(t *testing.T) {
	for name, quirks := range map[string]platformtest.DouyinQuirks{"as seen": {}, "as printed": {
		IssueWithoutCertificates: true, TokenUnsigned: true, HeaderSign: true, TimestampInSeconds: true}} {
		t.Run(name, func(t *testing.T) {
			fake, err := platformtest.NewDouyin(platformtest.DouyinConfig{RetryScale: 1e-9, Quirks: quirks})
			must(t, err)
			s := newStation(t, fake, `{"accountID":"`+fake.AccountID()+`","thirdPartyCodes":{"source":"Generate"},"refunds":{"decision":"ApproveUnused"}}`)
			id := platformtest.DouyinSecondOrderID
			fake.Inject(platformtest.Fault{Op: "issue_codes", Kind: platformtest.LoseReply})
			for range 2 {
				d, err := fake.Issue(t.Context(), id)
				must(t, err)
				if !d.Accepted {
					t.Errorf("%+v", d)
				}
			}
			o, _ := fake.Order(id)
			if o.Issue != platformtest.DouyinIssued || !strings.HasPrefix(o.Certificates[1].Code, "G-"+id) {
				t.Errorf("%+v", o)
			}
			result, _ := fake.QueryStatus(t.Context(), "order", id, "5")
			if len(result) != 1 || !strings.Contains(string(result[id]), o.Certificates[0].Code) {
				t.Errorf("%s", result)
			}
			if d := fake.Push(t.Context(), platformtest.DouyinEventsPath, fake.VerifyWebhook(12345, true)); !d.Accepted {
				t.Errorf("%+v", d)
			}
			if reply, _ := fake.UpdateMember(t.Context(), "o-1", "13800000000", mobile); !reply.Answered || reply.Code != 0 {
				t.Errorf("%+v", reply)
			}
			if asked, _ := fake.PreCreate(t.Context(), "7", 1); asked.Allowed || asked.Code != 1 {
				t.Errorf("%+v", asked)
			}
			sale, _, err := fake.ApplyRefund(t.Context(), id, "计划有变", o.Certificates[0].ID)
			must(t, err)
			_, err = fake.RepeatRefund(t.Context(), sale.ID)
			must(t, err)
			for _, d := range fake.Settle(t.Context()) {
				if !d.Accepted {
					t.Errorf("%+v", d)
				}
			}
			if got := fake.Complaints(); len(got) > 0 {
				t.Error(got)
			}
			if got := s.kinds(); !slices.Equal(got[:2], []string{"CodesIssued", "RefundRequested"}) {
				t.Error(got)
			}
		})
	}
}

// TestDouyinAnswersLater: what is told to wait is told later by the client.
func TestDouyinAnswersLater(t *testing.T) {
	fake, err := platformtest.NewDouyin(platformtest.DouyinConfig{})
	must(t, err)
	s := newStation(t, fake, `{"accountID":"`+fake.AccountID()+`"}`)
	client := newDouyinClient(t, fake).(platform.OrderAnswerer)
	_, err = fake.Issue(t.Context(), platformtest.DouyinSecondOrderID)
	must(t, err)
	issue := platform.Issue{OrderID: platformtest.DouyinSecondOrderID}
	asked := s.events[0].Order
	for i, c := range asked.Codes {
		issue.Codes = append(issue.Codes, platform.Code{ID: c.ID, Text: sealing.NewSecret(fmt.Sprint("E-", i))})
	}
	must(t, client.IssueCodes(t.Context(), issue))
	o, _ := fake.Order(issue.OrderID)
	if asked.Kind != "CodesRequested" || time.Until(asked.Deadline) < 9*time.Minute || o.Issue != platformtest.DouyinIssued {
		t.Errorf("%+v %+v", asked, o)
	}
	for i, approve := range []bool{true, false} {
		sale, _, err := fake.ApplyRefund(t.Context(), o.ID, "计划有变", o.Certificates[i].ID)
		must(t, err)
		request := s.events[i+1].Order
		must(t, client.DecideRefund(t.Context(), platform.Decision{OrderID: o.ID, RefundID: request.Refund.ID, PlatformType: request.PlatformType,
			Approve: approve, Reason: "已确认", Codes: request.Codes}))
		if sale, _ = fake.AfterSale(sale.ID); (sale.State == platformtest.DouyinApproved) != approve || request.Kind != "RefundRequested" {
			t.Errorf("%+v", sale)
		}
	}
	if got := fake.Complaints(); len(got) > 0 {
		t.Error(got)
	}
}

package platformtest_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fliggy"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	account   = "9007199254740993" // above 2^53
	orderID   = "9007199254740995"
	code1     = "CODE-8812-3345"
	code2     = "CODE-9917-0021"
	document  = "330102199001011234"
	catalogue = 250
)

func TestFliggyConformance(t *testing.T) {
	platformtest.Conformance(t, fliggySubject(t, platformtest.FliggyQuirks{}))
}

// TestFliggyConformanceToQuirks runs the suite where document and wire differ: every
// quirk that we must be able to live with.
func TestFliggyConformanceToQuirks(t *testing.T) {
	platformtest.Conformance(t, fliggySubject(t, platformtest.FliggyQuirks{SingularCalendar: true, MessageField: true,
		EndOfPages4010: true, RefundTimeMillis: true, RefundSign: "printed", QuotedAccount: true}))
}

// newFliggy is a fake with a catalogue of several pages and one order with all there is.
func newFliggy(t *testing.T, quirks platformtest.FliggyQuirks) *platformtest.Fliggy {
	t.Helper()
	fake, err := platformtest.NewFliggy(platformtest.FliggyConfig{Account: account, Quirks: quirks})
	must(t, err)
	for i := range catalogue {
		must(t, fake.PutProduct(product(fmt.Sprint(88+i))))
	}
	must(t, fake.PutOrder(platformtest.Order{ID: orderID, OutOrderID: "T-1", ProductID: "88", Quantity: 3, Price: 35050, TravelDate: "2025-09-25"}))
	for _, step := range []func() ([]byte, error){
		func() ([]byte, error) { return fake.Pay(orderID) },
		func() ([]byte, error) {
			return fake.IssueCodes(orderID, platformtest.OrderCode{Code: code1, Persons: 2, Users: []string{document}},
				platformtest.OrderCode{Code: code2, Persons: 1})
		},
		func() ([]byte, error) { return fake.UseCode(orderID, code1, 1) },
		func() ([]byte, error) { return fake.Refund(orderID, 35050, 1, false) },
	} {
		_, err := step()
		must(t, err)
	}
	return fake
}

func product(id string) platformtest.Product {
	return platformtest.Product{ID: id, Title: "西湖一晚双早套餐", SupplierCode: "XH-01", Start: "2025-09-23", Days: 30,
		Price: "350.50", WeekendPrice: "420.00", Stock: 12, Closed: []string{"2025-10-01"}}
}

func fliggySubject(t *testing.T, quirks platformtest.FliggyQuirks) platformtest.Subject {
	t.Helper()
	fake := newFliggy(t, quirks)
	stranger, err := platformtest.NewFliggy(platformtest.FliggyConfig{Account: account})
	must(t, err)
	return platformtest.Subject{
		Adapter: fliggy.Adapter{},
		Account: account,
		Good:    privateKey(fake.PrivateKey()),
		Bad:     privateKey(stranger.PrivateKey()),
		Unusable: []platform.Credentials{
			privateKey("not-base64-at-all-!"), privateKey("bm8ta2V5LWF0LWFsbA=="), privateKey(fake.PrivateKey()[:200]),
			{"key": sealing.NewSecret(fake.PrivateKey())},
		},
		Types:     fliggyTypes,
		Samples:   fliggySamples(t, fake),
		Malformed: fliggyMalformed(),
		Verdict: func(_ string, reply platform.Reply) platformtest.Verdict {
			return platformtest.FliggyVerdict(reply.Status, reply.Body)
		},
		Start: func(t *testing.T) platformtest.Running {
			fake.ClearFaults()
			return platformtest.Running{Endpoint: serve(t, fake), Inject: fake.Inject, Clear: fake.ClearFaults, Catalogue: listed(fake),
				Secrets: []string{code1, code2, document, platformtest.FliggyTravellerMobile, platformtest.FliggyTravellerCertificate}}
		},
		NoNotices: true, NoAnswers: true, Unsigned: platform.ProofNone,
		Product: "88", UnknownProduct: "7",
		Order: platform.OrderQuestion{OrderID: orderID, OutOrderID: "T-1"}, UnknownOrder: platform.OrderQuestion{OrderID: "9007199254740999"},
	}
}

var fliggyTypes = []string{
	"VACATION_RESOURCE_INFO_CHANGE", "VACATION_RESOURCE_VALID_CHANGE", "VACATION_RESOURCE_INVALID_CHANGE",
	"VACATION_RESOURCE_PRICE_STOCK_CHANGE", "VACATION_RESOURCE_PRICE_CHANGE", "VACATION_RESOURCE_STOCK_CHANGE",
	"ORDER_STATUS_CHANGE", "ORDER_SEND_CODE_NOTIFY", "ORDER_REFUND_NOTIFY", "ORDER_VERIFY_NOTIFY",
}

// fliggySamples are the fake's own push bodies of all ten types, and of one no one knows.
func fliggySamples(t *testing.T, fake *platformtest.Fliggy) []platformtest.Sample {
	t.Helper()
	now := time.Now()
	samples := []platformtest.Sample{{Name: "unknown product push", Path: platformtest.FliggyProductPath, Account: account, Type: "unknown", Events: 1,
		Body: fake.ProductPush("VACATION_RESOURCE_NEW_CHANGE", "88", now)}}
	for _, pushType := range fliggyTypes[:6] {
		samples = append(samples, platformtest.Sample{Name: pushType, Path: platformtest.FliggyProductPath, Account: account, Type: pushType, Events: 1,
			Body: fake.ProductPush(pushType, "9007199254740997", now)})
	}
	add := func(name, pushType string, body []byte, err error) {
		must(t, err)
		samples = append(samples, platformtest.Sample{Name: name, Path: platformtest.FliggyOrderPath, Account: account, Type: pushType, Events: 1,
			Body: body, Secrets: []string{code1, code2, document}})
	}
	body, err := fake.StatusPush(orderID)
	add("status", "ORDER_STATUS_CHANGE", body, err)
	unknown := []byte(strings.ReplaceAll(string(body), "ORDER_STATUS_CHANGE", "ORDER_NEWS"))
	add("unknown order push", "unknown", unknown, err)
	body, err = fake.SendCodePush(orderID)
	add("codes", "ORDER_SEND_CODE_NOTIFY", body, err)
	body, err = fake.VerifyPush(orderID, code1)
	add("use", "ORDER_VERIFY_NOTIFY", body, err)
	body, err = fake.RefundPush(orderID)
	add("refund", "ORDER_REFUND_NOTIFY", body, err)
	for _, sample := range slices.Clone(samples) {
		sample.Name += " as a form"
		sample.Body, _ = platformtest.AsForm(sample.Body)
		samples = append(samples, sample)
	}
	return samples
}

func fliggyMalformed() []platformtest.Malformed {
	bad := func(name, path, body string) platformtest.Malformed {
		return platformtest.Malformed{Name: name, Path: path, Body: []byte(body)}
	}
	return []platformtest.Malformed{
		bad("no account", "product-change", `{"pushType":"VACATION_RESOURCE_INFO_CHANGE","productId":"88","changedTime":1758600000000,"timestamp":1758600000500,"messageId":"m-1"}`),
		bad("no message id", "product-change", `{"pushType":"VACATION_RESOURCE_INFO_CHANGE","productId":"88","distributorId":1001,"changedTime":1758600000000,"timestamp":1758600000500}`),
		bad("no product", "product-change", `{"pushType":"VACATION_RESOURCE_INFO_CHANGE","distributorId":1001,"changedTime":1758600000000,"timestamp":1758600000500,"messageId":"m-1"}`),
		bad("no order", "order-status", `{"pushType":"ORDER_STATUS_CHANGE","distributorId":1001,"timestamp":1758600000500,"messageId":"m-1","data":{}}`),
		bad("account as 1e3", "order-status", `{"pushType":"ORDER_STATUS_CHANGE","distributorId":1e3,"orderId":"5","timestamp":1758600000500,"messageId":"m-1","data":{}}`),
		bad("codes are no list", "order-status", `{"pushType":"ORDER_SEND_CODE_NOTIFY","distributorId":1001,"orderId":"5","timestamp":1758600000500,"messageId":"m-1","data":{"success":true,"codeInfos":"A1"}}`),
	}
}

// TestFliggyFormPushes: the content type of pushes is not documented, so the suite's
// push side must hold for forms too.
func TestFliggyFormPushes(t *testing.T) {
	fake, err := platformtest.NewFliggy(platformtest.FliggyConfig{Account: account, Quirks: platformtest.FliggyQuirks{FormPushes: true}})
	must(t, err)
	receiver := &receiver{}
	server := httptest.NewServer(receiver)
	defer server.Close()
	fake.AimPushes(server.URL, "")
	must(t, fake.PutOrder(platformtest.Order{ID: orderID, OutOrderID: "T-1", ProductID: "88", Quantity: 1}))
	body, err := fake.IssueCodes(orderID, platformtest.OrderCode{Code: code1, Persons: 2})
	must(t, err)
	if d := fake.Push(t.Context(), platformtest.FliggyOrderPath, body); d.Fate != platformtest.Delivered {
		t.Errorf("%+v", d)
	}
	fromJSON, err := receiver.decode(platform.Push{Path: platformtest.FliggyOrderPath, Body: body})
	must(t, err)
	if diff := cmp.Diff(fromJSON, receiver.events, cmp.AllowUnexported(sealing.Secret{})); diff != "" {
		t.Error(diff)
	}
}

// TestFliggyCodes: what the adapter makes of the platform's own codes.
func TestFliggyCodes(t *testing.T) {
	fake := newFliggy(t, platformtest.FliggyQuirks{})
	client := newClient(t, fake)
	cases := []struct {
		op, code string
		kind     platform.Kind
		reason   platform.Reason
	}{
		{"queryProductDetailInfo", "9000", platform.Transient, platform.ReasonUnavailable},
		{"queryProductDetailInfo", "5001", platform.Refused, platform.ReasonCredentials},
		{"queryProductDetailInfo", "5002", platform.Refused, platform.ReasonNotGranted},
		{"queryProductDetailInfo", "5003", platform.Refused, platform.ReasonRequest},
		{"queryProductDetailInfo", "4002", platform.Refused, platform.ReasonCredentials},
		{"queryProductDetailInfo", "4003", platform.Refused, platform.ReasonCredentials},
		{"queryProductDetailInfo", "6001", platform.Refused, platform.ReasonCredentials},
		{"queryProductDetailInfo", "4005", platform.Gone, platform.ReasonNotFound},
		{"queryProductDetailInfo", "4006", platform.Gone, platform.ReasonOffSale},
		{"queryProductDetailInfo", "4007", platform.Gone, platform.ReasonOffSale},
		{"searchOrder", "7004", platform.Gone, platform.ReasonNotFound},
		{"searchRefundOrder", "9000", platform.Transient, platform.ReasonUnavailable},
	}
	for _, c := range cases {
		fake.ClearFaults()
		fake.Inject(platformtest.Fault{Op: c.op, Kind: platformtest.Code, Code: c.code})
		var err error
		if strings.HasPrefix(c.op, "search") {
			_, err = client.(platform.OrderClient).Order(t.Context(), platform.OrderQuestion{OrderID: orderID, Refunds: true})
		} else {
			_, err = client.(platform.ProductClient).Product(t.Context(), wholeProduct("88"))
		}
		e, ok := errors.AsType[*platform.Error](err)
		if !ok || e.Kind != c.kind || e.Reason != c.reason || e.Code != c.code {
			t.Errorf("%s %s: %#v, want %s/%s", c.op, c.code, err, c.kind, c.reason)
		}
	}
}

// TestFliggyFacts: what is answered is what the fake holds.
func TestFliggyFacts(t *testing.T) {
	for name, quirks := range map[string]platformtest.FliggyQuirks{
		"as seen": {}, "as printed": {SingularCalendar: true, RefundTimeMillis: true, RefundSign: "printed"},
		"refunds signed as orders are": {RefundSign: "plain"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := newFliggy(t, quirks)
			client := newClient(t, fake)
			got, err := client.(platform.ProductClient).Product(t.Context(), wholeProduct("88"))
			must(t, err)
			if got.Currency != "CNY" || got.State != platform.ProductOnSale || got.Info.Title != "西湖一晚双早套餐" || got.Info.SupplierCode != "XH-01" || len(got.SKUs) != 1 {
				t.Fatalf("%+v %+v", got, got.Info)
			}
			checkDays(t, got.SKUs[0].Days)
			order, err := client.(platform.OrderClient).Order(t.Context(), platform.OrderQuestion{OrderID: orderID, Refunds: true})
			must(t, err)
			checkOrder(t, order)
		})
	}
}

func checkDays(t *testing.T, days []platform.Day) {
	t.Helper()
	slices.SortFunc(days, func(a, b platform.Day) int { return strings.Compare(a.Date, b.Date) })
	if len(days) != 30 || days[0].Date != "2025-09-23" || days[29].Date != "2025-10-22" {
		t.Fatalf("%d days: %+v", len(days), days)
	}
	want := []platform.Day{
		{Date: "2025-09-26", Amount: new(int64(35050)), Market: new(int64(45050)), Stock: new(int64(12))},
		{Date: "2025-09-27", Amount: new(int64(42000)), Market: new(int64(52000)), Stock: new(int64(12))},
		{Date: "2025-10-01", Amount: new(int64(35050)), Market: new(int64(45050)), Stock: new(int64(0)), Closed: true},
	}
	if diff := cmp.Diff(want, []platform.Day{days[3], days[4], days[8]}); diff != "" {
		t.Error(diff)
	}
}

func checkOrder(t *testing.T, order platform.Order) {
	t.Helper()
	want := platform.Order{
		OrderID: orderID, OutOrderID: "T-1", State: platform.OrderIssued, PlatformStatus: "1003",
		RefundState: platform.RefundPartly, RefundedAmount: new(int64(35050)), RefundedQuantity: new(int64(1)),
		Quantity: new(int64(3)), Currency: "CNY",
		Codes: []platform.Code{
			{Text: sealing.NewSecret(code1), Persons: new(int64(2)), Used: new(int64(1)), Refunded: new(int64(1))},
			{Text: sealing.NewSecret(code2), Persons: new(int64(1)), Used: new(int64(0)), Refunded: new(int64(0))},
		},
		Refunds: []platform.RefundFact{{ID: "R" + orderID + "-1", Currency: "CNY", Amount: new(int64(35050)), Quantity: new(int64(1)), Succeeded: new(true)}},
	}
	if diff := cmp.Diff(want, order, cmp.AllowUnexported(sealing.Secret{}), cmpopts.IgnoreFields(platform.RefundFact{}, "At")); diff != "" {
		t.Error(diff)
	}
	if len(order.Refunds) == 1 && time.Since(order.Refunds[0].At).Abs() > time.Minute {
		t.Errorf("refund at %s", order.Refunds[0].At)
	}
}

// TestFliggyPageEdges: a catalogue that fills its last page, one that is empty.
func TestFliggyPageEdges(t *testing.T) {
	for _, quirks := range []platformtest.FliggyQuirks{{}, {EndOfPages4010: true}} {
		for _, n := range []int{0, 1, 99, 100, 101, 200} {
			fake, err := platformtest.NewFliggy(platformtest.FliggyConfig{Account: account, Quirks: quirks})
			must(t, err)
			for i := range n {
				must(t, fake.PutProduct(product(fmt.Sprint(1+i))))
			}
			seen := map[string]bool{}
			err = newClient(t, fake).(platform.ProductClient).ListProducts(t.Context(), func(page []platform.ListedProduct) bool {
				for _, p := range page {
					seen[p.ID] = true
				}
				return true
			})
			if err != nil || len(seen) != n {
				t.Errorf("%+v: %d of %d products, %v", quirks, len(seen), n, err)
			}
		}
	}
}

func wholeProduct(id string) platform.ProductQuestion {
	return platform.ProductQuestion{ProductID: id, Aspects: []platform.Aspect{
		platform.AspectInfo, platform.AspectPrice, platform.AspectStock, platform.AspectAvailability}}
}

func newClient(t *testing.T, fake *platformtest.Fliggy) platform.Client {
	t.Helper()
	client, err := fliggy.Adapter{}.NewClient(
		platform.Account{Holder: platform.Holder{ID: account, Credentials: privateKey(fake.PrivateKey())}, Endpoint: serve(t, fake)},
		platform.NewTransport("test", platform.Limits{RequestsPerSecond: 1000, Burst: 1000, Concurrency: 8}, nil))
	must(t, err)
	must(t, client.Check(t.Context()))
	return client
}

func serve(t *testing.T, fake *platformtest.Fliggy) string {
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	return server.URL
}

func listed(fake *platformtest.Fliggy) []string {
	var ids []string
	for _, p := range fake.Products() {
		ids = append(ids, p.ID)
	}
	return ids
}

func privateKey(text string) platform.Credentials {
	return platform.Credentials{"privateKey": sealing.NewSecret(text)}
}

func must(t interface {
	Helper()
	Fatal(arguments ...any)
}, err error,
) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// receiver is a webhook server of one path that decodes and accepts.
type receiver struct{ events []platform.Event }

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	events, err := r.decode(platform.Push{Path: platformtest.FliggyOrderPath, Header: request.Header, Body: body})
	outcome := platform.OutcomeRecorded
	if err != nil {
		outcome = platform.OutcomeMalformed
	}
	r.events = events
	reply := fliggy.Adapter{}.Reply(platformtest.FliggyOrderPath, outcome, "")
	w.WriteHeader(reply.Status)
	_, _ = w.Write(reply.Body)
}

func (r *receiver) decode(push platform.Push) ([]platform.Event, error) {
	m, err := fliggy.Adapter{}.Open(push)
	if err != nil {
		return nil, err
	}
	return m.Events()
}

package platformtest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
	"github.com/laidoulaile/channel-operator/internal/platform/sctt"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const scttSecret = "sctt-secret-of-the-merchant"

func TestSCTTConformance(t *testing.T) {
	platformtest.Conformance(t, scttSubject(t, platformtest.SCTTConfig{}, "CNY"))
}

// TestSCTTConformanceOtherwise runs what a signing rule, the zone, the currency or one of
// the documents' contradictions has to do with. None of the rules is the platform's.
func TestSCTTConformanceOtherwise(t *testing.T) {
	asking := []string{"push/samples", "ask/credentials", "ask/questions", "ask/products", "ask/the platform", "ask/listing"}
	signing := append([]string{"push/signatures", "push/other accounts", "push/copies"}, asking...)
	for name, c := range map[string]struct {
		config   platformtest.SCTTConfig
		currency string
	}{
		"many fields": {platformtest.SCTTConfig{Signature: platformtest.SCTTSignature{Algorithm: "SHA256", Encoding: "LowerHex",
			Message: "{secret}|{merchant_id}|{request_time}|{order_code}|{order_status}|{total_price}|{order_currency}|{trade_number}|" +
				"{surplus_quota}|{remark}|{product_id}|{start_date}|{end_date}|{pageno}|{pagesize}|{language}|{key}|{cid}"}}, "CNY"},
		"keyed": {platformtest.SCTTConfig{Signature: platformtest.SCTTSignature{Algorithm: "HMACSHA256", Encoding: "Base64",
			Message: "{merchant_id}&{request_time}"}}, "CNY"},
		"as printed, without a currency": {platformtest.SCTTConfig{Quirks: platformtest.SCTTQuirks{RowID: "code", QuotedIDs: true}}, ""},
		"as in a table, in another zone": {platformtest.SCTTConfig{Quirks: platformtest.SCTTQuirks{RowID: "productcode", ClippedRanges: true}, Zone: "-03:30"}, "AUD"},
	} {
		t.Run(name, func(t *testing.T) {
			subject := scttSubject(t, c.config, c.currency)
			must(t, subject.Complete())
			checks := asking
			if c.config.Signature != (platformtest.SCTTSignature{}) {
				checks = signing
			}
			for _, check := range checks {
				if err := platformtest.RunCheck(t, subject, check); err != nil {
					t.Errorf("%s: %v", check, err)
				}
			}
		})
	}
}

// newSCTT is a fake with an order in each state.
func newSCTT(t testing.TB, config platformtest.SCTTConfig) *platformtest.SCTT {
	t.Helper()
	config.Secret = scttSecret
	fake, err := platformtest.NewSCTT(config)
	must(t, err)
	return fake
}

// scttSettings are the Channel's block that fits the fake's configuration.
func scttSettings(t testing.TB, config platformtest.SCTTConfig, currency string) any {
	t.Helper()
	if config.Signature == (platformtest.SCTTSignature{}) {
		config.Signature = platformtest.DefaultSCTTSignature
	}
	block, err := json.Marshal(map[string]any{"currency": currency, "requestTimeZone": config.Zone, "signature": config.Signature})
	must(t, err)
	settings, err := sctt.Adapter{}.Settings(block)
	must(t, err)
	return settings
}

func scttCredentials(secret string) platform.Credentials {
	return platform.Credentials{"secret": sealing.NewSecret(secret)}
}

func scttSubject(t *testing.T, config platformtest.SCTTConfig, currency string) platformtest.Subject {
	t.Helper()
	fake := newSCTT(t, config)
	return platformtest.Subject{
		Adapter: sctt.Adapter{},
		Account: platformtest.SCTTAccount,
		Good:    scttCredentials(scttSecret),
		Bad:     scttCredentials("sctt-secret-of-another"),
		Unusable: []platform.Credentials{
			scttCredentials(""), scttCredentials(" \n"), {"clientSecret": sealing.NewSecret("under-another-key")},
		},
		Settings:  scttSettings(t, config, currency),
		Types:     []string{platformtest.SCTTVoucherPath, platformtest.SCTTCancelPath},
		Samples:   scttSamples(t, config),
		Malformed: scttMalformed(),
		Verdict: func(_ string, reply platform.Reply) platformtest.Verdict {
			return platformtest.SCTTVerdict(reply.Status, reply.Body)
		},
		Unsigned: platform.ProofMissing,
		NoOrders: true, NoNotices: true, NoAnswers: true, RefusalsUnknown: true,
		Start: func(t *testing.T) platformtest.Running {
			fake.ClearFaults()
			fake.ForgiveComplaints()
			server := httptest.NewServer(fake)
			t.Cleanup(server.Close)
			var ids []string
			for _, p := range fake.Products() {
				ids = append(ids, p.ID)
			}
			return platformtest.Running{Endpoint: server.URL, Inject: fake.Inject, Clear: fake.ClearFaults, Catalogue: ids, Complaints: fake.Complaints}
		},
		Product: platformtest.SCTTRangesProductID, UnknownProduct: "7",
	}
}

// scttSampler makes the samples of a fake.
type scttSampler struct {
	t       *testing.T
	fake    *platformtest.SCTT
	fields  []string // under the signature
	samples []platformtest.Sample
}

var scttMade = time.Date(2026, 2, 22, 10, 0, 0, 0, time.UTC)

// scttSamples are pushes of all statuses, signed and not, ours and another's.
func scttSamples(t *testing.T, config platformtest.SCTTConfig) []platformtest.Sample {
	t.Helper()
	fake := newSCTT(t, config)
	message := config.Signature.Message
	if message == "" {
		message = platformtest.DefaultSCTTSignature.Message
	}
	s := &scttSampler{t: t, fake: fake, fields: []string{"sign"}}
	for _, place := range regexp.MustCompile(`[a-z_]+`).FindAllString(message, -1) {
		if place != "secret" {
			s.fields = append(s.fields, place)
		}
	}
	s.vouchers()
	s.cancels()
	s.printed()
	return s.samples
}

// add adds a push as it is signed. What is left of the credit is the account's, and a copy
// tells it anew.
func (s *scttSampler) add(name, path string, content []byte, events int, secrets ...string) {
	s.samples = append(s.samples, s.signed(s.fake, platformtest.Sample{Name: name, Path: path, Type: path, Events: events, Secrets: secrets}, content))
}

func (s *scttSampler) signed(by *platformtest.SCTT, sample platformtest.Sample, content []byte) platformtest.Sample {
	sample.Account, sample.Signed, sample.SignedFields = by.Account(), true, s.fields
	later := regexp.MustCompile(`"surplus_quota":[0-9.]+`).ReplaceAll(content, []byte(`"surplus_quota":7`))
	changed := bytes.Replace(content, []byte(`"remark":"`), []byte(`"remark":"since then: `), 1)
	sample.Body, sample.Resent, sample.Changed = by.SignedAt(content, scttMade), by.SignedAt(later, scttMade.Add(time.Hour)), by.SignedAt(changed, scttMade)
	return sample
}

// variants adds the push as the platform prints it, without a sign alone, and as it is about
// another merchant, signed and not.
func (s *scttSampler) variants(name, path string, content []byte, events int) {
	printed := s.signed(s.fake, platformtest.Sample{Name: name + ", as printed", Path: path, Type: path, Events: events}, content)
	bare := printed
	bare.Name, bare.Signed = name+", without a sign", false
	printed.Account, printed.Signed = "", false
	for _, body := range []*[]byte{&printed.Body, &printed.Resent, &printed.Changed} {
		*body = without(*body, "sign", "merchant_id", "request_time")
	}
	other, err := platformtest.NewSCTT(platformtest.SCTTConfig{Account: "255457", Secret: scttSecret, Signature: s.fake.Signature(), Empty: true})
	must(s.t, err)
	foreign := s.signed(other, platformtest.Sample{Name: name + ", of another merchant", Path: path, Type: path, Events: events, Foreign: true}, content)
	bareForeign := foreign
	bareForeign.Name, bareForeign.Signed = foreign.Name+" and without a sign", false
	for _, body := range []*[]byte{&bare.Body, &bare.Resent, &bare.Changed, &bareForeign.Body, &bareForeign.Resent, &bareForeign.Changed} {
		*body = without(*body, "sign")
	}
	s.samples = append(s.samples, printed, bare, foreign, bareForeign)
}

// without takes fields out of a push.
func without(body []byte, names ...string) []byte {
	return regexp.MustCompile(`"(`+strings.Join(names, "|")+`)":("[^"]*"|[0-9]+),`).ReplaceAll(body, nil)
}

func (s *scttSampler) vouchers() {
	for _, step := range []struct {
		name, order string
		status      int
		remark      string
	}{
		{"waiting", platformtest.SCTTOrderID, platformtest.SCTTWaiting, ""},
		{"booked", platformtest.SCTTOrderID, platformtest.SCTTBooked, ""},
		{"failed", platformtest.SCTTSecondOrderID, platformtest.SCTTFailed, "no room left"},
		{"cancelled", platformtest.SCTTOrderID, platformtest.SCTTCancelled, ""},
		{"a status that nobody knows", platformtest.SCTTBigOrderID, 9, "?"},
	} {
		content, err := s.fake.SetStatus(step.order, step.status, step.remark)
		must(s.t, err)
		order, _ := s.fake.Order(step.order)
		s.add(step.name, platformtest.SCTTVoucherPath, content, 2, order.Secrets()...)
	}
	content, err := s.fake.Issue(platformtest.SCTTBigOrderID, platformtest.SCTTVoucher{Tickets: []platformtest.SCTTTicket{{Type: 9, Confirmation: "KIND-9-9021"}}})
	must(s.t, err)
	s.add("a kind of voucher that nobody knows", platformtest.SCTTVoucherPath, content, 2, "KIND-9-9021")
	s.variants("a voucher", platformtest.SCTTVoucherPath, content, 2)
}

func (s *scttSampler) cancels() {
	for _, status := range []int{platformtest.SCTTCancelFailed, platformtest.SCTTCancelWaiting, platformtest.SCTTCancelDone, 9} {
		content, err := s.fake.Cancel(status, "weather", platformtest.SCTTOrderID, platformtest.SCTTBigOrderID, platformtest.SCTTSecondOrderID)
		must(s.t, err)
		s.add(fmt.Sprint("cancelling ", status), platformtest.SCTTCancelPath, content, 3)
		if status == platformtest.SCTTCancelDone {
			s.variants("cancelled in a batch", platformtest.SCTTCancelPath, content, 3)
		}
	}
}

// printed is the platform's own sample: its copy is the same without comments.
func (s *scttSampler) printed() {
	plain := []byte(`{"trade_number":"","order_code":123456,"total_price":120,"order_label":"string","order_currency":"A$","order_status":1,
		"certificate_mode":0,"travel_itinerary_url":"http://","vouchers":[{"confirmation_url":"https://","confirm_remarks":"","voucherlist":[
		{"voucher_type":1,"voucher_url":"https://","voucher_confirmation":"1213","voucher_verification":"31"}]}],
		"surplus_quota":25.58,"cancel_type":1,"subjoin":{"processing":"","itemid":"","number":"","cancel_id":"","cancel_number":""},"remark":"string"}`)
	s.samples = append(s.samples, platformtest.Sample{Name: "the printed sample", Path: platformtest.SCTTVoucherPath, Type: platformtest.SCTTVoucherPath, Events: 2,
		Body: platformtest.SCTTSample(), Resent: plain, Changed: bytes.Replace(plain, []byte("1213"), []byte("1214"), 1)})
}

func scttMalformed() []platformtest.Malformed {
	voucher := func(fields string) string { return `{"order_code":1,"order_status":2` + fields + `}` }
	row := `{"order_code":1,"cancel_status":3}`
	bad := func(name, path, body string) platformtest.Malformed {
		return platformtest.Malformed{Name: name, Path: path, Body: []byte(body)}
	}
	return []platformtest.Malformed{
		bad("no order", "order-voucher", `{"order_status":2}`),
		bad("no status", "order-voucher", `{"order_code":1}`),
		bad("order as 1e3", "order-voucher", `{"order_code":1e3,"order_status":2}`),
		bad("negative status", "order-voucher", `{"order_code":1,"order_status":-1}`),
		bad("status in words", "order-voucher", `{"order_code":1,"order_status":"booked"}`),
		bad("a price below zero", "order-voucher", voucher(`,"total_price":-1`)),
		bad("a price in words", "order-voucher", voucher(`,"total_price":"free"`)),
		bad("vouchers are an object", "order-voucher", voucher(`,"vouchers":{}`)),
		bad("a voucher is a list", "order-voucher", voucher(`,"vouchers":[[]]`)),
		bad("tickets are an object", "order-voucher", voucher(`,"vouchers":[{"voucherlist":{}}]`)),
		bad("a ticket is a text", "order-voucher", voucher(`,"vouchers":[{"voucherlist":["C1"]}]`)),
		bad("cancels are a text", "order-voucher", voucher(`,"cancels":"none"`)),
		bad("subjoin is a list", "order-voucher", voucher(`,"subjoin":["x"]`)),
		bad("two merchants", "order-voucher", voucher(`,"merchant_id":[1,2]`)),
		bad("a sign in parts", "order-voucher", voucher(`,"sign":{"a":1}`)),
		bad("no UTF-8", "order-voucher", voucher(",\"remark\":\"\xd6\xd0\"")),
		bad("half a pair in a code", "order-voucher", voucher(`,"vouchers":[{"voucherlist":[{"voucher_confirmation":"\ud800"}]}]`)),
		bad("a blank order", "order-voucher", `{"order_code":" ","order_status":2}`),
		bad("a status with a sign", "order-voucher", `{"order_code":1,"order_status":"+2"}`),
		bad("more behind a comment", "order-voucher", voucher("")+"// and\n{}"),
		bad("a comment that never ends", "order-voucher", voucher("")+"/* and"),
		bad("no list of orders", "order-cancel", `{"merchant_id":255456}`),
		bad("an empty list of orders", "order-cancel", `{"orderlist":[]}`),
		bad("orders are an object", "order-cancel", `{"orderlist":`+row+`}`),
		bad("an order is a number", "order-cancel", `{"orderlist":[`+row+`,1]}`),
		bad("the last order has no number", "order-cancel", `{"orderlist":[`+row+`,{"cancel_status":3}]}`),
		bad("the last order has no status", "order-cancel", `{"orderlist":[`+row+`,{"order_code":2}]}`),
		bad("one order is null", "order-cancel", `{"orderlist":[`+row+`,null]}`),
	}
}

// TestSCTTNamesTheBrokenRow: the reply to a batch with a broken row names it.
func TestSCTTNamesTheBrokenRow(t *testing.T) {
	m, err := sctt.Adapter{}.Open(platform.Push{Path: platformtest.SCTTCancelPath, Body: []byte(`{"orderlist":[{"order_code":1,"cancel_status":3},{"cancel_status":3}]}`)})
	must(t, err)
	_, err = m.Events()
	reply := sctt.Adapter{}.Reply(platformtest.SCTTCancelPath, platform.OutcomeMalformed, err.Error())
	if !strings.Contains(string(reply.Body), "orderlist[1].order_code") || platformtest.SCTTVerdict(reply.Status, reply.Body) != platformtest.Refused {
		t.Errorf("%d %s", reply.Status, reply.Body)
	}
}

// newSCTTClient asks the fake, which signs and dates by the same rule.
func newSCTTClient(t *testing.T, fake *platformtest.SCTT, settings any) platform.ProductClient {
	t.Helper()
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	client, err := sctt.Adapter{}.NewClient(platform.Account{Endpoint: server.URL,
		Holder: platform.Holder{ID: platformtest.SCTTAccount, Credentials: scttCredentials(scttSecret), Settings: settings}},
		platform.NewTransport("test", platform.Limits{RequestsPerSecond: 1000, Burst: 1000, Concurrency: 8}, nil))
	must(t, err)
	must(t, client.Check(t.Context()))
	return client.(platform.ProductClient)
}

// TestSCTTFacts: what is answered is what the fake holds.
func TestSCTTFacts(t *testing.T) {
	fake := newSCTT(t, platformtest.SCTTConfig{})
	client := newSCTTClient(t, fake, scttSettings(t, platformtest.SCTTConfig{}, "AUD"))
	get := func(id string) platform.Product {
		t.Helper()
		p, err := client.Product(t.Context(), wholeProduct(id))
		must(t, err)
		return p
	}
	plain := get(platformtest.SCTTProductID)
	if plain.Currency != "AUD" || plain.Info.Title != "悉尼歌剧院导览 1" || plain.Info.SaleStart.IsZero() || plain.Info.SaleEnd.IsZero() || plain.State != platform.ProductOnSale {
		t.Errorf("%+v %+v", plain, plain.Info)
	}
	today := time.Now().In(time.FixedZone("China", 8*60*60))
	date := func(days int) string { return today.AddDate(0, 0, days).Format(time.DateOnly) }
	want := platform.Day{Date: date(1), Amount: new(int64(10025)), Market: new(int64(15000)), Stock: new(int64(21))}
	if diff := cmp.Diff(want, dayOf(plain, 0, date(1))); diff != "" || len(plain.SKUs) != 1 || len(plain.SKUs[0].Days) != 14 {
		t.Errorf("%d units: %s", len(plain.SKUs), diff)
	}
	sessions := get(platformtest.SCTTSessionsProductID)
	if a, b := dayOf(sessions, 0, date(3)).Stock, dayOf(sessions, 0, date(7)).Stock; a == nil || *a != 4+3 || b == nil || *b != 27 {
		t.Errorf("stock %v and %v", a, b)
	}
	if empty := get(platformtest.SCTTEmptyProductID); len(empty.SKUs) != 1 || len(empty.SKUs[0].Days) != 0 {
		t.Errorf("%+v", empty.SKUs)
	}
	ranges := get(platformtest.SCTTRangesProductID)
	year := int(yearFrom(today).Sub(dayStart(today)).Hours() / 24)
	if len(ranges.SKUs) != 2 || len(ranges.SKUs[0].Days) != 21+201 || len(ranges.SKUs[1].Days) != year || ranges.SKUs[1].ID != "590001" {
		t.Errorf("%d units with %d and %d days", len(ranges.SKUs), len(ranges.SKUs[0].Days), len(ranges.SKUs[1].Days))
	}
	if addOn := get(platformtest.SCTTAddOnProductID); len(addOn.SKUs) != 2 || !strings.Contains(addOn.SKUs[1].Name, "add-on") || *dayOf(addOn, 1, date(0)).Amount != 1800 {
		t.Errorf("%+v", addOn.SKUs)
	}
	if total := get(platformtest.SCTTTotalProductID); total.SKUs[0].Stock == nil || *total.SKUs[0].Stock != 77 || dayOf(total, 0, date(0)).Stock != nil {
		t.Errorf("%+v", total.SKUs[0])
	}
	if big := get(platformtest.SCTTBigProductID); !strings.HasSuffix(big.Info.Title, " 25") {
		t.Errorf("%+v", big.Info)
	}
	if gripes := fake.Complaints(); len(gripes) > 0 {
		t.Errorf("%q", gripes)
	}
}

func dayStart(at time.Time) time.Time {
	return time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
}

// yearFrom is the day after the last that is asked for: twice six months from today, the
// month's last day standing in for one that it does not have.
func yearFrom(at time.Time) time.Time {
	day := dayStart(at)
	for range 2 {
		first := time.Date(day.Year(), day.Month()+6, 1, 0, 0, 0, 0, time.UTC)
		day = first.AddDate(0, 0, min(day.Day(), first.AddDate(0, 1, -1).Day())-1)
	}
	return day
}

// dayOf is a day of the n-th unit; zero if it is not there.
func dayOf(p platform.Product, n int, date string) platform.Day {
	i := slices.IndexFunc(p.SKUs[n].Days, func(d platform.Day) bool { return d.Date == date })
	if i < 0 {
		return platform.Day{}
	}
	return p.SKUs[n].Days[i]
}

// TestSCTTPageEdges: a catalogue that fills its last page, one that is empty. One question
// behind a full page is all that is asked too much.
func TestSCTTPageEdges(t *testing.T) {
	for _, n := range []int{0, 1, 9, 10, 11, 20} {
		fake := newSCTT(t, platformtest.SCTTConfig{Empty: true})
		for i := range n {
			must(t, fake.PutProduct(platformtest.SCTTProduct{ID: fmt.Sprint(i + 1), Title: "x", Price: "1", Market: "1", Cost: "1"}))
		}
		seen := map[string]bool{}
		err := newSCTTClient(t, fake, scttSettings(t, platformtest.SCTTConfig{}, "CNY")).ListProducts(t.Context(), func(page []platform.ListedProduct) bool {
			for _, p := range page {
				seen[p.ID] = true
			}
			return true
		})
		calls := fake.Calls("productlist") - 1 // the check of the account
		if gripes := fake.Complaints(); err != nil || len(seen) != n || len(gripes) > 0 || calls != 1+n/10 {
			t.Errorf("%d of %d products in %d calls, %v, complaints %q", len(seen), n, calls, err, gripes)
		}
	}
}

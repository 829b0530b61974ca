package fliggy

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/platform/golden"
)

// pathOf is the push path a test file belongs to.
func pathOf(file string) string {
	if strings.HasPrefix(filepath.Base(file), "order-") {
		return pathOrderStatus
	}
	return pathProductChange
}

func decode(path string, body []byte) ([]platform.Event, error) {
	m, err := Adapter{}.Open(platform.Push{Path: path, Body: body})
	if err != nil {
		return nil, err
	}
	return m.Events()
}

func TestPushGolden(t *testing.T) {
	types := map[string]bool{}
	for _, file := range golden.Inputs(t, "push") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			push := platform.Push{Path: pathOf(file), Body: golden.Read(t, file), Header: http.Header{}}
			if filepath.Ext(file) == ".form" {
				push.Header.Set("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8")
			}
			m, err := Adapter{}.Open(push)
			if err != nil {
				t.Fatal(err)
			}
			if proof, err := m.Verify(platform.Holder{}); proof != platform.ProofNone || err != nil {
				t.Errorf("Verify() = %v, %v: Fliggy signs nothing", proof, err)
			}
			events, err := m.Events()
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, file+".golden", struct {
				Account, Type string
				Events        []platform.Event
			}{m.Account(), m.Type(), events})
			types[m.Type()] = true
		})
	}
	for pushType := range productPushes {
		if !types[pushType] {
			t.Errorf("no test file of type %s", pushType)
		}
	}
	for pushType := range orderPushes {
		if !types[pushType] {
			t.Errorf("no test file of type %s", pushType)
		}
	}
}

// The golden files redact codes: their texts are checked here.
func TestPushCodes(t *testing.T) {
	for file, want := range map[string][]string{
		"order-send-code.json": {"A1B2C3D4E5", "9007199254740997"},
		"order-send-code.form": {"A1B2C3D4E5"},
		"order-verify.json":    {"A1B2C3D4E5"},
	} {
		events, err := decode(pathOrderStatus, golden.Read(t, filepath.Join("testdata", "push", file)))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, code := range events[0].Order.Codes {
			got = append(got, code.Text.Reveal())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

// A form, and numbers written as texts, say the same as the plain push.
func TestPushVariants(t *testing.T) {
	for a, b := range map[string]string{
		"product-price.json": "product-price.form",
		"order-refund.json":  "order-refund.json",
	} {
		want, err := decode(pathOf(a), golden.Read(t, filepath.Join("testdata", "push", a)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(pathOf(b), numbersAsTexts(t, golden.Read(t, filepath.Join("testdata", "push", b))))
		if err != nil {
			t.Fatal(err)
		}
		ignoreID := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".MessageID" }, cmp.Ignore())
		if diff := cmp.Diff(want, got, golden.SameSecrets, ignoreID); diff != "" {
			t.Errorf("%s and %s (-want +got):\n%s", a, b, diff)
		}
	}
}

func TestPushMalformed(t *testing.T) {
	const (
		product = `{"pushType":"VACATION_RESOURCE_PRICE_CHANGE","productId":"88","distributorId":1,"changedTime":1758600000000,"timestamp":1758600000500,"messageId":"m"}`
		order   = `{"pushType":"ORDER_SEND_CODE_NOTIFY","distributorId":1,"orderId":"5","outOrderId":"T","timestamp":1758600000500,"messageId":"m","data":{"success":true,"codeInfos":[{"code":"s3cret","num":2}]}}`
		refund  = `{"pushType":"ORDER_REFUND_NOTIFY","distributorId":1,"orderId":"5","timestamp":1758600000500,"messageId":"m","data":{"success":true,"refundFee":1,"refundQuantity":1,"distributorRefundId":"r"}}`
		verify  = `{"pushType":"ORDER_VERIFY_NOTIFY","distributorId":1,"orderId":"5","timestamp":1758600000500,"messageId":"m","data":{"codeInfo":{"code":"s3cret","num":2,"verifiedNum":1},"verifyTime":"2025-09-23 10:00:00"}}`
		unknown = `{"pushType":"NEW","distributorId":1,"orderId":"5","productId":"88","messageId":"m"}`
	)
	long := strings.Repeat("9", 129)
	cases := map[string]struct {
		path, body string
		old, new   string // replaced in the body
		names      string // what the error must name
	}{
		"empty":                   {pathProductChange, "", "", "", "body"},
		"not JSON":                {pathProductChange, "{", "", "", "body"},
		"a list":                  {pathProductChange, "[" + product + "]", "", "", "body"},
		"data behind the value":   {pathProductChange, product + product, "", "", "body"},
		"form without type":       {pathProductChange, "a=b", "", "", "body"},
		"form that does not read": {pathProductChange, "pushType=%zz", "", "", "body"},
		"another path":            {"elsewhere", product, "", "", "path"},
		"product at order path":   {pathOrderStatus, product, "", "", "pushType"},
		"order at product path":   {pathProductChange, order, "", "", "pushType"},
		"no type":                 {pathProductChange, product, `"VACATION_RESOURCE_PRICE_CHANGE"`, `""`, "pushType"},
		"blank type":              {pathProductChange, product, `"VACATION_RESOURCE_PRICE_CHANGE"`, `"\u0000 "`, "pushType"},
		"type is an object":       {pathProductChange, product, `"VACATION_RESOURCE_PRICE_CHANGE"`, `{}`, "pushType"},
		"no account":              {pathProductChange, product, `"distributorId":1`, `"x":1`, "distributorId"},
		"null account":            {pathProductChange, product, `"distributorId":1`, `"distributorId":null`, "distributorId"},
		"account with exponent":   {pathProductChange, product, `"distributorId":1`, `"distributorId":1e3`, "distributorId"},
		"negative account":        {pathProductChange, product, `"distributorId":1`, `"distributorId":-1`, "distributorId"},
		"no product":              {pathProductChange, product, `"productId":"88"`, `"x":1`, "productId"},
		"fractional product":      {pathProductChange, product, `"88"`, `1.5`, "productId"},
		"long product":            {pathProductChange, product, `"88"`, `"` + long + `"`, "productId"},
		"long number":             {pathProductChange, product, `"88"`, long, "productId"},
		"control character":       {pathProductChange, product, `"88"`, `"8\u00008"`, "productId"},
		"half a surrogate pair":   {pathProductChange, product, `"88"`, `"8\ud800"`, "productId"},
		"no message":              {pathProductChange, product, `"messageId":"m"`, `"x":1`, "messageId"},
		"no changed time":         {pathProductChange, product, `"changedTime":1758600000000`, `"x":1`, "changedTime"},
		"no push time":            {pathProductChange, product, `"timestamp":1758600000500`, `"x":1`, "timestamp"},
		"time in seconds":         {pathProductChange, product, `1758600000000`, `1758600000`, "changedTime"},
		"time after 2100":         {pathProductChange, product, `1758600000000`, `4102444800000`, "changedTime"},
		"time is no number":       {pathProductChange, product, `1758600000000`, `"today"`, "changedTime"},
		"time is a fraction":      {pathProductChange, product, `1758600000000`, `1758600000000.5`, "changedTime"},
		"push time impossible":    {pathProductChange, product, `1758600000500`, `1`, "timestamp"},
		"no order":                {pathOrderStatus, order, `"orderId":"5"`, `"x":1`, "orderId"},
		"order has no message":    {pathOrderStatus, order, `"messageId":"m"`, `"x":1`, "messageId"},
		"order has no time":       {pathOrderStatus, order, `"timestamp":1758600000500`, `"x":1`, "timestamp"},
		"order id is true":        {pathOrderStatus, order, `"5"`, `true`, "orderId"},
		"long out order":          {pathOrderStatus, order, `"T"`, `"` + long + `"`, "outOrderId"},
		"no data":                 {pathOrderStatus, order, `"data":`, `"x":`, "data"},
		"data is a number":        {pathOrderStatus, order, `"data":{"success":true,"codeInfos":[{"code":"s3cret","num":2}]}`, `"data":5`, "data"},
		"data is no JSON":         {pathOrderStatus, order, `"data":{"success":true,"codeInfos":[{"code":"s3cret","num":2}]}`, `"data":"s3cret"`, "data"},
		"no success":              {pathOrderStatus, order, `"success":true`, `"x":1`, "data.success"},
		"success is neither":      {pathOrderStatus, order, `"success":true`, `"success":"maybe"`, "data.success"},
		"codes are no list":       {pathOrderStatus, order, `[{"code":"s3cret","num":2}]`, `{"code":"s3cret"}`, "data.codeInfos"},
		"codes are texts":         {pathOrderStatus, order, `[{"code":"s3cret","num":2}]`, `["s3cret"]`, "data.codeInfos"},
		"code is missing":         {pathOrderStatus, order, `"code":"s3cret",`, ``, "data.codeInfos[0].code"},
		"code is a fraction":      {pathOrderStatus, order, `"s3cret"`, `1.5`, "data.codeInfos[0].code"},
		"code without persons":    {pathOrderStatus, order, `"num":2`, `"x":2`, "data.codeInfos[0].num"},
		"negative persons":        {pathOrderStatus, order, `"num":2`, `"num":-2`, "data.codeInfos[0].num"},
		"half a person":           {pathOrderStatus, order, `"num":2`, `"num":"s3cret"`, "data.codeInfos[0].num"},
		"refund without success":  {pathOrderStatus, refund, `"success":true`, `"x":1`, "data.success"},
		"negative refund":         {pathOrderStatus, refund, `"refundFee":1`, `"refundFee":-1`, "data.refundFee"},
		"refund in fractions":     {pathOrderStatus, refund, `"refundFee":1`, `"refundFee":"1.50"`, "data.refundFee"},
		"refund out of range":     {pathOrderStatus, refund, `"refundFee":1`, `"refundFee":9223372036854775808`, "data.refundFee"},
		"negative quantity":       {pathOrderStatus, refund, `"refundQuantity":1`, `"refundQuantity":-1`, "data.refundQuantity"},
		"long refund id":          {pathOrderStatus, refund, `"r"`, `"` + long + `"`, "data.distributorRefundId"},
		"verified what":           {pathOrderStatus, verify, `"codeInfo":`, `"x":`, "data.codeInfo"},
		"verified how many":       {pathOrderStatus, verify, `"verifiedNum":1`, `"x":1`, "data.codeInfo.verifiedNum"},
		"impossible date":         {pathOrderStatus, verify, `2025-09-23 10:00:00`, `2025-02-30 10:00:00`, "data.verifyTime"},
		"time with a zone":        {pathOrderStatus, verify, `2025-09-23 10:00:00`, `2025-09-23T10:00:00Z`, "data.verifyTime"},
		"time with a fraction":    {pathOrderStatus, verify, `2025-09-23 10:00:00`, `2025-09-23 10:00:00.5`, "data.verifyTime"},
		"time long ago":           {pathOrderStatus, verify, `2025-09-23 10:00:00`, `1970-01-01 10:00:00`, "data.verifyTime"},
		"unknown without message": {pathOrderStatus, unknown, `"messageId"`, `"x"`, "messageId"},
		"unknown with a bad id":   {pathOrderStatus, unknown, `"5"`, `1.5`, "orderId"},
		"notice with a bad id":    {pathProductChange, unknown, `"88"`, `1.5`, "productId"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			body := strings.Replace(tc.body, tc.old, tc.new, 1)
			if tc.old != "" && body == tc.body {
				t.Fatal("the case replaces nothing")
			}
			events, err := decode(tc.path, []byte(body))
			if !errors.Is(err, platform.ErrMalformed) {
				t.Fatalf("decode() = %v, %v; want an error that wraps ErrMalformed", events, err)
			}
			if !strings.Contains(err.Error(), tc.names) {
				t.Errorf("%q does not name %q", err, tc.names)
			}
			if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), long) {
				t.Errorf("%q quotes the push", err)
			}
		})
	}
}

func TestPushBounds(t *testing.T) {
	body := `{"pushType":"` + strings.Repeat("新", 200) + `","distributorId":1,"orderId":"5","messageId":"m"}`
	events, err := decode(pathOrderStatus, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if got := utf8.RuneCountInString(events[0].Order.PlatformType); got != fields.MaxID {
		t.Errorf("the platform's type has %d runes, want %d", got, fields.MaxID)
	}
	body = `{"pushType":"ORDER_SEND_CODE_NOTIFY","distributorId":1,"orderId":"5","timestamp":1758600000500,"messageId":"m",` +
		`"data":{"success":false,"failReason":"` + strings.Repeat("忙", 600) + `"}}`
	events, err = decode(pathOrderStatus, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if got := utf8.RuneCountInString(events[0].Order.Reason); got != maxReason {
		t.Errorf("the reason has %d runes, want %d", got, maxReason)
	}
}

// The message's bytes may be in a charset that is not UTF-8: a reason loses, an id
// that is not known exactly refuses.
func TestPushCharset(t *testing.T) {
	form := "pushType=ORDER_SEND_CODE_NOTIFY&distributorId=1&orderId=5&timestamp=1758600000500&messageId=m&data=" +
		url.QueryEscape("{\"success\":false,\"failReason\":\"\xb7\xb1\xc3\xa6\"}")
	events, err := decode(pathOrderStatus, []byte(form))
	if err != nil || !utf8.ValidString(events[0].Order.Reason) {
		t.Errorf("decode() = %v, %v; want a reason in UTF-8", events, err)
	}
	_, err = decode(pathOrderStatus, []byte(strings.Replace(form, "messageId=m", "messageId=%b7", 1)))
	if !errors.Is(err, platform.ErrMalformed) {
		t.Errorf("decode() = %v; want ErrMalformed", err)
	}
}

// The kinds are the API's own: a typo here would be a push that is never recorded.
func TestKinds(t *testing.T) {
	for got, want := range map[string]v1alpha1.NotificationType{
		kindCodesIssued:   v1alpha1.NotificationCodesIssued,
		kindCodeUsed:      v1alpha1.NotificationCodeUsed,
		kindRefunded:      v1alpha1.NotificationRefunded,
		kindStatusChanged: v1alpha1.NotificationStatusChanged,
		kindOther:         v1alpha1.NotificationOther,
	} {
		if got != string(want) {
			t.Errorf("kind %q, want %q", got, want)
		}
	}
}

func TestReply(t *testing.T) {
	for outcome, want := range map[platform.Outcome]platform.Reply{
		platform.OutcomeRecorded:       {Status: 200, Body: []byte("success")},
		platform.OutcomeDuplicate:      {Status: 200, Body: []byte("success")},
		platform.OutcomeOlder:          {Status: 200, Body: []byte("success")},
		platform.OutcomeMalformed:      {Status: 400, Body: []byte("error")},
		platform.OutcomeForged:         {Status: 403, Body: []byte("error")},
		platform.OutcomeUnknownAccount: {Status: 404, Body: []byte("error")},
		platform.OutcomeTooLarge:       {Status: 413, Body: []byte("error")},
		platform.OutcomeRetry:          {Status: 503, Body: []byte("retry later")},
		platform.Outcome("new"):        {Status: 503, Body: []byte("retry later")},
	} {
		want.ContentType = "text/plain; charset=utf-8"
		for _, path := range (Adapter{}).Paths() {
			if diff := cmp.Diff(want, Adapter{}.Reply(path, outcome, "")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", outcome, diff)
			}
		}
	}
}

func FuzzProductPush(f *testing.F) { fuzzPush(f, pathProductChange) }

func FuzzOrderPush(f *testing.F) { fuzzPush(f, pathOrderStatus) }

// fuzzPush checks that a body is refused as malformed or gives events that the API
// takes, and that numbers written as texts change nothing.
func fuzzPush(f *testing.F, path string) {
	for _, file := range golden.Inputs(f, "push") {
		f.Add(golden.Read(f, file))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := Adapter{}.Open(platform.Push{Path: path, Body: body})
		if err != nil {
			checkMalformed(t, err)
			return
		}
		if m.Account() == "" {
			t.Error("no account")
		}
		if utf8.RuneCountInString(m.Type()) > fields.MaxID {
			t.Errorf("type %q is not bounded", m.Type())
		}
		events, err := m.Events()
		if err != nil {
			checkMalformed(t, err)
			return
		}
		if len(events) != 1 {
			t.Fatalf("%d events", len(events))
		}
		checkEvent(t, events[0])
		again, err := decode(path, numbersAsTexts(t, body))
		if err != nil {
			t.Fatalf("with numbers as texts: %v", err)
		}
		if diff := cmp.Diff(events, again, golden.SameSecrets); diff != "" {
			t.Errorf("with numbers as texts (-plain +texts):\n%s", diff)
		}
	})
}

func checkMalformed(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, platform.ErrMalformed) {
		t.Errorf("%v does not wrap ErrMalformed", err)
	}
	if len(err.Error()) > 200 {
		t.Errorf("%q is too long to be free of the body", err)
	}
}

// checkEvent checks an event against the API's bounds. How many codes a notification
// holds is bounded by whoever records it.
func checkEvent(t *testing.T, event platform.Event) {
	t.Helper()
	switch {
	case event.Product != nil && event.Order == nil && event.Notice == nil:
		p := event.Product
		checkText(t, "product", p.ProductID, 1, fields.MaxID)
		checkText(t, "message", p.MessageID, 1, fields.MaxID)
		checkText(t, "type", p.Type, 1, fields.MaxID)
		checkTime(t, p.ChangedAt, false)
		if len(p.Aspects) == 0 {
			t.Error("a change of nothing")
		}
	case event.Order != nil && event.Product == nil && event.Notice == nil:
		checkNotification(t, event.Order)
	case event.Notice != nil && event.Order == nil && event.Product == nil:
		checkText(t, "message", event.Notice.MessageID, 1, fields.MaxID)
		checkText(t, "type", event.Notice.PlatformType, 1, fields.MaxID)
		checkText(t, "subject", event.Notice.Subject, 0, fields.MaxID)
	default:
		t.Errorf("not exactly one fact: %+v", event)
	}
}

func checkNotification(t *testing.T, n *platform.OrderNotification) {
	t.Helper()
	checkText(t, "order", n.OrderID, 1, fields.MaxID)
	checkText(t, "out order", n.OutOrderID, 0, fields.MaxID)
	checkText(t, "message", n.MessageID, 1, fields.MaxID)
	checkText(t, "type", n.PlatformType, 1, fields.MaxID)
	checkText(t, "kind", n.Kind, 1, 32)
	checkText(t, "reason", n.Reason, 0, maxReason)
	checkTime(t, n.OccurredAt, n.Kind == kindOther)
	checkCodes(t, n.Codes)
	if n.Refund != nil {
		checkRefund(t, *n.Refund)
	}
}

func checkCodes(t *testing.T, codes []platform.Code) {
	t.Helper()
	for _, code := range codes {
		if code.Text.IsZero() {
			t.Error("a code without text")
		}
		checkCount(t, "persons", code.Persons)
		checkCount(t, "used", code.Used)
		checkCount(t, "refunded", code.Refunded)
	}
}

func checkRefund(t *testing.T, refund platform.RefundFact) {
	t.Helper()
	checkText(t, "refund", refund.ID, 0, fields.MaxID)
	checkText(t, "currency", refund.Currency, 3, 3)
	checkText(t, "reason", refund.Reason, 0, maxReason)
	checkCount(t, "amount", refund.Amount)
	checkCount(t, "quantity", refund.Quantity)
	checkTime(t, refund.At, true)
}

func checkText(t *testing.T, name, text string, least, most int) {
	t.Helper()
	if n := utf8.RuneCountInString(text); n < least || n > most {
		t.Errorf("%s has %d runes", name, n)
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("%s %q is not fit to show", name, text)
	}
}

func checkCount(t *testing.T, name string, n *int64) {
	t.Helper()
	if n != nil && *n < 0 {
		t.Errorf("%s is %d", name, *n)
	}
}

func checkTime(t *testing.T, at time.Time, mayBeZero bool) {
	t.Helper()
	if at.IsZero() && mayBeZero {
		return
	}
	if at.Year() < 2000 || at.Year() >= 2100 {
		t.Errorf("%v is out of bounds", at)
	}
}

// numbersAsTexts writes every number of a JSON body as a text; a form has only texts.
func numbersAsTexts(t *testing.T, body []byte) []byte {
	t.Helper()
	body = bytes.TrimSpace(body) // as the adapter does: of more than JSON's own blanks
	if !bytes.HasPrefix(body, []byte("{")) {
		return body
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	texts, err := json.Marshal(quoteNumbers(value))
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

func quoteNumbers(value any) any {
	switch v := value.(type) {
	case json.Number:
		return v.String()
	case map[string]any:
		for name := range v {
			v[name] = quoteNumbers(v[name])
		}
	case []any:
		for i := range v {
			v[i] = quoteNumbers(v[i])
		}
	}
	return value
}

package sctt

import (
	"encoding/json"
	"errors"
	"fmt"
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

// Pushes in short, with a text that no error may show.
const (
	shortVoucher = `{"merchant_id":255456,"sign":"s3cret","trade_number":"T","order_code":5,"order_status":2,"total_price":1.5,"order_currency":"AUD",` +
		`"travel_itinerary_url":"https://s3cret","vouchers":[{"confirmation_url":"https://s3cret","confirm_remarks":"","voucherlist":[{"voucher_type":3,"voucher_confirmation":"s3cret"}]}],` +
		`"cancel_type":3,"cancels":[{"canr_type":1}],"subjoin":{"number":""},"remark":""}`
	shortCancel = `{"merchant_id":255456,"orderlist":[{"order_code":1,"cancel_status":3},{"order_code":2,"cancel_status":3},{"order_code":3,"cancel_status":1,"remark":"s3cret"}]}`
)

func TestMalformed(t *testing.T) {
	long := strings.Repeat("9", fields.MaxID+1)
	cases := map[string]struct{ path, body, old, new, names string }{
		"another path":        {"order-status", shortVoucher, "", "", "path"},
		"no body":             {pathVoucher, "", "", "", "one JSON object"},
		"no JSON":             {pathVoucher, `order_code=5&s3cret`, "", "", "one JSON object"},
		"a list":              {pathVoucher, `[{"order_code":5}]`, "", "", "one JSON object"},
		"null":                {pathVoucher, `null`, "", "", "one JSON object"},
		"a comment alone":     {pathVoucher, `// s3cret`, "", "", "one JSON object"},
		"data after it":       {pathVoucher, shortVoucher, `"remark":""}`, `"remark":""} s3cret`, "one JSON object"},
		"two values":          {pathVoucher, shortVoucher, `"remark":""}`, `"remark":""}{}`, "one JSON object"},
		"two after a comment": {pathVoucher, shortVoucher, `"remark":""}`, `"remark":"",}{}`, "one JSON object"},
		"cut":                 {pathVoucher, shortVoucher, `"remark":""}`, ``, "one JSON object"},
		"names not quoted":    {pathVoucher, shortVoucher, `"remark":""`, `remark:""`, "one JSON object"},
		"too much in it":      {pathVoucher, "//\n" + strings.Replace(shortVoucher, `"remark":""`, `"x":[0`+strings.Repeat(",[]", maxNested)+"]", 1), "", "", "one JSON object"},

		"merchant is a list":   {pathVoucher, shortVoucher, `255456`, `["s3cret"]`, "merchant_id"},
		"merchant is true":     {pathVoucher, shortVoucher, `255456`, `true`, "merchant_id"},
		"merchant is negative": {pathVoucher, shortVoucher, `255456`, `-1`, "merchant_id"},
		"merchant by exponent": {pathVoucher, shortVoucher, `255456`, `2e5`, "merchant_id"},
		"sign is a list":       {pathVoucher, shortVoucher, `"sign":"s3cret"`, `"sign":["s3cret"]`, "sign"},
		"sign is false":        {pathCancel, shortCancel, `"merchant_id":255456`, `"sign":false`, "sign"},

		"no order":              {pathVoucher, shortVoucher, `"order_code":5,`, ``, "order_code is missing"},
		"null order":            {pathVoucher, shortVoucher, `"order_code":5`, `"order_code":null`, "order_code is missing"},
		"fractional order":      {pathVoucher, shortVoucher, `"order_code":5`, `"order_code":5.0`, "order_code"},
		"order is an object":    {pathVoucher, shortVoucher, `"order_code":5`, `"order_code":{"s3cret":1}`, "order_code"},
		"long order":            {pathVoucher, shortVoucher, `"order_code":5`, `"order_code":` + long, "order_code"},
		"half a surrogate pair": {pathVoucher, shortVoucher, `"order_code":5`, `"order_code":"\ud800"`, "order_code"},
		"long trade number":     {pathVoucher, shortVoucher, `"T"`, `"` + long + `"`, "trade_number"},
		"trade number by lines": {pathVoucher, shortVoucher, `"T"`, `"T\n"`, "trade_number"},

		"blank order":                {pathVoucher, shortVoucher, `"order_code":5`, `"order_code":" \t"`, "order_code is blank"},
		"a row's order is blank":     {pathCancel, shortCancel, `"order_code":2`, `"order_code":" "`, "orderlist[1].order_code is blank"},
		"no UTF-8":                   {pathVoucher, shortVoucher, `"remark":""`, "\"remark\":\"\xb3\xf6s3cret\"", "the body is not UTF-8"},
		"no UTF-8 in a name":         {pathCancel, shortCancel, `"orderlist"`, "\"\xff\":1,\"orderlist\"", "the body is not UTF-8"},
		"no UTF-8 in a comment":      {pathVoucher, shortVoucher + "//\xff", "", "", "the body is not UTF-8"},
		"half a pair in a name":      {pathVoucher, shortVoucher, `"remark":""`, `"\ud800":"s3cret"`, "(a field) has a name that cannot be read"},
		"half a pair in a row":       {pathCancel, shortCancel, `"order_code":2`, `"\udc00":1,"order_code":2`, "orderlist[1].(a field) has a name that cannot be read"},
		"half a pair in a number":    {pathVoucher, shortVoucher, `"voucher_confirmation":"s3cret"`, `"voucher_confirmation":"s3cret\ud800"`, "vouchers[0].voucherlist[0].voucher_confirmation holds characters that cannot be read"},
		"half a pair in a link":      {pathVoucher, shortVoucher, `"voucher_confirmation":"s3cret"`, `"voucher_url":"https://s3cret/\ud800"`, "vouchers[0].voucherlist[0].voucher_url holds characters that cannot be read"},
		"half a pair in its witness": {pathVoucher, shortVoucher, `"voucher_confirmation":"s3cret"`, `"voucher_verification":"\udfff"`, "vouchers[0].voucherlist[0].voucher_verification holds characters that cannot be read"},

		"status with a plus":      {pathVoucher, shortVoucher, `"order_status":2`, `"order_status":"+2"`, "order_status is not written as plain digits"},
		"status of minus nothing": {pathVoucher, shortVoucher, `"order_status":2`, `"order_status":-0`, "order_status is not written as plain digits"},
		"status with a space":     {pathVoucher, shortVoucher, `"order_status":2`, `"order_status":" 2"`, "order_status is not written as plain digits"},
		"endless status":          {pathVoucher, shortVoucher, `"order_status":2`, `"order_status":` + long, "order_status is not a whole number"},
		"a row's status signed":   {pathCancel, shortCancel, `"order_code":2,"cancel_status":3`, `"order_code":2,"cancel_status":"+3"`, "orderlist[1].cancel_status is not written as plain digits"},

		"no status":         {pathVoucher, shortVoucher, `"order_status":2,`, ``, "order_status is missing"},
		"status is a word":  {pathVoucher, shortVoucher, `"order_status":2`, `"order_status":"s3cret"`, "order_status"},
		"status is half":    {pathVoucher, shortVoucher, `"order_status":2`, `"order_status":2.5`, "order_status"},
		"negative status":   {pathVoucher, shortVoucher, `"order_status":2`, `"order_status":-1`, "order_status is not written as plain digits"},
		"negative price":    {pathVoucher, shortVoucher, `1.5`, `-1.5`, "total_price is negative"},
		"negative text":     {pathVoucher, shortVoucher, `1.5`, `"-0.01"`, "total_price is negative"},
		"price is a word":   {pathVoucher, shortVoucher, `1.5`, `"s3cret"`, "total_price"},
		"price with commas": {pathVoucher, shortVoucher, `1.5`, `"1,500"`, "total_price"},
		"price is a list":   {pathVoucher, shortVoucher, `1.5`, `[1.5]`, "total_price"},
		"endless price":     {pathVoucher, shortVoucher, `1.5`, strings.Repeat("9", 33), "total_price"},
		"currency is a map": {pathVoucher, shortVoucher, `"AUD"`, `{"code":"AUD"}`, "order_currency"},
		"remark is true":    {pathVoucher, shortVoucher, `"remark":""`, `"remark":true`, "remark"},
		"itinerary a list":  {pathVoucher, shortVoucher, `"https://s3cret","vouchers"`, `["s3cret"],"vouchers"`, "travel_itinerary_url"},

		"vouchers an object":      {pathVoucher, `{"order_code":5,"order_status":2,"vouchers":{"voucherlist":["s3cret"]}}`, "", "", "vouchers is not a list"},
		"vouchers a text":         {pathVoucher, `{"order_code":5,"order_status":2,"vouchers":"s3cret"}`, "", "", "vouchers is not a list"},
		"a list where an object":  {pathVoucher, `{"order_code":5,"order_status":2,"vouchers":[{},["s3cret"]]}`, "", "", "vouchers[1] is not a JSON object"},
		"tickets an object":       {pathVoucher, shortVoucher, `[{"voucher_type":3,"voucher_confirmation":"s3cret"}]`, `{"voucher_type":3}`, "vouchers[0].voucherlist is not a list"},
		"a ticket is a list":      {pathVoucher, shortVoucher, `[{"voucher_type":3,"voucher_confirmation":"s3cret"}]`, `[["s3cret"]]`, "vouchers[0].voucherlist[0] is not a JSON object"},
		"a ticket is a text":      {pathVoucher, shortVoucher, `[{"voucher_type":3,"voucher_confirmation":"s3cret"}]`, `["s3cret"]`, "vouchers[0].voucherlist[0] is not a JSON object"},
		"ticket number a list":    {pathVoucher, shortVoucher, `"voucher_confirmation":"s3cret"`, `"voucher_confirmation":["s3cret"]`, "vouchers[0].voucherlist[0].voucher_confirmation"},
		"ticket number rounded":   {pathVoucher, shortVoucher, `"voucher_confirmation":"s3cret"`, `"voucher_confirmation":1.2e9`, "vouchers[0].voucherlist[0].voucher_confirmation"},
		"voucher type a list":     {pathVoucher, shortVoucher, `"voucher_type":3`, `"voucher_type":[3]`, "vouchers[0].voucherlist[0].voucher_type"},
		"confirmation url a map":  {pathVoucher, shortVoucher, `"confirmation_url":"https://s3cret"`, `"confirmation_url":{"s3cret":1}`, "vouchers[0].confirmation_url"},
		"confirm remarks a list":  {pathVoucher, shortVoucher, `"confirm_remarks":""`, `"confirm_remarks":["s3cret"]`, "vouchers[0].confirm_remarks"},
		"subjoin a list":          {pathVoucher, shortVoucher, `{"number":""}`, `["s3cret"]`, "subjoin is not a JSON object"},
		"cancel type an object":   {pathVoucher, shortVoucher, `"cancel_type":3`, `"cancel_type":{}`, "cancel_type"},
		"cancels an object":       {pathVoucher, shortVoucher, `[{"canr_type":1}]`, `{"canr_type":1}`, "cancels is not a list"},
		"a rule is a number":      {pathVoucher, shortVoucher, `[{"canr_type":1}]`, `[{},7]`, "cancels[1] is not a JSON object"},
		"a rule's type is a list": {pathVoucher, shortVoucher, `{"canr_type":1}`, `{"canr_type":[1]}`, "cancels[0].canr_type"},

		"no rows":                 {pathCancel, `{"merchant_id":255456}`, "", "", "orderlist is missing"},
		"empty rows":              {pathCancel, `{"orderlist":[]}`, "", "", "orderlist is empty"},
		"rows an object":          {pathCancel, `{"orderlist":{"order_code":1,"cancel_status":3}}`, "", "", "orderlist is not a list"},
		"an order's own push":     {pathCancel, shortVoucher, "", "", "orderlist is missing"},
		"a row is a list":         {pathCancel, shortCancel, `{"order_code":2,"cancel_status":3}`, `["s3cret"]`, "orderlist[1] is not a JSON object"},
		"a row is null":           {pathCancel, shortCancel, `{"order_code":2,"cancel_status":3}`, `null`, "orderlist[1].order_code is missing"},
		"a row without its order": {pathCancel, shortCancel, `"order_code":3,`, ``, "orderlist[2].order_code is missing"},
		"a row without status":    {pathCancel, shortCancel, `"order_code":3,"cancel_status":1`, `"order_code":3`, "orderlist[2].cancel_status is missing"},
		"a row's status a word":   {pathCancel, shortCancel, `"order_code":2,"cancel_status":3`, `"order_code":2,"cancel_status":"s3cret"`, "orderlist[1].cancel_status"},
		"a row's remark a list":   {pathCancel, shortCancel, `"s3cret"`, `["s3cret"]`, "orderlist[2].remark"},
		"a row's subjoin a list":  {pathCancel, shortCancel, `"order_code":1,`, `"order_code":1,"subjoin":["s3cret"],`, "orderlist[0].subjoin is not a JSON object"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			body := strings.Replace(tc.body, tc.old, tc.new, 1)
			if tc.old != "" && body == tc.body {
				t.Fatal("the case replaces nothing")
			}
			events, err := decode(tc.path, []byte(body))
			if !errors.Is(err, platform.ErrMalformed) || len(events) > 0 {
				t.Fatalf("decode() = %d events, %v; want none and an error that wraps ErrMalformed", len(events), err)
			}
			if !strings.Contains(err.Error(), tc.names) {
				t.Errorf("%q does not name %q", err, tc.names)
			}
			if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), long) {
				t.Errorf("%q quotes the push", err)
			}
			checkUntouched(t, tc.path, body)
		})
	}
}

// checkUntouched: what one reading finds wrong is no other's, for two may read at once.
func checkUntouched(t *testing.T, path, body string) {
	t.Helper()
	m, err := Adapter{}.Open(platform.Push{Path: path, Body: []byte(body)})
	if err != nil {
		return
	}
	if _, err := m.Events(); err == nil || m.(message).push.Fault() != "" {
		t.Errorf("read with %v, and the push keeps the fault %q", err, m.(message).push.Fault())
	}
}

// The pushes that the table above breaks are whole.
func TestShortPushesAreWhole(t *testing.T) {
	for path, body := range map[string]string{pathVoucher: shortVoucher, pathCancel: shortCancel} {
		if _, err := decode(path, []byte(body)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// What the printed sample has beyond JSON is taken, wherever it is; the body stays as it was.
func TestLenientBodies(t *testing.T) {
	for _, body := range []string{
		"// a comment\n" + shortVoucher,
		shortVoucher + " /* behind it */ ",
		strings.Replace(shortVoucher, `"remark":""}`, `"remark":"",}`, 1),
		strings.Replace(shortVoucher, `"cancel_type"`, "//\n\"cancel_type\"", 1),
		"\n\t" + shortVoucher + "\r\n",
		"//\n" + strings.Replace(shortVoucher, `"remark":""`, `"x":[`+strings.Repeat("[],", maxNested/2)+"[]]", 1),
	} {
		sent := []byte(body)
		events, err := decode(pathVoucher, sent)
		want, _ := decode(pathVoucher, []byte(shortVoucher))
		if diff := cmp.Diff(want, events, golden.SameSecrets); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", body, err, diff)
		}
		if string(sent) != body {
			t.Errorf("%s was altered", body)
		}
	}
	slashes := strings.Replace(shortVoucher, `"remark":""`, `"remark":"// no /* comment */",`, 1)
	events, err := decode(pathVoucher, []byte(slashes))
	if err != nil || events[0].Order.Remark != "// no /* comment */" {
		t.Errorf("a remark with slashes: %v", err)
	}
}

func TestTextsAreBounded(t *testing.T) {
	long := strings.Repeat("忙", 600)
	body := fmt.Sprintf(`{"order_code":5,"order_status":3,"remark":%[1]q,"total_price":1,"order_currency":%[1]q,"cancel_type":%[1]q,`+
		`"vouchers":[{"confirm_remarks":%[1]q},{"confirm_remarks":%[1]q}],`+
		`"cancels":[{"canr_type":%[1]q,"canr_startday":%[1]q,"canr_endday":%[1]q,"canr_percent":%[1]q,"canr_text":%[1]q}]}`, long)
	order := onlyOrder(t, pathVoucher, body)
	rule := order.Cancellation.Rules[0]
	for _, bounded := range []struct {
		text string
		want int
	}{
		{order.Reason, 512}, {order.Remark, 512}, {order.Price.Text, len("1 ") + 16}, {order.Cancellation.PlatformType, 32},
		{rule.PlatformType, 32}, {rule.StartDay, 32}, {rule.EndDay, 32}, {rule.Percent, 32}, {rule.Text, 256},
	} {
		if got := utf8.RuneCountInString(bounded.text); got != bounded.want {
			t.Errorf("%.9s… has %d runes, want %d", bounded.text, got, bounded.want)
		}
	}
	order = onlyOrder(t, pathVoucher, `{"order_code":5,"order_status":"`+strings.Repeat("0", 200)+`2"}`)
	if len(order.MessageID) > 90 {
		t.Errorf("the message id has %d characters", len(order.MessageID))
	}
}

// fact is what an order's notification is known by.
func fact(order *platform.OrderNotification) string { return order.MessageID + string(order.Content) }

// What cannot be read is told apart by how it was written, and a copy is still a copy.
func TestUnreadableTextsDoNotCollide(t *testing.T) {
	push := func(fields string) string {
		return fact(onlyOrder(t, pathVoucher, `{"order_code":5,"order_status":2,`+fields+`}`))
	}
	row := func(fields string) string {
		return fact(onlyOrder(t, pathCancel, `{"orderlist":[{"order_code":5,"cancel_status":2,`+fields+`}]}`))
	}
	for _, read := range []func(string) string{push, row} {
		seen := map[string]string{}
		for _, said := range []string{
			`"remark":"\ud800"`, `"remark":"\ud801"`, `"remark":"\udc00"`, `"remark":"\ufffd"`, `"remark":"\ud800\ud800"`,
			`"subjoin":{"\ud800":1}`, `"subjoin":{"\ud801":1}`, `"remark":""`,
		} {
			id := read(said)
			if other, twice := seen[id]; twice {
				t.Errorf("%s is the same as %s", said, other)
			}
			seen[id] = said
		}
	}
	one := push(`"remark":"\ud800","total_price":1,"request_time":"2025-09-23 12:00:00","surplus_quota":""`)
	if again := push(`"surplus_quota":[],"sign":"","total_price": 1 , "remark":"\ud800"`); again != one {
		t.Error("a copy is another fact")
	}
}

// However a status is written, it is the same fact.
func TestStatusesAreNumbers(t *testing.T) {
	for _, written := range []string{`"2"`, `"02"`, `"` + strings.Repeat("0", 200) + `2"`} {
		for path, body := range map[string]string{
			pathVoucher: `{"order_code":5,"order_status":%s}`, pathCancel: `{"orderlist":[{"order_code":5,"cancel_status":%s}]}`,
		} {
			one, two := onlyOrder(t, path, fmt.Sprintf(body, "2")), onlyOrder(t, path, fmt.Sprintf(body, written))
			if fact(one) != fact(two) || one.MessageID != path+":2" || one.Kind != two.Kind {
				t.Errorf("%s: %q of %s, %q of 2", path, two.MessageID, written, one.MessageID)
			}
		}
	}
}

// What PHP writes for an empty map is no list.
func TestEmptyMapsOfPHP(t *testing.T) {
	without := strings.Replace(shortVoucher, `"subjoin":{"number":""}`, `"subjoin":{}`, 1)
	want := onlyOrder(t, pathVoucher, without)
	for _, written := range []string{`[]`, `[ ]`, "[\n]", `null`, `""`} {
		got := onlyOrder(t, pathVoucher, strings.Replace(without, `{}`, written, 1))
		if diff := cmp.Diff(want, got, golden.SameSecrets); diff != "" {
			t.Errorf("subjoin %s:\n%s", written, diff)
		}
	}
}

// Of a batch, each order has its own part of the body.
func TestParts(t *testing.T) {
	events, err := decode(pathCancel, []byte(`{"merchant_id":255456,"orderlist":[
		{"remark" : "<\u00e9>", "order_code" : 1.0e0, "order_code" : "1", "cancel_status" : 3, "subjoin" : {"b" : 1, "a" : null}},
		{"order_code":2,"cancel_status":3,"amount":1.50}]}`))
	if err != nil || len(events) != 2 {
		t.Fatal(len(events), err)
	}
	for i, want := range []string{
		`{"cancel_status":3,"order_code":"1","remark":"<\u00e9>","subjoin":{"b":1,"a":null}}`,
		`{"amount":1.50,"cancel_status":3,"order_code":2}`,
	} {
		if got := events[i].Order.Part.Reveal(); got != want {
			t.Errorf("row %d: %s, want %s", i, got, want)
		}
	}
	if part := onlyOrder(t, pathVoucher, `{"order_code":5,"order_status":2}`).Part; !part.IsZero() {
		t.Errorf("a push about one order has a part: %s", part.Reveal())
	}
}

// No text that is kept shows a secret of the push, nor the part of one that its end left.
func TestTextsShowNoSecret(t *testing.T) {
	secrets := []string{"zebraquagga", "ABEND", "ocelot margay serval", "4711007", "https://x.test/a"}
	tickets := make([]string, 0, len(secrets))
	for i, secret := range secrets {
		name := []string{"voucher_confirmation", "voucher_verification", "voucher_url"}[i%3]
		tickets = append(tickets, fmt.Sprintf(`{"voucher_type":%d,%q:%q}`, i, name, secret))
	}
	for _, status := range []int{orderBooked, orderFailed} {
		for _, secret := range secrets {
			for _, before := range nearBounds() {
				text := quote(strings.Repeat("忙", before) + secret)
				order := onlyOrder(t, pathVoucher, fmt.Sprintf(`{"order_code":5,"order_status":%d,"remark":%[2]s,"total_price":1,"order_currency":%[2]s,`+
					`"cancel_type":%[2]s,"vouchers":[{"confirm_remarks":%[2]s,"voucherlist":[%[3]s]}],`+
					`"cancels":[{"canr_type":%[2]s,"canr_startday":%[2]s,"canr_endday":%[2]s,"canr_percent":%[2]s,"canr_text":%[2]s}]}`,
					status, text, strings.Join(tickets, ",")))
				c := order.Cancellation
				shown := strings.Join([]string{order.Reason, order.Remark, strings.TrimPrefix(order.Price.Text, "1 "), c.PlatformType,
					c.Rules[0].PlatformType, c.Rules[0].StartDay, c.Rules[0].EndDay, c.Rules[0].Percent, c.Rules[0].Text}, "\n")
				if rest := strings.Trim(shown, "忙•\n; []link"); rest != "" {
					t.Fatalf("%q after %d: %q is shown", secret, before, rest)
				}
			}
		}
	}
	for _, before := range nearBounds() {
		remark := strings.Repeat("忙", before) + "13912345678"
		order := onlyOrder(t, pathCancel, `{"orderlist":[{"order_code":5,"cancel_status":1,"remark":`+quote(remark)+`}]}`)
		if strings.ContainsAny(order.Reason, "0123456789") {
			t.Fatalf("after %d: %q is shown", before, order.Reason)
		}
	}
}

// nearBounds are lengths after which a text may be cut in the middle of what comes then.
func nearBounds() []int {
	lengths := []int{0}
	for _, bound := range []int{maxSymbol, maxStatus, maxRule, maxText} {
		for before := max(0, bound-25); before <= bound; before++ {
			lengths = append(lengths, before)
		}
	}
	return lengths
}

// Days, dates and percentages stay as they came, and anything else is scrubbed.
func TestWords(t *testing.T) {
	long := strings.Repeat("1", 33)
	for written, want := range map[string]string{
		"3": "3", "2025-09-23": "2025-09-23", "2025-09-23 12:00:00": "2025-09-23 12:00:00", "23/09/2025": "23/09/2025", "12.5%": "12.5%",
		"-1": "-1", long[1:]: long[1:], long: "•••", "20250923T00": "•••T00", "ByRule": "ByRule", "https://x.test/1": "[link]", "2025年": "•••年",
		"88120045": "•••", "on 88120045": "on •••", "31": "31", " 7 ": "7",
	} {
		order := onlyOrder(t, pathVoucher, `{"order_code":5,"order_status":2,"cancel_type":`+quote(written)+`,"cancels":[{"canr_type":`+quote(written)+
			`,"canr_startday":`+quote(written)+`,"canr_endday":`+quote(written)+`,"canr_percent":`+quote(written)+`}],`+
			`"vouchers":[{"voucherlist":[{"voucher_type":4,"voucher_confirmation":"88120045","voucher_verification":"31"}]}]}`)
		c := order.Cancellation
		for _, got := range []string{c.PlatformType, c.Rules[0].PlatformType, c.Rules[0].StartDay, c.Rules[0].EndDay, c.Rules[0].Percent} {
			if got != want {
				t.Errorf("%q is kept as %q, want %q", written, got, want)
			}
		}
	}
}

// All rules must be readable; no more are given than can be kept.
func TestRulesAreBounded(t *testing.T) {
	rules := strings.Repeat(`{"canr_type":1},`, maxRules)
	order := onlyOrder(t, pathVoucher, `{"order_code":5,"order_status":2,"cancels":[`+rules+`{"canr_type":2}]}`)
	if got := order.Cancellation.Rules; len(got) != maxRules || got[maxRules-1].PlatformType != "1" {
		t.Errorf("%d rules: %+v", len(got), got)
	}
	_, err := decode(pathVoucher, []byte(`{"order_code":5,"order_status":2,"cancels":[`+rules+`{"canr_type":[]}]}`))
	if err == nil || !strings.Contains(err.Error(), "cancels[16].canr_type") {
		t.Errorf("%v", err)
	}
}

// Which codes the tickets of a push are.
func TestCodes(t *testing.T) {
	for tickets, want := range map[string]string{
		`["N","V"]`:                       "N",
		`["N","V"],["N","V"]`:             "N",
		`["N","V"],["N","W"]`:             "N V|N W",
		`["N","V"],["N","W"],["N","V"]`:   "N V|N W",
		`["N",""],["N","W"]`:              "N|N W",
		`["N"," "],["N",""]`:              "N",
		`["N","V"],["M","W"],["M","V"]`:   "N|M W|M V",
		`["","V"],["","W"],["","V"]`:      "V|W",
		`[" \t","V"],["　","\u00a0"]`:      "V",
		`["N",31],["N","31"],["N",32]`:    "N 31|N 32",
		`["V","W"],["","V"],["V","X"]`:    "V W|V|V X",
		`[" ","V"," "],["",""," "]`:       "V",
		`["","V","https://x.test/a"]`:     "https://x.test/a",
		`["N","V",""],["","W","N"],["N"]`: "N V|N W|N",
	} {
		var rows []string
		var cells [][]any
		if err := json.Unmarshal([]byte("["+tickets+"]"), &cells); err != nil {
			t.Fatal(err)
		}
		for _, ticket := range cells {
			row := map[string]any{"voucher_type": 4}
			for i, cell := range ticket {
				row[[]string{"voucher_confirmation", "voucher_verification", "voucher_url"}[i]] = cell
			}
			raw, err := json.Marshal(row)
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, string(raw))
		}
		order := onlyOrder(t, pathVoucher, `{"order_code":5,"order_status":2,"vouchers":[{"voucherlist":[`+strings.Join(rows, ",")+`]}]}`)
		var got []string
		for _, code := range order.Codes {
			got = append(got, code.Text.Reveal())
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%s: %q, want %q", tickets, got, want)
		}
		for _, secret := range order.Secrets {
			if strings.TrimSpace(secret.Reveal()) == "" {
				t.Errorf("%s: a secret that is blank", tickets)
			}
		}
	}
}

// Many tickets are read in a time that grows with their number.
func TestManyTickets(t *testing.T) {
	var rows strings.Builder
	for i := range 5_000 {
		fmt.Fprintf(&rows, `{"voucher_confirmation":"N%d"},`, i)
	}
	body := `{"order_code":5,"order_status":2,"remark":"` + strings.Repeat("x ", 50_000) + `","vouchers":[{"voucherlist":[` + strings.TrimSuffix(rows.String(), ",") + `]}]}`
	start := time.Now()
	order := onlyOrder(t, pathVoucher, body)
	if took := time.Since(start); len(order.Codes) != 5_000 || took > 10*time.Second {
		t.Errorf("%d codes in %s", len(order.Codes), took)
	} else {
		t.Log(took)
	}
}

func TestBlankTradeNumberIsNone(t *testing.T) {
	for _, written := range []string{" ", "　", ""} {
		if got := onlyOrder(t, pathVoucher, `{"order_code":5,"order_status":2,"trade_number":`+quote(written)+`}`).OutOrderID; got != "" {
			t.Errorf("%q is kept as %q", written, got)
		}
	}
}

// Less than nothing is no price; nothing is one, however it is signed.
func TestPriceOfNothing(t *testing.T) {
	for _, written := range []string{"0", "-0", "-0.00", `"-0.0"`} {
		order := onlyOrder(t, pathVoucher, `{"order_code":5,"order_status":2,"order_currency":"AUD","total_price":`+written+`}`)
		if order.Price == nil || order.Price.Amount == nil || *order.Price.Amount != 0 {
			t.Errorf("%s: %+v", written, order.Price)
		}
	}
}

func onlyOrder(t *testing.T, path, body string) *platform.OrderNotification {
	t.Helper()
	events, err := decode(path, []byte(body))
	if err != nil || len(events) != 1 || events[0].Order == nil {
		t.Fatalf("decode() = %d events, %v; want one order", len(events), err)
	}
	return events[0].Order
}

// What is left of the credit is told where it is plain, and never refuses a push.
func TestCredit(t *testing.T) {
	for written, want := range map[string]string{
		`25.58`: "25.58", `"25.58"`: "25.58", `-3`: "-3", `0`: "0", `"-0.10"`: "-0.10",
		`1e3`: "", `"1,000"`: "", `"+1"`: "", `".5"`: "", `"5."`: "", `"x"`: "", `null`: "", `""`: "", `[]`: "", `{"a":1}`: "", `true`: "",
		`"` + strings.Repeat("1", 32) + `"`: strings.Repeat("1", 32), `"` + strings.Repeat("1", 33) + `"`: "",
	} {
		events, err := decode(pathVoucher, []byte(`{"order_code":5,"order_status":2,"request_time":"2025-09-23 12:00:00","surplus_quota":`+written+`}`))
		if err != nil {
			t.Errorf("%s: %v", written, err)
			continue
		}
		var got string
		if len(events) == 2 {
			got = events[1].Credit.Amount
		}
		if got != want {
			t.Errorf("%s: credit %q, want %q", written, got, want)
		}
	}
}

// The names are the API's own: a typo here would be a push that is never recorded.
func TestNamesAreTheAPIs(t *testing.T) {
	for got, want := range map[string]v1alpha1.NotificationType{
		kindCodesIssued:   v1alpha1.NotificationCodesIssued,
		kindCancelled:     v1alpha1.NotificationCancelled,
		kindStatusChanged: v1alpha1.NotificationStatusChanged,
		kindOther:         v1alpha1.NotificationOther,
	} {
		if got != string(want) {
			t.Errorf("kind %q, want %q", got, want)
		}
	}
	want := map[string]string{
		"1": string(v1alpha1.CancellationNone), "2": string(v1alpha1.CancellationManual), "3": string(v1alpha1.CancellationByRule),
		"4": string(v1alpha1.CancellationNoRefund), "5": string(v1alpha1.CancellationFreeBefore),
	}
	if diff := cmp.Diff(want, cancellationTypes); diff != "" {
		t.Errorf("cancellation types (-want +got):\n%s", diff)
	}
}

func TestReply(t *testing.T) {
	cases := map[platform.Outcome]struct {
		status int
		body   string
	}{
		platform.OutcomeRecorded:       {200, `{"code":0,"msg":"ok","data":null}`},
		platform.OutcomeDuplicate:      {200, `{"code":0,"msg":"ok","data":null}`},
		platform.OutcomeOlder:          {200, `{"code":0,"msg":"ok","data":null}`},
		platform.OutcomeAnswered:       {200, `{"code":0,"msg":"ok","data":null}`},
		platform.OutcomeMalformed:      {400, `{"code":4001,"msg":"malformed","data":null}`},
		platform.OutcomeTooLarge:       {413, `{"code":4001,"msg":"the body is too large","data":null}`},
		platform.OutcomeUnknownAccount: {404, `{"code":4003,"msg":"unknown merchant","data":null}`},
		platform.OutcomeForged:         {403, `{"code":4004,"msg":"the sign, the token or the address is refused","data":null}`},
		platform.OutcomeRetry:          {503, `{"code":5000,"msg":"please try again","data":null}`},
		platform.Outcome("new"):        {503, `{"code":5000,"msg":"please try again","data":null}`},
	}
	for outcome, want := range cases {
		for _, path := range (Adapter{}).Paths() {
			got := Adapter{}.Reply(path, outcome, "")
			if got.Status != want.status || string(got.Body) != want.body || got.ContentType != "application/json" {
				t.Errorf("%s: %d %s %s", outcome, got.Status, got.ContentType, got.Body)
			}
		}
	}
}

// A refused batch is told which of its rows is broken.
func TestReplyNamesTheFault(t *testing.T) {
	_, err := decode(pathCancel, []byte(strings.Replace(shortCancel, `"order_code":3,`, ``, 1)))
	got := Adapter{}.Reply(pathCancel, platform.OutcomeMalformed, err.Error())
	if want := `{"code":4001,"msg":"orderlist[2].order_code is missing","data":null}`; string(got.Body) != want {
		t.Errorf("%s, want %s", got.Body, want)
	}
	for why, want := range map[string]string{
		"": "malformed", "malformed push": "malformed", "malformed push: ": "malformed", "the body was cut": "the body was cut",
	} {
		if got := wording(why); got != want {
			t.Errorf("%q is told as %q, want %q", why, got, want)
		}
	}
}

// Nothing that prints an event shows a code, a link, a sign or the secret.
func TestEventsShowNoSecret(t *testing.T) {
	for _, file := range golden.Inputs(t, "push") {
		events, err := decode(pathOf(file), golden.Read(t, file))
		if err != nil {
			t.Fatal(err)
		}
		var shown strings.Builder
		var hidden []string
		for _, event := range events {
			if event.Order == nil {
				continue
			}
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
				fmt.Fprintf(&shown, verb, *event.Order)
			}
			for _, code := range event.Order.Codes {
				hidden = append(hidden, code.Text.Reveal())
			}
			for _, secret := range event.Order.Secrets {
				hidden = append(hidden, secret.Reveal())
			}
		}
		for _, text := range hidden {
			if len(text) > 2 && strings.Contains(shown.String(), text) && !strings.Contains(fmt.Sprint(events[0].Order.OrderID), text) {
				t.Errorf("%s: %q is shown", file, text)
			}
		}
	}
}

func FuzzVoucherPush(f *testing.F) { fuzzPush(f, pathVoucher) }

func FuzzCancelPush(f *testing.F) { fuzzPush(f, pathCancel) }

// fuzzPush checks that a body is refused as malformed or gives events that the API takes,
// and that checking its sign comes to a known end.
func fuzzPush(f *testing.F, path string) {
	for _, file := range golden.Inputs(f, "push") {
		f.Add(golden.Read(f, file))
	}
	signed := holder(settings(f, `{"signature":`+testRule+`}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := Adapter{}.Open(platform.Push{Path: path, Body: body})
		if err != nil {
			checkMalformed(t, err)
			return
		}
		checkText(t, "account", m.Account(), 0, fields.MaxID)
		if proof, err := m.Verify(signed); err != nil &&
			!errors.Is(err, platform.ErrForged) && !errors.Is(err, platform.ErrOtherAccount) || err == nil && proof == platform.ProofUnchecked {
			t.Errorf("verified as %q, %v", proof, err)
		}
		events, err := m.Events()
		if err != nil {
			checkMalformed(t, err)
			return
		}
		if len(events) == 0 {
			t.Error("nothing said")
		}
		for _, event := range events {
			checkEvent(t, event)
		}
		again, err := m.Events()
		if diff := cmp.Diff(events, again, golden.SameSecrets); err != nil || diff != "" {
			t.Errorf("read twice: %v\n%s", err, diff)
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

// checkEvent checks an event against the API's bounds. How many codes and rules a
// notification holds is bounded by whoever records it.
func checkEvent(t *testing.T, event platform.Event) {
	t.Helper()
	switch {
	case event.Product != nil || event.Notice != nil || (event.Order == nil) == (event.Credit == nil):
		t.Errorf("not exactly one fact: %+v", event)
	case event.Credit != nil:
		checkText(t, "credit", event.Credit.Amount, 1, 32)
	default:
		checkNotification(t, event.Order)
	}
}

func checkNotification(t *testing.T, n *platform.OrderNotification) {
	t.Helper()
	checkText(t, "order", n.OrderID, 1, fields.MaxID)
	checkText(t, "out order", n.OutOrderID, 0, fields.MaxID)
	checkText(t, "message", n.MessageID, 1, 90)
	checkText(t, "kind", n.Kind, 1, 32)
	checkText(t, "reason", n.Reason, 0, 512)
	checkText(t, "remark", n.Remark, 0, 512)
	if len(n.Content) == 0 || !n.OccurredAt.IsZero() {
		t.Error("no content, or a time that the push does not have")
	}
	seen := map[string]bool{}
	for _, code := range n.Codes {
		if code.Text.IsZero() || seen[code.Text.Reveal()] {
			t.Error("a code without text, or twice")
		}
		seen[code.Text.Reveal()] = true
	}
	if p := n.Price; p != nil {
		checkText(t, "price", p.Text, 1, 64)
		if p.Amount != nil && *p.Amount < 0 || (p.Amount == nil) != (p.Currency == "") {
			t.Errorf("price %+v", p)
		}
	}
	if c := n.Cancellation; c != nil {
		checkText(t, "cancellation", c.PlatformType, 0, 32)
		for _, rule := range c.Rules {
			checkText(t, "rule", rule.PlatformType+rule.StartDay+rule.EndDay+rule.Percent, 0, 4*32)
			checkText(t, "rule's text", rule.Text, 0, 256)
		}
	}
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

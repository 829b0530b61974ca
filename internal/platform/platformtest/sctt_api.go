package platformtest

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
)

// scttCall is one question.
type scttCall struct {
	op     string
	object bool
	fields map[string]json.RawMessage
}

func readSCTTCall(op string, body []byte) scttCall {
	call := scttCall{op: op}
	call.object = json.Unmarshal(body, &call.fields) == nil && call.fields != nil
	return call
}

func (c scttCall) text(name string) string { return scttText(c.fields[name]) }

// whole reads a JSON number without a fraction.
func (c scttCall) whole(name string) (int, bool) {
	var n int
	err := json.Unmarshal(c.fields[name], &n)
	return n, err == nil
}

// bigint reports whether the field is a JSON number that is an id (DOC).
func (c scttCall) bigint(name string) bool { return isID(string(c.fields[name])) }

// subject is what the call log says the question was about.
func (c scttCall) subject() string {
	subject := c.text("product_id")
	if c.op == scttList {
		subject = fmt.Sprintf("page %s of %s", c.text("pageno"), c.text("pagesize"))
	}
	return subject[:min(len(subject), 64)]
}

// scttEndpoint is one question: its own fields (DOC), and what it answers under the
// fake's lock.
type scttEndpoint struct {
	fields []string
	answer func(*SCTT, scttCall) (any, error)
}

// scttList is the only question that is not about one product.
const scttList = "productlist"

// scttEndpoints by name (DOC). order_confirmation is not part of the fake: it spends
// credit, and this project places no orders.
var scttEndpoints = map[string]scttEndpoint{
	scttList:       {[]string{"language", "key", "cid", "category", "pageno", "pagesize"}, (*SCTT).answerList},
	"products":     {[]string{"product_id", "language"}, (*SCTT).answerProduct},
	"availability": {[]string{"product_id", "start_date", "end_date"}, (*SCTT).answerAvailability},
}

// scttCommon are the fields of every question (DOC).
var scttCommon = []string{"merchant_id", "request_time", "sign"}

// complain notes a breach of the platform's rules.
func (f *SCTT) complain(call scttCall, format string, args ...any) {
	f.gripes.complain("%s: %s", call.op, fmt.Sprintf(format, args...))
}

// malformed complains of a field and refuses the call.
func (f *SCTT) malformed(call scttCall, field, rule string) error {
	f.complain(call, "%s %s", field, rule)
	return scttFailure{scttMalformed, "报文错误: " + field}
}

// answer checks who asks and answers.
func (f *SCTT) answer(r *http.Request, endpoint scttEndpoint, call scttCall) (any, error) {
	f.checkHeaders(r, call)
	if r.Method != http.MethodPost || !call.object {
		return nil, f.malformed(call, "the request", "is no POST of a JSON object")
	}
	for _, name := range slices.Concat(scttCommon, endpoint.fields) {
		if _, there := call.fields[name]; !there {
			return nil, f.malformed(call, name, "is missing")
		}
	}
	for name := range call.fields {
		if !slices.Contains(scttCommon, name) && !slices.Contains(endpoint.fields, name) {
			f.complain(call, "%.32q is no field of this call", name)
		}
	}
	if err := f.checkSender(call); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return endpoint.answer(f, call)
}

// checkHeaders complains only: the hotel pages state both headers, the v1 pages none.
func (f *SCTT) checkHeaders(r *http.Request, call scttCall) {
	for _, name := range []string{"Content-Type", "Accept"} {
		if kind, _, err := mime.ParseMediaType(r.Header.Get(name)); err != nil || kind != "application/json" {
			f.complain(call, "%s is not application/json", name)
		}
	}
}

// checkSender checks merchant, time and signature. What the platform answers where they
// are wrong is UNKNOWN; of a time that is off the fake complains only.
func (f *SCTT) checkSender(call scttCall) error {
	if !call.bigint("merchant_id") {
		return f.malformed(call, "merchant_id", "is no number")
	}
	at, err := time.ParseInLocation(time.DateTime, call.text("request_time"), f.zone)
	if err != nil || len(call.text("request_time")) != len(time.DateTime) {
		return f.malformed(call, "request_time", "is not yyyy-MM-dd HH:mm:ss")
	}
	if time.Since(at).Abs() > scttSkew {
		f.complain(call, "request_time is off by more than %s in the zone %s", scttSkew, f.config.Zone)
	}
	right := f.config.Signature.sign(f.Secret(), call.fields)
	if call.text("merchant_id") != f.config.Account || !f.config.Signature.matches(call.text("sign"), right) {
		f.complain(call, "the merchant is another, or the sign is wrong")
		return scttFailure{scttBadSign, "签名错误"}
	}
	return nil
}

func (f *SCTT) checkLanguage(call scttCall) error {
	if !slices.Contains([]string{"en-us", "zh-cn"}, call.text("language")) {
		return f.malformed(call, "language", "is neither en-us nor zh-cn")
	}
	return nil
}

// answerList gives a page. How large one may be is UNKNOWN: the fake gives at most 100.
func (f *SCTT) answerList(call scttCall) (any, error) {
	if err := f.checkLanguage(call); err != nil {
		return nil, err
	}
	page, ok1 := call.whole("pageno")
	size, ok2 := call.whole("pagesize")
	if !ok1 || page < 1 || !ok2 || size < 1 {
		return nil, f.malformed(call, "pageno or pagesize", "is no number from 1")
	}
	var category []json.RawMessage
	if cid, ok := call.whole("cid"); !ok || cid < 0 || json.Unmarshal(call.fields["category"], &category) != nil || category == nil {
		return nil, f.malformed(call, "cid or category", "is no number, or no list")
	}
	if size > 100 {
		return nil, scttFailure{scttMalformed, "报文错误: pagesize"}
	}
	found := f.found(call.text("key"))
	from := min((page-1)*size, len(found))
	// To ask whether a full page is the last breaks no rule.
	if last := max(1, (len(found)+size-1)/size); page > last+1 {
		f.complain(call, "page %d, and the last one is %d", page, last)
	}
	rows := []any{}
	for _, p := range found[from:min(from+size, len(found))] {
		rows = append(rows, f.row(p, page))
	}
	return map[string]any{"total": len(found), "productlist": rows}, nil
}

// found are the listed products that have the key in number or title (DOC); all with none.
func (f *SCTT) found(key string) []*SCTTProduct {
	var found []*SCTTProduct
	for _, id := range f.listing {
		if p := f.products[id]; !p.Hidden && (strings.Contains(p.Title, key) || p.ID == key) {
			found = append(found, p)
		}
	}
	return found
}

// row is a product in the list: its number is `code` in the page's sample and `productcode`
// in its table, and only the table has locations.
func (f *SCTT) row(p *SCTTProduct, page int) map[string]any {
	row := map[string]any{"title": p.Title, "images": "https://img.invalid/" + p.ID + ".jpg",
		"price": json.Number(p.Price), "marketprice": json.Number(p.Market), "costprice": json.Number(p.Cost)}
	name := f.config.Quirks.RowID
	if name == "" {
		name = []string{"productcode", "code"}[page%2]
	}
	row[name] = f.wireID(p.ID)
	if name == "productcode" {
		row["locations"] = "悉尼"
	}
	return row
}

func (f *SCTT) wireID(id string) any {
	if f.config.Quirks.QuotedIDs {
		return id
	}
	return json.Number(id)
}

// product finds what the call asks for. What the platform answers where there is no such
// product is UNKNOWN; to ask for one breaks no rule.
func (f *SCTT) product(call scttCall) (*SCTTProduct, error) {
	if !call.bigint("product_id") {
		return nil, f.malformed(call, "product_id", "is no number")
	}
	p := f.products[call.text("product_id")]
	if p == nil || p.Hidden {
		return nil, scttFailure{scttNoSuchGoods, "产品不存在"}
	}
	return p, nil
}

// answerProduct gives what is known of the page; its rest is cut off (UNKNOWN).
func (f *SCTT) answerProduct(call scttCall) (any, error) {
	if err := f.checkLanguage(call); err != nil {
		return nil, err
	}
	p, err := f.product(call)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"online_status": 2, "agree_notes": nil, "product_id": f.wireID(p.ID), "title": p.Title,
		"sellstartdate": p.SaleStart, "sellenddate": p.SaleEnd, "locations": "悉尼",
		"price": json.Number(p.Price), "costprice": json.Number(p.Cost), "marketprice": json.Number(p.Market),
		"images": []any{map[string]any{"imagesurl": "https://img.invalid/" + p.ID + ".jpg"}},
	}, nil
}

func (f *SCTT) answerAvailability(call scttCall) (any, error) {
	start, err1 := time.Parse(time.DateOnly, call.text("start_date"))
	end, err2 := time.Parse(time.DateOnly, call.text("end_date"))
	switch {
	case err1 != nil || err2 != nil:
		return nil, f.malformed(call, "start_date or end_date", "is not yyyy-MM-dd")
	case end.Before(start):
		return nil, f.malformed(call, "end_date", "is before start_date")
	case !end.Before(halfYearLater(start)):
		return nil, f.malformed(call, "end_date", "is more than six months behind start_date") // DOC
	}
	p, err := f.product(call)
	if err != nil {
		return nil, err
	}
	goods := []any{}
	for _, g := range p.Goods {
		units := []any{}
		for _, sku := range g.SKUs {
			units = append(units, map[string]any{"sku_id": f.wireID(sku.ID), "availabilities": f.availabilities(sku.Rows, start, end)})
		}
		goods = append(goods, map[string]any{"goods_id": f.wireID(g.ID), "goods_extras": g.Extras, "surplus_quota": g.Surplus,
			"stock_pattern": g.Pattern, "sku_list": units})
	}
	return map[string]any{"product_id": f.wireID(p.ID), "goods_list": goods}, nil
}

// halfYearLater is the same day six months later, or that month's last.
func halfYearLater(day time.Time) time.Time {
	first := time.Date(day.Year(), day.Month()+6, 1, 0, 0, 0, 0, day.Location())
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(day.Day(), last)-1)
}

// availabilities are the rows with a day in the range; an empty list if there are none (DOC).
func (f *SCTT) availabilities(rows []SCTTRow, start, end time.Time) []any {
	list := []any{}
	from, to := start.Format(time.DateOnly), end.Format(time.DateOnly)
	for _, row := range rows {
		if row.End < from || row.Start > to {
			continue
		}
		if f.config.Quirks.ClippedRanges {
			row.Start, row.End = max(row.Start, from), min(row.End, to)
		}
		list = append(list, row.wire())
	}
	return list
}

func (row SCTTRow) wire() map[string]any {
	sessions := []any{}
	for _, s := range row.Sessions {
		sessions = append(sessions, map[string]any{"time_id": s.TimeID, "time": s.Time, "surplus_quota": s.Surplus})
	}
	wire := map[string]any{"start_date": row.Start, "end_date": row.End, "sessions": sessions,
		"market_price": json.Number(row.Market), "customer_price": json.Number(row.Customer), "cost_price": json.Number(row.Cost)}
	if row.Surplus != nil {
		wire["surplus_quota"] = *row.Surplus
	}
	return wire
}

package douyin

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	maxTitle  = 512 // runes of a title, as the API bounds it
	maxCode   = 128 // runes of a supplier's code or a category
	maxReview = 1024
	maxStatus = 64 // runes of a platform's own status
)

// readAnswer opens an answer's envelope: {"data":{error_code, description, …}, "extra":
// {error_code, …}} (documented). Some answers have the code in one of the two only, and
// those about products may have BaseResp.StatusCode (inferred): the answer is a success
// where some code is there and all are 0. A success's data is read.
func readAnswer(op string, answer []byte, read func(data fields.Object)) error {
	envelope, ok := fields.Parse(answer)
	if !ok {
		return badAnswer(op, "the answer is not a JSON object")
	}
	data, extra, base := envelope.Object("data"), envelope.Object("extra"), envelope.Object("BaseResp")
	places := []place{
		{within: data, codeName: "error_code", textOf: "description"},
		{within: extra, codeName: "error_code", textOf: "description"},
		{within: base, codeName: "StatusCode", textOf: "StatusMessage"},
	}
	if fault := envelope.Fault(); fault != "" {
		return badAnswer(op, "in the answer "+fault)
	}
	if !slices.ContainsFunc(places, func(p place) bool { return p.code() != "" }) {
		return badAnswer(op, "the answer has no error_code")
	}
	if failure := worst(op, places); failure != nil {
		return failure
	}
	read(data)
	if fault := envelope.Fault(); fault != "" {
		return badAnswer(op, "in the answer "+fault)
	}
	return nil
}

// place is where an answer may say how it went.
type place struct {
	sealing.Hidden
	within           fields.Object
	codeName, textOf string
}

func (p place) code() string {
	return fields.Shorten(p.within.Quiet().Text(p.codeName), maxStatus)
}

// worst is the failure that the places tell: the first whose code is known, else the first.
func worst(op string, places []place) error {
	var first *platform.Error
	for _, p := range places {
		code := p.code()
		if code == "" || code == "0" {
			continue
		}
		failure := refusal(op, code, fields.Shorten(p.within.Quiet().Text(p.textOf), maxText))
		if _, known := errorCodes[code]; known {
			return failure
		}
		first = cmp.Or(first, failure)
	}
	if first != nil {
		return first
	}
	return nil
}

// readToken reads an access token; how long it lasts is documented to be two hours.
func readToken(data fields.Object) platform.Token {
	data.Require("access_token", "expires_in")
	token := platform.Token{Text: sealing.NewSecret(data.Exact("access_token"))}
	if seconds := data.Count("expires_in"); seconds != nil {
		token.Lasts = time.Duration(min(*seconds, 24*60*60)) * time.Second
	}
	return token
}

// page is a page of the catalogue and the cursor of the next; empty if it is the last.
type page struct {
	products []platform.ListedProduct
	next     string
}

// readPage reads goods/product/online/query.
func readPage(data fields.Object) page {
	var p page
	for _, entry := range data.Objects("products") {
		product := productOf(entry)
		product.Require("product_id")
		p.products = append(p.products, platform.ListedProduct{
			ID:    product.ID("product_id"),
			Title: fields.Shorten(product.Text("product_name"), maxTitle),
		})
	}
	if more := data.Boolean("has_more"); more == nil || *more {
		p.next = data.Exact("next_cursor")
	}
	return p
}

// productOf an entry of a list: within it or, from a lenient writer, the entry itself.
func productOf(entry fields.Object) fields.Object {
	if entry.Has("product") {
		return entry.Object("product")
	}
	return entry
}

// readProduct reads the product of the id from goods/product/online/get or draft/get; nil
// if the answer lists none. One that lists others only is no word on this one: a fault.
func readProduct(data fields.Object, name, id string, now time.Time) *platform.Product {
	entries := listOf(data, name)
	for _, entry := range entries {
		if p := productOf(entry); p.ID("product_id") == id {
			product := readUnit(entry, p, now)
			return &product
		}
	}
	if len(entries) > 0 {
		data.Fail(name, "lacks the product that was asked for")
	}
	return nil
}

// onlineStates are the documented values of online_status.
var onlineStates = map[string]platform.ProductState{
	"1": platform.ProductOnSale,
	"2": platform.ProductOffSale,
	"3": platform.ProductBanned,
}

// reviews are the documented values of draft_status, in words.
var reviews = map[string]string{
	"10": "Reviewing",
	"12": "Failed",
	"1":  passed, "11": passed,
	"20": "MerchantReviewing", "21": "MerchantRefused", "22": "MerchantPassed", "23": "MerchantTimedOut",
	"100": passed,
}

const passed = "Passed"

// readUnit reads an entry of either list.
func readUnit(entry, p fields.Object, now time.Time) platform.Product {
	probe := p.Quiet() // a sale without end may be written as a time beyond all bounds
	info := &platform.ProductInfo{
		Title:        fields.Shorten(p.Text("product_name"), maxTitle),
		Category:     fields.Shorten(cmp.Or(p.Quiet().Text("category_full_name"), p.Quiet().Text("category_id")), maxCode),
		SupplierCode: fields.Shorten(p.Text("out_id"), maxCode),
		SaleStart:    probe.Instant("sold_start_time"),
		SaleEnd:      probe.Instant("sold_end_time"),
	}
	if status := fields.Shorten(entry.Text("draft_status"), maxStatus); status != "" {
		info.Review = cmp.Or(reviews[status], status)
		info.ReviewReason = fields.Shorten(entry.Text("audit_msg"), maxReview)
	}
	product := platform.Product{Currency: currency, Info: info, State: platform.ProductUnknown}
	if status := entry.Text("online_status"); status != "" {
		product.State = cmp.Or(onlineStates[status], platform.ProductUnknown)
	} else if info.Review == passed {
		product.State = platform.ProductOffSale // approved, and not among what is sold
	}
	date := priceDate(p, now)
	for _, sku := range skusOf(entry) {
		product.SKUs = append(product.SKUs, readSKU(sku, p, info.Title, date))
	}
	return product
}

// skusOf an entry: the one unit that it sells (inferred from public code), or several.
func skusOf(entry fields.Object) []fields.Object {
	if entry.Has("sku") {
		return []fields.Object{entry.Object("sku")}
	}
	return entry.Objects("skus")
}

// readSKU reads a unit. It is sold at one price over its whole season, not day by day: a
// calendar of one day, at the season's start, holds that price, and its stock is the
// unit's own.
func readSKU(sku, p fields.Object, title, date string) platform.SKU {
	unit := platform.SKU{
		ID:    cmp.Or(sku.ID("sku_id"), p.ID("product_id")),
		Name:  cmp.Or(fields.Shorten(sku.Text("sku_name"), maxTitle), title),
		Stock: readStock(sku.Object("stock")),
	}
	day := platform.Day{
		Date: date, Amount: sku.Count("actual_amount"), Market: sku.Count("origin_amount"), Closed: sku.Text("status") == "-1",
	}
	if day.Amount != nil {
		unit.Days = []platform.Day{day}
	}
	return unit
}

// priceDate is the day on which the price stands: always the same for the same product,
// or each look would write the status anew.
func priceDate(p fields.Object, now time.Time) string {
	probe := p.Quiet()
	for _, name := range []string{"sold_start_time", "create_time", "update_time", "sold_end_time"} {
		if at := probe.Instant(name); !at.IsZero() {
			return at.In(fields.China).Format(time.DateOnly)
		}
	}
	return strconv.Itoa(now.In(fields.China).Year()) + "-01-01"
}

// readStock reads how much is left: documented, limit_type 1 is limited, 2 is not.
func readStock(stock fields.Object) *int64 {
	if stock.Text("limit_type") != "1" {
		return nil
	}
	left := stock.Integer("avail_qty")
	if left == nil {
		left = stock.Integer("stock_qty")
	}
	if left != nil && *left < 0 {
		return new(int64(0)) // sold beyond zero is nothing left
	}
	return left
}

// foundOrder is an order as trade/order/query has it.
type foundOrder struct {
	id     string
	order  platform.Order
	status string
}

// orderPage is a page of trade/order/query.
type orderPage struct {
	found *foundOrder
	// others are on the page.
	others bool
	next   string
}

// readOrders reads a page. Whom the order is for (contacts) is not read: nobody here needs
// to know.
func readOrders(data fields.Object, question platform.OrderQuestion) orderPage {
	var page orderPage
	for _, entry := range data.Objects("orders") {
		entry.Require("order_id")
		id, ours := entry.ID("order_id"), entry.ID("ext_order_id")
		asked := id == question.OrderID || question.OrderID == "" && (ours == "" || ours == question.OutOrderID)
		if !asked {
			page.others = true
			continue
		}
		if page.found == nil {
			page.found = readOrder(entry, id, ours)
		}
	}
	page.next = strings.Join(data.Object("search_after").Scalars("CursorValue"), ",")
	return page
}

// orderStates are the documented order states.
var orderStates = map[string]platform.OrderState{
	"0":   platform.OrderPending, // init
	"100": platform.OrderPending, // waits for payment
	"101": platform.OrderCancelled,
	"200": platform.OrderPaid,
	"201": platform.OrderIssued, // usable
	"1":   platform.OrderFinished,
}

// itemRefunded is the item_status of a certificate that was refunded (documented).
const itemRefunded = "301"

func readOrder(entry fields.Object, id, ours string) *foundOrder {
	entry.Require("order_status")
	status := fields.Shorten(entry.Text("order_status"), maxStatus)
	order := platform.Order{
		OrderID: id, OutOrderID: ours, PlatformStatus: status, Currency: currency,
		State:    cmp.Or(orderStates[status], platform.OrderOther),
		Quantity: entry.Count("count"),
	}
	var items []fields.Object
	if raw := entry.Raw("certificate"); bytes.HasPrefix(raw, []byte("[")) {
		items = entry.Objects("certificate")
	}
	for _, item := range items {
		if amount := item.Count("refund_amount"); item.Text("item_status") == itemRefunded && amount != nil {
			order.RefundedAmount = new(*cmp.Or(order.RefundedAmount, new(int64(0))) + *amount)
		}
	}
	return &foundOrder{id: id, order: order, status: status}
}

// certificate is a code of an order as fulfilment/certificate/query has it.
type certificate struct {
	platform.Code
	status string
}

// The documented states of a certificate.
const (
	certificateInit         = "0"
	certificateUnused       = "1"
	certificateUsed         = "2"
	certificateRefundAsked  = "3"
	certificateRefunded     = "4"
	certificateRefundFailed = "5"
	certificateRefunding    = "6"
)

// readCertificates reads the certificates of an order.
func readCertificates(data fields.Object) []certificate {
	var all []certificate
	for _, entry := range data.Objects("certificates") {
		entry.Require("certificate_id", "status")
		c := certificate{Code: readCode(entry), status: fields.Shorten(entry.Text("status"), maxStatus)}
		c.Persons, c.Refunded = new(int64(1)), new(int64(0))
		switch {
		case c.status == certificateUsed, c.status != certificateUnused && wasVerified(entry):
			c.Used = new(int64(1))
		case c.status == certificateInit, c.status == certificateUnused, c.status == certificateRefunded:
			c.Used = new(int64(0))
		}
		if c.status == certificateRefunded {
			*c.Refunded = 1
		}
		all = append(all, c)
	}
	return all
}

// wasVerified: a refund may be asked for after use (documented), and then the state no
// longer tells the use. Without a verify either, it is not known.
func wasVerified(entry fields.Object) bool {
	verify := entry.Quiet().Object("verify")
	return verify.Has("verify_id") || verify.Count("verify_time") != nil && *verify.Count("verify_time") > 0
}

// with adds the certificates, which are the codes of the order, and what they say of it.
// One that has only begun to be is no code yet.
func (f foundOrder) with(certificates []certificate) platform.Order {
	order := f.order
	var refunded, asked, failed int
	for _, c := range certificates {
		switch c.status {
		case certificateInit:
			continue
		case certificateRefunded:
			refunded++
		case certificateRefundAsked, certificateRefunding:
			asked++
		case certificateRefundFailed:
			failed++
		}
		order.Codes = append(order.Codes, c.Code)
	}
	order.RefundState = platform.RefundNone
	switch {
	case refunded > 0 && refunded == len(certificates) && (order.Quantity == nil || int64(refunded) >= *order.Quantity):
		order.RefundState = platform.RefundFull
		// An order is closed, too, when all of it was refunded (inferred): it was no
		// cancelled one.
		if order.State == platform.OrderCancelled {
			order.State = platform.OrderFinished
		}
	case asked > 0:
		order.RefundState = platform.RefundRequested
	case refunded > 0:
		order.RefundState = platform.RefundPartly
	case failed > 0:
		order.RefundState = platform.RefundFailed
	}
	if order.State == platform.OrderPaid && len(order.Codes) > 0 {
		order.State = platform.OrderIssued
	}
	return order
}

// refundStates are the values of refund_status. They are inferred, from two public
// programs that agree: 9 begun, 10 in review, 20 reviewed, 30 before the arbiter; 25
// refused, 40 withdrawn, 50 made, 59 failed.
var refundStates = map[string]*bool{
	"9": nil, "10": nil, "20": nil, "30": nil,
	"25": new(false), "40": new(false), "59": new(false),
	"50": new(true),
}

// readRefunds reads the after-sale orders of an order. One of which neither its certificate nor its state tells how it stands is left
// out: it would count as undecided for ever.
func readRefunds(data fields.Object, orderID string, certificates []certificate) []platform.RefundFact {
	var refunds []platform.RefundFact
	for _, entry := range afterSales(data) {
		if id := entry.ID("order_id"); id != "" && id != orderID {
			continue
		}
		if fact, ok := readRefund(entry, certificates); ok {
			refunds = append(refunds, fact)
		}
	}
	return refunds
}

// afterSales of an answer. Where it keeps them is not documented where we could read it: a
// list, an object, or the data itself.
func afterSales(data fields.Object) []fields.Object {
	if data.Has("after_sale_id") {
		return []fields.Object{data}
	}
	for _, name := range data.Names() {
		if bytes.HasPrefix(data.Raw(name), []byte("{")) && data.Quiet().Object(name).Has("after_sale_id") {
			return []fields.Object{data.Object(name)}
		}
	}
	return listOf(data, "after_sale_order_list")
}

func readRefund(entry fields.Object, certificates []certificate) (platform.RefundFact, bool) {
	fact := platform.RefundFact{
		ID: entry.ID("after_sale_id"), Currency: currency, Amount: entry.Count("refund_amount"),
		Reason: fields.Shorten(entry.Quiet().Text("reject_reason"), maxReason), At: refundTime(entry),
	}
	succeeded, told := refundStates[entry.Text("refund_status")]
	i := slices.IndexFunc(certificates, func(c certificate) bool { return c.ID != "" && c.ID == entry.ID("certificate_id") })
	if i >= 0 {
		c := certificates[i]
		// The event of a refund request of a code of the platform's own names nothing but
		// the certificate, so that is its id; the request for a merchant's code, which
		// alone is shown in clear (documented), names the after-sale order.
		if c.Text.IsZero() || fact.ID == "" {
			fact.ID = c.ID
		}
		// A certificate tells of its last refund only: what this one says of itself goes first.
		if succeeded == nil {
			switch c.status {
			case certificateRefunded:
				succeeded, told = new(true), true
			case certificateRefundFailed:
				succeeded, told = new(false), true
			case certificateRefundAsked, certificateRefunding:
				told = true
			}
		}
	}
	fact.Succeeded = succeeded
	return fact, told
}

// refundTime is when it was applied for; several names are seen.
func refundTime(entry fields.Object) time.Time {
	probe := entry.Quiet()
	for _, name := range []string{"apply_time", "create_time"} {
		if at := probe.Instant(name); !at.IsZero() {
			return at
		}
	}
	return time.Time{}
}

// readPartner says how a cooperation order stands.
func readPartner(data fields.Object) string {
	probe := data.Quiet()
	if !probe.Has("status") && probe.Has("order") {
		probe = probe.Object("order")
	}
	said := []string{partnerStatus(probe.Text("status"))}
	if name := fields.Shorten(probe.Text("product_name"), maxStatus); name != "" {
		said = append(said, name)
	}
	if ratio := percent(probe.Text("commission_ratio")); ratio != "" {
		said = append(said, "commission "+ratio)
	}
	return strings.Join(said, ", ")
}

// readCommissions says how the commissions of a cooperation order stand; what
// commission_audit_status means is unknown, so its number is shown.
func readCommissions(data fields.Object) string {
	items := listOf(data, "items")
	if len(items) == 0 {
		return "no commission records"
	}
	var said []string
	for _, item := range items {
		probe := item.Quiet()
		text := "product " + plainID(probe, "product_id") + ": audit status " + fields.Shorten(probe.Text("commission_audit_status"), maxStatus)
		if ratio := percent(probe.Text("effective_commission_ratio")); ratio != "" {
			text += ", commission " + ratio
		}
		said = append(said, text)
	}
	return strings.Join(said, "; ")
}

// percent of a ratio in ten-thousandths, written as a text (documented: "1234" is 12.34%).
func percent(ratio string) string {
	n, err := strconv.ParseUint(ratio, 10, 31)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d.%02d%%", n/100, n%100)
}

// listOf the name or, where it is not there, the first list of objects: some answers' lists
// have no documented name.
func listOf(data fields.Object, name string) []fields.Object {
	if data.Has(name) {
		return data.Objects(name)
	}
	for _, other := range data.Names() {
		if probe := data.Quiet(); bytes.HasPrefix(probe.Raw(other), []byte("[")) {
			if list := probe.Objects(other); probe.Fault() == "" && len(list) > 0 {
				return data.Objects(other)
			}
		}
	}
	return nil
}

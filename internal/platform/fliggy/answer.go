package fliggy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/laidoulaile/channel-operator/internal/money"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
)

const (
	maxReason = 512 // runes of a text that explains
	maxTitle  = 512 // runes of a title or a rule, as the API bounds them
	maxCode   = 128 // runes of a supplier's code
	maxStatus = 64  // runes of a platform's own status
	// maxDays bounds a calendar that is spread over a season.
	maxDays = 731
)

// readAnswer opens an answer's envelope: success, code and msg (documented), message
// (clients see it). A success is read; anything else becomes a *platform.Error.
func readAnswer(op string, answer []byte, read func(envelope fields.Object)) error {
	envelope, ok := fields.Parse(answer)
	if !ok {
		return badAnswer(op, "the answer is not a JSON object")
	}
	envelope.Require("success")
	if success := envelope.Boolean("success"); success != nil && !*success {
		text := envelope.Text("msg")
		if text == "" {
			text = envelope.Text("message")
		}
		return refusal(op, fields.Shorten(envelope.Text("code"), maxStatus), fields.Shorten(text, maxText))
	}
	read(envelope)
	if fault := envelope.Fault(); fault != "" {
		return badAnswer(op, "in the answer "+fault)
	}
	return nil
}

// readListed reads a page of the catalogue.
func readListed(envelope fields.Object) []platform.ListedProduct {
	var page []platform.ListedProduct
	for _, info := range envelope.Object("data").Objects("productBaseInfos") {
		info.Require("productId")
		page = append(page, platform.ListedProduct{
			ID:    info.ID("productId"),
			Title: fields.Shorten(info.Text("productName"), maxTitle),
		})
	}
	return page
}

// readDetail reads queryProductDetailInfo. The answer has no field that says whether
// the product is on sale (documented: there is none): that it is shown at all says
// so, unless the newest word on it was that it went off sale.
func readDetail(envelope fields.Object, question platform.ProductQuestion, now time.Time) platform.Product {
	data := envelope.Object("data")
	data.Require("productBaseInfo")
	product := readUnit(data, question, now)
	if product.State == "" {
		product.State = platform.ProductOnSale
	}
	base := data.Object("productBaseInfo")
	if id := base.ID("productId"); id != "" && id != question.ProductID {
		base.Fail("productId", "is not the one asked for")
	}
	product.Info = &platform.ProductInfo{
		Title:        fields.Shorten(base.Text("productName"), maxTitle),
		SupplierCode: fields.Shorten(base.Text("supplierResourceCode"), maxCode),
		BookingRule:  fields.Shorten(bookingRule(data.Object("advanceBooking")), maxTitle),
		RefundRule:   fields.Shorten(refundRule(data.Object("refund")), maxTitle),
		ConfirmsRule: fields.Shorten(confirmRule(data.Object("confirmRule")), maxTitle),
	}
	for i := range product.SKUs {
		product.SKUs[i].Name = product.Info.Title
	}
	return product
}

// readPriceStock reads queryProductPriceStock.
func readPriceStock(envelope fields.Object, question platform.ProductQuestion, now time.Time) platform.Product {
	data := envelope.Object("data")
	data.Require("productPriceStock")
	return readUnit(data, question, now)
}

// readUnit reads the one unit that a product sells, under the product's id. Prices do
// not tell the state, and they put no product back on sale that went off it.
func readUnit(data fields.Object, question platform.ProductQuestion, now time.Time) platform.Product {
	product := platform.Product{Currency: currency}
	if question.Availability == typeInvalid {
		product.State = platform.ProductOffSale
	}
	sku := platform.SKU{ID: question.ProductID}
	sku.Stock, sku.Days = readStock(data.Object("productPriceStock"), now)
	product.SKUs = []platform.SKU{sku}
	return product
}

// readStock reads the two ways to count: CALENDAR_INVENTORY day by day,
// TOTAL_INVENTORY over a season. Where the type says neither, the content does.
func readStock(stock fields.Object, now time.Time) (total *int64, days []platform.Day) {
	// The document prints calendarStock; live answers have calendarStocks.
	calendar := slices.Concat(stock.Objects("calendarStocks"), stock.Objects("calendarStock"))
	closed := readClosed(stock)
	stockType := stock.Text("stockType")
	isTotal := stockType == "TOTAL_INVENTORY" ||
		stockType != "CALENDAR_INVENTORY" && len(calendar) == 0 && stock.Has("normalStock")
	if isTotal {
		season := stock.Object("normalStock")
		return readLeft(season), seasonDays(season, readWeeks(stock), closed, now)
	}
	return nil, calendarDays(calendar, closed)
}

// calendarDays reads a calendar, by day. A day named twice counts as named last.
// Closed days between the first and the last are there too, without a price.
func calendarDays(calendar []fields.Object, closed map[string]bool) []platform.Day {
	byDate := make(map[string]platform.Day, len(calendar)+len(closed))
	first, last := "", ""
	for _, entry := range calendar {
		entry.Require("date")
		date := entry.Day("date").Format(time.DateOnly)
		if first == "" {
			first, last = date, date
		}
		first, last = min(first, date), max(last, date)
		byDate[date] = platform.Day{
			Date:   date,
			Amount: yuan(entry, "distributionPrice"),
			Market: yuan(entry, "marketPrice"),
			Stock:  readLeft(entry),
		}
	}
	if len(byDate) == 0 {
		return nil
	}
	for date := range closed {
		if first <= date && date <= last {
			day := byDate[date]
			day.Date, day.Closed = date, true
			byDate[date] = day
		}
	}
	days := make([]platform.Day, 0, len(byDate))
	for _, date := range slices.Sorted(maps.Keys(byDate)) {
		days = append(days, byDate[date])
	}
	return days
}

// seasonDays spreads a season over its days, those of the given weekdays only. Their
// stock is counted over all of them.
func seasonDays(season fields.Object, weekdays []time.Weekday, closed map[string]bool, now time.Time) []platform.Day {
	start, end := season.Day("startDate"), season.Day("endDate")
	amount, market := yuan(season, "distributionPrice"), yuan(season, "marketPrice")
	if start.IsZero() || end.IsZero() {
		return nil
	}
	var days []platform.Day
	day := seasonStart(start, end, now)
	for range maxDays {
		if day.After(end) {
			break
		}
		if len(weekdays) == 0 || slices.Contains(weekdays, day.Weekday()) {
			date := day.Format(time.DateOnly)
			days = append(days, platform.Day{Date: date, Amount: amount, Market: market, Closed: closed[date]})
		}
		day = day.AddDate(0, 0, 1)
	}
	return days
}

// seasonStart is where the calendar of a season begins: at its start, unless not all
// of it fits. Then past years go first. (Not past days: the calendar, and with it
// the status, would change every night.)
func seasonStart(start, end, now time.Time) time.Time {
	thisYear := time.Date(now.In(fields.China).Year(), time.January, 1, 0, 0, 0, 0, fields.China)
	fits := end.Before(start.AddDate(0, 0, maxDays))
	if fits || start.After(thisYear) || end.Before(thisYear) {
		return start
	}
	return thisYear
}

// weekdayNames are the documented names.
var weekdayNames = map[string]time.Weekday{
	"MONDAY": time.Monday, "TUESDAY": time.Tuesday, "WEDNESDAY": time.Wednesday, "THURSDAY": time.Thursday,
	"FRIDAY": time.Friday, "SATURDAY": time.Saturday, "SUNDAY": time.Sunday,
}

// readWeeks reads the weekdays a season is for; none are all.
func readWeeks(stock fields.Object) []time.Weekday {
	var days []time.Weekday
	for _, name := range stock.Texts("weeks") {
		day, ok := weekdayNames[strings.ToUpper(name)]
		if !ok {
			stock.Fail("weeks", "names a day that is none of MONDAY to SUNDAY")
		}
		days = append(days, day)
	}
	return days
}

// readClosed reads the days that cannot be booked.
func readClosed(stock fields.Object) map[string]bool {
	closed := map[string]bool{}
	for _, date := range stock.Texts("unavailableDates") {
		if _, err := time.Parse(time.DateOnly, date); err != nil {
			stock.Fail("unavailableDates", "names a day that is not yyyy-MM-dd")
		}
		closed[date] = true
	}
	return closed
}

// readLeft reads how much is left to sell; sold beyond zero is nothing left.
func readLeft(entry fields.Object) *int64 {
	left := entry.Integer("stock")
	if left != nil && *left < 0 {
		return new(int64(0))
	}
	return left
}

// bookingRule says how long ahead to book, such as "1 day ahead, before 18:00".
func bookingRule(advance fields.Object) string {
	days := advance.Count("advanceBookingDays")
	before := advance.Text("advanceBookingTime")
	switch {
	case days == nil && before == "":
		return ""
	case days == nil:
		return "before " + before
	case before == "":
		return plural(*days, "day") + " ahead"
	}
	return plural(*days, "day") + " ahead, before " + before
}

// refundRule gives the refund type and its conditions in the platform's own terms,
// such as "CONDITION_REFUND: TRAVEL_DATE_PRE 1d 0h 0m PERCENT 10". An AMOUNT is yuan.
func refundRule(refund fields.Object) string {
	rule := refund.Text("refundType")
	var conditions []string
	for _, c := range refund.Objects("conditionRefunds") {
		words := []string{c.Text("conditionRefundType")}
		for _, unit := range []string{"days", "hours", "minutes"} {
			if n := c.Text(unit); n != "" {
				words = append(words, n+unit[:1])
			}
		}
		words = append(words, c.Text("feeType"), c.Text("chargeAmount"))
		conditions = append(conditions, strings.Join(strings.Fields(strings.Join(words, " ")), " "))
	}
	if len(conditions) > 0 {
		rule += ": " + strings.Join(conditions, "; ")
	}
	return rule
}

// confirmRule says how soon the platform confirms: documented, type 0 is at once, 1
// is after up to confirmMinutes.
func confirmRule(confirm fields.Object) string {
	minutes := confirm.Count("confirmMinutes")
	switch confirm.Text("confirmType") {
	case "0":
		return "at once"
	case "1":
		if minutes == nil {
			return "later"
		}
		return "within " + plural(*minutes, "minute")
	}
	return ""
}

func plural(n int64, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

// orderStates are the documented order states.
var orderStates = map[string]platform.OrderState{
	"1001": platform.OrderPending,   // created
	"1002": platform.OrderPaid,      // paid
	"1003": platform.OrderIssued,    // ticketed
	"1004": platform.OrderFailed,    // ticketing failed
	"1005": platform.OrderFinished,  // finished, verified
	"1010": platform.OrderCancelled, // closed, unpaid
}

// refundStates are the documented refund states of an order.
var refundStates = map[string]platform.RefundState{
	"2000": platform.RefundNone,
	"2001": platform.RefundRequested,
	"2002": platform.RefundFull,
	"2003": platform.RefundFailed,
	"2004": platform.RefundPartly,
}

// readOrder reads searchOrder. Whom it is for (contactInfo, passengerInfos) is not
// read: nobody here needs to know. An unknown refund state is left empty.
func readOrder(envelope fields.Object, question platform.OrderQuestion) platform.Order {
	data := envelope.Object("data")
	data.Require("orderId", "orderStatus")
	order := platform.Order{
		OrderID:          data.ID("orderId"),
		OutOrderID:       data.ID("outOrderId"),
		State:            platform.OrderOther,
		PlatformStatus:   fields.Shorten(data.Text("orderStatus"), maxStatus),
		RefundState:      refundStates[data.Text("refundStatus")],
		RefundedAmount:   data.Count("refundFee"),
		RefundedQuantity: data.Count("refundQuantity"),
		Quantity:         data.Object("productInfo").Count("quantity"),
		Currency:         currency,
	}
	if state, ok := orderStates[order.PlatformStatus]; ok {
		order.State = state
	}
	if question.OrderID != "" && order.OrderID != question.OrderID {
		data.Fail("orderId", "is not the one asked for")
	}
	if question.OrderID == "" && order.OutOrderID != question.OutOrderID {
		data.Fail("outOrderId", "is not the one asked for")
	}
	for _, info := range data.Objects("codeInfos") {
		info.Require("code")
		code := readCode(info)
		code.Refunded = info.Count("refundSucessNum") // printed so
		order.Codes = append(order.Codes, code)
	}
	return order
}

// readRefunds reads searchRefundOrder, whose data is a list (documented) or, from a
// lenient writer, the only refund itself.
func readRefunds(envelope fields.Object) []platform.RefundFact {
	if strings.HasPrefix(string(envelope.Raw("data")), "{") {
		return []platform.RefundFact{readRefundFact(envelope.Object("data"))}
	}
	var refunds []platform.RefundFact
	for _, entry := range envelope.Objects("data") {
		refunds = append(refunds, readRefundFact(entry))
	}
	return refunds
}

// readRefundFact reads one refund. Documented: 2001 is applied for, 2002 and 2004 are
// paid in full and in part, 2003 failed. Whether "in full" speaks of this refund or of
// the order is unknown, so Full is left to the order's own refundStatus.
func readRefundFact(entry fields.Object) platform.RefundFact {
	entry.Require("refundStatus")
	state := refundStates[entry.Text("refundStatus")]
	fact := platform.RefundFact{
		ID:       entry.ID("distributorRefundId"),
		Currency: currency,
		Amount:   entry.Count("refundFee"),
		Quantity: entry.Count("refundQuantity"),
		Reason:   fields.Shorten(entry.Text("failReason"), maxReason),
		At:       appliedAt(entry),
	}
	switch state {
	case platform.RefundFull, platform.RefundPartly:
		fact.Succeeded = new(true)
	case platform.RefundFailed:
		fact.Succeeded = new(false)
	}
	return fact
}

// appliedAt reads gmtApplyRefund, a Date whose format is unknown: milliseconds or
// yyyy-MM-dd HH:mm:ss, and zero if it is anything else.
func appliedAt(entry fields.Object) time.Time {
	probe := entry.Quiet()
	if at := probe.LocalTime("gmtApplyRefund"); !at.IsZero() {
		return at
	}
	return probe.Millis("gmtApplyRefund")
}

// yuan reads a decimal amount of yuan as fen; nil if absent. The document says
// "精确到分", to two decimals; that the unit is yuan is inferred, from live answers.
func yuan(o fields.Object, name string) *int64 {
	text := o.Text(name)
	if text == "" {
		return nil
	}
	fen, err := money.MinorUnits(text, currency)
	if err != nil {
		o.Fail(name, "is not an amount in yuan with at most two decimals")
		return nil
	}
	if fen < 0 {
		o.Fail(name, "is negative")
		return nil
	}
	return &fen
}

package sctt

import (
	"time"

	"github.com/laidoulaile/channel-operator/internal/money"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
)

const (
	maxTitle = 512 // runes of a title, as the API bounds them
	maxError = 256 // runes of the platform's text of an error
	maxCode  = 64  // runes of the platform's code of an error
)

// noteNoPrices tells people why a product has none.
const noteNoPrices = "no prices: SCTT's lists name no currency; set spec.sctt.currency of the Channel"

// readAnswer opens an answer's envelope: code, msg and data (documented). The data of a
// success is read; anything else becomes a *platform.Error.
func readAnswer(op string, answer []byte, read func(data fields.Object)) error {
	envelope, ok := fields.Parse(answer)
	if !ok {
		return badAnswer(op, "the answer is not a JSON object")
	}
	envelope.Require("code")
	code, msg := envelope.Text("code"), envelope.Quiet().Text("msg")
	if envelope.Fault() == "" && code != codeSuccess {
		return refusal(op, fields.Shorten(code, maxCode), fields.Shorten(msg, maxError))
	}
	data := envelope.Object("data")
	// Without data a catalogue is empty; an answer about a product says nothing then.
	if op != opProductList && len(data.Names()) == 0 {
		envelope.Fail("data", "is missing")
	}
	read(data)
	if fault := envelope.Fault(); fault != "" {
		return badAnswer(op, "in the answer "+fault)
	}
	return nil
}

// readListed reads a page of the catalogue. The sample calls the product's number `code`,
// the table `productcode` (documented both).
func readListed(data fields.Object) (page []platform.ListedProduct, total *int64) {
	for _, row := range data.Objects("productlist") {
		name := "code"
		if !row.Has(name) && row.Has("productcode") {
			name = "productcode"
		}
		row.Require(name)
		page = append(page, platform.ListedProduct{ID: row.ID(name), Title: fields.Shorten(row.Text("title"), maxTitle)})
	}
	return page, data.Count("total")
}

// readInfo reads a product's information. What the values of online_status mean is unknown,
// so it is not read: that the product is shown at all says that it is on sale (inferred).
func readInfo(data fields.Object, question platform.ProductQuestion, product *platform.Product) {
	checkProduct(data, question)
	product.State = platform.ProductOnSale
	product.Info = &platform.ProductInfo{
		Title:     fields.Shorten(data.Text("title"), maxTitle),
		SaleStart: saleTime(data.Text("sellstartdate")),
		SaleEnd:   saleTime(data.Text("sellenddate")),
	}
}

// checkProduct: an answer that names its product must name the one asked for.
func checkProduct(data fields.Object, question platform.ProductQuestion) {
	if id := data.ID("product_id"); id != "" && id != question.ProductID {
		data.Fail("product_id", "is not the one asked for")
	}
}

// saleTime reads a bound of a sale, whose format and zone are unknown (the sample's are
// empty): a day, or a day and a time, of the years 2000 to 2100 in China. Zero if it is
// neither.
func saleTime(text string) time.Time {
	for _, layout := range []string{time.DateOnly, time.DateTime} {
		at, err := time.ParseInLocation(layout, text, fields.China)
		if err == nil && len(text) == len(layout) && at.Year() >= 2000 && at.Year() < 2100 {
			return at.UTC()
		}
	}
	return time.Time{}
}

// The values of a goods' kind and way of counting. That 2 counts over all days is inferred
// from the order of the words on the page; 1 then counts by day.
const (
	extrasAddOn  = 2
	patternTotal = 2
)

// units are the sellable units that the answers about a product's calendar name.
type units struct {
	currency string
	span     span
	skus     []platform.SKU
	// found are the places in skus and the days that are there, by the ids.
	found map[string]found
}

type found struct {
	at   int
	days map[string]bool
}

func newUnits(currency string) *units {
	return &units{currency: currency, found: map[string]found{}}
}

// read adds what an answer names to what one before named. What is named twice is as it was
// named first.
func (u *units) read(data fields.Object, question platform.ProductQuestion) {
	checkProduct(data, question)
	for _, goods := range data.Objects("goods_list") {
		goods.Require("goods_id")
		unit := platform.SKU{Name: goodsName(goods)}
		pattern, left := goods.Count("stock_pattern"), goods.Count(fieldCredit)
		byDay := pattern == nil || *pattern != patternTotal
		if !byDay {
			unit.Stock = left
		}
		for _, row := range goods.Objects("sku_list") {
			row.Require("sku_id")
			unit.ID = row.ID("sku_id")
			u.add(row, unit, byDay)
		}
	}
}

func goodsName(goods fields.Object) string {
	name := "goods " + goods.ID("goods_id")
	if extras := goods.Count("goods_extras"); extras != nil && *extras == extrasAddOn {
		name += ", add-on"
	}
	return name
}

// add adds a unit and its days; one without days stays (documented: its list is empty).
func (u *units) add(row fields.Object, unit platform.SKU, byDay bool) {
	known, ok := u.found[unit.ID]
	if !ok {
		known = found{at: len(u.skus), days: map[string]bool{}}
		u.found[unit.ID], u.skus = known, append(u.skus, unit)
	}
	sku := &u.skus[known.at]
	for _, entry := range row.Objects("availabilities") {
		for _, day := range u.days(entry, byDay) {
			if !known.days[day.Date] {
				known.days[day.Date] = true
				sku.Days = append(sku.Days, day)
			}
		}
	}
}

// days expands a row of a calendar, which holds from start_date to end_date, over those
// days that were asked for. The field customer_price is not read: what it is is unknown.
func (u *units) days(entry fields.Object, byDay bool) []platform.Day {
	entry.Require("start_date")
	row := span{entry.LocalDay("start_date"), entry.LocalDay("end_date")}
	if !entry.Has("end_date") {
		row.last = row.first
	}
	if row.last.Before(row.first) {
		entry.Fail("end_date", "is before start_date")
	}
	like := platform.Day{Amount: u.amount(entry, "cost_price"), Market: u.amount(entry, "market_price")}
	if byDay {
		like.Stock = dayStock(entry)
	}
	var days []platform.Day
	for _, date := range row.within(u.span) {
		day := like
		day.Date = date
		days = append(days, day)
	}
	return days
}

// amount reads an amount of the Channel's currency; nil if there is none.
func (u *units) amount(entry fields.Object, name string) *int64 {
	text := entry.Text(name)
	if text == "" || u.currency == "" {
		return nil
	}
	amount, err := money.MinorUnits(text, u.currency)
	switch {
	case err != nil && plainDecimal.MatchString(text):
		entry.Fail(name, "does not fit the minor unit of "+u.currency+": check spec.sctt.currency")
	case err != nil:
		entry.Fail(name, "is no amount")
	case amount < 0:
		entry.Fail(name, "is negative")
	}
	return &amount
}

// dayStock is what is left on a day: as the day says, else as its sessions add up; nil if
// neither says.
func dayStock(entry fields.Object) *int64 {
	left := entry.Count(fieldCredit)
	var all *int64
	for _, session := range entry.Objects("sessions") {
		if n := session.Count(fieldCredit); n != nil {
			if all == nil {
				all = new(int64)
			}
			*all = money.Plus(*all, *n)
		}
	}
	if left != nil {
		return left
	}
	return all
}

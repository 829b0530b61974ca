package platformtest

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/shopspring/decimal"
)

// baseInfo is ProductBaseInfo (DOC) with a hotel and a ticket; whether their fields
// stand flat in the element is UNKNOWN, here they do.
func (p *Product) baseInfo() map[string]any {
	return map[string]any{
		"productId": p.ID, "productName": p.Title, "supplierResourceCode": p.SupplierCode,
		"cooperationMode": "AGENT",
		"elementList": []any{
			map[string]any{"elementType": 2, "hotelName": "湖畔酒店", "roomName": "湖景房", "nigntNum": 1, "breakfastCount": 2},
			map[string]any{"elementType": 1, "scenicSpotName": "西湖", "ticketKindName": "成人票", "containTicketNum": 2},
		},
		"costInclude": "住宿一晚，双早", "costExclude": "其他个人消费", "bookingNotice": "请提前预订",
		"destinationList": []string{"杭州"},
	}
}

// priceStock is ProductPriceStock (DOC), within the question's times if it has any
// (DOC: date >= beginTime and <= endTime). A range without days is an empty calendar
// (INFER), a product without days is 4007.
func (f *Fliggy) priceStock(p *Product, q fliggyQuestion) (any, error) {
	if p.Days == 0 {
		return nil, fliggyFailure{"4007", ""}
	}
	days := p.days(q.BeginTime, q.EndTime)
	answer := map[string]any{"unavailableDates": append([]string{}, p.Closed...)}
	if p.TotalStock {
		answer["stockType"] = "TOTAL_INVENTORY"
		answer["weeks"] = []string{"MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"}
		answer["normalStock"] = p.normalStock()
		return answer, nil
	}
	answer["stockType"] = "CALENDAR_INVENTORY"
	field := "calendarStocks"
	if f.quirks.SingularCalendar {
		field = "calendarStock"
	}
	answer[field] = days
	return answer, nil
}

// normalStock is one price and one stock for all days (DOC).
func (p *Product) normalStock() map[string]any {
	day := p.prices(p.Price)
	day["startDate"] = p.day(0).UnixMilli()
	day["endDate"] = p.day(p.Days - 1).UnixMilli()
	day["stock"] = p.Stock
	return day
}

// days is the calendar (DOC: CalendarStockDTO); begin and end bound it where not nil.
func (p *Product) days(begin, end *int64) []any {
	days := []any{}
	for i := range p.Days {
		date := p.day(i)
		if begin != nil && date.UnixMilli() < *begin || end != nil && date.UnixMilli() > *end {
			continue
		}
		price, stock := p.Price, p.Stock
		if weekday := date.Weekday(); p.WeekendPrice != "" && (weekday == time.Saturday || weekday == time.Sunday) {
			price = p.WeekendPrice
		}
		if slices.Contains(p.Closed, date.Format(dateLayout)) {
			stock = 0
		}
		day := p.prices(price)
		day["date"], day["stock"] = date.UnixMilli(), stock
		days = append(days, day)
	}
	return days
}

// day is China midnight of the calendar's i-th day.
func (p *Product) day(i int) time.Time {
	start, _ := time.ParseInLocation(dateLayout, p.Start, china) // checked when put
	return start.AddDate(0, 0, i)
}

// prices are the three prices in yuan decimals (INFER, strong).
func (p *Product) prices(yuan string) map[string]any {
	price := decimal.RequireFromString(yuan) // checked when put
	market := price.Add(decimal.NewFromInt(100))
	if p.Market != "" {
		market = decimal.RequireFromString(p.Market)
	}
	number := func(d decimal.Decimal) json.Number { return json.Number(d.StringFixed(2)) }
	return map[string]any{
		"distributionPrice": number(price), "marketPrice": number(market),
		"suggestedPrice": number(price.Add(decimal.NewFromInt(50))),
	}
}

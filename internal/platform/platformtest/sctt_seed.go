package platformtest

import (
	"fmt"
	"time"
)

// What the seeded state names.
const (
	// SCTTProductID is a plain product; the next ones have sessions, nothing available, days
	// in ranges and two units, an add-on, and a stock over all days.
	SCTTProductID               = "300001"
	SCTTSessionsProductID       = "300002"
	SCTTEmptyProductID          = "300003"
	SCTTRangesProductID         = "300004"
	SCTTAddOnProductID          = "300005"
	SCTTTotalProductID          = "300006"
	SCTTBigProductID            = "9007199254740993" // above 2^53
	SCTTOrderID                 = "700001"
	SCTTSecondOrderID           = "700002"
	SCTTBigOrderID              = "9007199254740995"
	scttSeeded                  = 25 // products: three pages of ten
	scttFirstProduct      int64 = 300001
)

// seed fills the fake with a catalogue and with orders that wait.
func (f *SCTT) seed() {
	today := time.Now().In(china)
	titles := []string{"悉尼歌剧院导览", "蓝山一日游", "大堡礁浮潜", "大洋路小团", "菲利普岛看企鹅"}
	for i := range scttSeeded {
		id := fmt.Sprint(scttFirstProduct + int64(i))
		if i == scttSeeded-1 {
			id = SCTTBigProductID
		}
		p := SCTTProduct{ID: id, Title: fmt.Sprintf("%s %d", titles[i%len(titles)], i+1),
			Price: fmt.Sprintf("%d.5", 120+i), Market: fmt.Sprintf("%d", 150+i), Cost: fmt.Sprintf("%d.25", 100+i)}
		p.Goods = []SCTTGoods{{ID: fmt.Sprint(400001 + 10*i), Extras: SCTTResource, Pattern: SCTTDailyStock, Surplus: 300,
			SKUs: []SCTTSKU{{ID: fmt.Sprint(500001 + 10*i), Rows: p.daily(today, 14)}}}}
		p.vary(today)
		mustSeed(f.PutProduct(p))
	}
	mustSeed(f.PutOrder(SCTTOrder{ID: SCTTOrderID, TradeNumber: "T-700001", Total: "120.5", Currency: "AUD", Label: "2 adults",
		Rules: []SCTTCancelRule{{Type: 1, StartDay: "7", EndDay: "3", Percent: "50", Text: "出发前 3 至 7 天收取 50%"}}}))
	mustSeed(f.PutOrder(SCTTOrder{ID: SCTTSecondOrderID, TradeNumber: "T-700002", Total: "88", Currency: "A$", CancelType: 2}))
	mustSeed(f.PutOrder(SCTTOrder{ID: SCTTBigOrderID, TradeNumber: "T-700003", Total: "64.00", Currency: "CNY", Mode: 2, CancelType: 5}))
}

// daily are rows of one day each, from today on.
func (p *SCTTProduct) daily(today time.Time, days int) []SCTTRow {
	var rows []SCTTRow
	for i := range days {
		day := today.AddDate(0, 0, i).Format(time.DateOnly)
		rows = append(rows, p.between(day, day, int64(20+i)))
	}
	return rows
}

func (p *SCTTProduct) between(start, end string, surplus int64) SCTTRow {
	return SCTTRow{Start: start, End: end, Surplus: &surplus, Market: p.Market, Customer: p.Price, Cost: p.Cost}
}

// vary gives the first products what makes each special.
func (p *SCTTProduct) vary(today time.Time) {
	day := func(n int) string { return today.AddDate(0, 0, n).Format(time.DateOnly) }
	goods := &p.Goods[0]
	switch p.ID {
	case SCTTProductID:
		p.SaleStart, p.SaleEnd = "2024-01-01", "2099-12-31 23:59:59"
	case SCTTSessionsProductID: // the first days say only what is left of each session
		for i := range goods.SKUs[0].Rows {
			row := &goods.SKUs[0].Rows[i]
			row.Sessions = []SCTTSession{{TimeID: 1, Time: "09:30", Surplus: 4}, {TimeID: 2, Time: "14:00", Surplus: int64(i)}}
			if i < 7 {
				row.Surplus = nil
			}
		}
	case SCTTEmptyProductID:
		goods.SKUs[0].Rows = nil
	case SCTTRangesProductID: // the second range lies across the two halves of a year
		goods.SKUs[0].Rows = []SCTTRow{p.between(day(-10), day(20), 8), p.between(day(100), day(300), 5)}
		child := *p
		child.Cost = "55.5"
		goods.SKUs = append(goods.SKUs, SCTTSKU{ID: "590001", Rows: []SCTTRow{child.between(day(0), day(400), 3)}})
	case SCTTAddOnProductID:
		lunch := *p
		lunch.Cost, lunch.Price, lunch.Market = "18", "20", "25"
		p.Goods = append(p.Goods, SCTTGoods{ID: "490001", Extras: SCTTAddOn, Pattern: SCTTDailyStock, Surplus: 50,
			SKUs: []SCTTSKU{{ID: "590002", Rows: lunch.daily(today, 14)}}})
	case SCTTTotalProductID:
		goods.Pattern, goods.Surplus = SCTTTotalStock, 77
	}
}

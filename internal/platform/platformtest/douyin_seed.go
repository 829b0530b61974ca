package platformtest

import (
	"fmt"
	"strconv"
	"time"
)

// What else the seeded state names.
const (
	// DouyinSecondOrderID is a paid order of two third-party codes, DouyinOwnOrderID one of
	// two codes of the platform's own; DouyinOrderID is a paid one of one third-party code.
	DouyinSecondOrderID = "1065946966824669549"
	DouyinOwnOrderID    = "1065946966824669550"
	// DouyinPartnerOrderID has commission records.
	DouyinPartnerOrderID = "7212142857733638179"
	// douyinSeeded products are on more than one page of any size.
	douyinSeeded = 60
)

// seed fills the fake: products, of which the second is off sale and the third banned, one
// that failed its review and was never on sale, orders and a partner order.
func (f *Douyin) seed() {
	first, _ := strconv.ParseInt(DouyinProductID, 10, 64) // a number by its definition
	titles := []string{"千岛湖单人套票", "乌镇夜游双人票", "莫干山民宿体验券", "黄山索道往返", "普陀山快艇票"}
	for i := range int64(douyinSeeded) {
		p := DouyinProduct{ID: fmt.Sprint(first + i), Title: fmt.Sprintf("%s %d", titles[i%5], i), OutID: fmt.Sprintf("DY-%02d", i),
			Amount: 100 + 10*i, Market: 200 + 10*i, Stock: new(50 + i), Online: DouyinOnline, Draft: DouyinDraftPassed,
			SaleStart: time.Date(2024, 7, 1, 0, 0, 0, 0, china), SaleEnd: time.Date(2029, 7, 1, 0, 0, 0, 0, china)}
		switch i {
		case 1:
			p.Online = DouyinOffline
		case 2:
			p.Online = DouyinBanned
		case 3:
			p.Stock = nil
		case 4:
			p.Draft, p.AuditMsg = DouyinDraftFailed, "套餐图片不清晰"
		}
		mustSeed(f.PutProduct(p))
	}
	mustSeed(f.PutProduct(DouyinProduct{ID: fmt.Sprint(first + douyinSeeded), Title: "未过审商品", OutID: "DY-NEW", Amount: 900,
		Draft: DouyinDraftFailed, AuditMsg: "缺少资质"}))
	paid := time.Unix(1722175822, 0)
	created := time.Unix(1722175821, 0)
	order := func(id string, count int64, thirdParty bool) {
		mustSeed(f.PutOrder(DouyinOrder{ID: id, ProductID: DouyinProductID, Count: count, Price: 100, ThirdParty: thirdParty,
			Status: DouyinPaid, CreatedAt: created, PaidAt: paid}))
	}
	order(DouyinOrderID, 1, true)
	order(DouyinSecondOrderID, 2, true)
	order(DouyinOwnOrderID, 2, false)
	mustSeed(f.PutPartnerOrder(DouyinPartnerOrder{ID: DouyinPartnerOrderID, MerchantID: f.config.AccountID, PartnerID: "7207450161063135284",
		Status: 301, At: time.UnixMilli(1679210010000)},
		DouyinCommission{ID: "7212142857733638180", ProductID: DouyinProductID, Audit: 1, Ratio: 1234}))
}

func mustSeed(err error) {
	if err != nil {
		panic(err) // the seed is our own
	}
}

package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
)

// mountFliggy mounts Fliggy's fake and fills its catalogue.
func mountFliggy(_ context.Context, o options, mux *http.ServeMux) error {
	fake, err := platformtest.NewFliggy(platformtest.FliggyConfig{
		Account: o.fliggyAccount, PushBase: o.pushBase, PushToken: o.pushToken, Logger: o.logger})
	if err != nil {
		return err
	}
	if o.fliggyPrivateKeyOut != "" {
		if err := writeFile(o.fliggyPrivateKeyOut, fake.PrivateKey()+"\n", 0o600); err != nil {
			return err
		}
	}
	for i := range o.seedCatalogue {
		if err := fake.PutProduct(demoProduct(i, time.Now())); err != nil {
			return err
		}
	}
	mux.Handle("/api/v1/hotelticket/", fake)
	mux.Handle("/admin/fliggy/", http.StripPrefix("/admin/fliggy", fake.AdminAllowing(loopbackURL)))
	return nil
}

// demoTitles name the demo products by turns.
var demoTitles = []string{"千岛湖两晚家庭套票", "乌镇一晚景区联票", "莫干山温泉一晚套餐", "黄山三日酒景套餐", "普陀山一晚双人套餐"}

// demoProduct is the i-th product of the demo catalogue: first 88 as in the examples,
// then others with calendars of all kinds, the second off the shelf.
func demoProduct(i int, now time.Time) platformtest.Product {
	today := now.In(time.FixedZone("China", 8*60*60))
	date := func(days int) string { return today.AddDate(0, 0, days).Format(time.DateOnly) }
	if i == 0 {
		return platformtest.Product{ID: "88", Title: "西湖一晚双早套餐", SupplierCode: "XH-01", Start: date(0), Days: 30,
			Price: "350.50", WeekendPrice: "420.00", Market: "499.00", Stock: 12}
	}
	p := platformtest.Product{
		ID: strconv.Itoa(100 + i), Title: fmt.Sprintf("%s %d", demoTitles[i%len(demoTitles)], i),
		SupplierCode: fmt.Sprintf("DM-%02d", i), Start: date(i % 5), Days: 30 * (1 + i%12),
		Price: fmt.Sprintf("%d.%02d", 200+i%700, i%100), Stock: int64(i % 40), OffShelf: i == 1,
	}
	if i%2 == 0 {
		p.WeekendPrice = fmt.Sprintf("%d.00", 300+i%700)
	}
	if i%3 == 0 {
		p.Closed = []string{date(i%5 + 8), date(i%5 + 9)}
	}
	p.TotalStock = i%7 == 0
	return p
}

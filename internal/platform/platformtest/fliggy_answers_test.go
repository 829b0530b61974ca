package platformtest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPaging(t *testing.T) {
	a := newAsker(t, FliggyConfig{})
	for id := 100; id < 110; id++ {
		must(t, a.fake.PutProduct(demoProduct(fmt.Sprint(id))))
	}
	must(t, a.fake.SetOffShelf("105"))
	must(t, a.fake.SetGranted("106", false))
	a.fake.DeleteProduct("107")
	page := func(no, size int) (string, []string) {
		code, data := a.ask("queryProductBaseInfoByPage", "", map[string]any{"pageNo": no, "pageSize": size})
		return code, productIDs(t, data)
	}
	var all []string
	for no := 1; ; no++ {
		code, ids := page(no, 3)
		if code != "2000" || len(ids) == 0 {
			break
		}
		all = append(all, ids...)
	}
	want := []string{"88", "100", "101", "102", "103", "104", "108", "109"}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Error(diff)
	}
	for _, bad := range [][2]int{{0, 10}, {1, 0}, {1, 101}, {-1, 10}} {
		if code, _ := page(bad[0], bad[1]); code != "5003" {
			t.Errorf("page %v: %s", bad, code)
		}
	}
}

func TestEndOfPagesQuirk(t *testing.T) {
	a := newAsker(t, FliggyConfig{Quirks: FliggyQuirks{EndOfPages4010: true, MessageField: true}})
	_, raw := a.post("queryProductBaseInfoByPage", a.body("", map[string]any{"pageNo": 2, "pageSize": 10}))
	if !strings.Contains(string(raw), `"code":"4010"`) || !strings.Contains(string(raw), `"message":`) {
		t.Errorf("%s", raw)
	}
}

func productIDs(t *testing.T, data json.RawMessage) []string {
	t.Helper()
	var page struct {
		ProductBaseInfos []struct{ ProductID string }
	}
	if len(data) > 0 {
		must(t, json.Unmarshal(data, &page))
	}
	var ids []string
	for _, info := range page.ProductBaseInfos {
		ids = append(ids, info.ProductID)
	}
	return ids
}

func TestByIDs(t *testing.T) {
	a := newAsker(t, FliggyConfig{})
	code, data := a.ask("queryProductBaseInfoByIds", "88,99", map[string]any{"productIds": []string{"99", "88"}})
	if diff := cmp.Diff([]string{"88"}, productIDs(t, data)); code != "2000" || diff != "" {
		t.Error(code, diff)
	}
	if code, _ := a.ask("queryProductBaseInfoByIds", "99", map[string]any{"productIds": []string{"99"}}); code != "4005" {
		t.Error(code)
	}
	many := make([]string, 101)
	for i := range many {
		many[i] = "1"
	}
	if code, _ := a.ask("queryProductBaseInfoByIds", strings.Join(many, ","), map[string]any{"productIds": many}); code != "5003" {
		t.Error(code)
	}
}

func TestProductStates(t *testing.T) {
	a := newAsker(t, FliggyConfig{})
	for _, op := range []string{"queryProductDetailInfo", "queryProductPriceStock"} {
		ask := func(id, want string) {
			t.Helper()
			if code, _ := a.ask(op, id, map[string]any{"productId": id}); code != want {
				t.Errorf("%s of %s: %s, want %s", op, id, code, want)
			}
		}
		must(t, a.fake.PutProduct(demoProduct("88")))
		ask("88", "2000")
		ask("99", "4005")
		must(t, a.fake.SetOffShelf("88"))
		ask("88", "4006")
		must(t, a.fake.SetOnShelf("88"))
		must(t, a.fake.SetGranted("88", false))
		ask("88", "5002")
		must(t, a.fake.SetGranted("88", true))
		must(t, a.fake.AlterProduct("88", func(p *Product) { p.Days = 0 }))
		ask("88", "4007")
		a.fake.DeleteProduct("88")
		ask("88", "4005")
	}
}

func TestCalendar(t *testing.T) {
	a := newAsker(t, FliggyConfig{})
	must(t, a.fake.AlterProduct("88", func(p *Product) { p.Closed = []string{"2025-09-25"} }))
	zone := time.FixedZone("", testChina)
	begin := time.Date(2025, 9, 25, 0, 0, 0, 0, zone).UnixMilli()
	end := time.Date(2025, 9, 27, 0, 0, 0, 0, zone).UnixMilli()
	_, data := a.ask("queryProductPriceStock", "88", map[string]any{"productId": "88", "beginTime": begin, "endTime": end})
	want := `{"productPriceStock":{"calendarStocks":[` +
		`{"date":1758729600000,"distributionPrice":350.50,"marketPrice":450.50,"stock":0,"suggestedPrice":400.50},` +
		`{"date":1758816000000,"distributionPrice":350.50,"marketPrice":450.50,"stock":12,"suggestedPrice":400.50},` +
		`{"date":1758902400000,"distributionPrice":420.00,"marketPrice":520.00,"stock":12,"suggestedPrice":470.00}],` +
		`"stockType":"CALENDAR_INVENTORY","unavailableDates":["2025-09-25"]}}`
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Error(diff)
	}
	must(t, a.fake.AlterProduct("88", func(p *Product) { p.TotalStock = true }))
	_, data = a.ask("queryProductPriceStock", "88", map[string]any{"productId": "88"})
	if !strings.Contains(string(data), `"normalStock":{"distributionPrice":350.50`) || strings.Contains(string(data), "calendarStock") {
		t.Errorf("%s", data)
	}
	if code, _ := a.ask("queryProductPriceStock", "88", map[string]any{"productId": "88", "beginTime": end, "endTime": begin}); code != "5003" {
		t.Error(code)
	}
}

func TestSingularCalendarQuirk(t *testing.T) {
	a := newAsker(t, FliggyConfig{Quirks: FliggyQuirks{SingularCalendar: true}})
	_, data := a.ask("queryProductDetailInfo", "88", map[string]any{"productId": "88"})
	if !strings.Contains(string(data), `"calendarStock":[`) {
		t.Errorf("%s", data)
	}
}

func TestProductBounds(t *testing.T) {
	a := newAsker(t, FliggyConfig{})
	for name, alter := range map[string]func(*Product){
		"price":    func(p *Product) { p.Price = "cheap" },
		"no price": func(p *Product) { p.Price = "" },
		"days":     func(p *Product) { p.Days = 1001 },
		"start":    func(p *Product) { p.Start = "today" },
	} {
		if a.fake.AlterProduct("88", alter) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if a.fake.PutProduct(Product{ID: "x"}) == nil || a.fake.SetPrice("99", "1") == nil {
		t.Error("accepted")
	}
	if diff := cmp.Diff(demoProduct("88"), a.fake.Products()[0]); diff != "" {
		t.Error("a refused change was kept: ", diff)
	}
}

// wireOrder is searchOrder's data as the document prints it.
type wireOrder struct {
	OrderID        int64
	OutOrderID     string
	OrderStatus    int
	RefundStatus   int
	RefundFee      *int64
	RefundQuantity *int64
	CodeInfos      []struct {
		Code                              string
		Num, VerifiedNum, RefundSucessNum int64
	}
}

func (a *asker) order() wireOrder {
	a.t.Helper()
	code, data := a.ask("searchOrder", testOrder, map[string]any{"orderId": json.Number(testOrder)})
	var o wireOrder
	must(a.t, json.Unmarshal(data, &o))
	if code != "2000" || fmt.Sprint(o.OrderID) != testOrder {
		a.t.Errorf("%s %s", code, data)
	}
	return o
}

func TestOrderLife(t *testing.T) {
	a := newAsker(t, FliggyConfig{})
	step := func(err error, status, refund int) wireOrder {
		t.Helper()
		must(t, err)
		o := a.order()
		if o.OrderStatus != status || o.RefundStatus != refund {
			t.Errorf("status %d, refund %d, want %d, %d", o.OrderStatus, o.RefundStatus, status, refund)
		}
		return o
	}
	step(nil, FliggyCreated, FliggyNoRefund)
	_, err := a.fake.Pay(testOrder)
	step(err, FliggyPaid, FliggyNoRefund)
	_, err = a.fake.IssueCodes(testOrder, OrderCode{Code: "A1", Persons: 2, Users: []string{"X1"}}, OrderCode{Code: "A2", Persons: 1})
	step(err, FliggyTicketed, FliggyNoRefund)
	_, err = a.fake.UseCode(testOrder, "A1", 1)
	step(err, FliggyTicketed, FliggyNoRefund)
	_, err = a.fake.RequestRefund(testOrder, 35050, 1, false)
	step(err, FliggyTicketed, FliggyRefundApplying)
	_, err = a.fake.Refund(testOrder, 35050, 1, false)
	o := step(err, FliggyTicketed, FliggyPartRefunded)
	if *o.RefundFee != 35050 || *o.RefundQuantity != 1 || o.CodeInfos[0].RefundSucessNum != 1 {
		t.Errorf("%+v", o)
	}
	if _, err := a.fake.UseCode(testOrder, "A1", 1); err == nil {
		t.Error("a refunded person was used")
	}
	_, err = a.fake.UseCode(testOrder, "A2", 1)
	step(err, FliggyFinished, FliggyPartRefunded)
	_, err = a.fake.RefundFails(testOrder, "too late")
	step(err, FliggyFinished, FliggyRefundFailed)

	code, data := a.ask("searchRefundOrder", testOrder, map[string]any{"orderId": json.Number(testOrder)})
	var refunds []struct {
		DistributorRefundID string
		RefundStatus        int
		FailReason          string
	}
	must(t, json.Unmarshal(data, &refunds))
	if code != "2000" || len(refunds) != 2 || refunds[0].RefundStatus != FliggyPartRefunded || refunds[1].FailReason != "too late" {
		t.Errorf("%s %s", code, data)
	}
	_, data = a.ask("searchRefundOrder", testOrder, map[string]any{"orderId": json.Number(testOrder), "distributorRefundId": refunds[1].DistributorRefundID})
	if strings.Count(string(data), "distributorRefundId") != 1 {
		t.Errorf("%s", data)
	}
	if code, _ := a.ask("searchOrder", "7", map[string]any{"orderId": 7}); code != "7004" {
		t.Error(code)
	}
}

func TestTransitionsThatFail(t *testing.T) {
	a := newAsker(t, FliggyConfig{})
	for name, transition := range map[string]func() ([]byte, error){
		"unknown order": func() ([]byte, error) { return a.fake.Pay("7") },
		"unknown code":  func() ([]byte, error) { return a.fake.UseCode(testOrder, "Z9", 1) },
	} {
		if _, err := transition(); err == nil || strings.Contains(err.Error(), "Z9") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a.fake.PutOrder(Order{ID: "x", ProductID: "88", Quantity: 1}) == nil || a.fake.PutOrder(Order{ID: "5", ProductID: "88"}) == nil {
		t.Error("accepted")
	}
	if _, known := a.fake.Order("7"); known {
		t.Error("order 7")
	}
}

package platformtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"
)

const (
	dateLayout = "2006-01-02"
	timeLayout = "2006-01-02 15:04:05"
	// maxDays bounds a product's calendar.
	maxDays = 1000
)

// china is the platform's time: dates are ms of China midnight (INFER).
var china = time.FixedZone("China", 8*60*60)

// Product is one product of the fake's catalogue.
type Product struct {
	// ID is a String in product calls and a Long in order calls (DOC), so: a number.
	ID           string `json:"id"`
	Title        string `json:"title,omitempty"`
	SupplierCode string `json:"supplierCode,omitempty"`
	// Start is the calendar's first day, yyyy-mm-dd; Days how many there are, 0 to 1000.
	// Without days the product has no price and stock (4007).
	Start string `json:"start,omitempty"`
	Days  int    `json:"days,omitempty"`
	// Price is the distribution price of a day in yuan, such as "350.50"; WeekendPrice
	// that of Saturdays and Sundays, if it differs. Market price is 100 and suggested
	// price 50 yuan more, unless Market says otherwise.
	Price        string `json:"price,omitempty"`
	WeekendPrice string `json:"weekendPrice,omitempty"`
	Market       string `json:"market,omitempty"`
	// Stock of every day, or with TotalStock of all days together.
	Stock      int64 `json:"stock,omitempty"`
	TotalStock bool  `json:"totalStock,omitempty"`
	// Closed are the unavailable dates, yyyy-mm-dd; they have stock 0.
	Closed []string `json:"closed,omitempty"`
	// OffShelf answers 4006, Ungranted answers 5002; neither is listed (INFER).
	OffShelf  bool `json:"offShelf,omitempty"`
	Ungranted bool `json:"ungranted,omitempty"`
}

func (p *Product) check() error {
	if !isID(p.ID) {
		return fmt.Errorf("the product id %q is not a decimal number", p.ID)
	}
	if p.Days < 0 || p.Days > maxDays {
		return fmt.Errorf("product %s has %d days, not 0 to %d", p.ID, p.Days, maxDays)
	}
	if p.Days == 0 {
		return nil
	}
	if _, err := time.Parse(dateLayout, p.Start); err != nil {
		return fmt.Errorf("product %s starts on %q, which is no yyyy-mm-dd", p.ID, p.Start)
	}
	for _, yuan := range []string{p.Price, p.WeekendPrice, p.Market} {
		if _, err := decimal.NewFromString(yuan); yuan != "" && err != nil || p.Price == "" {
			return fmt.Errorf("product %s has the price %q, which is no decimal", p.ID, yuan)
		}
	}
	return nil
}

// PutProduct creates or replaces a product.
func (f *Fliggy) PutProduct(p Product) error {
	if err := p.check(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.products[p.ID]; !known {
		f.listing = append(f.listing, p.ID)
	}
	p.Closed = slices.Clone(p.Closed)
	f.products[p.ID] = &p
	return nil
}

// AlterProduct changes a product in place; a change that breaks the product's bounds
// is not kept.
func (f *Fliggy) AlterProduct(id string, alter func(*Product)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	known, ok := f.products[id]
	if !ok {
		return fmt.Errorf("no product %s", id)
	}
	changed := *known
	changed.Closed = slices.Clone(known.Closed)
	alter(&changed)
	changed.ID = id
	if err := changed.check(); err != nil {
		return err
	}
	f.products[id] = &changed
	return nil
}

// SetPrice sets the price of every day, weekends included, in yuan.
func (f *Fliggy) SetPrice(id, yuan string) error {
	return f.AlterProduct(id, func(p *Product) { p.Price, p.WeekendPrice = yuan, "" })
}

// SetStock sets the stock of every day, or of all of them with TotalStock.
func (f *Fliggy) SetStock(id string, stock int64) error {
	return f.AlterProduct(id, func(p *Product) { p.Stock = stock })
}

// SetOffShelf takes the product off the shelf: 4006.
func (f *Fliggy) SetOffShelf(id string) error {
	return f.AlterProduct(id, func(p *Product) { p.OffShelf = true })
}

// SetOnShelf puts the product back.
func (f *Fliggy) SetOnShelf(id string) error {
	return f.AlterProduct(id, func(p *Product) { p.OffShelf = false })
}

// SetGranted says whether the account may see the product; if not: 5002.
func (f *Fliggy) SetGranted(id string, granted bool) error {
	return f.AlterProduct(id, func(p *Product) { p.Ungranted = !granted })
}

// DeleteProduct forgets the product: 4005.
func (f *Fliggy) DeleteProduct(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.products, id)
	f.listing = slices.DeleteFunc(f.listing, func(listed string) bool { return listed == id })
}

// Products is a copy of the catalogue in listing order, the unlisted included.
func (f *Fliggy) Products() []Product {
	f.mu.Lock()
	defer f.mu.Unlock()
	products := make([]Product, 0, len(f.listing))
	for _, id := range f.listing {
		p := *f.products[id]
		p.Closed = slices.Clone(p.Closed)
		products = append(products, p)
	}
	return products
}

// answerPage lists the products that are on the shelf and granted. Pages count from 1
// (INFER); size is 1 to 100 (DOC); no total is told (DOC).
func (f *Fliggy) answerPage(q fliggyQuestion) (any, error) {
	if q.PageSize < 1 || q.PageSize > 100 || q.PageNo < 1 {
		return nil, fliggyFailure{"5003", "pageNo from 1, pageSize 1 to 100"}
	}
	infos := []any{}
	for _, id := range f.listing {
		if p := f.products[id]; !p.OffShelf && !p.Ungranted {
			infos = append(infos, p.baseInfo())
		}
	}
	from := min((q.PageNo-1)*q.PageSize, len(infos))
	if from == len(infos) && q.PageNo > 1 && f.quirks.EndOfPages4010 {
		return nil, fliggyFailure{"4010", ""}
	}
	return map[string]any{"productBaseInfos": infos[from:min(from+q.PageSize, len(infos))]}, nil
}

// answerByIDs takes at most 100 ids (DOC) and leaves out those it does not show (INFER).
func (f *Fliggy) answerByIDs(q fliggyQuestion) (any, error) {
	if len(q.ProductIDs) < 1 || len(q.ProductIDs) > 100 {
		return nil, fliggyFailure{"5003", "1 to 100 productIds"}
	}
	infos := []any{}
	for _, id := range q.ProductIDs {
		if p, err := f.shown(id); err == nil {
			infos = append(infos, p.baseInfo())
		}
	}
	if len(infos) == 0 {
		return nil, fliggyFailure{"4005", ""}
	}
	return map[string]any{"productBaseInfos": infos}, nil
}

// shown finds a product that the platform shows to the account.
func (f *Fliggy) shown(id string) (*Product, error) {
	p, known := f.products[id]
	switch {
	case id == "":
		return nil, fliggyFailure{"5003", "productId is needed"}
	case !known:
		return nil, fliggyFailure{"4005", ""}
	case p.Ungranted:
		return nil, fliggyFailure{"5002", ""}
	case p.OffShelf:
		return nil, fliggyFailure{"4006", ""}
	}
	return p, nil
}

func (f *Fliggy) answerDetail(q fliggyQuestion) (any, error) {
	p, err := f.shown(q.ProductID)
	if err != nil {
		return nil, err
	}
	priceStock, err := f.priceStock(p, fliggyQuestion{})
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"productBaseInfo":   p.baseInfo(),
		"productPriceStock": priceStock,
		"advanceBooking":    map[string]any{"advanceBookingDays": 1, "advanceBookingTime": "18:00"},
		"refund": map[string]any{"refundType": "CONDITION_REFUND", "conditionRefunds": []any{
			map[string]any{"conditionRefundType": "TRAVEL_DATE_PRE", "feeType": "PERCENT",
				"days": 1, "hours": 18, "minutes": 0, "chargeAmount": json.Number("20")}}},
		"travelerInfo": map[string]any{"travellerNumberType": "N_TRAVELLER_EACH_ORDER", "travellerNumber": 1,
			"travellerFieldTypes": []string{"NAME", "PHONE_NUMBER"}, "certificatesTypes": []int{3}},
		"confirmRule": map[string]any{"confirmType": 0, "confirmMinutes": 0},
	}, nil
}

func (f *Fliggy) answerPriceStock(q fliggyQuestion) (any, error) {
	p, err := f.shown(q.ProductID)
	if err != nil {
		return nil, err
	}
	if q.BeginTime != nil && q.EndTime != nil && *q.BeginTime > *q.EndTime {
		return nil, fliggyFailure{"5003", "beginTime is after endTime"}
	}
	priceStock, err := f.priceStock(p, q)
	if err != nil {
		return nil, err
	}
	return map[string]any{"productPriceStock": priceStock}, nil
}

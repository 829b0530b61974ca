package platformtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"
)

// What goods_extras says (DOC).
const (
	SCTTResource = 1
	SCTTAddOn    = 2
)

// What stock_pattern says (INFER, from the order of the words in the page).
const (
	SCTTDailyStock = 1
	SCTTTotalStock = 2
)

// SCTTProduct is one product of the fake's catalogue. Prices are decimals such as 128.50;
// their currency is nowhere told.
type SCTTProduct struct {
	// ID is a bigint.
	ID    string `json:"id"`
	Title string `json:"title,omitempty"`
	// SaleStart and SaleEnd are answered as they stand; their form is UNKNOWN, the sample's
	// are empty.
	SaleStart string `json:"saleStart,omitempty"`
	SaleEnd   string `json:"saleEnd,omitempty"`
	// Price, Market and Cost are those of the list.
	Price  string `json:"price"`
	Market string `json:"market"`
	Cost   string `json:"cost"`
	// Hidden products are not listed, and answered as unknown.
	Hidden bool        `json:"hidden,omitempty"`
	Goods  []SCTTGoods `json:"goods,omitempty"`
}

// SCTTGoods is a resource or an add-on of a product.
type SCTTGoods struct {
	ID string `json:"id"`
	// Extras is SCTTResource or SCTTAddOn, Pattern SCTTDailyStock or SCTTTotalStock.
	Extras  int `json:"extras"`
	Pattern int `json:"pattern"`
	// Surplus is what is left in all.
	Surplus int64     `json:"surplus"`
	SKUs    []SCTTSKU `json:"skus,omitempty"`
}

// SCTTSKU is one sellable unit.
type SCTTSKU struct {
	ID   string    `json:"id"`
	Rows []SCTTRow `json:"rows,omitempty"`
}

// SCTTRow is a day, or days that are alike.
type SCTTRow struct {
	// Start and End are yyyy-MM-dd, both of them within.
	Start string `json:"start"`
	End   string `json:"end"`
	// Surplus of each day; nil leaves it out.
	Surplus  *int64 `json:"surplus,omitempty"`
	Market   string `json:"market"`
	Customer string `json:"customer"`
	Cost     string `json:"cost"`
	// Sessions of each day.
	Sessions []SCTTSession `json:"sessions,omitempty"`
}

// SCTTSession is a time of day that can be booked on its own.
type SCTTSession struct {
	TimeID int `json:"timeID"`
	// Time is HH:mm.
	Time    string `json:"time"`
	Surplus int64  `json:"surplus"`
}

func (p *SCTTProduct) check() error {
	if !isID(p.ID) {
		return fmt.Errorf("the product id %q is not a decimal number", p.ID)
	}
	for _, amount := range []string{p.Price, p.Market, p.Cost} {
		if !isDecimal(amount) {
			return fmt.Errorf("product %s has the price %q, which is no decimal", p.ID, amount)
		}
	}
	for _, goods := range p.Goods {
		if err := goods.check(); err != nil {
			return fmt.Errorf("product %s: %w", p.ID, err)
		}
	}
	return nil
}

func (g SCTTGoods) check() error {
	if !isID(g.ID) {
		return fmt.Errorf("the goods id %q is not a decimal number", g.ID)
	}
	for _, sku := range g.SKUs {
		if !isID(sku.ID) {
			return fmt.Errorf("the sku id %q is not a decimal number", sku.ID)
		}
		for _, row := range sku.Rows {
			start, err1 := time.Parse(time.DateOnly, row.Start)
			end, err2 := time.Parse(time.DateOnly, row.End)
			if err1 != nil || err2 != nil || end.Before(start) || !isDecimal(row.Market) || !isDecimal(row.Customer) || !isDecimal(row.Cost) {
				return fmt.Errorf("sku %s has a row without days or prices: %s to %s", sku.ID, row.Start, row.End)
			}
		}
	}
	return nil
}

func isDecimal(text string) bool {
	_, err := decimal.NewFromString(text)
	return err == nil
}

// clone is a copy that shares nothing.
func (p *SCTTProduct) clone() SCTTProduct {
	var copied SCTTProduct
	if err := json.Unmarshal(mustMarshal(p), &copied); err != nil {
		panic(err) // what was marshalled is read
	}
	return copied
}

// PutProduct creates or replaces a product.
func (f *SCTT) PutProduct(p SCTTProduct) error {
	if err := p.check(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.products[p.ID] == nil {
		f.listing = append(f.listing, p.ID)
	}
	put := p.clone()
	f.products[p.ID] = &put
	return nil
}

// AlterProduct changes a product in place; a change that breaks the product's bounds is
// not kept. The platform pushes no such change.
func (f *SCTT) AlterProduct(id string, alter func(*SCTTProduct)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.products[id]
	if p == nil {
		return fmt.Errorf("no product %s", id)
	}
	changed := p.clone()
	alter(&changed)
	changed.ID = id
	if err := changed.check(); err != nil {
		return err
	}
	f.products[id] = &changed
	return nil
}

// SetCost sets what every day of every unit costs.
func (f *SCTT) SetCost(id, cost string) error {
	return f.AlterProduct(id, func(p *SCTTProduct) {
		p.Cost = cost
		p.eachRow(func(row *SCTTRow) { row.Cost = cost })
	})
}

// SetStock sets what is left of every unit on every day, and in all.
func (f *SCTT) SetStock(id string, stock int64) error {
	return f.AlterProduct(id, func(p *SCTTProduct) {
		for i := range p.Goods {
			p.Goods[i].Surplus = stock
		}
		p.eachRow(func(row *SCTTRow) { row.Surplus = &stock })
	})
}

func (p *SCTTProduct) eachRow(alter func(*SCTTRow)) {
	for _, goods := range p.Goods {
		for _, sku := range goods.SKUs {
			for i := range sku.Rows {
				alter(&sku.Rows[i])
			}
		}
	}
}

// DeleteProduct forgets the product.
func (f *SCTT) DeleteProduct(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.products, id)
	f.listing = slices.DeleteFunc(f.listing, func(listed string) bool { return listed == id })
}

// Products is a copy of the catalogue in listing order, the hidden included.
func (f *SCTT) Products() []SCTTProduct {
	f.mu.Lock()
	defer f.mu.Unlock()
	products := make([]SCTTProduct, 0, len(f.listing))
	for _, id := range f.listing {
		products = append(products, f.products[id].clone())
	}
	return products
}

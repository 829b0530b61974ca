package faults

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/utils/ptr"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
)

// calendarDays is how long a product is on sale, and firstDay when that begins: a Thursday,
// so that there are weekends.
const calendarDays, firstDay = 10, "2026-01-01"

// alterations are the kinds of product pushes, and what happens to a product when one comes.
var alterations = map[string]func(*rand.Rand, *platformtest.Product){
	"VACATION_RESOURCE_INFO_CHANGE":        func(r *rand.Rand, p *platformtest.Product) { p.Title = fmt.Sprintf("T%d", r.IntN(1000)) },
	"VACATION_RESOURCE_VALID_CHANGE":       func(_ *rand.Rand, p *platformtest.Product) { p.OffShelf = false },
	"VACATION_RESOURCE_INVALID_CHANGE":     func(_ *rand.Rand, p *platformtest.Product) { p.OffShelf = true },
	"VACATION_RESOURCE_PRICE_STOCK_CHANGE": func(r *rand.Rand, p *platformtest.Product) { reprice(r, p); restock(r, p) },
	"VACATION_RESOURCE_PRICE_CHANGE":       reprice,
	"VACATION_RESOURCE_STOCK_CHANGE":       restock,
}

// reprice gives a product other prices, with or without one of its own at the weekend.
func reprice(random *rand.Rand, p *platformtest.Product) {
	p.Price, p.WeekendPrice = yuan(random), ""
	if random.IntN(2) == 0 {
		p.WeekendPrice = yuan(random)
	}
}

// yuan is a price with fen.
func yuan(random *rand.Rand) string {
	return fmt.Sprintf("%d.%02d", 1+random.IntN(900), random.IntN(100))
}

// restock gives a product another stock, with or without a day that cannot be booked.
func restock(random *rand.Rand, p *platformtest.Product) {
	p.Stock, p.Closed = random.Int64N(40), nil
	if random.IntN(2) == 0 {
		p.Closed = []string{dayOf(1 + random.IntN(calendarDays-2)).Format(time.DateOnly)}
	}
}

// dayOf is the n-th day of every calendar.
func dayOf(n int) time.Time {
	first, err := time.Parse(time.DateOnly, firstDay)
	if err != nil {
		panic(err) // a constant
	}
	return first.AddDate(0, 0, n)
}

// product changes a product again and again, each time a little later.
func (m *market) product(random *rand.Rand, id string) *play {
	p := &play{product: id}
	start := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	m.offer(id)
	names := kindNames()
	for i := range changes {
		kind, seed, at := names[random.IntN(len(names))], random.Uint64(), start.Add(time.Duration(i)*time.Second)
		p.steps = append(p.steps, func() ([]byte, error) { return m.alter(kind, id, seed, at) })
	}
	return p
}

func kindNames() []string { return slices.Sorted(maps.Keys(kinds)) }

// changeAll changes every product once more, in one of these ways in turn, and has it told.
func (m *market) changeAll(s *sender, kinds []string) []*message {
	m.Helper()
	var messages []*message
	for i, known := range m.fake.Products() {
		p := &play{product: known.ID, steps: []step{func() ([]byte, error) {
			return m.alter(kinds[i%len(kinds)], known.ID, uint64(i), time.Now().Truncate(time.Millisecond)) // #nosec G115 -- an index
		}}}
		message, err := p.happen()
		if err != nil {
			m.Fatal(err)
		}
		s.deliver(m.Context(), message)
		messages = append(messages, message)
	}
	return messages
}

// offer puts a new product on sale.
func (m *market) offer(id string) {
	m.Helper()
	err := m.fake.PutProduct(platformtest.Product{ID: id, Title: "T" + id, Start: firstDay, Days: calendarDays, Price: "1.00", Stock: 1})
	if err != nil {
		m.Fatal(err)
	}
}

// alter changes a product, as the dice have it, and gives the push that tells it.
func (m *market) alter(kind, id string, seed uint64, at time.Time) ([]byte, error) {
	dice := rand.New(rand.NewPCG(seed, 4))
	err := m.fake.AlterProduct(id, func(p *platformtest.Product) { alterations[kind](dice, p) })
	return m.fake.ProductPush(kind, id, at), err
}

// offers is the platform's catalogue as it is now.
func (m *market) offers() map[string]platformtest.Product {
	catalogue := map[string]platformtest.Product{}
	for _, p := range m.fake.Products() {
		catalogue[p.ID] = p
	}
	return catalogue
}

// offered is what a product has come to, by the platform's own books: what its status must
// say, in short. Of one that is off sale the platform shows nothing else.
func offered(p platformtest.Product) string {
	if p.OffShelf {
		return string(v1alpha1.ProductOffSale)
	}
	return fmt.Sprintf("%s %q %s", v1alpha1.ProductOnSale, p.Title, offeredDays(p))
}

// offeredDays are a product's prices and stock, in all and by day.
func offeredDays(p platformtest.Product) string {
	var low, high, total int64
	var prices, stock, closed []string
	last := ""
	for i := range calendarDays {
		day := dayOf(i)
		date, price, left := day.Format(time.DateOnly), p.Price, p.Stock
		if weekday := day.Weekday(); weekday == time.Saturday || weekday == time.Sunday {
			price = cmp.Or(p.WeekendPrice, price)
		}
		fen := inFen(price)
		if price != last {
			prices, last = append(prices, fmt.Sprintf("%s:%d/%d", date, fen, fen+100_00)), price
		}
		if slices.Contains(p.Closed, date) {
			closed, left = append(closed, date), 0
		} else {
			low, high = min(cmp.Or(low, fen), fen), max(high, fen)
		}
		stock, total = append(stock, strconv.FormatInt(left, 10)), total+left
	}
	return days(low, high, total, calendarDays, firstDay, prices, stock, closed)
}

// inFen reads a price such as 12.05.
func inFen(yuan string) int64 {
	fen, err := strconv.ParseInt(strings.ReplaceAll(yuan, ".", ""), 10, 64)
	if err != nil {
		panic(err) // the prices are ours
	}
	return fen
}

// synced is the same, by the status.
func synced(status v1alpha1.ProductSyncStatus) string {
	if status.State == v1alpha1.ProductOffSale {
		return string(status.State)
	}
	return fmt.Sprintf("%s %q %s", status.State, status.Title, syncedDays(status))
}

// syncedDays are the prices and the stock that a status shows.
func syncedDays(status v1alpha1.ProductSyncStatus) string {
	if status.PriceRange == nil || len(status.SKUs) != 1 || status.SKUs[0].Calendar == nil {
		return fmt.Sprintf("with %d units, priced %v", len(status.SKUs), status.PriceRange)
	}
	calendar := status.SKUs[0].Calendar
	var prices []string
	for _, price := range calendar.Prices {
		prices = append(prices, fmt.Sprintf("%s:%d/%d", price.From, price.Amount, ptr.Deref(price.Market, -1)))
	}
	return days(status.PriceRange.Min, status.PriceRange.Max, ptr.Deref(status.Stock, -1),
		int(calendar.Days), calendar.Start, prices, spelledOut(calendar.Stock), calendar.Closed)
}

// spelledOut is a stock such as "12*3 0", day by day.
func spelledOut(runs string) []string {
	var stock []string
	for run := range strings.SplitSeq(runs, " ") {
		value, times, _ := strings.Cut(run, "*")
		n, err := strconv.Atoi(cmp.Or(times, "1"))
		if err != nil {
			return []string{runs}
		}
		stock = append(stock, slices.Repeat([]string{value}, n)...)
	}
	return stock
}

func days(low, high, total int64, n int, start string, prices, stock, closed []string) string {
	return fmt.Sprintf("at %d to %d, %d in stock, %d days from %s: %v, stock %v, closed %v", low, high, total, n, start, prices, stock, closed)
}

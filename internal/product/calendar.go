package product

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/utils/ptr"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// A calendar is kept in as few words as a person would use for it:
//
//	start: "2025-09-23", days: 30
//	prices: [{from: "2025-09-23", amount: 35050, market: 49900}, …]   each holds until the next
//	stock: "12*8 0 5*21"                                              12 on eight days, 0 on one, …
//	closed: ["2025-10-01"]
//
// What is kept of a day are the facts for booking it:
//   - a day missing between the first and the last is closed, its stock "-";
//   - a closed day without a price does not end the price around it: the one before
//     simply holds. So one price with gaps is one entry;
//   - a day without a price on a calendar that has prices cannot be booked: it is closed.
//     Where no day has a price, the days stand as they are;
//   - a market price stands only beside an amount;
//   - a stock below zero is zero, and one above maxStock is maxStock.

const (
	// maxDays a calendar spans; the API's bound.
	maxDays = 731
	// maxStock of a day: with ten digits, even a calendar of nothing but changes fits
	// the API's bound on the text.
	maxStock = 9_999_999_999

	noStock = "-"
	date    = time.DateOnly
)

// ErrCalendar is a calendar that does not follow the format.
var ErrCalendar = errors.New("malformed calendar")

// EncodeCalendar writes the days in short; nil if there are none. A calendar that spans
// more than 731 days is cut: it starts today, or at its first day if that is later, and
// holds 731 days. Days whose date is none are left out.
func EncodeCalendar(days []platform.Day, today string) (cal *v1alpha1.Calendar, truncated bool) {
	days, truncated = window(days, today, maxDays)
	return calendar(days), truncated
}

// window is the days to keep, each date once, in order, as the rules above have them. It
// depends on today only if the days span more than horizon.
func window(days []platform.Day, today string, horizon int) (kept []platform.Day, truncated bool) {
	kept = slices.DeleteFunc(slices.Clone(days), func(d platform.Day) bool { _, err := time.Parse(date, d.Date); return err != nil })
	slices.SortStableFunc(kept, func(a, b platform.Day) int { return cmp.Compare(a.Date, b.Date) })
	kept = slices.CompactFunc(kept, func(a, b platform.Day) bool { return a.Date == b.Date })
	if len(kept) > 0 && distance(kept[0].Date, kept[len(kept)-1].Date) >= horizon {
		kept, truncated = cut(kept, today, horizon), true
	}
	return bookable(kept), truncated
}

// cut the days to those from today on, so many; if all are past, to the first. Dates are
// compared as they are written.
func cut(days []platform.Day, today string, horizon int) []platform.Day {
	from := slices.IndexFunc(days, func(d platform.Day) bool { return d.Date >= today })
	days = days[max(0, from):]
	beyond := slices.IndexFunc(days, func(d platform.Day) bool { return distance(days[0].Date, d.Date) >= horizon })
	if beyond < 0 {
		return days
	}
	return days[:beyond]
}

// bookable closes the days that have no price where others have one, and bounds stock.
func bookable(days []platform.Day) []platform.Day {
	priced := slices.ContainsFunc(days, func(d platform.Day) bool { return d.Amount != nil })
	for i := range days {
		d := &days[i]
		d.Closed = d.Closed || priced && d.Amount == nil
		if d.Stock != nil {
			d.Stock = ptr.To(min(max(0, *d.Stock), maxStock))
		}
	}
	return days
}

// calendar writes the days of a window.
func calendar(days []platform.Day) *v1alpha1.Calendar {
	if len(days) == 0 {
		return nil
	}
	cal := &v1alpha1.Calendar{Start: days[0].Date}
	var stock runs
	var price platform.Day
	for _, day := range days {
		for missing := distance(cal.Start, day.Date) - int(cal.Days); missing > 0; missing-- {
			cal.Closed = append(cal.Closed, after(cal.Start, cal.Days))
			stock.add(nil)
			cal.Days++
		}
		if day.Closed {
			cal.Closed = append(cal.Closed, day.Date)
		}
		if day.Amount != nil && (!ptr.Equal(day.Amount, price.Amount) || !ptr.Equal(day.Market, price.Market)) {
			cal.Prices = append(cal.Prices, v1alpha1.CalendarPrice{From: day.Date, Amount: *day.Amount, Market: day.Market})
			price = day
		}
		stock.add(day.Stock)
		cal.Days++
	}
	cal.Stock = stock.String()
	return cal
}

// DecodeCalendar reads every day of the calendar, in order. A day that is missing from
// the platform's answer comes back closed, at the price around it.
func DecodeCalendar(cal v1alpha1.Calendar) ([]platform.Day, error) {
	if _, err := time.Parse(date, cal.Start); err != nil || cal.Days < 1 || cal.Days > maxDays {
		return nil, fmt.Errorf("%w: %d days from %q", ErrCalendar, cal.Days, cal.Start)
	}
	days := make([]platform.Day, cal.Days)
	for i := range days {
		days[i].Date = after(cal.Start, int32(i)) // #nosec G115 -- at most maxDays
	}
	if err := fillPrices(days, cal.Prices); err != nil {
		return nil, err
	}
	if err := fillStock(days, cal.Stock); err != nil {
		return nil, err
	}
	for _, closed := range cal.Closed {
		i, found := find(days, closed)
		if !found {
			return nil, fmt.Errorf("%w: closed on %q, which is none of its days", ErrCalendar, closed)
		}
		days[i].Closed = true
	}
	return days, nil
}

func fillPrices(days []platform.Day, prices []v1alpha1.CalendarPrice) error {
	last := -1
	for _, price := range prices {
		from, found := find(days, price.From)
		if !found || from <= last {
			return fmt.Errorf("%w: a price from %q", ErrCalendar, price.From)
		}
		for i := from; i < len(days); i++ {
			days[i].Amount, days[i].Market = &price.Amount, price.Market
		}
		last = from
	}
	return nil
}

// fillStock reads "12*8 0 5*21"; it must speak of every day, or of none.
func fillStock(days []platform.Day, text string) error {
	if text == "" {
		return nil
	}
	for run := range strings.SplitSeq(text, " ") {
		value, repeat, repeated := strings.Cut(run, "*")
		n := 1
		if repeated {
			n = number(repeat)
		}
		if n < 1 || n > len(days) || value != noStock && number(value) < 0 {
			return fmt.Errorf("%w: stock %.20q", ErrCalendar, run)
		}
		for i := range n {
			if value != noStock {
				days[i].Stock = ptr.To(int64(number(value)))
			}
		}
		days = days[n:]
	}
	if len(days) > 0 {
		return fmt.Errorf("%w: no stock for the last %d days", ErrCalendar, len(days))
	}
	return nil
}

// number of decimal digits and nothing else; -1 for any other text.
func number(text string) int {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return -1
	}
	return int(n) // #nosec G115 -- 63 bits
}

// find the day of the date.
func find(days []platform.Day, date string) (int, bool) {
	return slices.BinarySearchFunc(days, date, func(d platform.Day, date string) int { return cmp.Compare(d.Date, date) })
}

// runs are the run-length encoding of stock.
type runs struct {
	text   []string
	value  string
	length int
	// any day has a stock.
	any bool
}

func (r *runs) add(stock *int64) {
	value := noStock
	if stock != nil {
		value, r.any = strconv.FormatInt(*stock, 10), true
	}
	if value != r.value {
		r.flush()
		r.value = value
	}
	r.length++
}

func (r *runs) flush() {
	switch {
	case r.length == 1:
		r.text = append(r.text, r.value)
	case r.length > 1:
		r.text = append(r.text, r.value+"*"+strconv.Itoa(r.length))
	}
	r.length = 0
}

// String is empty if no day has a stock.
func (r *runs) String() string {
	if !r.any {
		return ""
	}
	r.flush()
	return strings.Join(r.text, " ")
}

// distance in days between two dates.
func distance(from, to string) int {
	return int((instant(to).Unix() - instant(from).Unix()) / (24 * 60 * 60))
}

func after(day string, days int32) string {
	return instant(day).AddDate(0, 0, int(days)).Format(date)
}

// instant of a date that is known to be one.
func instant(day string) time.Time {
	t, _ := time.Parse(date, day)
	return t
}

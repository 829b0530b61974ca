package product

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

func TestEncodeCalendar(t *testing.T) {
	closed := func(d platform.Day) platform.Day { d.Closed = true; return d }
	market := func(d platform.Day, n int64) platform.Day { d.Market = &n; return d }
	price := func(from string, amount int64) v1alpha1.CalendarPrice {
		return v1alpha1.CalendarPrice{From: from, Amount: amount}
	}
	for name, test := range map[string]struct {
		days []platform.Day
		want *v1alpha1.Calendar
	}{
		"no days":      {},
		"no date":      {days: []platform.Day{{Date: "2025-02-30"}, {Date: "soon"}, {}}},
		"a single day": {days: []platform.Day{{Date: today}}, want: &v1alpha1.Calendar{Start: today, Days: 1}},
		"in any order": {
			days: []platform.Day{day("2025-09-25", 2, 8), day("2025-09-23", 1, 7), day("2025-09-24", 1, 7)},
			want: &v1alpha1.Calendar{
				Start: today, Days: 3, Stock: "7*2 8",
				Prices: []v1alpha1.CalendarPrice{price("2025-09-23", 1), price("2025-09-25", 2)},
			},
		},
		"a gap is closed and the price holds": {
			days: []platform.Day{day("2025-09-23", 1, 7), day("2025-09-26", 1, 7)},
			want: &v1alpha1.Calendar{
				Start: today, Days: 4, Stock: "7 -*2 7",
				Prices: []v1alpha1.CalendarPrice{price("2025-09-23", 1)}, Closed: []string{"2025-09-24", "2025-09-25"},
			},
		},
		"a closed day keeps what it has": {
			days: []platform.Day{closed(day("2025-09-23", 1, 7)), closed(platform.Day{Date: "2025-09-24"}), day("2025-09-25", 1, 7)},
			want: &v1alpha1.Calendar{
				Start: today, Days: 3, Stock: "7 - 7",
				Prices: []v1alpha1.CalendarPrice{price("2025-09-23", 1)}, Closed: []string{"2025-09-23", "2025-09-24"},
			},
		},
		"the market price alone changes": {
			days: []platform.Day{day("2025-09-23", 1, 7), market(day("2025-09-24", 1, 7), 9), market(day("2025-09-25", 1, 7), 9)},
			want: &v1alpha1.Calendar{
				Start: today, Days: 3, Stock: "7*3",
				Prices: []v1alpha1.CalendarPrice{price("2025-09-23", 1), {From: "2025-09-24", Amount: 1, Market: ptr.To[int64](9)}},
			},
		},
		"a day without a price is closed": {
			days: []platform.Day{{Date: "2025-09-23"}, day("2025-09-24", 1, 7), {Date: "2025-09-25", Stock: ptr.To[int64](7)}},
			want: &v1alpha1.Calendar{
				Start: today, Days: 3, Stock: "- 7*2",
				Prices: []v1alpha1.CalendarPrice{price("2025-09-24", 1)}, Closed: []string{"2025-09-23", "2025-09-25"},
			},
		},
		"no prices": {
			days: []platform.Day{{Date: "2025-09-23", Stock: ptr.To[int64](7)}, {Date: "2025-09-24", Market: ptr.To[int64](7)}},
			want: &v1alpha1.Calendar{Start: today, Days: 2, Stock: "7 -"},
		},
		"stock out of bounds": {
			days: []platform.Day{{Date: "2025-09-23", Stock: ptr.To[int64](-7)}, {Date: "2025-09-24", Stock: ptr.To[int64](math.MaxInt64)}},
			want: &v1alpha1.Calendar{Start: today, Days: 2, Stock: "0 9999999999"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, truncated := EncodeCalendar(test.days, today)
			if diff := cmp.Diff(test.want, got); diff != "" || truncated {
				t.Errorf("truncated %t; want -, got +:\n%s", truncated, diff)
			}
		})
	}
}

// Only a calendar that is too long depends on today.
func TestEncodeCalendarTruncates(t *testing.T) {
	long := year(1000, func(i int, d *platform.Day) { d.Stock = ptr.To(int64(i)) })
	for name, test := range map[string]struct {
		days        []platform.Day
		today       string
		start, last string
		truncated   bool
	}{
		"fits":                       {long[:731], "2026-01-01", today, long[730].Date, false},
		"one too many":               {long[:732], today, today, long[730].Date, true},
		"from today":                 {long, long[100].Date, long[100].Date, long[830].Date, true},
		"today's rest is short":      {long, long[900].Date, long[900].Date, long[999].Date, true},
		"today comes before":         {long, "2020-01-01", today, long[730].Date, true},
		"all past":                   {long, "2040-01-01", today, long[730].Date, true},
		"today is none":              {long, "", today, long[730].Date, true},
		"today is not on the list":   {append([]platform.Day{long[0]}, long[200:]...), long[100].Date, long[200].Date, long[930].Date, true},
		"two days centuries removed": {[]platform.Day{{Date: "0000-01-01"}, {Date: "9999-12-31"}}, today, "9999-12-31", "9999-12-31", true},
	} {
		t.Run(name, func(t *testing.T) {
			cal, truncated := EncodeCalendar(test.days, test.today)
			days, err := DecodeCalendar(*cal)
			if err != nil {
				t.Fatal(err)
			}
			if cal.Start != test.start || days[len(days)-1].Date != test.last || truncated != test.truncated {
				t.Errorf("%s to %s, truncated %t", cal.Start, days[len(days)-1].Date, truncated)
			}
		})
	}
}

// The worst of calendars fits the schema's bounds.
func TestEncodeCalendarFitsTheSchema(t *testing.T) {
	cal, _ := EncodeCalendar(year(731, func(i int, d *platform.Day) {
		d.Amount, d.Stock, d.Closed = ptr.To(int64(i)), ptr.To(math.MaxInt64-int64(i%2)*math.MaxInt64), true
		if i%2 == 0 {
			d.Stock = ptr.To(int64(maxStock - i))
		} else {
			d.Stock = ptr.To(int64(maxStock))
		}
	}), today)
	if len(cal.Stock) > 8192 || len(cal.Prices) > 731 || len(cal.Closed) > 731 || cal.Days > 731 {
		t.Errorf("stock %d, prices %d, closed %d, days %d", len(cal.Stock), len(cal.Prices), len(cal.Closed), cal.Days)
	}
}

// Days with gaps, in any order, with and without prices and stock. Few values, so that
// runs come about.
var someDays = rapid.Custom(func(t *rapid.T) []platform.Day {
	some := rapid.Ptr(rapid.Int64Range(0, 2), true)
	dates := rapid.SliceOfNDistinct(rapid.Int32Range(0, 40), 0, 30, rapid.ID).Draw(t, "dates")
	priced := rapid.Bool().Draw(t, "priced")
	days := make([]platform.Day, 0, len(dates))
	for _, date := range dates {
		d := platform.Day{
			Date: after(today, date), Stock: some.Draw(t, "stock"),
			Closed: rapid.SampledFrom([]bool{false, false, false, true}).Draw(t, "closed"),
		}
		if priced {
			d.Amount, d.Market = some.Draw(t, "amount"), some.Draw(t, "market")
		}
		days = append(days, d)
	}
	return days
})

// What can be booked, at what price, and how often, reads back the same for every day.
func TestCalendarRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		days := someDays.Draw(t, "days")
		before := map[string]platform.Day{}
		priced := false
		for _, d := range days {
			before[d.Date] = d
			priced = priced || d.Amount != nil
		}
		given := slices.Clone(days)
		cal, truncated := EncodeCalendar(days, today)
		if diff := cmp.Diff(given, days); diff != "" {
			t.Fatalf("the days were changed:\n%s", diff)
		}
		if truncated || (cal == nil) != (len(days) == 0) {
			t.Fatalf("%v, truncated %t", cal, truncated)
		}
		if cal == nil {
			return
		}
		got, err := DecodeCalendar(*cal)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range got {
			want, listed := before[d.Date]
			delete(before, d.Date)
			if !listed {
				want = platform.Day{Date: d.Date, Closed: true}
			}
			want.Closed = want.Closed || priced && want.Amount == nil
			if want.Amount == nil {
				want.Market = nil
			}
			if want.Closed { // only that it is closed, and its stock, are told
				d.Amount, d.Market, want.Amount, want.Market = nil, nil, nil, nil
			}
			if diff := cmp.Diff(want, d); diff != "" {
				t.Fatalf("%+v: want -, got +:\n%s", cal, diff)
			}
		}
		if len(before) > 0 {
			t.Fatalf("lost %v", before)
		}
		again, _ := EncodeCalendar(got, today)
		if cal.Stock != again.Stock || !slices.Equal(cal.Closed, again.Closed) {
			t.Fatalf("%+v became %+v", cal, again)
		}
	})
}

func TestDecodeCalendarRefuses(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.Calendar){
		"no start":                func(c *v1alpha1.Calendar) { c.Start = "" },
		"a start that is none":    func(c *v1alpha1.Calendar) { c.Start = "2025-02-30" },
		"no days":                 func(c *v1alpha1.Calendar) { c.Days = 0 },
		"too many days":           func(c *v1alpha1.Calendar) { c.Days, c.Stock = 732, "" },
		"a bomb":                  func(c *v1alpha1.Calendar) { c.Stock = "1*9999999999" },
		"a greater bomb":          func(c *v1alpha1.Calendar) { c.Stock = "1*99999999999999999999" },
		"bombs":                   func(c *v1alpha1.Calendar) { c.Stock = strings.Repeat("1*700 ", 1000) },
		"too few stocks":          func(c *v1alpha1.Calendar) { c.Stock = "1*9" },
		"too many stocks":         func(c *v1alpha1.Calendar) { c.Stock = "1*10 1" },
		"a run of none":           func(c *v1alpha1.Calendar) { c.Stock = "1*0 1*10" },
		"a run below none":        func(c *v1alpha1.Calendar) { c.Stock = "1*-1 1*11" },
		"two runs in one":         func(c *v1alpha1.Calendar) { c.Stock = "1*5*2" },
		"a stock below none":      func(c *v1alpha1.Calendar) { c.Stock = "-1*10" },
		"a stock that is none":    func(c *v1alpha1.Calendar) { c.Stock = "x*10" },
		"two spaces":              func(c *v1alpha1.Calendar) { c.Stock = "1*5  1*5" },
		"a price before the days": func(c *v1alpha1.Calendar) { c.Prices = []v1alpha1.CalendarPrice{{From: "2025-09-22"}} },
		"a price after the days":  func(c *v1alpha1.Calendar) { c.Prices = []v1alpha1.CalendarPrice{{From: "2025-10-03"}} },
		"two prices from one day": func(c *v1alpha1.Calendar) { c.Prices = []v1alpha1.CalendarPrice{{From: today}, {From: today}} },
		"closed on no day":        func(c *v1alpha1.Calendar) { c.Closed = []string{"2025-10-03"} },
	} {
		t.Run(name, func(t *testing.T) {
			cal := v1alpha1.Calendar{Start: today, Days: 10, Stock: "- 1*8 3", Closed: []string{today}}
			if _, err := DecodeCalendar(cal); err != nil {
				t.Fatalf("refused before the change: %v", err)
			}
			change(&cal)
			if days, err := DecodeCalendar(cal); !errors.Is(err, ErrCalendar) {
				t.Errorf("got %d days, %v", len(days), err)
			}
		})
	}
}

// Whatever a calendar says, it is refused or has its days, and no more memory than they.
func FuzzDecodeCalendar(f *testing.F) {
	f.Add(today, int32(30), "12*8 0 5*21", `[{"from":"2025-09-23","amount":35050}]`, "2025-10-01")
	f.Add(today, int32(1), "1*9999999999", `[]`, "")
	f.Add("9999-12-31", int32(731), "-*731", `[{"from":"9999-12-31"}]`, "10000-01-01")
	f.Fuzz(func(t *testing.T, start string, n int32, stock, prices, closed string) {
		cal := v1alpha1.Calendar{Start: start, Days: n, Stock: stock}
		if json.Unmarshal([]byte(prices), &cal.Prices) != nil {
			return
		}
		if closed != "" {
			cal.Closed = strings.Split(closed, " ")
		}
		days, err := DecodeCalendar(cal)
		if err != nil {
			return
		}
		if len(days) != int(n) || n > maxDays {
			t.Fatalf("%d days, want %d", len(days), n)
		}
		if _, truncated := EncodeCalendar(days, today); truncated {
			t.Fatal("does not fit again")
		}
	})
}

package sctt

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/internal/platform/fields"
)

func TestYear(t *testing.T) {
	for now, want := range map[string][4]string{
		"2025-09-23T12:00:00+08:00": {"2025-09-23", "2026-03-22", "2026-03-23", "2026-09-22"},
		"2025-08-31T00:00:00+08:00": {"2025-08-31", "2026-02-27", "2026-02-28", "2026-08-27"},
		"2023-08-31T23:59:59+08:00": {"2023-08-31", "2024-02-28", "2024-02-29", "2024-08-28"},
		"2025-12-31T15:59:59Z":      {"2025-12-31", "2026-06-29", "2026-06-30", "2026-12-29"},
		"2025-12-31T16:00:00Z":      {"2026-01-01", "2026-06-30", "2026-07-01", "2026-12-31"}, // the day is China's
		"2024-02-29T12:00:00+08:00": {"2024-02-29", "2024-08-28", "2024-08-29", "2025-02-27"},
	} {
		at, err := time.Parse(time.RFC3339, now)
		if err != nil {
			t.Fatal(err)
		}
		halves := year(at)
		got := [4]string{date(halves[0].first), date(halves[0].last), date(halves[1].first), date(halves[1].last)}
		if got != want {
			t.Errorf("%s: %v, want %v", now, got, want)
		}
	}
}

func date(at time.Time) string { return at.Format(time.DateOnly) }

// No call asks for more than half a year, however that is counted, and the two join.
func TestYearOfAnyDay(t *testing.T) {
	first := time.Date(2000, 1, 1, 0, 0, 0, 0, fields.China)
	for now := first; now.Year() <= 2100; now = now.AddDate(0, 0, 1) {
		halves := year(now)
		if !halves[0].first.Equal(now) || !halves[1].first.Equal(halves[0].last.AddDate(0, 0, 1)) {
			t.Fatalf("%s: from %s to %s, then from %s", date(now), date(halves[0].first), date(halves[0].last), date(halves[1].first))
		}
		for _, half := range halves {
			checkHalf(t, half)
		}
	}
}

// checkHalf counts months on the calendar: the last day is before the same day of the sixth
// month on, and not in a month after that one.
func checkHalf(t *testing.T, half span) {
	t.Helper()
	y, m, d := half.first.Date()
	ly, lm, ld := half.last.Date()
	months := (ly-y)*12 + int(lm-m)
	if months > 6 || months == 6 && ld >= d || months < 5 {
		t.Errorf("from %s to %s", date(half.first), date(half.last))
	}
	if days := half.last.Sub(half.first).Hours()/24 + 1; days < 178 || days > 184 {
		t.Errorf("from %s to %s: %v days", date(half.first), date(half.last), days)
	}
}

func TestWithin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		day := rapid.IntRange(-400, 400)
		at := func(n int) time.Time { return time.Date(2025, 9, 23+n, 0, 0, 0, 0, fields.China) }
		a, b, c, d := day.Draw(t, "a"), day.Draw(t, "b"), day.Draw(t, "c"), day.Draw(t, "d")
		got := span{at(a), at(b)}.within(span{at(c), at(d)})
		var want []string
		for n := -400; n <= 400; n++ {
			if a <= n && n <= b && c <= n && n <= d {
				want = append(want, date(at(n)))
			}
		}
		if len(got) != len(want) || len(got) > 0 && (got[0] != want[0] || got[len(got)-1] != want[len(want)-1]) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

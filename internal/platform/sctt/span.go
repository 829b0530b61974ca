package sctt

import (
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform/fields"
)

// halfYear is the most months that one call may ask for (documented).
const halfYear = 6

// span is a range of days, each the midnight in China, both ends included.
type span struct{ first, last time.Time }

// year gives the year from the day of now in China in two spans of at most half a year,
// the second from the day after the first. Whether the platform counts six months as a date
// of the sixth month from now or as the day before is unknown: the shorter one is safe.
func year(now time.Time) [2]span {
	y, m, d := now.In(fields.China).Date()
	first := halfFrom(time.Date(y, m, d, 0, 0, 0, 0, fields.China))
	return [2]span{first, halfFrom(first.last.AddDate(0, 0, 1))}
}

// halfFrom ends the day before the same day six months later.
func halfFrom(day time.Time) span {
	return span{first: day, last: addMonths(day, halfYear).AddDate(0, 0, -1)}
}

// addMonths gives the same day some months later, or the last of that month where it has
// no such day.
func addMonths(day time.Time, months int) time.Time {
	y, m, d := day.Date()
	last := time.Date(y, m+time.Month(months)+1, 0, 0, 0, 0, 0, day.Location())
	return last.AddDate(0, 0, min(d, last.Day())-last.Day())
}

// within gives the days that both spans have, as yyyy-MM-dd.
func (s span) within(other span) []string {
	day, last := s.first, s.last
	if day.Before(other.first) {
		day = other.first
	}
	if last.After(other.last) {
		last = other.last
	}
	var days []string
	for ; !day.After(last); day = day.AddDate(0, 0, 1) {
		days = append(days, day.Format(time.DateOnly))
	}
	return days
}

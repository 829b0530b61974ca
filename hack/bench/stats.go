package main

import (
	"math"
	"slices"
	"time"
)

// Series is one figure over the rounds of a run.
type Series struct {
	Values []float64 `json:"values"`
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
}

// add takes in the figure of one round more.
func (s *Series) add(value float64) {
	s.Values = append(s.Values, value)
	s.Median, s.Min, s.Max = median(s.Values), slices.Min(s.Values), slices.Max(s.Values)
}

// empty tells whether nothing was measured.
func (s Series) empty() bool { return len(s.Values) == 0 }

// median of an even number of values is the mean of the two in the middle; of none, 0.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// quantile of sorted times by the nearest rank: the least that q of all are not above.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Quantiles of times, in milliseconds.
type Quantiles struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
	// Curve has every hundredth from 0 to 100, for plots.
	Curve []float64 `json:"curve,omitempty"`
}

// quantilesOf sorts the times it is given.
func quantilesOf(times []time.Duration) Quantiles {
	slices.Sort(times)
	q := Quantiles{Count: len(times), P50: millis(quantile(times, 0.5)), P99: millis(quantile(times, 0.99)), Max: millis(quantile(times, 1))}
	if len(times) > 0 {
		for i := range 101 {
			q.Curve = append(q.Curve, millis(quantile(times, float64(i)/100)))
		}
	}
	return q
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// per is a ratio, and 0 where there is nothing to divide by.
func per(n, of float64) float64 {
	if of == 0 {
		return 0
	}
	return n / of
}

package main

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// colours are told apart by those who see few of them, too.
var colours = []color.RGBA{
	{0x00, 0x72, 0xb2, 0xff}, {0xe6, 0x9f, 0x00, 0xff}, {0x00, 0x9e, 0x73, 0xff}, {0xcc, 0x79, 0xa7, 0xff},
	{0x56, 0xb4, 0xe9, 0xff}, {0xd5, 0x5e, 0x00, 0xff}, {0x66, 0x66, 0x66, 0xff}, {0xb0, 0x9a, 0x00, 0xff},
}

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.White
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding = 3 * vg.Millimeter
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.Padding = 1 * vg.Millimeter
	return p
}

// least is where the scale of ratios begins.
const least = 0.05

// ratios are bars: what was acknowledged, and of that committed before the reply, of the
// ceiling. Hot and distinct objects lie so far apart that the scale is logarithmic.
func ratios(r results) (*plot.Plot, error) {
	p := newPlot("Pushes per second, of what a plain client writes", "times the ceiling (logarithmic)", "")
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	var names []string
	top := 1.0
	all := slices.DeleteFunc(slices.Concat(r.Throughput, r.Unlimited), func(w workload) bool { return w.Controllers })
	slices.Reverse(all) // the first at the top
	for i, w := range all {
		names = append(names, label(w))
		for j, ratio := range []series{w.CommittedRatio, w.AcknowledgedRatio} {
			top = math.Max(top, ratio.Max)
			bar, err := rectangle(least, math.Max(ratio.Median, least), float64(i)+0.38*float64(j)-0.36, float64(i)+0.38*float64(j)-0.02)
			if err != nil {
				return nil, err
			}
			bar.Color, bar.LineStyle.Width = colours[1-j], 0
			p.Add(bar)
			if i == 0 {
				defer p.Legend.Add([]string{"committed before the reply", "acknowledged"}[j], bar)
			}
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = least, 2*top, -0.6, float64(len(names))-0.4
	one, err := plotter.NewLine(plotter.XYs{{X: 1, Y: -0.6}, {X: 1, Y: float64(len(names)) - 0.4}})
	if err != nil {
		return nil, err
	}
	one.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
	p.Add(one)
	p.Legend.Add("the ceiling", one)
	p.Legend.Left, p.Legend.Top = false, false
	p.NominalY(names...)
	return p, nil
}

func rectangle(left, right, bottom, top float64) (*plotter.Polygon, error) {
	return plotter.NewPolygon(plotter.XYs{{X: left, Y: bottom}, {X: left, Y: top}, {X: right, Y: top}, {X: right, Y: bottom}})
}

func label(w workload) string {
	return fmt.Sprintf("%s, %d", strings.TrimPrefix(w.Name, "distinct "), w.Connections)
}

// replies are the distributions of the reply times.
func replies(r results) (*plot.Plot, error) {
	p := newPlot("Reply times, received and recorded", "ms (logarithmic)", "share of the pushes answered")
	var lines int
	for _, w := range slices.Concat(r.Throughput, r.Unlimited) {
		if w.Controllers || len(w.Curve) == 0 || strings.Contains(w.Name, "first push") || w.Name == "zipf mix" {
			continue // as many lines as can be told apart
		}
		if err := addCurve(p, label(w), w.Curve, lines); err != nil {
			return nil, err
		}
		lines++
	}
	return finishCurves(p, lines)
}

// pushToReady are the distributions of the time from push to Ready.
func pushToReady(r results) (*plot.Plot, error) {
	p := newPlot("From push to Ready", "ms (logarithmic)", "share of the pushes seen Ready")
	var lines int
	for _, l := range r.Latency {
		if len(l.Curve) == 0 {
			continue
		}
		if err := addCurve(p, fmt.Sprintf("%s, at %v of the ceiling", l.Name, l.Share), l.Curve, lines); err != nil {
			return nil, err
		}
		lines++
	}
	return finishCurves(p, lines)
}

// addCurve draws hundredths of a distribution: as many colours as there are, then dashed.
func addCurve(p *plot.Plot, name string, curve []float64, nth int) error {
	points := make(plotter.XYs, 0, len(curve))
	for i, ms := range curve {
		points = append(points, plotter.XY{X: math.Max(ms, 0.1), Y: float64(i) / 100})
	}
	line, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	line.Color, line.Width = colours[nth%len(colours)], vg.Points(1.5)
	if nth >= len(colours) {
		line.Dashes = []vg.Length{vg.Points(4), vg.Points(2)}
	}
	p.Add(line)
	p.Legend.Add(name, line)
	return nil
}

func finishCurves(p *plot.Plot, lines int) (*plot.Plot, error) {
	if lines == 0 {
		return nil, nil
	}
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Y.Min, p.Y.Max = 0, 1
	p.X.Max *= 20 // the legend stands beside the lines
	p.Legend.Left, p.Legend.Top = false, false
	p.Add(plotter.NewGrid())
	return p, nil
}

// burstTimeline is the burst second by second, the outages shaded. What the journal holds
// has a scale of its own: it is drawn in thousands a hundred times smaller.
func burstTimeline(r results) (*plot.Plot, error) {
	if r.Burst == nil {
		return nil, nil
	}
	p := newPlot("A burst while the API server fails", "seconds", "pushes per second")
	var acknowledged, again, bad, records plotter.XYs
	var top, most float64
	for _, m := range r.Burst.Timeline {
		at := float64(m.Second) + 0.5
		acknowledged = append(acknowledged, plotter.XY{X: at, Y: float64(m.Acknowledged)})
		again = append(again, plotter.XY{X: at, Y: float64(m.TryAgain)})
		bad = append(bad, plotter.XY{X: at, Y: float64(m.Failed)})
		top = math.Max(top, float64(max(m.Acknowledged, m.TryAgain, m.Failed)))
		if m.Records >= 0 {
			records = append(records, plotter.XY{X: at, Y: float64(m.Records)})
			most = math.Max(most, float64(m.Records))
		}
	}
	top = math.Max(top, 1)
	scale := scaleOf(most, top)
	for i := range records {
		records[i].Y /= scale
	}
	for _, outage := range r.Burst.Outages {
		shade, err := plotter.NewPolygon(plotter.XYs{{X: outage.From, Y: 0}, {X: outage.From, Y: 1.35 * top}, {X: outage.To, Y: 1.35 * top}, {X: outage.To, Y: 0}})
		if err != nil {
			return nil, err
		}
		shade.Color, shade.LineStyle.Width = color.RGBA{0xdd, 0xdd, 0xdd, 0xff}, 0
		if outage.What == "killed" {
			shade.Color = color.RGBA{0xf4, 0xd3, 0xc8, 0xff}
		}
		p.Add(shade)
		p.Legend.Add("API server "+outage.What, shade)
	}
	for i, line := range []struct {
		name   string
		points plotter.XYs
	}{
		{"acknowledged/s", acknowledged}, {"told to try again/s", again}, {"failed/s", bad},
		{fmt.Sprintf("records in the journal, divided by %v", scale), records},
	} {
		if len(line.points) == 0 {
			continue
		}
		drawn, err := plotter.NewLine(line.points)
		if err != nil {
			return nil, err
		}
		drawn.Color, drawn.Width = colours[[]int{0, 1, 5, 2}[i]], vg.Points(1.5)
		p.Add(drawn)
		p.Legend.Add(line.name, drawn)
	}
	p.Y.Min, p.Y.Max = 0, 1.35*top
	p.Legend.Left = false
	return p, nil
}

// scaleOf is a power of ten by which the most comes below the top.
func scaleOf(most, top float64) float64 {
	scale := 1.0
	for most/scale > top {
		scale *= 10
	}
	return scale
}

// Plot draws the results of a benchmark. It has a module of its own, so that the
// product's holds no drawing library.
//
//	plot RESULTS.json DIR
//
// It draws PNG: an SVG names fonts, and where the reader has none of that name the text runs over the lines.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: plot RESULTS.json DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func run(file, dir string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var r results
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	for _, drawing := range []struct {
		file          string
		width, height vg.Length
		draw          func(results) (*plot.Plot, error)
	}{
		{"throughput", 24 * vg.Centimeter, 11 * vg.Centimeter, ratios},
		{"replies", 24 * vg.Centimeter, 11 * vg.Centimeter, replies},
		{"burst", 24 * vg.Centimeter, 11 * vg.Centimeter, burstTimeline},
		{"latency", 24 * vg.Centimeter, 11 * vg.Centimeter, pushToReady},
	} {
		p, err := drawing.draw(r)
		if err != nil {
			return fmt.Errorf("%s: %w", drawing.file, err)
		}
		if p == nil { // nothing of it was measured
			continue
		}
		if err := p.Save(drawing.width, drawing.height, filepath.Join(dir, drawing.file+".png")); err != nil {
			return err
		}
	}
	return nil
}

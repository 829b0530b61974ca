package main

import (
	"bytes"
	"context"
	_ "embed" // the report's template
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
)

//go:embed README.md.tmpl
var reportText string

var reportTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"n": short, "series": spread, "percent": percent, "int": func(v float64) string { return short(math.Round(v)) }, "has": hasSection, "yes": yes,
	"count": grouped,
}).Parse(reportText))

// report is README.md.
func (r *Results) report() ([]byte, error) {
	var text bytes.Buffer
	if err := reportTemplate.Execute(&text, r); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

// Took is how long the run took.
func (r *Results) Took() string {
	return time.Duration(r.Seconds * float64(time.Second)).Round(time.Second).String()
}

// Whole tells whether all sections were run, and in earnest.
func (r *Results) Whole() bool { return len(r.Sections) == 5 && !r.Quick && r.Rounds >= 3 }

func hasSection(r *Results, n int) bool { return slices.Contains(r.Sections, n) }

// write writes results.json, README.md and the plots.
func (r *Results) write(ctx context.Context, dir string) error {
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	text, err := r.report()
	if err != nil {
		return err
	}
	results := filepath.Join(dir, "results.json")
	if err := errors.Join(os.WriteFile(results, append(raw, '\n'), 0o644), os.WriteFile(filepath.Join(dir, "README.md"), text, 0o644)); err != nil {
		return err
	}
	return plot(ctx, results, dir)
}

// rewrite writes the report of what was measured before.
func rewrite(ctx context.Context, dir string) error {
	raw, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if err != nil {
		return err
	}
	var r Results
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return r.write(ctx, dir)
}

// plot runs the program that draws: it has a module of its own, for the sake of its library.
func plot(ctx context.Context, results, dir string) error {
	results, err1 := filepath.Abs(results)
	dir, err2 := filepath.Abs(dir)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "run", ".", results, dir)
	cmd.Dir = filepath.Join("hack", "bench", "plot")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("draw the plots: %w\n%s", err, out)
	}
	return nil
}

// short writes a figure with as many digits as mean something.
func short(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100:
		return grouped(int(math.Round(v)))
	case a >= 10:
		return trimmed(v, 1)
	case a >= 0.1 || a == 0:
		return trimmed(v, 2)
	default:
		return trimmed(v, 4)
	}
}

func trimmed(v float64, digits int) string {
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// grouped writes a number with its thousands apart.
func grouped(n int) string {
	text, sign := strconv.Itoa(n), ""
	if n < 0 {
		text, sign = text[1:], "-"
	}
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return sign + text
}

// spread is the median and, of more than one round, the least and the most.
func spread(s Series) string {
	switch {
	case s.empty():
		return "–"
	case len(s.Values) == 1:
		return short(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", short(s.Median), short(s.Min), short(s.Max))
}

func percent(s Series) string { return short(100*s.Median) + " %" }

func yes(met bool) string {
	if met {
		return "yes"
	}
	return "**no**"
}

// Bench measures the operator beside a plain client of the API server, on one machine and
// in one run, and says everything as a ratio of the two. It runs the real thing: etcd and
// kube-apiserver with their data on a disk, and bin/manager; only the platform is a fake.
//
//	go run ./hack/bench                      everything: about 20 minutes on two cores
//	go run ./hack/bench -quick               a smoke run of everything, whose figures mean nothing
//	go run ./hack/bench -sections 3 -out DIR one section
//
// It is run in the module's root, after `make build k8s`. The sections: 1 the plain client and
// 2 pushes of several kinds, in turn; 3 far more than can be written, and the API server failing;
// 4 from the push until the status is Ready; 5 many products.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// plan is how much of everything is done.
type plan struct {
	// raw and load are how long one measurement of a ceiling and of pushes takes; judged is how
	// long both take where a standby has a rate to reach, which is compared most closely: the API
	// server's garbage is collected every second or two, and a second with it is not as one without.
	raw, load, judged time.Duration
	// most new objects, or hot pushes, that one measurement makes.
	mostNew int
	// unlimited is how long as much is pushed as the connections carry, about so many products.
	unlimited time.Duration
	pool      int
	// burst is how long it lasts; the API server is paused from pause on for paused, and
	// killed at kill, and started again after killed. The burst goes on for longer than that, so
	// that both outages lie inside, and what starts again does so under load.
	burst, pause, paused, kill, killed time.Duration
	// drain bounds every wait for an empty journal.
	drain time.Duration
	// latency is how long pushes come at one rate.
	latency time.Duration
	// sizes are numbers of products; resync bounds how long they are asked for again.
	sizes  []int
	resync time.Duration
}

var fullPlan = plan{
	raw: 1500 * time.Millisecond, load: 1400 * time.Millisecond, judged: 3 * time.Second, mostNew: 5000,
	unlimited: 2500 * time.Millisecond, pool: 1000,
	burst: 40 * time.Second, pause: 2 * time.Second, paused: 10 * time.Second, kill: 14 * time.Second, killed: 20 * time.Second,
	drain: 4 * time.Minute, latency: 5 * time.Second,
	sizes: []int{10_000, 100_000}, resync: 50 * time.Second,
}

var quickPlan = plan{
	raw: 300 * time.Millisecond, load: 300 * time.Millisecond, judged: 500 * time.Millisecond, mostNew: 200,
	unlimited: 500 * time.Millisecond, pool: 200,
	burst: 8 * time.Second, pause: time.Second, paused: time.Second, kill: 3 * time.Second, killed: time.Second,
	drain: 2 * time.Minute, latency: time.Second,
	sizes: []int{200, 500}, resync: 5 * time.Second,
}

// told is the plan as the report tells it.
func (p plan) told() Plan {
	return Plan{RawSeconds: p.raw.Seconds(), JudgedSeconds: p.judged.Seconds(), LoadSeconds: p.load.Seconds(), ManySeconds: p.loadOf(manyConnections).Seconds(), SettledSeconds: p.loadSettled().Seconds(), MostNew: p.mostNew,
		UnlimitedSeconds: p.unlimited.Seconds(), LatencySeconds: p.latency.Seconds()}
}

// loadOf is how long is pushed over so many connections: a third as long over many, for what goes
// to the journal must be drained before the next.
func (p plan) loadOf(connections int) time.Duration {
	if connections >= manyConnections {
		return p.load / 3
	}
	return p.load
}

// loadSettled is how long is pushed where statuses are waited for: one takes far longer than a push.
func (p plan) loadSettled() time.Duration { return p.load / 2 }

// section is one of the five; each has a control plane of its own.
type section struct {
	title string
	run   func(context.Context, *stack) error
}

// bench is one run.
type bench struct {
	plan    plan
	rounds  int
	dir     string
	died    context.CancelCauseFunc
	results Results
}

// options are the flags.
type options struct {
	sections, out, dir, sizes string
	report                    string
	rounds                    int
	quick, keep               bool
}

func main() {
	var o options
	flag.StringVar(&o.sections, "sections", "1,2,3,4,5", "Which sections, separated by commas.")
	flag.IntVar(&o.rounds, "rounds", 3, "How often everything is measured, the plain client and ours in turn.")
	flag.StringVar(&o.out, "out", "", "Folder for README.md, results.json and plots (default docs/benchmarks for a whole run, else a temporary one).")
	flag.StringVar(&o.dir, "dir", "", "Folder, on a disk, under which etcd and the journal have their data (default the system's temporary folder).")
	flag.StringVar(&o.sizes, "sizes", "", "How many products section 5 has, growing, separated by commas (default 10000,100000).")
	flag.BoolVar(&o.quick, "quick", false, "A smoke run of one round: everything once and short, to a temporary folder.")
	flag.BoolVar(&o.keep, "keep", false, "Leave the logs and data.")
	flag.StringVar(&o.report, "report", "", "Measure nothing, and write the report of the results.json in a folder anew.")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if o.report != "" {
		return rewrite(ctx, o.report)
	}
	sections, err := parseNumbers("-sections", o.sections, 1, 5)
	if err != nil {
		return err
	}
	sections = together(sections)
	out, err := outFolder(o, sections)
	if err != nil {
		return err
	}
	dir, err := scratch(o.dir)
	if err != nil {
		return err
	}
	defer func() {
		if err == nil && !o.keep {
			err = os.RemoveAll(dir)
			return
		}
		fmt.Fprintln(os.Stderr, "bench: logs are in", dir)
	}()
	ctx, died := context.WithCancelCause(ctx)
	defer died(nil)
	b := &bench{plan: fullPlan, rounds: o.rounds, dir: dir, died: died}
	if o.quick {
		b.plan, b.rounds = quickPlan, 1
	}
	if o.sizes != "" {
		if b.plan.sizes, err = parseNumbers("-sizes", o.sizes, 2, 900_000); err != nil {
			return err
		}
	}
	start := time.Now()
	if b.results.Machine, err = describeMachine(ctx, dir); err != nil {
		return err
	}
	b.results.Rounds, b.results.Quick, b.results.Plan = b.rounds, o.quick, b.plan.told()
	for _, n := range sections {
		if err := b.section(ctx, n); err != nil {
			return fmt.Errorf("section %d: %w", n, errors.Join(err, context.Cause(ctx)))
		}
		b.results.Sections = append(b.results.Sections, n)
		b.results.Seconds = time.Since(start).Seconds()
		if err := b.results.write(ctx, out); err != nil { // what is measured is not lost with a later section
			return err
		}
	}
	fmt.Printf("==> written to %s in %s\n", out, time.Since(start).Round(time.Second))
	return nil
}

// parseNumbers reads a list of numbers between two bounds, and sorts it.
func parseNumbers(name, list string, least, most int) ([]int, error) {
	var numbers []int
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < least || n > most {
			return nil, fmt.Errorf("%s %q: numbers from %d to %d, separated by commas", name, list, least, most)
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return slices.Compact(numbers), nil
}

// together has section 1 run with 2: the plain client's rounds are those that the manager's are
// compared with.
func together(sections []int) []int {
	if slices.Contains(sections, 1) || slices.Contains(sections, 2) {
		sections = append(sections, 1, 2)
	}
	slices.Sort(sections)
	return slices.Compact(sections)
}

// outFolder is where the results go: a part of a run, or a quick one, does not replace a
// whole one unless it is told to.
func outFolder(o options, sections []int) (string, error) {
	switch {
	case o.out != "":
		return o.out, os.MkdirAll(o.out, 0o755)
	case o.quick || len(sections) < 5 || o.sizes != "":
		return os.MkdirTemp("", "channel-operator-benchmarks-")
	}
	out := filepath.Join("docs", "benchmarks")
	return out, os.MkdirAll(out, 0o755)
}

// section runs one section on a control plane of its own.
func (b *bench) section(ctx context.Context, n int) error {
	all := map[int][]section{
		2: {{"the plain client, and pushes received and recorded", b.receiveSection}, {"the plain client, and pushes with the status of each", b.settleSection}},
		3: {{"as many as the connections carry", b.unlimitedSection}, {"a burst while the API server fails", b.burstSection}},
		4: {{"from push to Ready", b.latencySection}},
		5: {{"many products", b.sizeSection}},
	}
	for i, part := range all[n] {
		b.say("section %d: %s", n, part.title)
		start := time.Now()
		dir := filepath.Join(b.dir, fmt.Sprintf("section-%d-%d", n, i+1))
		if err := b.onStack(ctx, dir, part.run); err != nil {
			return err
		}
		b.say("section %d: done in %s", n, time.Since(start).Round(time.Second))
	}
	return nil
}

func (b *bench) onStack(ctx context.Context, dir string, do func(context.Context, *stack) error) error {
	s, err := newStack(ctx, dir, b.died)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.versions(ctx, &b.results.Machine); err != nil {
		return err
	}
	return do(ctx, s)
}

// say tells whoever waits how far it is.
func (b *bench) say(format string, args ...any) {
	fmt.Printf("==> "+format+"\n", args...)
}

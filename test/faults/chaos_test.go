package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/laidoulaile/channel-operator/internal/journal"
)

// act is one fault, or several at once.
type act struct {
	sky        sky
	disk, kill bool
}

func (a act) String() string {
	text := string(a.sky)
	if a.disk {
		text += ", disk fails"
	}
	if a.kill {
		text += ", killed"
	}
	return text
}

// acts that each run has at least once; after them the dice mix.
var acts = []act{
	{sky: away}, {sky: hangs}, {sky: refuses}, {sky: mute}, {sky: away, disk: true},
	{sky: fair, kill: true}, {sky: away, kill: true}, {sky: hangs, kill: true},
}

// chaos breaks things, one act after the other, at moments that the seed gives.
type chaos struct {
	*world
	weather *weather
	random  *rand.Rand
	start   time.Time
	all     chan struct{} // closed when each of the acts was played once

	// What the manager's metrics showed on the way.
	mostKept, diskFailed int
}

// run plays all acts once, in an order that the dice give, and then others until ctx ends.
func (c *chaos) run(ctx context.Context) {
	for _, i := range c.random.Perm(len(acts)) {
		c.perform(acts[i])
	}
	for range 5 { // a manager that is just being started has no disk to fail, and a busy one may write nothing
		if c.toldOfDisk() > 0 {
			break
		}
		c.perform(act{sky: away, disk: true})
	}
	close(c.all)
	for ctx.Err() == nil {
		c.perform(act{sky: []sky{fair, away, hangs, refuses, mute}[c.random.IntN(5)], disk: c.random.IntN(3) == 0, kill: c.random.IntN(3) == 0})
	}
}

// between lets time pass, from so many milliseconds to so many.
func (c *chaos) between(least, most int) {
	time.Sleep(time.Duration(least+c.random.IntN(most-least)) * time.Millisecond)
}

func (c *chaos) perform(a act) {
	began := time.Since(c.start)
	c.weather.turn(a.sky)
	if a.disk {
		c.between(300, 700)
		c.disk(true)
		if a.sky == away { // then the next push must go to the journal
			c.awaitAbove("channel_operator_journal_failed")
		}
	}
	c.between(300, 1200)
	c.awaitDone(a.sky)
	if a.kill {
		if a.sky == away && !a.disk {
			c.awaitAbove("channel_operator_journal_records") // what a kill must not lose
			c.searchFiles(newFinder(nowhere...))
		}
		c.kill()
	}
	c.between(300, 1200)
	if a.sky == hangs && !a.kill { // longer than a commit may take
		c.between(1500, 2500)
	}
	c.weather.turn(fair)
	if a.disk {
		c.between(300, 700) // what is drained cannot be forgotten
		c.disk(false)
	}
	c.Logf("%6.2f s to %6.2f s: %s", began.Seconds(), time.Since(c.start).Seconds(), a)
	if a.kill {
		if err := c.within(c.isUp); err != nil {
			c.Error(err)
		}
	}
	c.between(100, 1200)
}

// done is what a sky does to requests.
var done = map[sky][]string{away: {"away"}, hangs: {"hung"}, refuses: {"Internal Server Error", "Too Many Requests", "Conflict"}, mute: {"unheard"}}

// awaitDone waits a little for a sky to have done, in this act or one before, all that it does: what fails
// is asked less often, and a moment that the dice give may be over before anything was asked in it.
func (c *chaos) awaitDone(of sky) {
	for range 500 {
		counts := c.weather.counts()
		if !slices.ContainsFunc(done[of], func(what string) bool { return counts[what] == 0 }) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// awaitAbove waits a little for a gauge of the manager to be above zero: on a busy machine a moment
// that the dice give may be over before anything was pushed in it.
func (c *chaos) awaitAbove(gauge string) {
	for range 100 {
		if n, err := c.gauge(gauge); err == nil && n > 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// disk lets the disk of the manager that runs fail, or work again.
func (c *chaos) disk(failing bool) {
	c.mu.Lock()
	manager, up := c.manager, c.up
	c.mu.Unlock()
	if !up {
		return
	}
	if err := limitFileSize(manager.Pid(), failing); err != nil {
		select {
		case <-manager.Ended(): // it was killed meanwhile
		default:
			c.Errorf("limit the manager's files: %v", err)
		}
	}
}

// watch reads the journal's metrics until ctx ends.
func (c *chaos) watch(ctx context.Context) {
	failed := false
	for ctx.Err() == nil {
		kept, err := c.gauge("channel_operator_journal_records")
		fails, also := c.gauge("channel_operator_journal_failed")
		if err == nil && also == nil {
			c.mostKept = max(c.mostKept, int(kept))
			if fails > 0 && !failed {
				c.diskFailed++
			}
			failed = fails > 0
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// toldOfDisk is how often managers said that their disk failed: the gauge says so only until the file is
// open again, which may be sooner than it is read.
func (c *chaos) toldOfDisk() (lines int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, log := range c.logs {
		lines += strings.Count(log.String(), journal.ErrFailed.Error())
	}
	return lines
}

// missing are the kinds of faults that did not happen.
func (c *chaos) missing(kills int) []string {
	counts := c.weather.counts()
	counts["killed"], counts["disk failed"] = kills, c.diskFailed+c.toldOfDisk()
	var missing []string
	for _, what := range []string{"away", "cut", "hung", "Internal Server Error", "Too Many Requests", "Conflict", "unheard", "killed", "disk failed"} {
		if counts[what] == 0 {
			missing = append(missing, fmt.Sprintf("%q", what))
		}
	}
	return missing
}

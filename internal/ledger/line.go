package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/laidoulaile/channel-operator/internal/fair"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/quiet"
)

const (
	// maxWrites is how many objects of a Channel are written at a time, each over a connection of its
	// own: more would only queue in the API server, where they cannot be grouped any more. Of all
	// Channels it is twice as many at the most, so that one whose writes take long, or hang, leaves
	// slots to the others. It is more than the connections that a busy platform mostly has: where each
	// push has a slot, none stands in line while the API server pauses for a moment, and none goes to
	// the journal for that. Of connections that idle, client-go keeps 25.
	maxWrites = 40
	// maxGroup is how many facts go out in one write, and maxGroupWeight how much they may
	// weigh together: a write must stay far below what etcd takes. Changes of a product come
	// to one for each aspect, however many they are.
	maxGroup        = 64
	maxGroupWeight  = 256 << 10
	maxProductGroup = 256
	// writeTimeout bounds one write: whoever waits for it may have given up before.
	writeTimeout = 10 * time.Second
)

// lines keep one write under way for each object. What arrives meanwhile stands in line,
// and goes out together in the next write: many who write one object at a time would keep
// the API server busy with each other's conflicts.
type lines struct {
	// write writes facts on one object and says what became of each.
	write func(ctx context.Context, facts []fact) []result
	// slots are divided by Channel: whoever has many objects does not keep others waiting.
	slots *fair.Slots[channel]

	panics *quiet.Lines

	mu sync.Mutex
	// standing are those in line for an object; an object that is there has a writer.
	standing map[object][]*waiting
	// queued are the objects that wait for a slot, by Channel; never zero.
	queued map[channel]int
	// pace is what a write takes, as a mean in which the last count most; paces is the same of each
	// Channel. What another's writes take is no reason not to stand in an object's line.
	pace  time.Duration
	paces map[channel]time.Duration
}

// waiting is a fact in line.
type waiting struct {
	fact fact
	ctx  context.Context // for its values: a writer waits for nobody's deadline
	at   time.Time       // when it joined
	done chan result
}

func newLines(write func(context.Context, []fact) []result) *lines {
	return &lines{write: write, slots: fair.NewSlots[channel](2 * maxWrites), panics: quiet.New(time.Second, 10), standing: map[object][]*waiting{}, queued: map[channel]int{}, paces: map[channel]time.Duration{}}
}

// join puts a fact in line.
func (l *lines) join(ctx context.Context, f fact) *waiting {
	w := &waiting{fact: f, ctx: ctx, at: time.Now(), done: make(chan result, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	line, busy := l.standing[f.Object]
	l.standing[f.Object] = append(line, w)
	if !busy {
		l.queue(f.Object, 1)
		go l.serve(context.WithoutCancel(ctx), f.Object)
	}
	return w
}

// queue counts an object that waits for a slot, or with -1 no more.
func (l *lines) queue(o object, more int) {
	if l.queued[o.channel()] += more; l.queued[o.channel()] == 0 {
		delete(l.queued, o.channel())
	}
}

// before is how many objects must be written before one more of a Channel gets a slot: those of its
// own that wait, and, since the Channels have their turns, of each other one no more than these and
// one; but for those to which a slot is free.
func (l *lines) before(c channel) int {
	own := l.queued[c]
	before := own
	for other, queued := range l.queued {
		if other != c {
			before += min(queued, own+1)
		}
	}
	return max(0, before-l.slots.Free(c))
}

// ahead is about how long a fact would stand in line for an object: behind the objects that get
// a slot before it, and behind what stands in the object's own line.
func (l *lines) ahead(o object) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := time.Duration(l.before(o.channel())) * l.pace / maxWrites
	if line, busy := l.standing[o]; busy {
		wait += time.Duration(1+len(line)/o.group()) * cmp.Or(l.paces[o.channel()], l.pace)
	}
	return wait
}

// leave takes a fact out of the line, unless it is being written already.
func (l *lines) leave(w *waiting) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := l.standing[w.fact.Object]
	i := slices.Index(line, w)
	if i < 0 {
		return false
	}
	l.standing[w.fact.Object] = slices.Delete(line, i, i+1)
	return true
}

// serve writes for one object until nothing stands in its line.
func (l *lines) serve(ctx context.Context, o object) {
	for {
		_ = l.slots.Acquire(ctx, o.channel()) // a context that does not end
		group := l.next(o)
		if len(group) > 0 {
			l.deliver(group)
		}
		l.slots.Release(o.channel())
		if len(group) == 0 || l.leftAlone(o) {
			return
		}
	}
}

// leftAlone reports whether nothing stands in an object's line; then it has no writer any more.
func (l *lines) leftAlone(o object) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.standing[o]) > 0 {
		l.queue(o, 1)
		return false
	}
	delete(l.standing, o)
	return true
}

// next takes the front of an object's line; where there is none, the object has no writer
// any more.
func (l *lines) next(o object) []*waiting {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue(o, -1)
	line := l.standing[o]
	if len(line) == 0 {
		delete(l.standing, o)
		return nil
	}
	n, weight := 0, 0
	for n < len(line) && n < o.group() {
		if weight += line[n].fact.weight(); n > 0 && weight > maxGroupWeight {
			break
		}
		n++
	}
	l.standing[o] = slices.Clone(line[n:])
	return line[:n]
}

// group is how many facts may go out in one write on the object.
func (o object) group() int {
	if o.Kind == kindProduct {
		return maxProductGroup
	}
	return maxGroup
}

// wrote notes how long a write of a Channel's took.
func (l *lines) wrote(c channel, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pace += (took - l.pace) / 16
	l.paces[c] += (took - l.paces[c]) / 16
}

func (l *lines) deliver(group []*waiting) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(group[0].ctx), writeTimeout)
	defer cancel()
	facts := make([]fact, 0, len(group))
	for _, w := range group {
		facts = append(facts, w.fact)
	}
	start := time.Now()
	results := l.tryWrite(ctx, facts)
	l.wrote(facts[0].Object.channel(), time.Since(start))
	for i, w := range group {
		w.done <- results[i]
	}
}

// await waits for what becomes of a fact, as long as the context lasts.
func (l *lines) await(ctx context.Context, w *waiting) result {
	select {
	case r := <-w.done:
		return r
	case <-ctx.Done():
		l.leave(w)
		return result{platform.OutcomeRetry, fmt.Errorf("record %s: %w", w.fact.Object, ctx.Err())}
	}
}

package platformtest

import (
	"context"
	"net/http"
)

// fake is what the fakes of all platforms have besides their own state. Call is what is
// remembered of a question.
type fake[Call any] struct {
	script  faults
	calls   counts
	asked   log[Call]
	courier courier
}

// reply is the scripted fault's answer or else the true one. scripted wraps a code of the
// script as the platform does.
func (f *fake[Call]) reply(r *http.Request, op string, scripted func(code string) answer, truth func() answer) answer {
	fault := f.script.take(op, false)
	if a, ok := fault.answer(); ok {
		return a
	}
	switch fault.Kind {
	case Slow:
		if !pause(r.Context(), fault.Delay) {
			return answer{abort: true, verdict: string(Slow)}
		}
	case Code:
		return scripted(fault.Code)
	}
	a := truth()
	if fault.Kind == WrongContentType {
		a.contentType = "text/html"
	}
	return a
}

// AimPushes says where pushes go from now on; the token becomes part of the URLs.
func (f *fake[Call]) AimPushes(base, token string) { f.courier.aim(base, token) }

// ReleasePushes sends the pushes that Reorder faults held, shuffled by the seed.
func (f *fake[Call]) ReleasePushes(ctx context.Context, seed uint64) []Delivery {
	return f.courier.release(ctx, seed)
}

// Inject adds a fault to the script.
func (f *fake[Call]) Inject(fault Fault) { f.script.inject(fault) }

// ClearFaults empties the script and ends Down.
func (f *fake[Call]) ClearFaults() { f.script.clear() }

// Down closes the connection of every question, like a platform that is away; pushes
// still go out.
func (f *fake[Call]) Down() { f.script.setDown(true) }

// Up ends Down.
func (f *fake[Call]) Up() { f.script.setDown(false) }

// Calls is how often the operation was asked, by the platform's name of it; empty counts all.
func (f *fake[Call]) Calls(op string) int { return f.calls.of(op) }

// CallLog is the last questions, oldest first, 1000 at most.
func (f *fake[Call]) CallLog() []Call { return f.asked.all() }

// Deliveries is what became of the last pushes, oldest first, 1000 at most.
func (f *fake[Call]) Deliveries() []Delivery { return f.courier.sent.all() }

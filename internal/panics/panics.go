// Package panics says of a panic what may be logged: its type, and where it was. Neither its text nor
// what was passed on the way, for both may be what a push says. It lets reconcilers survive one, whatever
// they do; it knows nothing of who else does.
package panics

import (
	"fmt"
	"runtime"
)

// deepest is how many calls on the way to a panic are told at most.
const deepest = 32

// Told is what is logged of a panic that was just recovered with this value, as keys and values:
// the value's type, and the functions on the way, innermost first, each with its line. It is called
// by the deferred function that recovered, or below it.
func Told(value any) []any {
	return []any{"panic", fmt.Sprintf("%T", value), "calls", calls()}
}

func calls() (on []string) {
	at := make([]uintptr, deepest)
	frames := runtime.CallersFrames(at[:runtime.Callers(1, at)])
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		on = append(on, fmt.Sprintf("%s:%d", frame.Function, frame.Line))
		if frame.Function == "runtime.gopanic" { // what it called is who recovered
			on = nil
		}
	}
	return on
}

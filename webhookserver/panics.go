package webhookserver

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

// outcomePanic is the metric's label of a push whose handling panicked. The platform hears "try
// again".
const outcomePanic = "panic"

// deepest is how many calls on the way to a panic are told at most.
const deepest = 32

// errPanic is a defect of ours.
var errPanic = errors.New("the handling of a push panicked")

// survive answers "try again" where the handling of a push panicked, which net/http would end
// without a word: the platform would send it for ever, and nobody would know. It tells the
// panic's type and where it was; neither its text nor what was passed on the way, for both may be
// what the push says. It is to be deferred itself.
func (h *handler) survive(w http.ResponseWriter, at route) {
	value := recover()
	if value == nil {
		return
	}
	pushes.WithLabelValues(string(at.platform), "", unknown, outcomePanic).Inc()
	if leftOut, allowed := h.panics.Next(); allowed {
		log := ctrl.Log.WithName("push").WithValues("platform", at.platform, "path", at.tail, "panic", fmt.Sprintf("%T", value), "calls", calls())
		if leftOut > 0 {
			log = log.WithValues("linesLeftOut", leftOut)
		}
		log.Error(errPanic, "push not recorded: asked the platform to send it again")
	}
	w.Header().Set("Connection", "close") // some of the body may not have been read
	if at.receiver == nil {
		http.Error(w, "retry later", http.StatusServiceUnavailable)
		return
	}
	write(w, at.receiver.Reply(at.tail, platform.OutcomeRetry, ""))
}

// calls are the functions on the way to the panic, innermost first, each with its line.
func calls() (on []string) {
	at := make([]uintptr, deepest)
	frames := runtime.CallersFrames(at[:runtime.Callers(1, at)])
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		on = append(on, fmt.Sprintf("%s:%d", frame.Function, frame.Line))
		if frame.Function == "runtime.gopanic" { // what it called is survive
			on = nil
		}
	}
	return on
}

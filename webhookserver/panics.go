package webhookserver

import (
	"errors"
	"net/http"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/laidoulaile/channel-operator/internal/panics"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// outcomePanic is the metric's label of a push whose handling panicked. The platform hears "try
// again".
const outcomePanic = "panic"

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
		log := ctrl.Log.WithName("push").WithValues("platform", at.platform, "path", at.tail).WithValues(panics.Told(value)...)
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

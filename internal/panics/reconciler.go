package panics

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// errPanic is a defect of ours. What made it is looked at again as after any error.
var errPanic = errors.New("the reconciliation panicked, which is a defect of the manager")

var panicked = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "channel_operator_reconcile_panics_total",
	Help: "Panics while an object was looked at, each a defect of the manager, by controller: the object is looked at again later, and the others are.",
}, []string{"controller"})

// Collectors are the metrics of this package, for the registry of the process.
func Collectors() []prometheus.Collector { return []prometheus.Collector{panicked} }

// Reconciler is that of a controller, but that a panic in it is an error, told as Told says it and
// counted by the controller's name. Left to controller-runtime, the text of the panic would be logged.
func Reconciler(controller string, of reconcile.Reconciler) reconcile.Reconciler {
	return survivor{controller, of}
}

type survivor struct {
	controller string
	of         reconcile.Reconciler
}

// Reconcile does what it is of.
func (s survivor) Reconcile(ctx context.Context, request reconcile.Request) (result reconcile.Result, err error) {
	defer func() {
		if value := recover(); value != nil {
			panicked.WithLabelValues(s.controller).Inc()
			ctrl.LoggerFrom(ctx).Error(errPanic, "trying again later", Told(value)...)
			result, err = reconcile.Result{}, errPanic
		}
	}()
	return s.of.Reconcile(ctx, request)
}

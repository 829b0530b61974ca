package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/laidoulaile/channel-operator/internal/panics"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// errPanic is a defect of ours. It is not waited for to pass: what makes one is set aside at once, where
// somebody sees it, and is tried again when somebody asks.
var errPanic = errors.New("the handling of it panicked, which is a defect of the manager")

var panicked = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "channel_operator_ledger_panics_total",
	Help: "Panics while facts were written, drained or looked at, each a defect of the manager: what it was about is not recorded, or set aside, and the rest goes on.",
})

// safely does something in a goroutine of the ledger's own. A panic there is an error, told and counted:
// it would end the process, and a record of the journal that makes one would end each that follows.
func (l *lines) safely(ctx context.Context, about any, do func() error) (err error) {
	defer func() {
		value := recover()
		if value == nil {
			return
		}
		err = fmt.Errorf("record %v: %w", about, errPanic)
		panicked.Inc()
		if leftOut, allowed := l.panics.Next(); allowed {
			ctrl.LoggerFrom(ctx).Error(errPanic, "going on without it", append(panics.Told(value), "about", fmt.Sprint(about), "linesLeftOut", leftOut)...)
		}
	}()
	return do()
}

// tryWrite writes facts on one object. Where that panics the group is split: one fact that makes a panic
// refuses no other.
func (l *lines) tryWrite(ctx context.Context, facts []fact) (results []result) {
	err := l.safely(ctx, &facts[0].Object, func() error {
		if results = l.write(ctx, facts); len(results) != len(facts) {
			panic(fmt.Sprintf("%d results of %d facts", len(results), len(facts))) // a push would hear nothing
		}
		return nil
	})
	switch {
	case err == nil:
		return results
	case len(facts) > 1:
		return halves(ctx, facts, l.tryWrite)
	}
	return all(1, platform.OutcomeRetry, err)
}

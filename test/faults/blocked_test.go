package faults

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/test/env"
)

// Records that cannot be written, such as those of a namespace that is being deleted, do
// not keep others in the journal.
func TestWhatCannotBeWrittenBlocksNothingElse(t *testing.T) {
	const blocked = 100 // more than are drained at a time
	w, weather := newStormyWorld(t, 1)
	good, home := w.openMarket("good", "770004"), w.namespace
	w.namespace = env.Namespace(t, w.api)
	gone, doomed := w.openMarket("gone", "770005"), w.namespace
	w.namespace = home
	weather.turn(away)
	kept := good.tellMany(40)
	gone.tellMany(blocked) // the newest are drained first
	w.condemn(doomed)
	weather.turn(fair)
	w.eventually(func() error {
		n, err := w.gauge("channel_operator_journal_records")
		if err == nil && n > blocked {
			err = fmt.Errorf("the journal still has %v records, of which %d cannot be written", n, blocked)
		}
		return err
	})
	good.check(kept)
}

// condemn deletes a namespace, and waits until nothing can be made in it any more.
func (w *world) condemn(namespace string) {
	w.Helper()
	if err := w.api.Delete(w.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		w.Fatal(err)
	}
	w.eventually(func() error {
		probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "probe-"}}
		if err := w.api.Create(w.Context(), probe, client.DryRunAll); !apierrors.IsForbidden(err) {
			return fmt.Errorf("it still takes objects: %w", err)
		}
		return nil
	})
}

// Package conditions sets kstatus conditions and checks them: Ready is always there,
// Reconciling and Stalled only while they are true, and never both; AtRisk and
// UnknownObjects, beside them, only while they are true. It is pure: it knows no HTTP, no client and no controller.
package conditions

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

// maxMessage is what a condition message is cut to; the API allows 32768, people do not.
const maxMessage = 1024

// State is what a set of conditions says in one word.
type State int

// The states.
const (
	// Ready: settled, and as the platform says.
	Ready State = iota
	// Waiting: not ready, not being worked on now, asked again later.
	Waiting
	// Reconciling: not ready, being worked on.
	Reconciling
	// Stalled: not ready, and somebody has to change something.
	Stalled
)

// Verdict is what conditions are set to.
type Verdict struct {
	State State
	// Reason in CamelCase: one of the API's reasons.
	Reason string
	// Message for people: what, for which object, what to do.
	Message string
}

// Set returns the conditions for the verdict, keeping the transition times of what
// did not change. Conditions that are not the verdict's stay as they are, of the
// generation they were: who sets AtRisk or UnknownObjects does so again after it. The previous conditions
// are not altered.
func Set(previous []metav1.Condition, verdict Verdict, generation int64, now time.Time) []metav1.Condition {
	next := make([]metav1.Condition, 0, len(previous)+1)
	for _, c := range previous {
		switch c.Type {
		case v1alpha1.ConditionReady, v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled:
		default:
			next = append(next, c)
		}
	}
	ready := metav1.ConditionFalse
	if verdict.State == Ready {
		ready = metav1.ConditionTrue
	}
	set := func(kind string, status metav1.ConditionStatus) {
		next = append(next, condition(previous, kind, status, verdict.Reason, verdict.Message, generation, now))
	}
	set(v1alpha1.ConditionReady, ready)
	switch verdict.State {
	case Reconciling:
		set(v1alpha1.ConditionReconciling, metav1.ConditionTrue)
	case Stalled:
		set(v1alpha1.ConditionStalled, metav1.ConditionTrue)
	case Ready, Waiting:
	}
	return next
}

// Risk is what a condition beside Ready tells: why an answer may not reach a platform in time,
// or what there is that the platform does not know.
type Risk struct {
	// Reason in CamelCase: one of the API's reasons.
	Reason string
	// Message for people: what it is about, what to do.
	Message string
}

// SetAtRisk returns the conditions with AtRisk for the risk, or without it if there is
// none. The previous conditions are not altered.
func SetAtRisk(previous []metav1.Condition, risk *Risk, generation int64, now time.Time) []metav1.Condition {
	return beside(previous, v1alpha1.ConditionAtRisk, risk, generation, now)
}

// SetUnknownObjects does the same with UnknownObjects.
func SetUnknownObjects(previous []metav1.Condition, risk *Risk, generation int64, now time.Time) []metav1.Condition {
	return beside(previous, v1alpha1.ConditionUnknownObjects, risk, generation, now)
}

func beside(previous []metav1.Condition, kind string, risk *Risk, generation int64, now time.Time) []metav1.Condition {
	next := slices.DeleteFunc(slices.Clone(previous), func(c metav1.Condition) bool { return c.Type == kind })
	if risk == nil {
		return next
	}
	return append(next, condition(previous, kind, metav1.ConditionTrue, risk.Reason, risk.Message, generation, now))
}

// condition keeps the transition time of a status that it had before.
func condition(previous []metav1.Condition, kind string, status metav1.ConditionStatus, reason, message string, generation int64, now time.Time) metav1.Condition {
	c := metav1.Condition{Type: kind, Status: status, Reason: reason, Message: cut(message),
		ObservedGeneration: generation, LastTransitionTime: metav1.NewTime(now.UTC().Truncate(time.Second))}
	if old := meta.FindStatusCondition(previous, kind); old != nil && old.Status == status {
		c.LastTransitionTime = old.LastTransitionTime
	}
	return c
}

// Of reads the Ready condition: its reason, and whether it is true.
func Of(conditions []metav1.Condition) (reason string, ready bool) {
	c := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	if c == nil {
		return "", false
	}
	return c.Reason, c.Status == metav1.ConditionTrue
}

// Check returns the first kstatus rule that the conditions break, for tests.
func Check(conditions []metav1.Condition, generation, observedGeneration int64) error {
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	reconciling := meta.FindStatusCondition(conditions, v1alpha1.ConditionReconciling)
	stalled := meta.FindStatusCondition(conditions, v1alpha1.ConditionStalled)
	switch {
	case ready == nil:
		return fmt.Errorf("no Ready condition")
	case reconciling != nil && stalled != nil:
		return fmt.Errorf("both Reconciling and Stalled")
	case ready.Status == metav1.ConditionTrue && (reconciling != nil || stalled != nil):
		return fmt.Errorf("the object is Ready and Reconciling or Stalled")
	case observedGeneration > generation:
		return fmt.Errorf("observedGeneration %d is ahead of generation %d", observedGeneration, generation)
	}
	for _, c := range conditions {
		if c.Type != v1alpha1.ConditionReady && c.Status != metav1.ConditionTrue {
			return fmt.Errorf("the %s condition is there and %s", c.Type, c.Status)
		}
		if c.ObservedGeneration != observedGeneration {
			return fmt.Errorf("condition %s is of generation %d, the status of %d", c.Type, c.ObservedGeneration, observedGeneration)
		}
		if c.Reason == "" || c.LastTransitionTime.IsZero() {
			return fmt.Errorf("condition %s lacks a reason or a transition time", c.Type)
		}
	}
	return nil
}

func cut(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	end := maxMessage
	for end > 0 && !utf8.RuneStart(message[end]) {
		end--
	}
	return message[:end] + "…"
}

package conditions_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/internal/conditions"
)

var start = time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)

// Whatever verdicts follow each other, the rules hold, and a transition time moves
// exactly when a status does.
func TestAnySequenceOfVerdictsKeepsTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var current []metav1.Condition
		for step := range int64(8) {
			verdict := conditions.Verdict{
				State:   conditions.State(rapid.IntRange(0, 3).Draw(t, "state")),
				Reason:  rapid.SampledFrom([]string{"A", "B"}).Draw(t, "reason"),
				Message: rapid.String().Draw(t, "message"),
			}
			now := start.Add(time.Duration(step) * time.Minute)
			var risk *conditions.Risk
			if rapid.Bool().Draw(t, "at risk") {
				risk = &conditions.Risk{Reason: rapid.SampledFrom([]string{"C", "D"}).Draw(t, "risk"), Message: rapid.String().Draw(t, "why")}
			}
			before := slices.Clone(current)
			next := conditions.SetAtRisk(conditions.Set(current, verdict, step, now), risk, step, now)
			if diff := cmp.Diff(before, current); diff != "" {
				t.Fatalf("the previous conditions were altered: %s", diff)
			}
			if c := meta.FindStatusCondition(next, "AtRisk"); (c != nil) != (risk != nil) || c != nil && c.Reason != risk.Reason {
				t.Fatalf("at risk: %+v, of %+v", c, risk)
			}
			if err := conditions.Check(next, step, step); err != nil {
				t.Fatal(err)
			}
			for _, c := range next {
				old := meta.FindStatusCondition(current, c.Type)
				moved := old == nil || old.Status != c.Status
				if moved != c.LastTransitionTime.Time.Equal(now) {
					t.Fatalf("step %d: %s moved=%v, time %s", step, c.Type, moved, c.LastTransitionTime)
				}
			}
			current = next
		}
	})
}

func TestCheckFindsBrokenRules(t *testing.T) {
	at := metav1.NewTime(start)
	cond := func(kind string, status metav1.ConditionStatus) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: "R", LastTransitionTime: at, ObservedGeneration: 1}
	}
	for name, broken := range map[string][]metav1.Condition{
		"no Ready":              {cond("Stalled", "True")},
		"both":                  {cond("Ready", "False"), cond("Stalled", "True"), cond("Reconciling", "True")},
		"Stalled False":         {cond("Ready", "False"), cond("Stalled", "False")},
		"Reconciling False":     {cond("Ready", "False"), cond("Reconciling", "False")},
		"AtRisk False":          {cond("Ready", "False"), cond("AtRisk", "False")},
		"AtRisk left behind":    {cond("Ready", "False"), {Type: "AtRisk", Status: "True", Reason: "R", LastTransitionTime: at}},
		"Ready and Reconciling": {cond("Ready", "True"), cond("Reconciling", "True")},
		"no reason":             {{Type: "Ready", Status: "True", LastTransitionTime: at, ObservedGeneration: 1}},
		"other generation":      {{Type: "Ready", Status: "True", Reason: "R", LastTransitionTime: at}},
	} {
		if conditions.Check(broken, 1, 1) == nil {
			t.Errorf("%s: passed", name)
		}
	}
	for _, risky := range []metav1.ConditionStatus{"True", "False"} {
		if err := conditions.Check([]metav1.Condition{cond("Ready", risky), cond("AtRisk", "True")}, 1, 1); err != nil {
			t.Errorf("at risk, and Ready %s: %v", risky, err)
		}
	}
	if conditions.Check([]metav1.Condition{cond("Ready", "True")}, 0, 1) == nil {
		t.Error("a status ahead of its object passed")
	}
}

func TestLongMessagesAreCutBetweenCharacters(t *testing.T) {
	got := conditions.Set(nil, conditions.Verdict{Reason: "R", Message: strings.Repeat("票", 2000)}, 1, start)[0].Message
	if len(got) > 1100 || !strings.HasSuffix(got, "票…") {
		t.Errorf("%d bytes, ends %q", len(got), got[len(got)-6:])
	}
}

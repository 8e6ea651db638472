package gitops

import (
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
)

// Flux and Helm 4 wait by kstatus: nothing is Failed that passes by itself, nothing is Current that is not Ready.
func TestKstatusOfEveryState(t *testing.T) {
	known, schemas := knownStates(t), definitions(t)
	seen := map[status.Status]int{}
	// As `kubectl apply` leaves it, before the operator has seen it: without a status kstatus would call it Current.
	for _, kind := range kinds {
		known.States = append(known.States, map[string]any{"apiVersion": "alembic-operator.dev/v1alpha1", "kind": kind.name,
			"metadata": map[string]any{"name": "shop", "generation": 1}, "spec": map[string]any{}})
	}
	for _, state := range known.States {
		object := asObject(t, state)
		defaulting.Default(object.Object, schemas[object.GetKind()].structural)
		result, err := status.Compute(object)
		if err != nil {
			t.Fatal(err)
		}
		seen[result.Status]++
		ready, stalled := conditionOf(object.Object, "Ready"), conditionOf(object.Object, "Stalled")
		reconciling := conditionOf(object.Object, "Reconciling")
		kind := known.Kinds[ready.reason]
		is := func(want status.Status) {
			if result.Status != want {
				t.Errorf("%s (%s) is %s, not %s: %+v", ready.reason, kind, result.Status, want, state["status"])
			}
		}
		switch {
		case object.GetDeletionTimestamp() != nil:
			is(status.TerminatingStatus)
		case !observed(object.Object) || ready.status == "":
			is(status.InProgressStatus)
		case kind == "Ready":
			is(status.CurrentStatus)
		case kind == "Working" || kind == "Waiting" || kind == "Held" || kind == "Late" && reconciling.status == "True":
			is(status.InProgressStatus)
		case kind == "Stalled" || kind == "Late":
			is(status.FailedStatus)
		default:
			t.Errorf("nobody knows the reason %q", ready.reason)
		}
		if ready.status == "True" && (stalled.status == "True" || reconciling.status == "True") {
			t.Errorf("Ready and not: %+v", state["status"])
		}
	}
	for _, want := range []status.Status{status.CurrentStatus, status.InProgressStatus, status.FailedStatus} {
		if seen[want] == 0 {
			t.Errorf("no state is %s: %v", want, seen)
		}
	}
	t.Logf("%d states: %v", len(known.States), seen)
}

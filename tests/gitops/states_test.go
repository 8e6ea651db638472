// Package gitops checks, with the tools' own libraries, what Argo CD, Flux and Kustomize make of a DatabaseMigration. No network.
package gitops

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const root = "../.."

// Every state of an object that the Rust tests know, and what kind of state each reason is.
type states struct {
	Kinds  map[string]string `json:"kinds"`
	States []map[string]any  `json:"states"`
}

// What `STATES=… cargo test --test faults` has written; `make test-gitops` does both.
func knownStates(t *testing.T) states {
	t.Helper()
	path := os.Getenv("STATES")
	if path == "" {
		path = filepath.Join(root, "target", "states.json")
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("run make test-gitops, which writes the states first: %v", err)
	}
	var known states
	if err := json.Unmarshal(content, &known); err != nil {
		t.Fatal(err)
	}
	if len(known.States) < len(known.Kinds) {
		t.Fatalf("%d states of %d reasons", len(known.States), len(known.Kinds))
	}
	return known
}

type condition struct{ status, reason, message string }

func conditionOf(object map[string]any, kind string) condition {
	all, _, _ := unstructured.NestedSlice(object, "status", "conditions")
	for _, one := range all {
		if entry := one.(map[string]any); entry["type"] == kind {
			text := func(key string) string { value, _ := entry[key].(string); return value }
			return condition{text("status"), text("reason"), text("message")}
		}
	}
	return condition{}
}

// Whether the status is about what the spec says now.
func observed(object map[string]any) bool {
	now, _, _ := unstructured.NestedInt64(object, "metadata", "generation")
	seen, _, _ := unstructured.NestedInt64(object, "status", "observedGeneration")
	return now == seen
}

// JSON numbers as the API machinery has them.
func asObject(t *testing.T, value map[string]any) *unstructured.Unstructured {
	t.Helper()
	content, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(content); err != nil {
		t.Fatal(err)
	}
	return object
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

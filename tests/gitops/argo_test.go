package gitops

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	applicationpkg "github.com/argoproj/argo-cd/v3/pkg/apiclient/application"
	appv1 "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/gitops-engine/pkg/health"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const (
	resource = "alembic-operator.dev/DatabaseMigration"
	settings = root + "/docs/argocd/argocd-cm.yaml"
)

// Argo's own layout, as in its repository: health.lua, health_test.yaml, actions/, testdata/.
var folder = filepath.Join(root, "docs/argocd/resource_customizations", resource)

// The settings that a user adds to argocd-cm hold the scripts word for word; UPDATE=1 writes them.
func TestTheSettingsHoldTheScripts(t *testing.T) {
	text := func(path string) string {
		content, err := os.ReadFile(filepath.Join(folder, path))
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	indented := func(script, by string) string {
		return by + strings.ReplaceAll(strings.TrimRight(script, "\n"), "\n", "\n"+by)
	}
	clean := func(block string) string { // blank lines have no blanks
		return strings.ReplaceAll(strings.ReplaceAll(block, "\n    \n", "\n\n"), "\n      \n", "\n\n")
	}
	wanted := "# Teaches Argo CD the health and the actions of a DatabaseMigration; made from resource_customizations/.\n" +
		"#   kubectl patch configmap argocd-cm -n argocd --patch-file argocd-cm.yaml\n" +
		"data:\n  resource.customizations.health.alembic-operator.dev_DatabaseMigration: |\n" + clean(indented(text("health.lua"), "    ")) +
		"\n  resource.customizations.actions.alembic-operator.dev_DatabaseMigration: |\n    discovery.lua: |\n" +
		clean(indented(text("actions/discovery.lua"), "      ")) + "\n    definitions:\n"
	for _, action := range []string{"approve", "reject", "retry", "accept-drift"} {
		wanted += "      - name: " + action + "\n        action.lua: |\n" + indented(text("actions/"+action+"/action.lua"), "          ") + "\n"
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(settings, []byte(wanted), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	there, _ := os.ReadFile(settings)
	if string(there) != wanted {
		t.Errorf("%s is not what the scripts are; run UPDATE=1 make test-gitops", settings)
	}
}

// Argo CD as it is with these settings, and with the rights that its API server has: no libraries beyond the safe ones.
func argo(t *testing.T) lua.VM {
	t.Helper()
	var patch struct {
		Data map[string]string `json:"data"`
	}
	readYAML(t, settings, &patch)
	override := appv1.ResourceOverride{
		HealthLua: patch.Data["resource.customizations.health.alembic-operator.dev_DatabaseMigration"],
		Actions:   patch.Data["resource.customizations.actions.alembic-operator.dev_DatabaseMigration"],
	}
	if override.HealthLua == "" || override.Actions == "" {
		t.Fatal("the settings are empty")
	}
	return lua.VM{ResourceOverrides: map[string]appv1.ResourceOverride{resource: override}}
}

func healthOf(t *testing.T, vm lua.VM, object *unstructured.Unstructured) *health.HealthStatus {
	t.Helper()
	script, _, err := vm.GetHealthScript(object)
	if err != nil {
		t.Fatal(err)
	}
	result, err := vm.ExecuteHealthLua(object, script)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func input(t *testing.T, path string) *unstructured.Unstructured {
	t.Helper()
	value := map[string]any{}
	readYAML(t, filepath.Join(folder, path), &value)
	return asObject(t, value)
}

func TestHealthByArgosOwnTestData(t *testing.T) {
	var data struct {
		Tests []struct {
			InputPath    string              `json:"inputPath"`
			HealthStatus health.HealthStatus `json:"healthStatus"`
		} `json:"tests"`
	}
	readYAML(t, filepath.Join(folder, "health_test.yaml"), &data)
	vm := argo(t)
	for _, test := range data.Tests {
		if result := healthOf(t, vm, input(t, test.InputPath)); *result != test.HealthStatus {
			t.Errorf("%s: %+v, not %+v", test.InputPath, *result, test.HealthStatus)
		}
	}
}

// Degraded fails the sync that waits: only what a person has to mend is. Who waits for a person is Suspended.
func TestHealthOfEveryState(t *testing.T) {
	known, vm := knownStates(t), argo(t)
	seen := map[health.HealthStatusCode]int{}
	for _, state := range known.States {
		object := asObject(t, state)
		result := healthOf(t, vm, object)
		seen[result.Status]++
		ready, reconciling := conditionOf(object.Object, "Ready"), conditionOf(object.Object, "Reconciling")
		kind := known.Kinds[ready.reason]
		want := health.HealthStatusProgressing
		switch {
		case !observed(object.Object) || ready.status == "":
		case kind == "Ready":
			want = health.HealthStatusHealthy
		case kind == "Held" || kind == "Waiting":
			want = health.HealthStatusSuspended
		case kind == "Stalled" || kind == "Late" && reconciling.status != "True":
			want = health.HealthStatusDegraded
		}
		if result.Status != want {
			t.Errorf("%s (%s) is %s, not %s", ready.reason, kind, result.Status, want)
		}
		if observed(object.Object) && ready.status != "" && !strings.HasPrefix(result.Message, ready.reason) {
			t.Errorf("%s is told as %q", ready.reason, result.Message)
		}
	}
	t.Logf("%d states: %v", len(known.States), seen)
}

func TestActionsByArgosOwnTestData(t *testing.T) {
	var data struct {
		DiscoveryTests []struct {
			InputPath string                 `json:"inputPath"`
			Result    []appv1.ResourceAction `json:"result"`
		} `json:"discoveryTests"`
		ActionTests []struct {
			Action, InputPath, ExpectedOutputPath, ExpectedErrorMessage string
			Parameters                                                  map[string]string
		} `json:"actionTests"`
	}
	readYAML(t, filepath.Join(folder, "actions/action_test.yaml"), &data)
	vm := argo(t)
	for _, test := range data.DiscoveryTests {
		object := input(t, test.InputPath)
		scripts, err := vm.GetResourceActionDiscovery(object)
		if err != nil {
			t.Fatal(err)
		}
		found, err := vm.ExecuteResourceActionDiscovery(object, scripts)
		if err != nil {
			t.Fatal(err)
		}
		byName := func(actions []appv1.ResourceAction) map[string]appv1.ResourceAction {
			named := map[string]appv1.ResourceAction{}
			for _, action := range actions {
				named[action.Name] = action
			}
			return named
		}
		if !reflect.DeepEqual(byName(found), byName(test.Result)) {
			t.Errorf("%s:\n%+v\nnot\n%+v", test.InputPath, byName(found), byName(test.Result))
		}
	}
	for _, test := range data.ActionTests {
		object := input(t, test.InputPath)
		definition, err := vm.GetResourceAction(object, test.Action)
		if err != nil {
			t.Fatal(err)
		}
		var parameters []*applicationpkg.ResourceActionParameters
		for name, value := range test.Parameters {
			parameters = append(parameters, &applicationpkg.ResourceActionParameters{Name: &name, Value: &value})
		}
		changed, err := vm.ExecuteResourceAction(object, definition.ActionLua, parameters)
		if test.ExpectedErrorMessage != "" {
			if err == nil || !strings.HasSuffix(err.Error(), test.ExpectedErrorMessage) {
				t.Errorf("%s of %s: %v", test.Action, test.InputPath, err)
			}
			continue
		}
		if err != nil || len(changed) != 1 {
			t.Fatalf("%s of %s: %v, %d objects", test.Action, test.InputPath, err, len(changed))
		}
		result := changed[0].UnstructuredObj
		if test.Action == "retry" { // it is the time
			annotations := result.GetAnnotations()
			if len(annotations["alembic-operator.dev/requestedAt"]) != len("0001-01-01T00:00:00Z") {
				t.Errorf("retry says %v", annotations)
			}
			annotations["alembic-operator.dev/requestedAt"] = "0001-01-01T00:00:00Z"
			result.SetAnnotations(annotations)
		}
		if wanted := input(t, test.ExpectedOutputPath); !reflect.DeepEqual(result.Object, wanted.Object) {
			text, _ := yaml.Marshal(result.Object)
			t.Errorf("%s of %s makes\n%s", test.Action, test.InputPath, text)
		}
	}
}

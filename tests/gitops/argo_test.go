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

const settings = root + "/docs/argocd/argocd-cm.yaml"

// The kinds, each with its actions.
var kinds = []struct {
	name    string
	actions []string
}{
	{"DatabaseMigration", []string{"approve", "reject", "retry", "accept-drift"}},
	{"DatabaseMigrationSet", []string{"approve", "promote", "pause", "resume", "retry"}},
}

// Argo's own layout, as in its repository: health.lua, health_test.yaml, actions/, testdata/.
func folder(kind string) string {
	return filepath.Join(root, "docs/argocd/resource_customizations/alembic-operator.dev", kind)
}

// The settings that a user adds to argocd-cm hold the scripts word for word; UPDATE=1 writes them.
func TestTheSettingsHoldTheScripts(t *testing.T) {
	text := func(kind, path string) string {
		content, err := os.ReadFile(filepath.Join(folder(kind), path))
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
	wanted := "# Teaches Argo CD the health and the actions of DatabaseMigrations and sets; made from resource_customizations/.\n" +
		"#   kubectl patch configmap argocd-cm -n argocd --patch-file argocd-cm.yaml\ndata:\n"
	for number, kind := range kinds {
		if number > 0 {
			wanted += "\n"
		}
		wanted += "  resource.customizations.health.alembic-operator.dev_" + kind.name + ": |\n" + clean(indented(text(kind.name, "health.lua"), "    ")) +
			"\n  resource.customizations.actions.alembic-operator.dev_" + kind.name + ": |\n    discovery.lua: |\n" +
			clean(indented(text(kind.name, "actions/discovery.lua"), "      ")) + "\n    definitions:\n"
		for _, action := range kind.actions {
			script := text(kind.name, "actions/"+action+"/action.lua")
			wanted += "      - name: " + action + "\n        action.lua: |\n" + indented(script, "          ") + "\n"
		}
		if text(kind.name, "health.lua") != text(kinds[0].name, "health.lua") {
			t.Errorf("the health of a %s is judged otherwise than that of a %s", kind.name, kinds[0].name)
		}
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
	overrides := map[string]appv1.ResourceOverride{}
	for _, kind := range kinds {
		override := appv1.ResourceOverride{
			HealthLua: patch.Data["resource.customizations.health.alembic-operator.dev_"+kind.name],
			Actions:   patch.Data["resource.customizations.actions.alembic-operator.dev_"+kind.name],
		}
		if override.HealthLua == "" || override.Actions == "" {
			t.Fatalf("the settings of %s are empty", kind.name)
		}
		overrides["alembic-operator.dev/"+kind.name] = override
	}
	return lua.VM{ResourceOverrides: overrides}
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

func input(t *testing.T, kind, path string) *unstructured.Unstructured {
	t.Helper()
	value := map[string]any{}
	readYAML(t, filepath.Join(folder(kind), path), &value)
	return asObject(t, value)
}

func TestHealthByArgosOwnTestData(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) { healthByTestData(t, kind.name) })
	}
}

func healthByTestData(t *testing.T, kind string) {
	var data struct {
		Tests []struct {
			InputPath    string              `json:"inputPath"`
			HealthStatus health.HealthStatus `json:"healthStatus"`
		} `json:"tests"`
	}
	readYAML(t, filepath.Join(folder(kind), "health_test.yaml"), &data)
	vm := argo(t)
	for _, test := range data.Tests {
		if result := healthOf(t, vm, input(t, kind, test.InputPath)); *result != test.HealthStatus {
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
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) { actionsByTestData(t, kind.name) })
	}
}

func actionsByTestData(t *testing.T, kind string) {
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
	readYAML(t, filepath.Join(folder(kind), "actions/action_test.yaml"), &data)
	vm := argo(t)
	for _, test := range data.DiscoveryTests {
		object := input(t, kind, test.InputPath)
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
		object := input(t, kind, test.InputPath)
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
		if wanted := input(t, kind, test.ExpectedOutputPath); !reflect.DeepEqual(result.Object, wanted.Object) {
			text, _ := yaml.Marshal(result.Object)
			t.Errorf("%s of %s makes\n%s", test.Action, test.InputPath, text)
		}
	}
}

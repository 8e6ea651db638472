package gitops

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	argocd "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// A custom resource's definition as the API server uses it: unknown fields, types, and rules in CEL.
type definition struct {
	validator  validation.SchemaValidator
	structural *structuralschema.Structural
	rules      *cel.Validator
}

// Every kind that the operator defines.
func definitions(t *testing.T) map[string]definition {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "crds/*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no CRD: %v", err)
	}
	kinds := map[string]definition{}
	for _, path := range paths {
		var crd apiextensionsv1.CustomResourceDefinition
		readYAML(t, path, &crd)
		var schema apiextensions.JSONSchemaProps
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(crd.Spec.Versions[0].Schema.OpenAPIV3Schema, &schema, nil); err != nil {
			t.Fatal(err)
		}
		validator, _, err := validation.NewSchemaValidator(&schema)
		if err != nil {
			t.Fatal(err)
		}
		structural, err := structuralschema.NewStructural(&schema)
		if err != nil {
			t.Fatal(err)
		}
		kinds[crd.Spec.Names.Kind] = definition{validator, structural, cel.NewValidator(structural, true, celconfig.PerCallLimit)}
	}
	return kinds
}

// What `kubectl apply --validate=strict` would say.
func (of definition) problems(object map[string]any) []string {
	var found []string
	copied := map[string]any{}
	content, _ := json.Marshal(object)
	_ = json.Unmarshal(content, &copied)
	unknown := pruning.PruneWithOptions(copied, of.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, path := range unknown {
		found = append(found, "unknown field "+path)
	}
	for _, problem := range validation.ValidateCustomResource(nil, object, of.validator) {
		found = append(found, problem.Error())
	}
	problems, _ := of.rules.Validate(context.Background(), nil, of.structural, object, nil, celconfig.RuntimeCELCostBudget)
	for _, problem := range problems {
		found = append(found, problem.Error())
	}
	return found
}

// Checks the operator's own objects among some documents, and says how many there were.
func check(t *testing.T, kinds map[string]definition, from string, documents []byte) int {
	t.Helper()
	count := 0
	for _, document := range bytes.Split(documents, []byte("\n---")) {
		object := map[string]any{}
		if err := yaml.Unmarshal(document, &object); err != nil {
			t.Errorf("%s: %v", from, err)
			continue
		}
		version, _ := object["apiVersion"].(string)
		kind, _ := object["kind"].(string)
		if into := argos(kind); into != nil && version == "argoproj.io/v1alpha1" {
			if err := yaml.UnmarshalStrict(document, into); err != nil {
				t.Errorf("%s: %v", from, err)
			}
		}
		if !strings.HasPrefix(version, "alembic-operator.dev/") {
			continue
		}
		count++
		known, ok := kinds[kind]
		if !ok {
			t.Errorf("%s: there is no kind %q", from, kind)
			continue
		}
		object = asObject(t, object).Object
		for _, problem := range known.problems(object) {
			t.Errorf("%s: %s", from, problem)
		}
	}
	return count
}

// What Argo CD itself reads an object of its own into.
func argos(kind string) any {
	switch kind {
	case "Application":
		return &argocd.Application{}
	case "ApplicationSet":
		return &argocd.ApplicationSet{}
	}
	return nil
}

func TestEveryExample(t *testing.T) {
	kinds := definitions(t)
	folder := filepath.Join(root, "examples")
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" || strings.Contains(path, "helm-app/") {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if count := check(t, kinds, path, content); count == 0 && filepath.Dir(path) == folder {
			t.Errorf("%s holds nothing of the operator's", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(folder, "kustomize-overlay/production")
	for _, object := range build(t, filesys.MakeFsOnDisk(), overlay) {
		content, _ := yaml.Marshal(object.Object)
		check(t, kinds, overlay, content)
	}
}

// The validation itself finds what is wrong: a field that is not there, a wrong type, and what only a rule in CEL knows.
func TestAWrongObjectIsFound(t *testing.T) {
	migration := definitions(t)["DatabaseMigration"]
	right := func() map[string]any {
		object := map[string]any{}
		readYAML(t, filepath.Join(root, "examples/minimal.yaml"), &object)
		return object
	}
	for field, value := range map[string]any{"rehersal": map[string]any{}, "targetRevision": int64(7), "database": map[string]any{}} {
		object := right()
		object["spec"].(map[string]any)[field] = value
		if found := migration.problems(object); len(found) == 0 {
			t.Errorf("%s: %v is taken for right", field, value)
		}
	}
	if found := migration.problems(right()); len(found) != 0 {
		t.Error(found)
	}
}

// A chart with the DatabaseMigration beside its Deployment, rendered by the project's own helm.
func TestTheExampleChart(t *testing.T) {
	kinds := definitions(t)
	// The chart of the gate is a dependency, and becomes a part of the application's: not in the source tree.
	copied := filepath.Join(t.TempDir(), "tree")
	for _, folder := range []string{"examples/helm-app", "charts/alembic-gate"} {
		if err := os.CopyFS(filepath.Join(copied, folder), os.DirFS(filepath.Join(root, folder))); err != nil {
			t.Fatal(err)
		}
	}
	chart := filepath.Join(copied, "examples/helm-app")
	helm(t, "dependency", "update", chart)
	helm(t, "lint", "--strict", chart)
	rendered := helm(t, "template", "shop", chart, "--set", "image.tag=1.5.0")
	if count := check(t, kinds, chart, []byte(rendered)); count != 1 {
		t.Fatalf("%d objects of the operator's in\n%s", count, rendered)
	}
	images, gates := 0, 0
	for _, document := range strings.Split(rendered, "\n---") {
		object := map[string]any{}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		switch object["kind"] {
		case "DatabaseMigration":
			if found := at(t, asObject(t, object), "spec/image"); found != "registry.example.com/shop:1.5.0" {
				t.Errorf("the DatabaseMigration has %s", found)
			}
			images++
		case "Deployment":
			deployment := asObject(t, object)
			for _, container := range []string{"containers", "initContainers"} {
				if found := at(t, deployment, "spec/template/spec/"+container+"/image"); found != "registry.example.com/shop:1.5.0" {
					t.Errorf("%s has %s", container, found)
				}
			}
			if found := at(t, deployment, "spec/template/spec/volumes/configMap/name"); found != "shop-gate" {
				t.Errorf("the gate is %s", found)
			}
			gates++
		}
	}
	if images != 1 || gates != 1 {
		t.Errorf("%d migrations and %d Deployments in\n%s", images, gates, rendered)
	}
}

func helm(t *testing.T, arguments ...string) string {
	t.Helper()
	var said bytes.Buffer
	command := exec.Command(filepath.Join(root, "tests/cluster/helm"), arguments...)
	command.Stderr = &said
	rendered, err := command.Output()
	if err != nil {
		t.Fatalf("helm %s: %v\n%s%s", strings.Join(arguments, " "), err, rendered, said.String())
	}
	return string(rendered)
}

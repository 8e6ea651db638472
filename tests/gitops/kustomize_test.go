package gitops

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kustomize/v5/commands"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// What `kustomize build` makes of a folder, by kind.
func build(t *testing.T, files filesys.FileSystem, folder string) map[string]*unstructured.Unstructured {
	t.Helper()
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, folder)
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]*unstructured.Unstructured{}
	for _, resource := range made.Resources() {
		content, err := resource.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		value := map[string]any{}
		if err := yaml.Unmarshal(content, &value); err != nil {
			t.Fatal(err)
		}
		objects[resource.GetKind()] = asObject(t, value)
	}
	return objects
}

func at(t *testing.T, object *unstructured.Unstructured, path string) string {
	t.Helper()
	var value any = object.Object
	for _, name := range strings.Split(path, "/") {
		if list, ok := value.([]any); ok {
			value = list[0]
		}
		value = value.(map[string]any)[name]
	}
	if text, ok := value.(string); ok {
		return text
	}
	t.Fatalf("%s is %v", path, value)
	return ""
}

func TestTheExampleOverlay(t *testing.T) {
	objects := build(t, filesys.MakeFsOnDisk(), filepath.Join(root, "examples/kustomize-overlay/production"))
	migration, deployment, secret := objects["DatabaseMigration"], objects["Deployment"], objects["Secret"]
	if name := migration.GetName(); name != "prod-shop" {
		t.Errorf("the DatabaseMigration is %s", name)
	}
	for path, want := range map[string]string{
		"spec/image": "registry.example.com/shop:1.5.0",
		"spec/database/urlFrom/secretKeyRef/name": secret.GetName(),
	} {
		if found := at(t, migration, path); found != want {
			t.Errorf("DatabaseMigration %s is %s, not %s", path, found, want)
		}
	}
	for path, want := range map[string]string{
		"spec/template/spec/containers/image":                      "registry.example.com/shop:1.5.0",
		"spec/template/spec/initContainers/image":                  "registry.example.com/shop:1.5.0",
		"spec/template/spec/initContainers/envFrom/secretRef/name": secret.GetName(),
		"spec/template/spec/volumes/configMap/name":                "prod-shop-gate",
	} {
		if found := at(t, deployment, path); found != want {
			t.Errorf("Deployment %s is %s, not %s", path, found, want)
		}
	}
	if !strings.HasPrefix(secret.GetName(), "prod-shop-db-") {
		t.Errorf("the Secret is %s", secret.GetName())
	}
}

// Every place that the configuration names: what an overlay renames is renamed there.
func TestEveryPlaceOfTheConfiguration(t *testing.T) {
	var configuration struct {
		Images        []struct{ Path string }
		NameReference []struct {
			Kind       string
			FieldSpecs []struct{ Path string }
		}
	}
	readYAML(t, filepath.Join(root, "kustomize/databasemigration.yaml"), &configuration)
	migration := map[string]any{"apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": map[string]any{"name": "shop"}}
	wanted := map[string]string{}
	for _, image := range configuration.Images {
		put(migration, image.Path, "shop")
		wanted[image.Path] = "shop:1.5.0"
	}
	for _, reference := range configuration.NameReference {
		for _, place := range reference.FieldSpecs {
			put(migration, place.Path, "original")
			wanted[place.Path] = "prod-original"
		}
	}
	if len(wanted) < 20 {
		t.Fatalf("only %d places", len(wanted))
	}
	content, err := yaml.Marshal(migration)
	if err != nil {
		t.Fatal(err)
	}
	files := filesys.MakeFsInMemory()
	write := func(path, text string) {
		if err := files.WriteFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"kustomization.yaml", "databasemigration.yaml"} {
		component, err := os.ReadFile(filepath.Join(root, "kustomize", name))
		if err != nil {
			t.Fatal(err)
		}
		write("/kustomize/"+name, string(component))
	}
	write("/app/migration.yaml", string(content))
	others := ""
	for _, kind := range []string{"Secret", "ConfigMap", "ServiceAccount", "PersistentVolumeClaim"} {
		others += "apiVersion: v1\nkind: " + kind + "\nmetadata:\n  name: original\n---\n"
	}
	write("/app/others.yaml", others)
	write("/app/kustomization.yaml", "resources: [migration.yaml, others.yaml]\ncomponents: [../kustomize]\nnamePrefix: prod-\nimages: [{name: shop, newTag: 1.5.0}]\n")
	made := build(t, files, "/app")["DatabaseMigration"]
	for path, want := range wanted {
		if found := at(t, made, path); found != want {
			t.Errorf("%s is %s, not %s", path, found, want)
		}
	}
}

// A pipeline bumps the tag by kustomize's own command, which edits the overlay's file.
func TestAnImageIsSetByKustomizeItself(t *testing.T) {
	tree := t.TempDir()
	for _, part := range []string{"examples/kustomize-overlay", "kustomize"} {
		if err := os.CopyFS(filepath.Join(tree, part), os.DirFS(filepath.Join(root, part))); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(filepath.Join(tree, "examples/kustomize-overlay/production"))
	digest := "sha256:" + strings.Repeat("5f", 32)
	for setting, want := range map[string]string{
		"registry.example.com/shop:1.6.0":                         "registry.example.com/shop:1.6.0",
		"registry.example.com/shop@" + digest:                     "registry.example.com/shop@" + digest,
		"registry.example.com/shop=mirror.example.com/shop:1.6.0": "mirror.example.com/shop:1.6.0",
	} {
		kustomize := commands.NewDefaultCommand()
		kustomize.SetArgs([]string{"edit", "set", "image", setting})
		if err := kustomize.Execute(); err != nil {
			t.Fatal(err)
		}
		objects := build(t, filesys.MakeFsOnDisk(), ".")
		for kind, path := range map[string]string{
			"DatabaseMigration": "spec/image",
			"Deployment":        "spec/template/spec/containers/image",
		} {
			if found := at(t, objects[kind], path); found != want {
				t.Errorf("kustomize edit set image %s: the %s has %s", setting, kind, found)
			}
		}
		if found := at(t, objects["Deployment"], "spec/template/spec/initContainers/image"); found != want {
			t.Errorf("kustomize edit set image %s: the gate has %s", setting, found)
		}
	}
}

// Puts a value under a path; what Kubernetes has lists of becomes a list of one.
func put(into map[string]any, path, value string) {
	names := strings.Split(path, "/")
	for _, name := range names[:len(names)-1] {
		isList := map[string]bool{"containers": true, "initContainers": true, "env": true, "envFrom": true, "volumes": true, "sources": true, "imagePullSecrets": true}[name]
		switch there := into[name].(type) {
		case map[string]any:
			into = there
		case []any:
			into = there[0].(map[string]any)
		default:
			made := map[string]any{}
			if isList {
				made["name"] = "one"
				into[name] = []any{made}
			} else {
				into[name] = made
			}
			into = made
		}
	}
	into[names[len(names)-1]] = value
}

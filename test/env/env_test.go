package env

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestRootIsThisModules(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "test", "env", "env.go")); err != nil {
		t.Fatal(err)
	}
}

func TestRootPassesOverNestedModules(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(root, "hack", "tools"))
	got, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	if got != root {
		t.Errorf("Root() = %s from a nested module, want %s", got, root)
	}
}

func TestRootOutsideTheModule(t *testing.T) {
	t.Chdir(t.TempDir())
	if dir, err := Root(); err == nil {
		t.Fatalf("Root() = %s, want an error", dir)
	}
}

func TestAssetsTellsWhatToRun(t *testing.T) {
	t.Setenv("KUBEBUILDER_ASSETS", t.TempDir())
	_, err := Assets()
	if err == nil || !strings.Contains(err.Error(), "make k8s") {
		t.Fatalf("Assets() with an empty directory: %v, want an error that names `make k8s`", err)
	}
}

func TestServerHasTheCRDs(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	var crds apiextensionsv1.CustomResourceDefinitionList
	if err := c.List(t.Context(), &crds); err != nil {
		t.Fatal(err)
	}
	if len(crds.Items) != 3 {
		t.Errorf("%d CRDs, want 3", len(crds.Items))
	}
	if a, b := Namespace(t, c), Namespace(t, c); a == b {
		t.Errorf("Namespace gave %s twice", a)
	}
}

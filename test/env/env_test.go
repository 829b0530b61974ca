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

func TestAssets(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(root, "bin", "k8s")
	whole := t.TempDir()
	for _, name := range binaries {
		if err := os.WriteFile(filepath.Join(whole, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct{ env, want string }{
		"set":            {whole, whole},
		"empty":          {"", own},
		"set, but empty": {t.TempDir(), own},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBEBUILDER_ASSETS", test.env)
			got, err := Assets()
			if missing(own) != nil && test.want == own {
				if err == nil || !strings.Contains(err.Error(), "make k8s") {
					t.Errorf("Assets() without binaries: %v, want an error that names `make k8s`", err)
				}
				return
			}
			if err != nil || got != test.want {
				t.Errorf("Assets() = %s, %v, want %s", got, err, test.want)
			}
		})
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

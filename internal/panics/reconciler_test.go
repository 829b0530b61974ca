package panics_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/laidoulaile/channel-operator/internal/panics"
	"github.com/laidoulaile/channel-operator/test/env"
)

const planted = "PLANTED"

// poisoned panics in the way that the test says.
func poisoned(value any) reconcile.Func {
	return func(context.Context, reconcile.Request) (reconcile.Result, error) { panic(value) }
}

// A reconciliation that panics ends in an error, and is counted; of what the panic says nothing is told,
// but its type, and where it was.
func TestAPanickingReconcilerShowsNothing(t *testing.T) {
	for name, value := range map[string]any{"a text": planted, "an error": errors.New(planted), "a struct": struct{ code string }{planted}} {
		t.Run(name, func(t *testing.T) {
			var written bytes.Buffer
			ctx := ctrl.LoggerInto(t.Context(), zap.New(zap.WriteTo(&written), zap.UseDevMode(false)))
			kind := strings.ReplaceAll(name, " ", "_")
			running, err := controller.NewTypedUnmanaged(kind, controller.Options{Reconciler: panics.Reconciler(kind, poisoned(value))})
			if err != nil {
				t.Fatal(err)
			}
			result, err := running.Reconcile(ctx, reconcile.Request{})
			if err == nil || strings.Contains(err.Error(), planted) || !result.IsZero() {
				t.Errorf("%v, %v", result, err)
			}
			if text := written.String(); strings.Contains(text, planted) || !strings.Contains(text, ".poisoned.") || strings.Count(text, "\n") != 1 {
				t.Errorf("told %s", text)
			}
			if got := counted(t, kind); got != 1 {
				t.Errorf("%v panics were counted", got)
			}
		})
	}
}

// One that does not panic says what it says.
func TestAReconcilerIsWhatItWas(t *testing.T) {
	want := reconcile.Result{RequeueAfter: time.Minute}
	got, err := panics.Reconciler("sound", reconcile.Func(func(_ context.Context, r reconcile.Request) (reconcile.Result, error) {
		if r.Name != "main" {
			t.Errorf("asked for %q", r.Name)
		}
		return want, io.EOF
	})).Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "main"}})
	if got != want || !errors.Is(err, io.EOF) || counted(t, "sound") != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

// counted is how many panics of a controller were.
func counted(t *testing.T, controller string) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(panics.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if metric.GetLabel()[0].GetValue() == controller {
				return metric.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// Every controller is built of a reconciler whose panics show nothing.
func TestEveryReconcilerIsWrapped(t *testing.T) {
	built := 0
	root := env.MustRoot(t)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() && (entry.Name() == "bin" || entry.Name() == ".git") {
			return cmp.Or(err, fs.SkipDir)
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !names(call.Fun, "", "Complete") || len(call.Args) != 1 {
				return true
			}
			built++
			if of, ok := call.Args[0].(*ast.CallExpr); !ok || !names(of.Fun, "panics", "Reconciler") {
				t.Errorf("%s: a panic there is logged with its text", files.Position(call.Pos()))
			}
			return true
		})
		return nil
	})
	if err != nil || built < 4 {
		t.Errorf("%d controllers: %v", built, err)
	}
}

// names reports whether an expression is something of that name, of the package if one is given.
func names(e ast.Expr, pkg, name string) bool {
	selector, ok := e.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != name {
		return false
	}
	of, ok := selector.X.(*ast.Ident)
	return pkg == "" || ok && of.Name == pkg
}

package apierror_test

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/laidoulaile/channel-operator/test/env"
)

// Errors are logged as they are, and not as their text, of which the logger could not know any more that it
// is an API server's.
func TestNobodyLogsTheTextOfAnError(t *testing.T) {
	files, logged := token.NewFileSet(), 0
	err := filepath.WalkDir(env.MustRoot(t), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() && slices.Contains([]string{"bin", ".git", "hack", "test"}, entry.Name()) {
			return cmp.Or(err, fs.SkipDir)
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		lines, texts := textsLogged(file)
		logged += lines
		for _, text := range texts {
			t.Errorf("%s: pass the error itself", files.Position(text.Pos()))
		}
		return nil
	})
	if err != nil || logged < 30 {
		t.Errorf("%d lines are logged: %v", logged, err)
	}
}

// What is to be found is found, however it is written.
func TestTheTextOfAnErrorIsFound(t *testing.T) {
	const head, tail = "package p\nfunc f(err error) {\n", "\n}"
	for body, want := range map[string]int{
		`log.Info("text", "why", err.Error())`:                            1,
		`ctrl.LoggerFrom(ctx).Error(nil, err.Error())`:                    1,
		`log.WithValues("why", apierror.Plain(err).Error()).Info("text")`: 1,
		`log.V(1).Info("text", "why", "because " + err.Error())`:          1,
		`why := err.Error(); log.Info("text", "why", why)`:                1,
		`var why = err.Error(); log.Info("text", "why", why)`:             1,
		`log.Info("text", "why", fmt.Sprintf("%v", err))`:                 1,
		`log.Info("text", "why", fmt.Sprint(err))`:                        1,
		`log.Error(err, "text", "why", err)`:                              0,
		`why := err.Error(); remember(why); log.Info("text", "why", err)`: 0,
		`log.Info("text", "about", fmt.Sprint(about))`:                    0,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "f.go", head+body+tail, 0)
		if err != nil {
			t.Fatal(err)
		}
		if lines, texts := textsLogged(file); lines == 0 || len(texts) != want {
			t.Errorf("%s: %d of %d", body, len(texts), lines)
		}
	}
}

// textsLogged counts what a file logs, and gives what it logs there of errors' texts.
func textsLogged(file *ast.File) (lines int, texts []ast.Expr) {
	for _, declared := range file.Decls {
		named := textNames(declared)
		ast.Inspect(declared, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !slices.Contains([]string{"Info", "Error", "WithValues"}, method(call)) || len(call.Args) == 0 {
				return true
			}
			lines++
			for _, argument := range call.Args {
				ast.Inspect(argument, func(n ast.Node) bool {
					if e, ok := n.(ast.Expr); ok && isText(e, named) {
						texts = append(texts, e)
						return false
					}
					return true
				})
			}
			return true
		})
	}
	return lines, texts
}

// textNames are the variables that the text of an error is put into.
func textNames(within ast.Node) map[string]bool {
	named := map[string]bool{}
	put := func(name ast.Expr, value ast.Expr) {
		if to, ok := name.(*ast.Ident); ok && isText(value, nil) {
			named[to.Name] = true
		}
	}
	ast.Inspect(within, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for i := range min(len(n.Lhs), len(n.Rhs)) {
				put(n.Lhs[i], n.Rhs[i])
			}
		case *ast.ValueSpec:
			for i := range min(len(n.Names), len(n.Values)) {
				put(n.Names[i], n.Values[i])
			}
		}
		return true
	})
	return named
}

// isText reports whether an expression is an error's text: as it gives it, as a name for that, or printed.
func isText(e ast.Expr, named map[string]bool) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return named[e.Name]
	case *ast.CallExpr:
		if strings.HasPrefix(method(e), "Sprint") {
			return slices.ContainsFunc(e.Args, func(argument ast.Expr) bool {
				of, ok := argument.(*ast.Ident)
				return ok && of.Name == "err"
			})
		}
		return method(e) == "Error" && len(e.Args) == 0
	}
	return false
}

// method is the last name of what is called.
func method(call *ast.CallExpr) string {
	if selector, ok := call.Fun.(*ast.SelectorExpr); ok {
		return selector.Sel.Name
	}
	return ""
}

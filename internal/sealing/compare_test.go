package sealing_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// A Secret has no ==: it would not compile. Equal compares in constant time.
func TestSecretsAreNotComparable(t *testing.T) {
	if reflect.TypeFor[sealing.Secret]().Comparable() {
		t.Error("secrets can be compared by ==")
	}
}

// Two are equal where they are the same text to the byte, however they were made.
func TestEqual(t *testing.T) {
	long := strings.Repeat("s", 1000)
	for _, test := range []struct {
		one, other sealing.Secret
		want       bool
	}{
		{sealing.NewSecret("token"), sealing.NewSecret("to" + "ken"), true},
		{sealing.NewSecret(long), sealing.NewSecret(long), true},
		{sealing.NewSecret(""), sealing.NewSecret(""), true},
		{sealing.Secret{}, sealing.NewSecret(""), true},
		{sealing.NewSecret("\xff\x00"), sealing.NewSecret("\xff\x00"), true},
		{sealing.NewSecret("token"), sealing.NewSecret("tokem"), false},
		{sealing.NewSecret("token"), sealing.NewSecret("Token"), false},
		{sealing.NewSecret("token"), sealing.NewSecret("toke"), false},
		{sealing.NewSecret("token"), sealing.NewSecret("token\x00"), false},
		{sealing.NewSecret("token"), sealing.NewSecret(" token"), false},
		{sealing.NewSecret("token"), sealing.NewSecret(""), false},
		{sealing.NewSecret("token"), sealing.Secret{}, false},
		{sealing.NewSecret(long), sealing.NewSecret(long + "s"), false},
	} {
		if test.one.Equal(test.other) != test.want || test.other.Equal(test.one) != test.want {
			t.Errorf("%.10q and %.10q: want %v", test.one.Reveal(), test.other.Reveal(), test.want)
		}
	}
}

// What Equal hands to the compare is of one length whatever the secrets are: a compare of texts ends
// at once where their lengths differ, and so tells a length to who tries them all.
func TestEqualTellsNoLength(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "secret.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	compares := 0
	ast.Inspect(file, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok {
			return true
		}
		if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "ConstantTimeCompare" {
			return true
		}
		compares++
		for _, arg := range call.Args {
			if _, digest := arg.(*ast.SliceExpr); !digest {
				t.Error("a text is compared, not its digest")
			}
		}
		return true
	})
	if compares != 1 {
		t.Errorf("%d compares in constant time", compares)
	}
}

// guessed are names of what somebody could guess byte by byte if comparing took its time.
var guessed = regexp.MustCompile(`(?i)(sign|signature|token|secret|digest|mac|password)$`)

// Nothing that is secret, nor a sign or a token that came, is compared by == where time tells how
// much of it is right: neither in the server nor in an adapter, nor what Reveal gives anywhere.
func TestComparesTakeTheSameTime(t *testing.T) {
	files := 0
	for _, dir := range []string{"../../webhookserver", "../accounts", "../platform", "../sealing"} {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.Name() == "platformtest", entry.Name() == "golden":
				return fs.SkipDir // what tests use
			case entry.IsDir(), !strings.HasSuffix(path, ".go"), strings.HasSuffix(path, "_test.go"):
				return nil
			}
			files++
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, 0)
			if err != nil {
				return err
			}
			for _, at := range timed(file) {
				t.Errorf("%s: compare in constant time: sealing.Secret.Equal, or crypto/subtle", set.Position(at))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 40 {
		t.Errorf("only %d files", files)
	}
}

// The rule finds what it is to find, and leaves what is no secret.
func TestComparesThatTakeTheirTime(t *testing.T) {
	for line, found := range map[string]bool{
		`a.Reveal() == b`:                         true,
		`b != strings.TrimSpace(c["k"].Reveal())`: true,
		`sign == want`:                            true,
		`push.Query.Get("token") == want`:         true,
		`m.token != known`:                        true,
		`bytes.Equal(digest, sum)`:                true,
		`strings.EqualFold(sign, want)`:           true,
		`strings.ToLower(gotSign) == want`:        true,
		`oneSign == otherSign`:                    true,
		`slices.Contains(known, push.Token)`:      true,
		`sign == ""`:                              false,
		`a.Reveal() == ""`:                        false,
		`err == nil && sign != ""`:                false,
		`hmac.Equal(sign, want)`:                  false,
		`a.Secret.Equal(b)`:                       false,
		`strings.EqualFold(key, paramSign)`:       false,
		`len(token) == 32`:                        false,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "", "package p\nvar x = "+line, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(timed(file)) > 0; got != found {
			t.Errorf("%s: found %v, want %v", line, got, found)
		}
	}
}

// Where signs are compared, it is by what takes the same time, whatever the names are there.
func TestSignsAreComparedInConstantTime(t *testing.T) {
	for path, compare := range map[string]string{"../platform/douyin/sign.go": "sameSign", "../platform/sctt/sign.go": "equal"} {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(file.Decls, func(decl ast.Decl) bool { return answersByConstantTime(decl, compare) }) {
			t.Errorf("%s: %s does not return what crypto/subtle or hmac.Equal says", path, compare)
		}
	}
}

// answersByConstantTime reports whether it is the function of the name, and returns in one place only:
// what a compare in constant time says.
func answersByConstantTime(decl ast.Decl, name string) bool {
	f, ok := decl.(*ast.FuncDecl)
	if !ok || f.Name.Name != name {
		return false
	}
	returns, constant := 0, 0
	ast.Inspect(f, func(node ast.Node) bool {
		r, ok := node.(*ast.ReturnStmt)
		if !ok {
			return true
		}
		returns++
		said := r.Results[0]
		if compare, ok := said.(*ast.BinaryExpr); ok && compare.Op == token.EQL && literal(compare.Y) {
			said = compare.X // subtle says 1
		}
		if call, ok := said.(*ast.CallExpr); ok && inConstantTime(call.Fun) {
			constant++
		}
		return true
	})
	return returns == 1 && constant == 1
}

func inConstantTime(fun ast.Expr) bool {
	f, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	from, ok := f.X.(*ast.Ident)
	return ok && slices.Contains([]string{"subtle.ConstantTimeCompare", "hmac.Equal"}, from.Name+"."+f.Sel.Name)
}

// timed are the places in a file where something that could be guessed is compared in a time
// that tells how much of it is right.
func timed(file *ast.File) (places []token.Pos) {
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.BinaryExpr:
			if (n.Op == token.EQL || n.Op == token.NEQ) && !literal(n.X) && !literal(n.Y) && (guessable(n.X) || guessable(n.Y)) {
				places = append(places, n.Pos())
			}
		case *ast.CallExpr:
			if compares(n.Fun) && slices.ContainsFunc(n.Args, guessable) {
				places = append(places, n.Pos())
			}
		}
		return true
	})
	return places
}

// literal: what is compared with a text of the source, or nil, is not secret.
func literal(e ast.Expr) bool {
	name, isName := e.(*ast.Ident)
	_, isText := e.(*ast.BasicLit)
	return isText || isName && name.Name == "nil"
}

// compares reports whether a function compares in a time that depends on what it is given.
func compares(fun ast.Expr) bool {
	f, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	from, ok := f.X.(*ast.Ident)
	return ok && slices.Contains([]string{"bytes", "strings", "slices"}, from.Name) &&
		slices.Contains([]string{"Equal", "EqualFold", "Compare", "Contains", "Index", "HasPrefix", "HasSuffix"}, f.Sel.Name)
}

// guessable reports whether an expression is by its name something that could be guessed.
func guessable(e ast.Expr) bool {
	switch x := e.(type) {
	case *ast.Ident:
		return guessed.MatchString(x.Name) && !named.MatchString(x.Name)
	case *ast.SelectorExpr:
		return guessable(x.Sel)
	case *ast.BasicLit:
		return guessed.MatchString(strings.Trim(x.Value, "`\""))
	case *ast.IndexExpr:
		return guessable(x.X) || guessable(x.Index)
	case *ast.CallExpr:
		if f, ok := x.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Reveal" {
			return true
		}
		length, ok := x.Fun.(*ast.Ident)
		return (!ok || length.Name != "len") && slices.ContainsFunc(x.Args, guessable)
	}
	return false
}

// named are names of names: of headers, parameters and answers, and keys of Secrets.
var named = regexp.MustCompile(`^(param|header|code|key|name)`)

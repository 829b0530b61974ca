package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// What is traced or profiled leaves the process by a way that no redaction guards: nothing here
// does either, and metrics are the only way in.
func TestNothingIsTracedOrProfiled(t *testing.T) {
	read := 0
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (path == "bin" || path == "hack" || path == "test"):
			return fs.SkipDir
		case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		read++
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, imported := range file.Imports {
			of, err := strconv.Unquote(imported.Path.Value)
			if err != nil {
				return err
			}
			for _, leaks := range []string{"go.opentelemetry.io/", "runtime/trace", "runtime/pprof", "net/http/pprof", "k8s.io/component-base/tracing"} {
				if strings.HasPrefix(of, leaks) {
					t.Errorf("%s imports %s", path, of)
				}
			}
		}
		return nil
	})
	if at := managerOptions(options{}).PprofBindAddress; at != "" {
		t.Errorf("profiles are served at %q", at)
	}
	if err != nil || read < 50 {
		t.Errorf("%d files, %v", read, err)
	}
}

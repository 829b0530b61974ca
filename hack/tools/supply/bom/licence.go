package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/google/licensecheck"
)

// covered is the percentage of a licence file that must be the text of known licences:
// what pkg.go.dev asks for. Below it somebody has added terms that no list knows.
const covered = 75

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicen[cs]e)([-._].*)?$`)

// licencesIn finds all licences in a module's folder: also those of the code of others
// that it has copied into folders below. It passes over testdata, which is never linked.
// None at the top is an error.
func licencesIn(dir string) ([]string, error) {
	var all []string
	atTop := false
	err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "testdata":
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(entry.Name()) == ".go" || !licenceFile.MatchString(entry.Name()):
			return nil
		}
		found, err := licencesOf(file)
		all = append(all, found...)
		atTop = atTop || filepath.Dir(file) == dir
		return err
	})
	if err == nil && !atTop {
		err = fmt.Errorf("no licence file in %s", dir)
	}
	slices.Sort(all)
	return slices.Compact(all), err
}

// licencesOf recognises the licences in one file, and fails if too much of it is none.
func licencesOf(file string) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	coverage := licensecheck.Scan(text)
	if coverage.Percent < covered {
		return nil, fmt.Errorf("only %.0f%% of %s is a known licence", coverage.Percent, file)
	}
	var ids []string
	for _, match := range coverage.Match {
		ids = append(ids, match.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

package accounts_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

func openCopy(t testing.TB, dir, keyDir string) *accounts.Copy {
	t.Helper()
	opened, err := accounts.OpenCopy(dir, keyDir)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func origins() []accounts.Origin {
	return []accounts.Origin{{
		Namespace: "travel", Name: "main", UID: "u", Created: metav1.NewTime(time.Unix(1_700_000_000, 0)),
		Spec:    v1alpha1.ChannelSpec{Platform: v1alpha1.PlatformDouyin, Account: "20001", Sealing: v1alpha1.ChannelSealing{Recipients: []string{"age1x"}}},
		Secrets: map[string]map[string][]byte{"credentials": {"clientSecret": []byte(planted)}},
	}}
}

// written is a copy that holds something, and its file.
func written(t testing.TB) (dir, keyDir, path string) {
	t.Helper()
	dir, keyDir = t.TempDir(), t.TempDir()
	if err := openCopy(t, dir, keyDir).Write(origins()); err != nil {
		t.Fatal(err)
	}
	return dir, keyDir, filepath.Join(dir, accounts.CopyName)
}

// Whatever was written last is what another process reads.
func TestCopyHoldsWhatWasWritten(t *testing.T) {
	dir, keyDir := t.TempDir(), t.TempDir()
	text := rapid.StringMatching(`[a-z]{1,8}`)
	one := rapid.Custom(func(t *rapid.T) accounts.Origin {
		return accounts.Origin{Namespace: text.Draw(t, "namespace"), Name: text.Draw(t, "name"),
			Created: metav1.NewTime(time.Unix(rapid.Int64Range(0, 1<<32).Draw(t, "created"), 0)),
			Spec:    v1alpha1.ChannelSpec{Account: text.Draw(t, "account"), Suspend: rapid.Bool().Draw(t, "suspend")},
			Secrets: rapid.MapOfN(text, rapid.MapOfN(text, rapid.SliceOfN(rapid.Byte(), 1, 100), 1, 3), 1, 3).Draw(t, "secrets")}
	})
	writer := openCopy(t, dir, keyDir)
	rapid.Check(t, func(rt *rapid.T) {
		want := rapid.SliceOfN(one, 0, 4).Draw(rt, "channels")
		if err := writer.Write(want); err != nil {
			rt.Fatal(err)
		}
		got, err := openCopy(t, dir, keyDir).Read()
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Errorf("(-written +read):\n%s", diff)
		}
	})
}

// A file that was cut anywhere, changed anywhere, or sealed for another key is of no use, and
// says so; what is in it shows nowhere.
func TestCopyThatIsNotWhole(t *testing.T) {
	dir, keyDir, path := written(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(whole, []byte(planted)) || bytes.Contains(whole, []byte("20001")) {
		t.Error("the file can be read by anybody")
	}
	useless := func(what string, content []byte, keyDir string) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := openCopy(t, dir, keyDir).Read()
		if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, accounts.ErrNewerCopy) || len(got) > 0 {
			t.Errorf("%s: %v", what, err)
		}
		if err != nil && strings.Contains(err.Error(), planted) {
			t.Errorf("%s: the error shows a secret", what)
		}
	}
	for n := range whole {
		useless(fmt.Sprintf("cut after %d bytes", n), whole[:n], keyDir)
		changed := bytes.Clone(whole)
		changed[n] ^= 1
		useless(fmt.Sprintf("byte %d changed", n), changed, keyDir)
	}
	useless("a byte more", append(bytes.Clone(whole), 'x'), keyDir)
	useless("another key", whole, t.TempDir())
	for _, content := range []string{"", "null", "[]", "{}", `{"version":0}`, `{"version":"` + planted + `"}`, `{"version":1,"channels":"` + planted + `"}`} {
		useless("sealed: "+content, sealed(t, keyDir, content), keyDir)
	}
}

// sealed seals a text as the copy is.
func sealed(t testing.TB, keyDir, content string) []byte {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(keyDir, accounts.KeyName))
	if err != nil {
		t.Fatal(err)
	}
	text, err := sealing.SealFile([]byte(content), string(key))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestCopyThatIsMissing(t *testing.T) {
	if _, err := openCopy(t, t.TempDir(), t.TempDir()).Read(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestCopyThatIsTooLarge(t *testing.T) {
	dir, keyDir, path := written(t)
	if err := os.Truncate(path, 1<<40); err != nil {
		t.Fatal(err)
	}
	if _, err := openCopy(t, dir, keyDir).Read(); err == nil || !strings.Contains(err.Error(), "no copy has more") {
		t.Errorf("%v", err)
	}
}

func TestCopyOfANewerVersionIsNamedSo(t *testing.T) {
	dir, keyDir, path := written(t)
	if err := os.WriteFile(path, sealed(t, keyDir, `{"version":2,"channels":{"another":"shape"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openCopy(t, dir, keyDir).Read(); !errors.Is(err, accounts.ErrNewerCopy) {
		t.Errorf("%v", err)
	}
}

// The file is put in place of the last one only where it says something else, and whole:
// what a crash left beside it is in nobody's way.
func TestCopyIsWrittenWhereItDiffers(t *testing.T) {
	dir, keyDir, path := written(t)
	read := func() []byte {
		t.Helper()
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	first := read()
	again := openCopy(t, dir, keyDir)
	if _, err := again.Read(); err != nil {
		t.Fatal(err)
	}
	if err := again.Write(origins()); err != nil || !bytes.Equal(first, read()) {
		t.Errorf("the same was written again: %v", err)
	}
	if err := os.WriteFile(path+".new", []byte("left by a crash"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := again.Write(nil); err != nil || bytes.Equal(first, read()) {
		t.Errorf("a change was not written: %v", err)
	}
	for _, file := range []string{path, filepath.Join(keyDir, accounts.KeyName)} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.new")); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	// A write that fails leaves what was there, and is tried again the next time.
	second := read()
	if err := os.Mkdir(path+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path+".new", "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := again.Write(origins()); err == nil || !bytes.Equal(second, read()) {
		t.Errorf("it could not be written: %v", err)
	}
	if err := os.RemoveAll(path + ".new"); err != nil {
		t.Fatal(err)
	}
	if err := again.Write(origins()); err != nil || bytes.Equal(second, read()) {
		t.Errorf("it was not tried again: %v", err)
	}
}

// The key is made once. One that is none is replaced, for nothing can be opened with it; one
// that cannot be read is left alone.
func TestCopysKey(t *testing.T) {
	dir, keyDir, _ := written(t)
	key := filepath.Join(keyDir, accounts.KeyName)
	before, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	openCopy(t, dir, keyDir)
	if after, err := os.ReadFile(key); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the key was replaced: %v", err)
	}
	for _, none := range []string{"", "garbage", string(before[:len(before)/2])} {
		if err := os.WriteFile(key, []byte(none), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := openCopy(t, dir, keyDir).Write(origins()); err != nil {
			t.Errorf("with %d bytes of a key: %v", len(none), err)
		}
		if _, err := openCopy(t, dir, keyDir).Read(); err != nil {
			t.Errorf("with %d bytes of a key: %v", len(none), err)
		}
	}
	if _, err := accounts.OpenCopy(dir, filepath.Join(keyDir, "none")); err == nil {
		t.Error("a directory that is not there is no error")
	}
	if err := errors.Join(os.Remove(key), os.Mkdir(key, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := accounts.OpenCopy(dir, keyDir); err == nil {
		t.Error("a key that cannot be read is no error")
	}
}

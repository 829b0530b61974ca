package faults

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	corev1 "k8s.io/api/core/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
	"github.com/laidoulaile/channel-operator/test/env"
)

// planted begins every code, number and link of a voucher that the tests of this package
// invent; the telephone numbers are theirs too. None of them stands in a Secret.
const planted, plantedMobile, spacedMobile = "Zq7HushVx94K", "13912345678", "139 8765 4321"

// nowhere lists what may come to rest nowhere in clear, not even in a Secret.
var nowhere = []string{planted, plantedMobile, spacedMobile, platformtest.FliggyTravellerMobile, platformtest.FliggyTravellerCertificate,
	platformtest.FliggyTravellerName, platformtest.DouyinContactName, platformtest.DouyinContactPhone}

// sown is what the worlds of this run planted, until now: codes and links that no Secret has,
// and what stands in Secrets, or in the file of a key.
var sown struct {
	sync.Mutex
	made, kept []string
}

// planted is all that came to be planted in this run. What was made may stand in no Secret
// either; what is kept are keys, tokens, identities, and codes that were supplied.
func (w *world) planted() (made, kept []string) {
	w.Helper()
	sown.Lock()
	defer sown.Unlock()
	for _, list := range w.made {
		sown.made = append(sown.made, list()...)
	}
	var secrets corev1.SecretList
	if err := w.api.List(context.WithoutCancel(w.Context()), &secrets); err != nil {
		w.Error(err)
	}
	for i := range secrets.Items {
		sown.kept = append(sown.kept, valuesOf(&secrets.Items[i])...)
	}
	key, err := os.ReadFile(filepath.Join(cmp.Or(w.keys, w.journal), "copy.key"))
	if ignoreGone(err) != nil {
		w.Error(err)
	}
	sown.kept = append(sown.kept, secretLines(string(key))...)
	sown.made, sown.kept = distinct(sown.made), distinct(sown.kept)
	return slices.Concat(nowhere, sown.made), slices.Clone(sown.kept)
}

// distinct are the texts that are long enough to be sought, each once.
func distinct(texts []string) []string {
	texts = slices.DeleteFunc(texts, func(text string) bool { return len(text) < leastSought })
	return slices.Compact(slices.Sorted(slices.Values(texts)))
}

// bookkeeping are the keys of Secrets that hold no secret.
var bookkeeping = []string{"account", "issuedAt", "expiresAt"}

// showsNothing looks for secrets wherever something comes to rest: in etcd, in the journal
// and what lies beside it, in the metrics, and in what the managers logged. Besides what the
// tests planted, and what stands or stood in Secrets, it looks for others that stand in none.
func (w *world) showsNothing(others ...string) {
	w.Helper()
	made, kept := w.planted()
	others = slices.Concat(others, made)
	f := newFinder(slices.Concat(w.searchEtcd(others), others, kept)...)
	w.searchKept(f)
	w.searchMetrics(f)
}

// searchKept looks at what the managers themselves keep and log.
func (w *world) searchKept(f *finder) {
	w.Helper()
	w.searchFiles(f)
	w.mu.Lock()
	logs := slices.Clone(w.logs)
	w.mu.Unlock()
	for _, log := range logs {
		w.report("a log", f.in([]byte(log.String())))
	}
}

// searchMetrics looks at what the manager shows of itself, if it is up. It ends no test, so that
// it can be called when one is over.
func (w *world) searchMetrics(f *finder) {
	w.Helper()
	for deadline := time.Now().Add(eventually); w.isUp() == nil; time.Sleep(20 * time.Millisecond) {
		exposed, err := w.exposed()
		if err == nil {
			w.report("the metrics", f.in(exposed))
			return
		}
		if time.Now().After(deadline) {
			w.Error(err)
			return
		}
	}
}

// searchFiles looks at the journal and what lies beside it, but for the key of the copy of
// the accounts, which in production lies elsewhere.
func (w *world) searchFiles(f *finder) {
	w.Helper()
	if w.journal == "" {
		return
	}
	files, err := os.ReadDir(w.journal)
	if err != nil {
		w.Error(err)
	}
	for _, file := range files {
		if file.Name() == "copy.key" {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(w.journal, file.Name()))
		if ignoreGone(err) != nil {
			w.Error(err)
		}
		w.report("the file "+file.Name(), f.in(raw))
	}
}

// report fails the test if something was found.
func (w *world) report(where string, found []string) {
	w.Helper()
	for _, what := range found {
		w.Errorf("%s shows %s", where, what)
	}
}

// searchEtcd looks at the bytes of all files of etcd, and at every key but Secrets as it is
// and ever was, there also for what the Secrets hold, which it gives.
func (w *world) searchEtcd(others []string) (secrets []string) {
	w.Helper()
	_, dir := env.Etcd()
	f := newFinder(others...)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return ignoreGone(err)
		}
		raw, err := os.ReadFile(path)
		w.report("etcd's "+entry.Name(), f.in(raw))
		return ignoreGone(err)
	})
	if err != nil {
		w.Fatal(err)
	}
	kept := readEtcd(w)
	for _, one := range kept {
		if isSecret(one.key) {
			secrets = append(secrets, secretsIn(w, one.value)...)
		}
	}
	if len(secrets) == 0 || len(secrets) == len(kept) {
		w.Fatalf("%d values in Secrets, of %d keys in etcd", len(secrets), len(kept))
	}
	f = newFinder(slices.Concat(secrets, others)...)
	for _, one := range kept {
		if !isSecret(one.key) {
			w.report("the key "+one.key, f.in(one.value))
			w.report("the key "+one.key+", unpacked,", f.in(unzipped(one.value)))
		}
	}
	return secrets
}

// ignoreGone: a file that etcd took away meanwhile.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func isSecret(key string) bool { return strings.HasPrefix(key, "/registry/secrets/") }

// secretsIn are the values of a Secret as etcd has it, line by line. Their beginnings will
// do: who finds half a secret has found too much.
func secretsIn(t testing.TB, value []byte) []string {
	t.Helper()
	if !bytes.HasPrefix(value, []byte("k8s\x00")) {
		return nil // it was deleted
	}
	object, _, err := clientgoscheme.Codecs.UniversalDeserializer().Decode(value, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return valuesOf(object.(*corev1.Secret))
}

func valuesOf(secret *corev1.Secret) (values []string) {
	for key, data := range secret.Data {
		if !slices.Contains(bookkeeping, key) {
			values = append(values, secretLines(string(data))...)
		}
	}
	return values
}

// secretLines are the beginnings of the lines of what is secret.
func secretLines(text string) (lines []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); len(line) >= leastSought {
			lines = append(lines, line[:min(len(line), 24)])
		}
	}
	return lines
}

// unzipped is what was packed with gzip, at whatever place.
func unzipped(value []byte) []byte {
	i := bytes.Index(value, []byte("\x1f\x8b\x08"))
	if i < 0 {
		return nil
	}
	reader, err := gzip.NewReader(bytes.NewReader(value[i:]))
	if err != nil {
		return nil
	}
	content, _ := io.ReadAll(reader) // what follows it is no error of ours
	return content
}

// kept is one revision of one key.
type kept struct {
	key   string
	value []byte
}

// readEtcd reads all keys, with all revisions that were not compacted, from a snapshot.
func readEtcd(t testing.TB) []kept {
	t.Helper()
	file := filepath.Join(t.TempDir(), "snapshot")
	if err := os.WriteFile(file, snapshot(t), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var all []kept
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("key")).ForEach(func(_, raw []byte) error {
			one, err := readKept(bytes.Clone(raw))
			all = append(all, one)
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// snapshot is etcd's database as it is at one moment, by its HTTP gateway.
func snapshot(t testing.TB) []byte {
	t.Helper()
	address, _ := env.Etcd()
	response, err := http.Post(address+"/v3/maintenance/snapshot", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var whole []byte
	for parts := json.NewDecoder(response.Body); ; {
		var part struct {
			Result struct {
				Blob []byte `json:"blob"`
			} `json:"result"`
			Error any `json:"error"`
		}
		if err := parts.Decode(&part); errors.Is(err, io.EOF) {
			break
		} else if err != nil || part.Error != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("etcd's snapshot: status %d, %v, %v", response.StatusCode, err, part.Error)
		}
		whole = append(whole, part.Result.Blob...)
	}
	return whole[:len(whole)/512*512] // a checksum follows
}

// readKept reads etcd's KeyValue, a message of protobuf: 1 is the key, and 5 the value.
func readKept(raw []byte) (one kept, err error) {
	for len(raw) > 0 {
		tag, n := binary.Uvarint(raw)
		number, m := binary.Uvarint(raw[max(0, n):])
		if n <= 0 || m <= 0 {
			return one, fmt.Errorf("malformed KeyValue")
		}
		raw = raw[n+m:]
		if tag&7 == 0 {
			continue // a number
		}
		if tag&7 != 2 || uint64(len(raw)) < number {
			return one, fmt.Errorf("malformed KeyValue: tag %d", tag)
		}
		switch tag >> 3 {
		case 1:
			one.key = string(raw[:number])
		case 5:
			one.value = raw[:number]
		}
		raw = raw[number:]
	}
	return one, nil
}

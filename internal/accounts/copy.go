package accounts

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	copyName = "accounts.age"
	keyName  = "copy.key"
	// copyVersion is the format of the copy that this code writes, and the newest it reads.
	copyVersion = 1
	// maxCopy is how large a copy may be, in bytes: some ten thousand Channels are less.
	maxCopy = 64 << 20
)

// ErrNewerCopy is returned for a copy that a newer version of the manager has written.
var ErrNewerCopy = errors.New("the copy of the accounts was written by a newer version")

// Copy is a sealed file that holds what accounts are made from, so that a process that
// starts while the API server is away can receive. It is for one process at a time: the
// lock of the journal, in whose directory it lies, sees to that.
type Copy struct {
	sealing.Hidden

	dir string
	// key is the age identity it is sealed for: the manager's own, of no other use.
	key string
	// written is the hash of what the file is known to hold; zero if that is not known.
	written [sha256.Size]byte
}

// copied is the copy's content.
type copied struct {
	sealing.Unprinted

	Version  int      `json:"version"`
	Channels []origin `json:"channels"`
}

// origin is what one account was made from: all that it takes to receive, and no identity
// that opens what was sealed.
type origin struct {
	sealing.Unprinted

	Namespace string      `json:"namespace"`
	Name      string      `json:"name"`
	UID       types.UID   `json:"uid"`
	Created   metav1.Time `json:"created"`
	// Spec of the Channel, as it says it.
	Spec v1alpha1.ChannelSpec `json:"spec"`
	// Recipients that were sealed for, also where the Channel names none.
	Recipients []string `json:"recipients,omitempty"`
	// Secrets are keys and values by a Secret's name; empty for a Channel that could never
	// be loaded.
	Secrets map[string]map[string][]byte `json:"secrets,omitempty"`
}

// OpenCopy finds, or makes, the key in a directory that is there, for a copy in a directory
// that is there. A key that is none is replaced: what was sealed for it is lost, and is known
// again when the API server has answered. Errors are the file system's.
func OpenCopy(dir, keyDir string) (*Copy, error) {
	path := filepath.Join(keyDir, keyName)
	key, err := os.ReadFile(path)
	if err == nil {
		if _, bad := sealing.Recipients(string(key)); bad == nil {
			return &Copy{dir: dir, key: string(key)}, nil
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the key of the copy of the accounts: %w", err)
	}
	made, err := sealing.NewIdentity()
	if err == nil {
		err = writeWhole(keyDir, keyName, []byte(made+"\n"))
	}
	if err != nil {
		return nil, fmt.Errorf("make the key of the copy of the accounts: %w", err)
	}
	return &Copy{dir: dir, key: made}, nil
}

// read gives what the copy holds. Errors: fs.ErrNotExist, ErrNewerCopy, or why it cannot be
// read; none shows anything of what is in it.
func (c *Copy) read() ([]origin, error) {
	path := filepath.Join(c.dir, copyName)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxCopy {
		return nil, fmt.Errorf("%s has %d bytes, and no copy has more than %d", path, info.Size(), maxCopy)
	}
	sealed, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	content, err := sealing.OpenFile(sealed, c.key)
	if err != nil {
		return nil, fmt.Errorf("%s is cut, changed, or sealed for another key: %w", path, err)
	}
	var version struct{ Version int }
	if err := json.Unmarshal(content, &version); err != nil || version.Version < 1 {
		return nil, fmt.Errorf("%s holds no accounts", path) // the parser's words might quote it
	}
	if version.Version > copyVersion {
		return nil, fmt.Errorf("%w: its format is %d, and this one knows %d", ErrNewerCopy, version.Version, copyVersion)
	}
	var found copied
	if err := json.Unmarshal(content, &found); err != nil {
		return nil, fmt.Errorf("%s holds no accounts", path)
	}
	c.written = sha256.Sum256(content)
	return found.Channels, nil
}

// write replaces the copy, unless it holds just that. The channels must always come in the
// same order.
func (c *Copy) write(channels []origin) error {
	content, err := json.Marshal(copied{Version: copyVersion, Channels: channels})
	if err != nil {
		return fmt.Errorf("write the copy of the accounts: %w", err)
	}
	sum := sha256.Sum256(content)
	if sum == c.written {
		return nil
	}
	sealed, err := sealing.SealFile(content, c.key)
	if err == nil {
		err = writeWhole(c.dir, copyName, sealed)
	}
	if err != nil {
		return fmt.Errorf("write the copy of the accounts: %w", err)
	}
	c.written = sum
	return nil
}

// writeWhole makes a file, or puts another in its place, such that whatever happens one of
// the two is there, and whole. Nobody else may read it.
func writeWhole(dir, name string, content []byte) error {
	path := filepath.Join(dir, name)
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	opened, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(opened.Sync(), opened.Close())
}

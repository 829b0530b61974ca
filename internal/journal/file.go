package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const (
	fileName = "journal.db"
	newName  = fileName + ".new"
	// A file larger than compactAbove that is more than compactOver times what is in it is
	// written anew.
	compactAbove, compactOver = 32 << 20, 4
	compactTx                 = 1 << 20
)

// opened is a file that was found whole.
type opened struct {
	db    *bbolt.DB
	index *index
	torn  bool
}

// makeFile makes a journal's file if there is none. A new file is whole before it has its
// name, so that one that is not whole, or is empty, was damaged, never begun.
func makeFile(dir string) error {
	path := filepath.Join(dir, fileName)
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = replace(dir, initialise)
	}
	if err != nil {
		return fmt.Errorf("make the journal %s: %w", path, err)
	}
	return nil
}

// openFile opens a journal's file.
func openFile(options Options) (*opened, error) {
	dir, path := options.Dir, filepath.Join(options.Dir, fileName)
	found, size, err := settle(dir)
	if err != nil {
		return nil, fmt.Errorf("open the journal %s: %w", path, err)
	}
	if size > options.compactAbove && size > compactOver*found.index.bytes {
		if err := shrink(dir); err != nil {
			return nil, fmt.Errorf("write the journal %s anew: %w", path, err)
		}
	}
	if found.db, err = bolt(path); err != nil {
		return nil, fmt.Errorf("open the journal %s: %w", path, err)
	}
	return found, nil
}

// settle reads the whole file, and makes sure that what it read is on the disk. After a write
// whose fsync failed, the system may show a header that the disk does not have; pages that the
// disk's own header needs would be overwritten. So the headers are written once more.
func settle(dir string) (*opened, int64, error) {
	file, err := os.OpenFile(filepath.Join(dir, fileName), os.O_RDWR, 0)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	pages, err := readPages(file, info.Size())
	if err != nil {
		return nil, 0, err
	}
	index, err := readAll(pages)
	if err != nil {
		return nil, 0, err
	}
	headers := make([]byte, 2*pages.size)
	if _, err := file.ReadAt(headers, 0); err != nil {
		return nil, 0, err
	}
	if _, err := file.WriteAt(headers, 0); err != nil {
		return nil, 0, err
	}
	if err := errors.Join(file.Sync(), syncDir(dir)); err != nil {
		return nil, 0, err
	}
	return &opened{index: index, torn: pages.torn}, info.Size(), nil
}

// readAll makes the index, and checks all that was read.
func readAll(pages *pages) (*index, error) {
	buckets, err := pages.buckets()
	if err != nil {
		return nil, err
	}
	var total tally
	if err := readMeta(pages, buckets, &total); err != nil {
		return nil, err
	}
	index, found := newIndex(), tally{last: total.last}
	err = pages.each(buckets[string(bucketRecords)], func(key, value []byte) error {
		record, err := parseRecord(key, value)
		if err != nil || record.seq > total.last {
			return damaged(errRecord.Error())
		}
		found.add(binary.BigEndian.Uint32(value))
		index.add(record.seq, record.entry)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = pages.each(buckets[string(bucketAsides)], func(key, value []byte) error {
		sum, err := sealed(key, value)
		if err != nil || !index.setAside(binary.BigEndian.Uint64(key), string(value[sumSize:])) {
			return damaged(errRecord.Error())
		}
		found.add(sum)
		return nil
	})
	if err == nil && found != total {
		err = damaged(errTally.Error())
	}
	return index, err
}

func readMeta(pages *pages, buckets map[string][]byte, total *tally) error {
	meta := map[string][]byte{}
	err := pages.each(buckets[string(bucketMeta)], func(key, value []byte) error {
		meta[string(key)] = value
		return nil
	})
	if err != nil {
		return err
	}
	written := meta[string(keyVersion)]
	if len(written) != 4 || binary.BigEndian.Uint32(written) == 0 {
		return damaged("it has no version")
	}
	if v := binary.BigEndian.Uint32(written); v > version {
		return fmt.Errorf("%w (its layout is %d, this version knows %d)", ErrNewer, v, version)
	}
	if *total, err = parseTally(meta[string(keyTally)]); err != nil {
		return damaged(err.Error())
	}
	return nil
}

func damaged(why string) error { return fmt.Errorf("%w (%s)", ErrDamaged, why) }

// bolt opens a database whose free pages are found by reading it: kept in the file, each write
// would write all of them.
func bolt(path string) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, NoStatistics: true,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, ErrLocked
	}
	return db, err
}

// replace makes a database under another name and gives it the journal's when it is whole and
// on the disk.
func replace(dir string, write func(*bbolt.DB) error) error {
	path := filepath.Join(dir, newName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bolt(path)
	if err != nil {
		return err
	}
	db.NoSync = true
	if err := errors.Join(write(db), db.Sync(), db.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	if err := os.Rename(path, filepath.Join(dir, fileName)); err != nil {
		return err
	}
	return syncDir(dir)
}

func initialise(db *bbolt.DB) error {
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketRecords, bucketAsides} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(bucketMeta)
		return errors.Join(
			meta.Put(keyVersion, binary.BigEndian.AppendUint32(nil, version)),
			meta.Put(keyTally, new(tally).bytes()))
	})
}

// shrink writes the file anew without its free pages. Where there is no room for that, the old
// one stays.
func shrink(dir string) error {
	old, err := bolt(filepath.Join(dir, fileName))
	if err != nil {
		return err
	}
	defer func() { _ = old.Close() }()
	err = replace(dir, func(db *bbolt.DB) error { return bbolt.Compact(db, old, compactTx) })
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return nil
	}
	return err
}

// makeDir makes a directory, and those above it, that are there after a crash too.
func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lockFile locks a file of its own, since the journal's may be replaced.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the journal: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return file, nil
}

// unlockFile says so, because a child that is just being started may hold the file too.
func unlockFile(file *os.File) error {
	return errors.Join(syscall.Flock(int(file.Fd()), syscall.LOCK_UN), file.Close())
}

package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// bbolt trusts its file: what is wrong in it ends the process, with a fault in a goroutine of
// bbolt's own or with an endless recursion (its Check too). So the file is read here first,
// with plain reads, and every number in it is checked before use. What is told of the layout
// (version 2 of bbolt's; the byte order is the machine's):
//
//	page    id 8, flags 2, count 2, overflow 4, then elements and what they point to
//	header  magic 4, version 4, page size 4, flags 4, root 8+8, freelist 8, pages 8, tx 8, checksum 8
//	branch  element: position 4 (from itself), key size 4, page 8
//	leaf    element: flags 4, position 4 (from itself), key size 4, value size 4
//	bucket  a leaf's value: root page 8, sequence 8, and if the root is 0 a leaf page
const (
	pageHead, headerSize       = 16, 64
	magic, layout              = 0xED0CDAED, 2
	branchPage, leafPage       = 1, 2
	branchElement, leafElement = 16, 16
	bucketFlag, bucketHead     = 1, 16
	noFreelist                 = 1<<64 - 1
	smallestPage, biggestPage  = 1 << 10, 1 << 24
)

var order = binary.NativeEndian

// pages reads a bbolt file.
type pages struct {
	file io.ReaderAt
	size int64  // of a page
	root uint64 // page
	seen []bool // the pages read; each belongs in one place
	torn bool   // one of the two headers is not valid
}

type header struct{ size, root, freelist, pages, tx uint64 }

// readHeader gives false if there is no valid header at an offset.
func readHeader(file io.ReaderAt, at int64) (h header, valid bool, err error) {
	b := make([]byte, pageHead+headerSize)
	if n, err := file.ReadAt(b, at); n < len(b) {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return h, false, err
	}
	b = b[pageHead:]
	sum := fnv.New64a()
	_, _ = sum.Write(b[:56])
	if order.Uint32(b) != magic || order.Uint32(b[4:]) != layout || order.Uint64(b[56:]) != sum.Sum64() {
		return h, false, nil
	}
	return header{
		size: uint64(order.Uint32(b[8:])), root: order.Uint64(b[16:]), freelist: order.Uint64(b[32:]),
		pages: order.Uint64(b[40:]), tx: order.Uint64(b[48:]),
	}, true, nil
}

// newest is the header that counts: the valid one of the two with the greater transaction.
func newest(file io.ReaderAt) (h header, torn bool, err error) {
	h, valid, err := readHeader(file, 0)
	first, last := int64(smallestPage), int64(biggestPage)
	if valid {
		first, last = int64(h.size), int64(h.size) //nolint:gosec // 32 bits
	}
	for size := first; err == nil && size <= last; size *= 2 {
		second, found, failed := readHeader(file, size)
		err = failed
		if found && second.size == uint64(size) {
			if !valid || second.tx > h.tx {
				h = second
			}
			return h, !valid, err
		}
	}
	if err == nil && !valid {
		err = damaged("neither of its headers is valid")
	}
	return h, true, err
}

func readPages(file io.ReaderAt, size int64) (*pages, error) {
	h, torn, err := newest(file)
	if err != nil {
		return nil, err
	}
	if h.size < smallestPage || h.size > biggestPage || h.pages > uint64(size)/h.size { //nolint:gosec // a file's size
		return nil, damaged(fmt.Sprintf("it should have %d pages of %d bytes, and has %d bytes", h.pages, h.size, size))
	}
	if h.pages < 3 || h.freelist != noFreelist {
		return nil, damaged("it is no journal")
	}
	return &pages{file: file, size: int64(h.size), root: h.root, seen: make([]bool, h.pages), torn: torn}, nil
}

// buckets are the buckets at the root, by name.
func (p *pages) buckets() (map[string][]byte, error) {
	buckets := map[string][]byte{}
	err := p.tree(p.root, span{}, func(name, value []byte, flags uint32) error {
		if flags != bucketFlag || len(value) < bucketHead {
			return damaged("what should be a bucket is none")
		}
		buckets[string(name)] = value
		return nil
	})
	return buckets, err
}

// each visits the keys and values of a bucket in order. A bucket that is not there is damage.
func (p *pages) each(bucket []byte, visit func(key, value []byte) error) error {
	if bucket == nil {
		return damaged("a bucket is missing")
	}
	visitValue := func(key, value []byte, flags uint32) error {
		if flags != 0 {
			return damaged("what should be a value is none")
		}
		return visit(key, value)
	}
	if root := order.Uint64(bucket); root != 0 {
		return p.tree(root, span{}, visitValue)
	}
	page := bucket[bucketHead:]
	if len(page) < pageHead || order.Uint16(page[8:]) != leafPage {
		return damaged("a bucket is not what it should be")
	}
	return leaf(page, span{}, visitValue)
}

// span is where a page's keys must be; nil is unbounded.
type span struct{ from, below []byte }

func (s span) has(key []byte) bool {
	return bytes.Compare(key, s.from) >= 0 && (s.below == nil || bytes.Compare(key, s.below) < 0)
}

type visitor func(key, value []byte, flags uint32) error

// tree visits what is under a page.
func (p *pages) tree(id uint64, keys span, visit visitor) error {
	page, err := p.page(id)
	if err != nil {
		return err
	}
	switch order.Uint16(page[8:]) {
	case branchPage:
		return p.branch(page, keys, visit)
	case leafPage:
		return leaf(page, keys, visit)
	default:
		return damaged(fmt.Sprintf("page %d is of no known kind", id))
	}
}

// page reads a page, which nothing may have read before.
func (p *pages) page(id uint64) ([]byte, error) {
	total := uint64(len(p.seen))
	if id < 2 || id >= total {
		return nil, damaged(fmt.Sprintf("there is no page %d", id))
	}
	head := make([]byte, pageHead)
	if _, err := p.file.ReadAt(head, int64(id)*p.size); err != nil { //nolint:gosec // within the file
		return nil, err
	}
	count := 1 + uint64(order.Uint32(head[12:]))
	if order.Uint64(head) != id || id+count > total {
		return nil, damaged(fmt.Sprintf("page %d is not what it should be", id))
	}
	for i := id; i < id+count; i++ {
		if p.seen[i] {
			return nil, damaged(fmt.Sprintf("page %d is in two places", i))
		}
		p.seen[i] = true
	}
	page := make([]byte, int64(count)*p.size)       //nolint:gosec // within the file
	_, err := p.file.ReadAt(page, int64(id)*p.size) //nolint:gosec // within the file
	return page, err
}

// elements gives those of a page, each with all that follows it.
func elements(page []byte, size int) ([][]byte, error) {
	count := int(order.Uint16(page[10:]))
	if pageHead+count*size > len(page) {
		return nil, damaged("a page has more elements than room")
	}
	all := make([][]byte, count)
	for i := range all {
		all[i] = page[pageHead+i*size:]
	}
	return all, nil
}

// cut takes so many bytes out of an element.
func cut(element []byte, position, size uint64) ([]byte, error) {
	if position+size > uint64(len(element)) {
		return nil, damaged("an element reaches out of its page")
	}
	return element[position : position+size : position+size], nil
}

func (p *pages) branch(page []byte, keys span, visit visitor) error {
	all, err := elements(page, branchElement)
	if err != nil {
		return err
	}
	starts := make([][]byte, len(all))
	for i, e := range all {
		if starts[i], err = cut(e, uint64(order.Uint32(e)), uint64(order.Uint32(e[4:]))); err != nil {
			return err
		}
		if !keys.has(starts[i]) {
			return damaged("keys are not in order")
		}
	}
	for i, e := range all {
		below := keys.below
		if i+1 < len(all) {
			below = starts[i+1]
		}
		if err := p.tree(order.Uint64(e[8:]), span{from: starts[i], below: below}, visit); err != nil {
			return err
		}
	}
	return nil
}

func leaf(page []byte, keys span, visit visitor) error {
	all, err := elements(page, leafElement)
	if err != nil {
		return err
	}
	for i, e := range all {
		position, size, rest := uint64(order.Uint32(e[4:])), uint64(order.Uint32(e[8:])), uint64(order.Uint32(e[12:]))
		key, err := cut(e, position, size)
		if err != nil {
			return err
		}
		value, err := cut(e, position+size, rest)
		if err != nil {
			return err
		}
		if !keys.has(key) || i > 0 && bytes.Equal(key, keys.from) {
			return damaged("keys are not in order")
		}
		if err := visit(key, value, order.Uint32(e)); err != nil {
			return err
		}
		keys.from = key
	}
	return nil
}

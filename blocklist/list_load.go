package blocklist

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// smallList is up to how many entries a list may shrink at will.
const smallList = 100

// version is a list that was read, and may come into force.
type version struct {
	set    *Set
	report Report
	sum    string // SHA-256 of the file
	empty  bool   // the file has no octet
}

// load puts the file in force; asked tells that somebody wants it, however much
// it has shrunk. l.mu is held.
func (l *List) load(asked bool) error {
	start := time.Now()
	v, err := l.read(l.cfg.File)
	if err == nil && !asked {
		err = l.plausible(v)
	}
	l.settle(v, err, start)
	return err
}

// settle puts v in force, unless there is an error, and reports it.
func (l *List) settle(v version, err error, start time.Time) {
	e := ListEvent{Kind: ListKept, Report: v.report, Err: err, Duration: time.Since(start)}
	if err == nil {
		l.set.Store(v.set)
		e.Kind = ListLoaded
	}
	l.observe(e)
}

// plausible reports why v should not take the place of what is in force.
func (l *List) plausible(v version) error {
	was, is := l.Set().Len(), v.set.Len()
	switch {
	case v.empty && was > 0:
		return fmt.Errorf("blocklist: %s: is empty: a list of nothing has a comment", l.cfg.File)
	case was >= smallList && float64(is) < l.cfg.MinShare*float64(was):
		return fmt.Errorf("blocklist: %s: has %d entries where it had %d", l.cfg.File, is, was)
	}
	return nil
}

// named is err with the list's name, which errors of lines have already.
func (l *List) named(err error) error {
	if strings.HasPrefix(err.Error(), "blocklist: ") {
		return err
	}
	return fmt.Errorf("blocklist: %s: %w", l.cfg.Name, err)
}

var errWritten = errors.New("was written to while it was read")

// read reads a file. Who writes to it in place is waited for a little.
func (l *List) read(name string) (v version, err error) {
	for range 5 {
		if v, err = l.readOnce(name); !errors.Is(err, errWritten) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return v, err
}

func (l *List) readOnce(name string) (v version, err error) {
	fail := func(err error) (version, error) { return v, l.named(err) }
	if info, err := os.Stat(name); err != nil {
		return fail(err)
	} else if !info.Mode().IsRegular() { // opening a pipe may wait for ever
		return fail(fmt.Errorf("%s is no regular file", name))
	}
	f, err := os.Open(name)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return fail(err)
	}
	b := Builder{Delimiters: l.cfg.Delimiters}
	sum := sha256.New()
	v.report, err = Parse(io.TeeReader(f, sum), l.cfg.Parse, b.Add)
	after, statErr := f.Stat()
	switch {
	case statErr != nil:
		return fail(statErr)
	case after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()):
		return fail(fmt.Errorf("%s %w", name, errWritten))
	case err != nil:
		return v, err
	}
	v.set, v.empty, v.sum = b.Set(), before.Size() == 0, hex.EncodeToString(sum.Sum(nil))
	return v, nil
}

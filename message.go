package smtpguard

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// Message is the content of one transaction, spooled whole before any check
// sees it: a header section and a body, as RFC 5322, section 2.1, divides them.
//
// What checks read is always the content as it was received (where
// [OctetsNormalize] is the policy, as normalised). Edits ([Message.Prepend],
// [Message.Strip], [Message.Sign]) are collected and show only in what the
// backend reads. All methods are safe for concurrent use.
//
// A Message lives as long as its transaction. A hook that outlives its
// deadline may still hold it: it then reads errors that wrap [fs.ErrClosed].
type Message struct {
	c        *content
	borrowed bool // c belongs to another Message
	edits    edits
}

// Size is the number of octets of the content as received.
func (m *Message) Size() int64 { return m.c.size }

// ReadAt reads the content as received: [io.ReaderAt]. After the transaction
// its error wraps [fs.ErrClosed].
func (m *Message) ReadAt(p []byte, off int64) (int, error) { return m.c.ReadAt(p, off) }

// Open returns a reader of its own over the content as received, from its
// start.
func (m *Message) Open() *io.SectionReader { return io.NewSectionReader(m, 0, m.Size()) }

// BodyOffset is where the body begins: behind the empty line that ends the
// header section, or at the first line that is neither a field nor the
// continuation of one (as Postfix and Exim read it; the backend then reads an
// empty line before it), or at Size when the content is all header section.
func (m *Message) BodyOffset() int64 { return m.c.scan.bodyStart }

// shadow is m for a check whose edits shall not count.
func (m *Message) shadow() *Message { return &Message{c: m.c, borrowed: true} }

// close gives memory, file and budget back, as soon as nobody is in the middle
// of a read; it waits for nobody. More calls do nothing.
func (m *Message) close() {
	if !m.borrowed {
		m.c.close()
	}
}

// content is spooled octets, in memory or in a file.
type content struct {
	sp   *spooler
	size int64
	scan scanner

	mu      sync.Mutex
	buf     *buffer // nil when file has the content
	file    *os.File
	path    string // of a file that could not be unlinked while open
	refs    int    // readers at work
	closed  bool
	header  []Field // made at first use
	charged int64   // octets of the budget that header costs
}

var errClosed = fmt.Errorf("smtpguard: message of a transaction that is over: %w", fs.ErrClosed)

// hold keeps memory and file from being given back until release.
func (c *content) hold() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	c.refs++
	return nil
}

func (c *content) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refs--
	if c.closed && c.refs == 0 {
		c.free()
	}
}

func (c *content) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		if c.refs == 0 {
			c.free()
		}
	}
}

// free gives everything back. Callers hold c.mu, or are alone.
func (c *content) free() {
	c.sp.put(c.buf)
	c.sp.used.Add(-c.charged)
	if c.file != nil {
		c.file.Close()
		if c.path != "" {
			os.Remove(c.path)
		}
	}
	c.buf, c.file, c.path, c.charged = nil, nil, "", 0
}

func (c *content) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("smtpguard: ReadAt: negative offset %d", off)
	}
	if err := c.hold(); err != nil {
		return 0, err
	}
	defer c.release()
	if off >= c.size {
		return 0, io.EOF
	}
	want := p
	if rest := c.size - off; int64(len(p)) > rest {
		want = p[:rest]
	}
	n, err := c.readHeld(want, off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// readHeld fills p, which must lie inside the content. Callers hold c.
func (c *content) readHeld(p []byte, off int64) (int, error) {
	if c.buf != nil {
		return copy(p, c.buf.b[off:c.size]), nil
	}
	n, err := c.file.ReadAt(p, off)
	switch {
	case n == len(p):
		err = nil
	case err == io.EOF: // somebody shortened the file: no end of content
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		err = fmt.Errorf("smtpguard: spool: %w", err)
	}
	return n, err
}

package mailsig

import (
	"bytes"
	"errors"
	"io"
)

// ErrBareCR is of a CR that no LF follows.
var ErrBareCR = errors.New("bare CR")

// CRLF returns a reader of what r has, with CRLF for every LF that has no CR. A CR
// without LF is ErrBareCR.
func CRLF(r io.Reader) io.Reader { return &crlf{r: r, buf: make([]byte, 16<<10)} }

type crlf struct {
	r   io.Reader
	buf []byte
	in  []byte // in buf: what has been read
	err error  // what comes behind in
	cr  bool   // the octet before in was a CR, and is held back
	lf  bool   // an LF is to come before in
}

func (c *crlf) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if c.lf {
			p[n], c.lf = '\n', false
			n++
			continue
		}
		if len(c.in) == 0 {
			if n > 0 {
				return n, nil
			}
			if err := c.fill(); err != nil {
				return 0, err
			}
			continue
		}
		if c.cr {
			if c.cr = false; c.in[0] != '\n' {
				c.in, c.err = nil, ErrBareCR
				continue
			}
		} else if m := copy(p[n:], c.run()); m > 0 {
			n += m
			c.in = c.in[m:]
			continue
		}
		if c.in[0] == '\r' {
			c.cr = true
		} else {
			p[n], c.lf = '\r', true
			n++
		}
		c.in = c.in[1:]
	}
	return n, nil
}

// run is what in has before the next CR or LF.
func (c *crlf) run() []byte {
	run := c.in
	if i := bytes.IndexByte(run, '\n'); i >= 0 {
		run = run[:i]
	}
	if i := bytes.IndexByte(run, '\r'); i >= 0 {
		run = run[:i]
	}
	return run
}

// fill reads more.
func (c *crlf) fill() error {
	if c.err != nil {
		return c.err
	}
	var n int
	n, c.err = c.r.Read(c.buf)
	c.in = c.buf[:n]
	if n == 0 && c.err == io.EOF && c.cr {
		c.err = ErrBareCR
	}
	return nil
}

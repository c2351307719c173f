package blocklist

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

var errLongLine = errors.New("is too long")

// lineReader reads a file line by line and never holds more of it than one.
type lineReader struct {
	r      *bufio.Reader
	number int // of the line that next returned, from 1
}

// newLineReader reads r, unpacking it where it is gzip. A line over maxLine
// octets is an error of its own, more than maxBytes in all end the reading.
func newLineReader(r io.Reader, maxLine int, maxBytes int64) (*lineReader, error) {
	size := max(maxLine+2, 16) // the smallest that bufio has
	packed := bufio.NewReaderSize(&capped{r: r, left: maxBytes, max: maxBytes}, size)
	magic, err := packed.Peek(2)
	if err != nil && err != io.EOF {
		return nil, err
	}
	l := &lineReader{r: packed}
	if bytes.Equal(magic, []byte{0x1f, 0x8b}) { // RFC 1952, section 2.3.1
		unpacked, err := gzip.NewReader(packed)
		if err != nil {
			return nil, err
		}
		l.r = bufio.NewReaderSize(&capped{r: unpacked, left: maxBytes, max: maxBytes}, size)
	}
	if mark, _ := l.r.Peek(3); string(mark) == "\ufeff" { // a byte order mark
		l.r.Discard(3)
	}
	return l, nil
}

// next returns the next line without its end, io.EOF after the last one. After
// errLongLine it goes on with the line behind.
func (l *lineReader) next() (string, error) {
	l.number++
	line, err := l.r.ReadSlice('\n')
	if err == io.EOF && len(line) > 0 {
		err = nil
	}
	for long := false; ; long = true {
		switch {
		case err == bufio.ErrBufferFull:
			_, err = l.r.ReadSlice('\n')
			continue
		case err != nil && err != io.EOF:
			return "", err
		case long:
			return "", errLongLine
		case err != nil:
			return "", err
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		return string(bytes.TrimSuffix(line, []byte("\r"))), nil
	}
}

// capped is a reader that fails where there is more than left octets.
type capped struct {
	r         io.Reader
	left, max int64
}

func (c *capped) Read(p []byte) (int, error) {
	if int64(len(p))-1 > c.left { // one more tells the end from the limit
		p = p[:c.left+1]
	}
	n, err := c.r.Read(p)
	if int64(n) > c.left {
		return int(c.left), fmt.Errorf("is over %d octets", c.max)
	}
	c.left -= int64(n)
	return n, err
}

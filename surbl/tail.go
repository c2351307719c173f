package surbl

import (
	"bytes"
	"io"
)

// tail is the body of a multipart, and remembers where the octets went that were
// read last. Its reader has no use for them once it has seen the last boundary,
// and they stay there.
type tail struct {
	r    io.Reader
	last []byte
}

func (t *tail) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if n > 0 {
		t.last = p[:n]
	}
	return n, err
}

// goesOn reports whether parts begin behind the last boundary, which some
// clients show. It reads what is left, in room.
func (t *tail) goesOn(boundary string, room []byte) bool {
	begins := []byte("\n--" + boundary)
	if boundary == "" || len(begins) > 100 {
		return false
	}
	_, after, ok := bytes.Cut(t.last, []byte("--"+boundary+"--"))
	if !ok {
		after = t.last // the end of that boundary, and what is behind it
	}
	n, err := copy(room, after[max(0, len(after)-len(room)):]), error(nil)
	for {
		if bytes.Contains(room[:n], begins) {
			return true
		}
		if err != nil {
			return false
		}
		n = copy(room, room[max(0, n-len(begins)):n])
		n, err = fill(t.r, room, n)
	}
}

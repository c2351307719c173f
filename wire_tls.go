package smtpguard

import (
	"crypto/tls"
	"io"
)

// tlsRecords follows the headers of the TLS records that a client sends (RFC
// 8446, section 5.1): one octet of type, two of version, two of length.
type tlsRecords struct {
	header [5]byte
	have   int // octets of the header
	left   int // octets of the record's fragment still to come
}

const (
	recordAlert = 21
	recordData  = 23
	alertLength = 19 // of an encrypted TLS 1.3 alert: two octets, the type, a tag of 16 (RFC 8446, section 5.2)
)

// pass looks at octets of the stream.
func (r *tlsRecords) pass(p []byte) {
	for len(p) > 0 {
		if r.left > 0 {
			n := min(r.left, len(p))
			r.left -= n
			p = p[n:]
			continue
		}
		if r.have == len(r.header) {
			r.have = 0
		}
		n := copy(r.header[r.have:], p)
		r.have += n
		p = p[n:]
		if r.have == len(r.header) {
			r.left = r.length()
		}
	}
}

// want is how many of n octets may be read without reaching into the record
// after this one.
func (r *tlsRecords) want(n int) int {
	if r.left > 0 {
		return min(n, r.left)
	}
	return min(n, len(r.header)-r.have%len(r.header))
}

func (r *tlsRecords) length() int { return int(r.header[3])<<8 | int(r.header[4]) }

// alert reports whether the last record may be an alert: in TLS 1.3 its true
// type is encrypted.
func (r *tlsRecords) alert() bool {
	if r.have < len(r.header) {
		return false
	}
	return r.header[0] == recordAlert || r.header[0] == recordData && r.length() == alertLength
}

// truncated reports whether the client ended the connection in the middle of a
// BDAT chunk, which go-smtp takes for the end of the message. It is called after
// the end of the content, while go-smtp waits for the reply, so that nobody
// else reads; tc is the TLS connection, nil in clear text.
func (w *wire) truncated(tc *tls.Conn) bool {
	w.mu.Lock()
	ended := w.err != nil || w.dead != nil // or else before the end of the line that said LAST
	probe := !ended && tc != nil && w.records.alert()
	w.probing = probe
	w.mu.Unlock()
	if !probe {
		return ended
	}
	// While probing, Read gives a timeout, which TLS does not remember: what
	// comes out now was in TLS before.
	n, err := tc.Read(make([]byte, 1))
	w.mu.Lock()
	w.probing = false
	w.mu.Unlock()
	if n > 0 {
		w.hangUp() // the octet began the next command, and is lost to it
	}
	return n == 0 && err == io.EOF
}

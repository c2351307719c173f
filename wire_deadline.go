package smtpguard

import (
	"io"
	"time"

	"github.com/emersion/go-smtp"
)

// readDeadlines is what bounds the reads of a connection.
type readDeadlines struct {
	end    time.Time     // of the connection's lifetime
	asked  time.Time     // what go-smtp wants, for command lines
	armed  time.Time     // what the socket has
	began  time.Time     // the content
	octets int64         // of it, or of its ciphertext, so far
	limit  time.Duration // of one wait for the client, where that is shorter; 0 is none
	mode   bodyMode
	bdats  int // transfers under way: one, and for a moment those aborted before it
}

type bodyMode uint8

const (
	noBody   bodyMode = iota
	dataBody          // until go-smtp asks for a command line
	bdatBody          // until leaveBody: commands come in between
)

// within returns t, or what ends before it: the connection's lifetime, the
// client's patience. The zero t means never.
func (d *readDeadlines) within(t time.Time) time.Time {
	if t.IsZero() || d.end.Before(t) {
		t = d.end
	}
	if d.limit > 0 {
		if hurried := time.Now().Add(d.limit); hurried.Before(t) {
			return hurried
		}
	}
	return t
}

// hurry sets the limit, for the wait under way too: that only ever gets shorter.
func (w *wire) hurry(limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadlines.limit = limit
	if d := &w.deadlines; limit > 0 && !d.armed.IsZero() {
		if t := d.within(d.armed); t.Before(d.armed) {
			w.arm(t)
		}
	}
}

// sliding is when the content has to go on at the latest.
func (d *readDeadlines) sliding(now time.Time, cfg *ListenConfig) time.Time {
	t := now.Add(cfg.BodyTimeout)
	owed := time.Duration(float64(d.octets) / float64(cfg.MinRate) * float64(time.Second))
	if due := d.began.Add(rateGrace + owed); due.Before(t) {
		t = due
	}
	return d.within(t)
}

// cut is the error of a Read that failed with err. go-smtp answers a failed BDAT
// chunk with the error itself, and with its text.
func (d *readDeadlines) cut(err error) error {
	if d.mode == bdatBody && err != io.EOF {
		return reply(421, smtp.EnhancedCode{4, 4, 2}, "Message not received whole")
	}
	return err
}

// SetReadDeadline sets the deadline for the next command line and ends content
// that is not BDAT's: go-smtp calls it before each command line, and only then.
// It fails when the connection is to run no more commands, and never brings a
// failed one back.
func (w *wire) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead != nil {
		return w.dead
	}
	w.wanted = true
	w.deadlines.asked = t
	if w.deadlines.mode == bdatBody {
		w.slide()
		return nil
	}
	w.deadlines.mode = noBody
	return w.arm(w.deadlines.within(t))
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (w *wire) SetDeadline(t time.Time) error {
	if err := w.SetReadDeadline(t); err != nil {
		return err
	}
	return w.SetWriteDeadline(t)
}

// arm sets the socket's read deadline, unless nothing is to be read any more.
// Callers hold w.mu.
func (w *wire) arm(t time.Time) error {
	if w.err != nil || w.dead != nil {
		return nil
	}
	w.deadlines.armed = t
	return w.Conn.SetReadDeadline(t)
}

// slide moves the deadline of content on. Setting one is costly, so it waits
// until an eighth of what would be gained is there to gain: a client gets seven
// eighths of its time at least. Callers hold w.mu.
func (w *wire) slide() {
	d := &w.deadlines
	if d.mode == noBody {
		return
	}
	now := time.Now()
	if t := d.sliding(now, &w.listener.cfg); t.Sub(d.armed) > t.Sub(now)/8 || d.armed.After(t) {
		w.arm(t)
	}
}

// enterBody says that content comes: of DATA, which ends when go-smtp asks for
// the next command, or of BDAT, which ends with leaveBody.
func (w *wire) enterBody(bdat bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := &w.deadlines
	mode := dataBody
	if bdat {
		mode = bdatBody
		d.bdats++
		if d.mode == dataBody {
			return // this transfer was aborted before it began
		}
	}
	d.began, d.octets, d.mode = time.Now(), 0, mode
	if bdat {
		w.slide() // go-smtp may be reading already
	}
}

// leaveBody ends the content of BDAT.
func (w *wire) leaveBody() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.deadlines.bdats--; w.deadlines.bdats == 0 && w.deadlines.mode == bdatBody { // DATA may follow an abort
		w.deadlines.mode = noBody
		w.arm(w.deadlines.within(w.deadlines.asked))
	}
}

package smtpguard

import (
	"net"
	"os"
	"time"
)

// What the session layer calls.

// hangUp makes the reply that is being returned the last one: go-smtp writes
// it, finds the connection closed when it asks for the next command, and runs
// nothing that was pipelined.
func (w *wire) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = net.ErrClosed
}

// expire ends the connection as hangUp does, with go-smtp's own 421 after the
// reply that is being returned.
func (w *wire) expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.finish("")
}

// finish makes go-smtp write its 421, bye instead where the text is clear, and
// close. A Read that waits is woken. Callers hold w.mu.
func (w *wire) finish(bye string) {
	if w.dead != nil {
		return
	}
	w.Conn.SetReadDeadline(longPast)
	w.dead, w.bye = os.ErrDeadlineExceeded, bye
}

// longPast is a deadline that has passed.
var longPast = time.Unix(1, 0)

// drain says goodbye to an idle client, and to a busy one after its
// transaction.
func (w *wire) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining = true
	if !w.busy {
		w.finish(byeDrain)
	}
}

// setBusy says whether a transaction is open.
func (w *wire) setBusy(busy bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = busy
	if w.draining && !busy {
		w.finish(byeDrain)
	}
}

// reads counts the reads that returned data: a command that came with no read
// since the last reply was pipelined.
func (w *wire) reads() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reading
}

// failed reports whether a Read has failed, or would: what go-smtp still has is
// no whole line.
func (w *wire) failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err != nil || w.dead != nil
}

// progress forgives the replies so far: a message or a login got through.
func (w *wire) progress() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.replies = 0
}

// credit forgives n replies, those to come included.
func (w *wire) credit(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.replies -= n
}

// hello begins to tell EHLO from HELO by the reply: that to HELO is one line.
func (w *wire) hello() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.greeting = 0
}

// esmtp reports whether the client said EHLO (or LHLO) when hello was called.
func (w *wire) esmtp() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settleGreeting()
	return w.isESMTP
}

// settleGreeting ends what hello began once the reply is out. Callers hold w.mu.
func (w *wire) settleGreeting() {
	if w.greeting > 0 {
		w.isESMTP, w.greeting = w.greeting > 1, -1
	}
}

// allowPipelining is the switch of the same name.
func (w *wire) allowPipelining() bool { return w.listener.cfg.AllowPipelining }

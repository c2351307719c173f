package smtpguard

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

// wire is our side of a connection, below go-smtp and TLS and above the PROXY
// protocol: what can only be kept safe there is kept safe here. Methods may be
// called from several goroutines.
type wire struct {
	net.Conn // the socket, or the PROXY conn around it
	listener *Listener
	conn     *Conn     // nil until a PROXY header has been read
	tls      *tls.Conn // of implicit TLS

	mu      sync.Mutex
	timer   *time.Timer   // of the pre-greeting wait
	wake    chan struct{} // made for, and closed to end, a delayed reply
	unread  []byte        // read while looking for early talk
	pending []byte        // looked at, and yet to be read
	err     error         // the first error of a Read, and of all that follow
	dead    error         // the last reply is out: no more reads
	bye     string        // replaces the text of go-smtp's own 421, in clear text

	closed    bool
	busy      bool // a transaction is open
	draining  bool
	encrypted bool // TLS records, from the reply to STARTTLS or from the start
	handshake bool // of implicit TLS: at most one record a Read
	probing   bool
	wanted    bool // a command line, since the last reply
	direct    bool // content is read past go-smtp
	isESMTP   bool
	greeting  int // writes since hello, -1 when not counting

	reading uint64 // reads that gave data
	replies int    // since the session last made progress
	total   int    // replies

	deadlines readDeadlines
	lines     cmdLines
	records   tlsRecords
}

// wireOf finds our side of a connection under TLS and whatever else has a
// NetConn method.
func wireOf(nc net.Conn) *wire {
	for {
		switch c := nc.(type) {
		case *wire:
			return c
		case interface{ NetConn() net.Conn }:
			nc = c.NetConn()
		default:
			return nil
		}
	}
}

// newWire returns the wire of a connection that l accepted.
func newWire(nc net.Conn, l *Listener) *wire {
	return &wire{
		Conn: nc, listener: l,
		encrypted: l.cfg.TLS != nil,
		greeting:  -1,
		deadlines: readDeadlines{end: time.Now().Add(l.cfg.Lifetime)},
		lines: cmdLines{
			host:            l.host,
			allowPipelining: l.cfg.AllowPipelining,
			allowBareLF:     l.cfg.AllowBareLF,
		},
	}
}

// RemoteAddr is the client's address, as [Conn.RemoteAddr].
func (w *wire) RemoteAddr() net.Addr { return w.conn.remote }

// LocalAddr is as [Conn.LocalAddr].
func (w *wire) LocalAddr() net.Addr { return w.conn.local }

// Read fails for good once it has failed: what comes after an expired deadline
// is the rest of some content, and must not be read as commands.
func (w *wire) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	w.mu.Lock()
	if err := w.stopped(); err != nil {
		w.mu.Unlock()
		return 0, err
	}
	if len(w.pending) > 0 {
		n := copy(p, w.pending)
		if w.pending = w.pending[n:]; len(w.pending) == 0 {
			w.pending = nil
		}
		w.mu.Unlock()
		return n, nil
	}
	w.settleGreeting()
	w.slide()
	if w.handshake {
		p = p[:w.records.want(len(p))]
	}
	if len(w.unread) > 0 {
		n := copy(p, w.unread)
		if w.unread = w.unread[n:]; len(w.unread) == 0 {
			w.unread = nil
		}
		return w.received(p, n)
	}
	w.mu.Unlock()

	n, err := w.Conn.Read(p)

	w.mu.Lock()
	if err != nil && w.err == nil {
		w.err = w.deadlines.cut(err)
	}
	if w.dead != nil {
		err := w.dead
		w.mu.Unlock()
		return 0, err
	}
	if n == 0 {
		err := w.err
		w.mu.Unlock()
		return 0, err
	}
	return w.received(p, n)
}

// received takes n octets in p and returns what Read does. It is called with
// w.mu held and returns without it.
func (w *wire) received(p []byte, n int) (int, error) {
	w.reading++
	w.deadlines.octets += int64(n)
	if w.encrypted {
		w.records.pass(p[:n])
		w.mu.Unlock()
		return n, nil
	}
	if w.direct {
		w.mu.Unlock()
		return n, nil
	}
	w.lines.behind = len(w.unread) > 0
	out, refusal := w.lines.next(p[:n], w.wanted)
	if refusal != "" {
		w.dead = net.ErrClosed
		w.mu.Unlock()
		w.say(refusal)
		w.note(refusal)
		return 0, net.ErrClosed
	}
	n = copy(p, out)
	if n < len(out) {
		w.pending = out[n:]
	}
	w.mu.Unlock()
	return n, nil
}

// stopped says why nothing is to be read any more. Callers hold w.mu.
func (w *wire) stopped() error {
	switch {
	case w.probing:
		return os.ErrDeadlineExceeded
	case w.dead != nil:
		return w.dead
	}
	return w.err
}

const (
	readyForTLS  = "220 2.0.0 Ready to start TLS\r\n"   // go-smtp's, exactly
	idleTimeout  = "421 4.4.2 Idle timeout, bye bye"    // its beginning
	byeFlood     = "421 4.7.0 Too many commands"        // ours, instead
	byeDrain     = "421 4.3.2 Service is shutting down" //
	replyTimeout = 5 * time.Second                      // for replies of our own
)

// Write counts replies, delays them where too many had no purpose, and watches
// what becomes of STARTTLS. go-smtp writes one line a call.
func (w *wire) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return w.Conn.Write(p)
	}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return 0, net.ErrClosed
	}
	w.wanted = false
	var pause time.Duration
	out := p
	switch {
	case w.encrypted && p[0] == '5' && w.tls == nil:
		// No TLS record begins so: the handshake failed, and go-smtp would go
		// on in clear text.
		w.dead = net.ErrClosed
		w.mu.Unlock()
		w.note("STARTTLS handshake failed")
		return len(p), nil
	case w.encrypted:
		if p[0] == recordData {
			pause = w.reply(true)
		}
	default:
		final := len(p) > 3 && p[3] == ' '
		if len(p) > 2 && p[0] == '3' {
			w.lines.response = string(p[:3]) == "334" && w.lines.state != cmdBlind
			final = false
		}
		pause = w.reply(final)
		switch {
		case w.bye != "" && strings.HasPrefix(string(p), idleTimeout):
			out = []byte(w.bye + "\r\n")
		case string(p) == readyForTLS:
			w.encrypted = true
			w.pending, w.lines = nil, cmdLines{}
			w.arm(w.deadlines.within(time.Now().Add(w.listener.cfg.HandshakeTimeout)))
		}
	}
	w.mu.Unlock()
	if pause > 0 {
		w.pause(pause)
	}
	n, err := w.Conn.Write(out)
	if err == nil {
		n = len(p)
	}
	return min(n, len(p)), err
}

// reply counts one line of a reply, and returns how long to delay it. Callers
// hold w.mu.
func (w *wire) reply(final bool) time.Duration {
	if w.greeting >= 0 {
		w.greeting++
	}
	if !final || w.dead != nil {
		return 0
	}
	w.replies++
	w.total++
	switch limits := &w.listener.guard.cfg.Limits; {
	case w.replies > limits.Idle:
		w.finish(byeFlood)
	case w.replies > limits.Idle/2:
		return limits.Slow
	}
	return 0
}

// pause lasts d, or as long as the connection does.
func (w *wire) pause(d time.Duration) {
	w.mu.Lock()
	if w.wake == nil {
		w.wake = make(chan struct{})
	}
	wake, closed := w.wake, w.closed
	w.mu.Unlock()
	if closed {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-wake:
	case <-t.C:
	}
}

// Close closes the connection, which takes a moment where a last reply must
// not be lost, and then tells the session layer. It does not wait.
func (w *wire) Close() error { return w.shut(false) }

func (w *wire) shut(force bool) error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	linger := w.dead != nil && !force
	if w.dead == nil {
		w.dead = net.ErrClosed
	}
	if w.timer != nil {
		w.timer.Stop()
	}
	if w.wake != nil {
		close(w.wake)
	}
	conn := w.conn
	w.mu.Unlock()

	var err error
	if !linger || !w.listener.linger(w.Conn) {
		err = w.Conn.Close()
	}
	if conn != nil {
		conn.disconnected()
	}
	w.listener.gone(w)
	return err
}

// linger closes the writing side of a connection and drops what still comes
// in, for a moment, so that the client reads the last reply: a close with
// octets unread resets the connection, and may take the reply with it.
func linger(nc net.Conn) {
	defer nc.Close()
	if pc, ok := nc.(*proxyproto.Conn); ok {
		nc = pc.Raw()
	}
	half, ok := nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	nc.SetReadDeadline(time.Now().Add(time.Second))
	io.CopyBuffer(io.Discard, io.LimitReader(onlyReader{nc}, 256<<10), make([]byte, 1<<10))
}

// onlyReader hides what io.CopyBuffer would use instead of its buffer.
type onlyReader struct{ io.Reader }

// say writes a reply of our own, in clear text or through implicit TLS.
func (w *wire) say(line string) {
	w.Conn.SetWriteDeadline(time.Now().Add(replyTimeout))
	if w.tls != nil {
		io.WriteString(w.tls, line+"\r\n")
		return
	}
	io.WriteString(w.Conn, line+"\r\n")
}

// note tells the operator of something odd.
func (w *wire) note(reason string) {
	g := w.listener.guard
	if g.cfg.Observe == nil {
		return
	}
	ev := w.conn.event(KindNote)
	ev.Reason = reason
	g.observe(ev)
}

package smtpguard

import (
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/pires/go-proxyproto"
)

// accepted begins to vet nc. It must not wait for the client.
func (l *Listener) accepted(nc net.Conn) {
	addr := addrOf(nc.RemoteAddr()).WithZone("")
	proxied := contains(l.cfg.Proxy, addr)
	var pc *proxyproto.Conn
	w := newWire(nc, l)
	if proxied {
		pc = proxyproto.NewConn(nc,
			proxyproto.WithPolicy(proxyproto.REQUIRE),
			proxyproto.SetReadHeaderTimeout(l.cfg.HandshakeTimeout))
		w.Conn = pc
	} else {
		w.conn = l.newConn(w, nc.RemoteAddr(), nc.LocalAddr())
	}
	if !l.track(w) {
		l.full(nc)
		return
	}
	switch {
	case proxied || l.checks || l.cfg.TLS != nil:
		go l.vet(w, pc)
	case l.waits(w):
		w.after(l.cfg.Wait, func() { l.waited(w) })
	default:
		l.handOver(w)
	}
}

// newConn returns the Conn of w.
func (l *Listener) newConn(w *wire, remote, local net.Addr) *Conn {
	return &Conn{
		wire:     w,
		prefix:   l.guard.prefix,
		seq:      l.guard.seq.Add(1),
		listener: l.cfg.Name,
		remote:   remote,
		local:    local,
		addr:     addrOf(remote).WithZone(""), // no network contains an address with a zone
		started:  time.Now(),
	}
}

// full turns nc away, as well as can be done without waiting.
func (l *Listener) full(nc net.Conn) {
	if l.cfg.TLS == nil {
		// A new socket takes the line at once, so the deadline is for others.
		nc.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		nc.Write([]byte("421 4.3.2 Too many connections\r\n"))
	}
	nc.Close()
	if g := l.guard; g.cfg.Observe != nil {
		g.observe(Event{
			Time: time.Now(), Kind: KindNote, Listener: l.cfg.Name,
			Client: addrOf(nc.RemoteAddr()), Reason: "too many connections",
		})
	}
}

// vet does what may take time: the PROXY header, Connect checks, the TLS
// handshake.
func (l *Listener) vet(w *wire, pc *proxyproto.Conn) {
	if pc != nil {
		remote, local, err := proxied(pc)
		conn := l.newConn(w, remote, local)
		w.mu.Lock()
		w.conn = conn
		closed := w.closed
		w.mu.Unlock()
		if closed {
			return // before it was anybody's
		}
		if err != nil {
			w.note("no PROXY header: " + err.Error())
			w.Close()
			return
		}
	}
	if l.checks {
		asked := false
		defer func() {
			if !asked { // a hook left by runtime.Goexit
				w.Close()
			}
		}()
		objection := l.backend.connect(w.conn)
		if asked = true; objection != nil {
			l.refuse(w, replyLine(objection))
			return
		}
	}
	since := w.conn.started
	if l.cfg.TLS != nil {
		if err := l.shakeHands(w); err != nil {
			w.note("TLS handshake failed: " + err.Error())
			w.Close()
			return
		}
		since = time.Now() // before, the client had no say
	}
	if l.waits(w) {
		w.after(l.cfg.Wait-time.Since(since), func() { l.waited(w) })
		return
	}
	l.handOver(w)
}

// shakeHands makes the connection one of implicit TLS.
func (l *Listener) shakeHands(w *wire) error {
	w.Conn.SetDeadline(time.Now().Add(l.cfg.HandshakeTimeout))
	w.handshake = true
	tc := tls.Server(w, l.cfg.TLS)
	if err := call(tc.Handshake); err != nil { // the operator's callbacks may panic
		return err
	}
	w.handshake = false
	w.tls = tc
	ch := channelOf(tc)
	w.conn.mu.Lock()
	w.conn.channel = ch
	w.conn.mu.Unlock()
	return w.Conn.SetDeadline(time.Time{})
}

// waits reports whether the client has to wait for the banner.
func (l *Listener) waits(w *wire) bool {
	return l.cfg.Wait > 0 && !contains(l.cfg.NoWait, w.conn.addr)
}

// after calls f after d, unless the connection is closed first.
func (w *wire) after(d time.Duration, f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.timer = time.AfterFunc(d, f)
	}
}

// glance is how long to look for what should be there already.
const glance = 2 * time.Millisecond

// waited looks whether the client kept silent during its wait.
func (l *Listener) waited(w *wire) {
	buf := make([]byte, 512)
	w.Conn.SetReadDeadline(time.Now().Add(glance))
	n, err := w.Conn.Read(buf)
	if ne, ok := err.(net.Error); n == 0 && !(ok && ne.Timeout()) {
		w.Close() // it has gone
		return
	}
	w.Conn.SetReadDeadline(time.Time{})
	if w.unread = buf[:n:n]; n == 0 {
		w.unread = nil
	}
	// Under TLS an alert is no talk: a goodbye, mostly.
	if n > 0 && (w.tls == nil || isTalk(w.unread)) {
		w.note("client talked before the greeting")
		if !l.cfg.AllowEarlyTalk {
			l.refuse(w, refuseEarly)
			return
		}
	}
	l.handOver(w)
}

// isTalk reports whether a TLS stream begins with data.
func isTalk(p []byte) bool {
	var r tlsRecords
	r.pass(p[:min(len(p), len(r.header))])
	return r.have == len(r.header) && !r.alert()
}

// refuse closes a connection that go-smtp never saw, with a last line. Before a
// TLS handshake there is nobody who could read it.
func (l *Listener) refuse(w *wire, line string) {
	if w.tls != nil {
		w.say(line)
		w.hangUp()
		w.tls.Close()
		return
	}
	if l.cfg.TLS == nil {
		w.say(line)
		w.hangUp()
	}
	w.Close()
}

// replyLine is a reply on one line, without its end.
func replyLine(r *smtp.SMTPError) string {
	switch ec := r.EnhancedCode; ec {
	case smtp.NoEnhancedCode:
		return fmt.Sprintf("%d %s", r.Code, r.Message)
	case smtp.EnhancedCodeNotSet:
		return fmt.Sprintf("%d %d.0.0 %s", r.Code, r.Code/100, r.Message)
	default:
		return fmt.Sprintf("%d %d.%d.%d %s", r.Code, ec[0], ec[1], ec[2], r.Message)
	}
}

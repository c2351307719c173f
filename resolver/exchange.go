package resolver

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxJunk bounds the packets on one socket that answer nothing that was asked:
	// who guesses ids has as many tries, and then another port to find.
	maxJunk = 32

	// packetLen is room for a UDP answer: more than payload, for servers that do
	// not care.
	packetLen = 4096
)

// job is a question under way.
type job struct {
	question
	at     int // which of the caller's it is
	flight *flight

	id      uint16
	plain   bool   // without EDNS
	cut     bool   // UDP was not enough
	waiting bool   // in this round
	asked   uint32 // servers that have given a definite answer, by their place
	done    bool   // answered
	last    answer // what to say if nobody answers
	err     error  // of the caller's own: nothing to do with the servers
}

// waits reports whether a job waits for an answer.
func waits(j *job) bool { return j.waiting }

// exchange is questions asked together: over one socket as far as that goes.
type exchange struct {
	r        *Resolver
	ctx      context.Context
	account  account
	servers  []*server
	jobs     []job
	answered func(*job, answer, bool) bool // false: ask no more
	stopped  bool
	heard    bool // the server has answered something in this round
}

// run asks until every job is done or has an error, or answered says stop.
func (e *exchange) run() {
	now := time.Now()
	end := now.Add(e.r.cfg.Timeout)
	var own error // of the caller's, when end comes
	if until, ok := e.ctx.Deadline(); ok && !until.After(end) {
		end, own = until, context.DeadlineExceeded
	}
	account, until := open(e.ctx)
	e.account = account
	defer account.close()
	if !until.IsZero() && until.Before(end) {
		end, own = until, ErrBudget
	}
	if e.slot(e.r.sockets, end) {
		e.rounds(end)
	}
	if e.stopped || !e.any(func(j *job) bool { return !j.done && j.err == nil }) {
		return
	}
	late := !time.Now().Before(end)
	for i := range e.jobs {
		j := &e.jobs[i]
		if j.done || j.err != nil {
			continue
		}
		switch err := e.ctx.Err(); {
		case err != nil:
			j.err = err
		case late && own == ErrBudget:
			j.err = account.late()
		case late && own != nil:
			j.err = own
		case j.last.kind == unknown: // no fault of the servers, and nothing to remember
			j.err = errBusy
		default:
			if j.done = true; !e.answered(j, j.last, false) {
				e.stopped = true
				return
			}
		}
	}
}

// slot takes room in c, or waits for it until end.
func (e *exchange) slot(c chan struct{}, end time.Time) bool {
	select {
	case c <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	select {
	case c <- struct{}{}:
		return true
	case <-timer.C:
	case <-e.ctx.Done():
	}
	return false
}

// rounds goes round the servers, in a place among the sockets.
func (e *exchange) rounds(end time.Time) {
	defer func() { <-e.r.sockets }()
	var room [maxServers]*server
	e.servers = e.r.order(room[:])
	for lap := range e.r.cfg.Attempts {
		for _, s := range e.servers {
			bit := e.bit(s)
			if !e.any(func(j *job) bool { return j.open(bit) }) {
				continue
			}
			now := time.Now()
			if e.stopped || e.ctx.Err() != nil || !now.Before(end) {
				return
			}
			if lap > 0 || s != e.servers[0] {
				e.r.counts.retries.Add(1)
			}
			deadline := now.Add(e.r.cfg.Wait << lap)
			if end.Before(deadline) {
				deadline = end
			}
			e.heard = false
			e.round(s, deadline)
			e.silence(s)
		}
	}
}

// silence notes what s has not answered in a round. It is to blame only when it
// has answered nothing: a zone's own servers may be what is slow.
func (e *exchange) silence(s *server) {
	if !e.any(waits) || e.ctx.Err() != nil {
		return
	}
	e.r.counts.timeouts.Add(1)
	if !e.heard {
		s.down.Store(int64(e.r.now() + downTime))
	}
	for i := range e.jobs {
		if j := &e.jobs[i]; j.waiting && j.last.kind == unknown {
			j.last = answer{kind: timedOut, data: s.address}
		}
	}
}

func (e *exchange) any(is func(*job) bool) bool {
	for i := range e.jobs {
		if is(&e.jobs[i]) {
			return true
		}
	}
	return false
}

// open reports whether a job is still to be asked of a server.
func (j *job) open(server uint32) bool { return !j.done && j.err == nil && j.asked&server == 0 }

// bit is the place of s among the servers.
func (e *exchange) bit(s *server) uint32 {
	for i, o := range e.servers {
		if o == s {
			return 1 << i
		}
	}
	return 0
}

// round asks s for what is still open.
func (e *exchange) round(s *server, deadline time.Time) {
	bit := e.bit(s)
	for i := range e.jobs {
		e.jobs[i].waiting, e.jobs[i].cut = false, false
	}
	if s.TLSName != "" {
		e.streamed(s, func(j *job) bool { return j.open(bit) }, deadline)
		return
	}
	e.packets(s, deadline)
	if !e.stopped && e.any(func(j *job) bool { return j.cut }) {
		e.streamed(s, func(j *job) bool { return j.cut && j.open(bit) }, deadline)
	}
}

var buffers = sync.Pool{New: func() any { return new([packetLen]byte) }}

// packets asks s over one fresh socket.
func (e *exchange) packets(s *server, deadline time.Time) {
	bit := e.bit(s)
	conn, err := e.r.dial(e.ctx, "udp", s)
	if err != nil {
		if e.ctx.Err() == nil {
			e.fail(s, func(j *job) bool { return j.open(bit) }, failureOf(err), err.Error())
		}
		return
	}
	defer conn.Close()
	conn.SetDeadline(deadline)
	if e.ctx.Done() != nil {
		defer context.AfterFunc(e.ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	}
	buf := buffers.Get().(*[packetLen]byte)
	defer buffers.Put(buf)

	waiting := 0
	for i := range e.jobs {
		if j := &e.jobs[i]; j.open(bit) {
			if !e.packet(conn, buf, s, j) {
				return
			}
			if j.waiting {
				waiting++
			}
		}
	}
	for junk := 0; waiting > 0; {
		n, err := conn.Read(buf[:])
		if err != nil {
			if !timeout(err) && e.ctx.Err() == nil { // an ICMP message, most likely
				e.fail(s, waits, failureOf(err), err.Error())
			}
			return
		}
		msg := buf[:n]
		j := e.match(msg)
		if j == nil {
			e.r.counts.ignored.Add(1)
			if junk++; junk >= maxJunk {
				e.fail(s, waits, broken, "too many other answers than asked for")
				return
			}
			continue
		}
		e.account.receive(n)
		if truncated(msg) {
			j.waiting, j.cut = false, true
			waiting--
			continue
		}
		if code := rcode(msg); !j.plain && (code == dns.RcodeFormatError || code == dns.RcodeNotImplemented) {
			j.plain, j.waiting = true, false // RFC 6891, section 7
			if !e.packet(conn, buf, s, j) {
				return
			}
			if !j.waiting {
				waiting--
			}
			continue
		}
		waiting--
		j.waiting = false
		if e.take(s, j, msg); e.stopped {
			return
		}
	}
}

// packet sends j's query. It reports false when the socket is of no use.
func (e *exchange) packet(conn net.Conn, buf *[packetLen]byte, s *server, j *job) bool {
	out := e.query(buf[:0], j, s)
	if j.err = e.account.send(len(out)); j.err != nil {
		return true
	}
	if _, err := conn.Write(out); err != nil {
		if e.ctx.Err() == nil && !timeout(err) {
			bit := e.bit(s)
			e.fail(s, func(j *job) bool { return j.open(bit) }, failureOf(err), err.Error())
		}
		return false
	}
	j.waiting = true
	e.r.counts.queries.Add(1)
	return true
}

// query appends j's query under a fresh id, which no other job has.
func (e *exchange) query(b []byte, j *job, s *server) []byte {
	var random [2]byte
	for {
		rand.Read(random[:])
		id := binary.BigEndian.Uint16(random[:])
		if !e.any(func(o *job) bool { return o != j && o.waiting && o.id == id }) {
			j.id = id
			break
		}
	}
	return appendQuery(b, j.id, j.question, !j.plain, s.trusted)
}

// match returns the job that waits for msg.
func (e *exchange) match(msg []byte) *job {
	if len(msg) < headerLen {
		return nil
	}
	id := binary.BigEndian.Uint16(msg)
	for i := range e.jobs {
		if j := &e.jobs[i]; j.waiting && j.id == id && responds(msg, id, j.question) {
			return j
		}
	}
	return nil
}

// take reads the answer msg of s to j.
func (e *exchange) take(s *server, j *job, msg []byte) {
	a, hasTTL, err := parse(msg, j.question)
	if err != nil {
		a = answer{kind: broken}
	}
	a.authentic = a.authentic && s.trusted
	s.down.Store(0)
	e.heard = true
	if a.kind.failure() {
		a.data = s.address
		j.last = a
		j.asked |= e.bit(s)
		return
	}
	j.done = true
	if !e.answered(j, a, hasTTL) {
		e.stopped = true
	}
}

// fail notes that s gave these jobs nothing, and why.
func (e *exchange) fail(s *server, which func(*job) bool, k kind, why string) {
	for i := range e.jobs {
		if j := &e.jobs[i]; which(j) {
			j.waiting = false
			j.last = answer{kind: k, data: s.address + "\x00" + why}
		}
	}
	s.down.Store(int64(e.r.now() + downTime))
}

func timeout(err error) bool {
	var t net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

func failureOf(err error) kind {
	if timeout(err) {
		return timedOut
	}
	return unreachable
}

// dial opens a socket to s, which hears s alone.
func (r *Resolver) dial(ctx context.Context, network string, s *server) (net.Conn, error) {
	if r.cfg.Dial != nil {
		return r.cfg.Dial(ctx, network, s.address)
	}
	if network == "udp" {
		return net.DialUDP("udp", nil, s.udp)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, s.address)
}

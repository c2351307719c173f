package resolver

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"time"
)

const (
	// maxStreams bounds connections to one server, maxIdle those kept open.
	maxStreams = 32
	maxIdle    = 4

	// idleTime is how long a connection is kept without use. Servers close theirs
	// after a while, as RFC 7766, section 6.2.3, lets them.
	idleTime = 10 * time.Second
)

// stream is a connection by TCP or TLS.
type stream struct {
	net.Conn
	in    *bufio.Reader
	timer *time.Timer // closes it when idle
}

func tlsConfig(cfg *tls.Config) *tls.Config {
	if cfg == nil {
		cfg = new(tls.Config)
	}
	cfg = cfg.Clone()
	if cfg.ClientSessionCache == nil {
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(2 * maxServers)
	}
	return cfg
}

// take returns a connection that was kept, nil when there is none.
func (s *server) take() *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := len(s.idle); n > 0; n = len(s.idle) {
		st := s.idle[n-1]
		s.idle = s.idle[:n-1]
		if st.timer.Stop() {
			return st
		}
	}
	return nil
}

// give keeps st for the next, or closes it.
func (s *server) give(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.idle) >= maxIdle || st.in.Buffered() > 0 {
		st.Close()
		return
	}
	st.timer = time.AfterFunc(idleTime, func() { s.expire(st) })
	s.idle = append(s.idle, st)
}

func (s *server) expire(st *stream) {
	st.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range s.idle {
		if o == st {
			s.idle = append(s.idle[:i], s.idle[i+1:]...)
			return
		}
	}
}

func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, st := range s.idle {
		st.timer.Stop()
		st.Close()
	}
	s.idle = nil
}

// connect opens a connection to s.
func (r *Resolver) connect(ctx context.Context, s *server, deadline time.Time) (*stream, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := r.dial(ctx, "tcp", s)
	if err != nil {
		return nil, err
	}
	if s.TLSName != "" {
		cfg := r.tls.Clone()
		cfg.ServerName = s.TLSName
		secured := tls.Client(conn, cfg)
		if err := secured.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		conn = secured
	}
	return &stream{Conn: conn, in: bufio.NewReader(conn)}, nil
}

// streamed asks the jobs of e that wait for it over one connection to s, a kept
// one if there is any.
func (e *exchange) streamed(s *server, want func(*job) bool, deadline time.Time) {
	if !e.slot(s.streams, deadline) {
		return // they stay as timed out
	}
	defer func() { <-s.streams }()
	for {
		st := s.take()
		kept := st != nil
		if !kept {
			var err error
			if st, err = e.r.connect(e.ctx, s, deadline); err != nil {
				if e.ctx.Err() == nil {
					e.fail(s, want, failureOf(err), err.Error())
				}
				return
			}
			e.r.counts.connections.Add(1)
		}
		again := e.converse(s, st, want, deadline, kept)
		if !again {
			return
		}
	}
}

// converse asks over st. It reports true when st was a kept one that the server
// has closed meanwhile.
func (e *exchange) converse(s *server, st *stream, want func(*job) bool, deadline time.Time, kept bool) (again bool) {
	healthy := false
	defer func() {
		if healthy {
			s.give(st)
		} else {
			st.Close()
		}
	}()
	st.SetDeadline(deadline)
	stop := context.AfterFunc(e.ctx, func() { st.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	var out []byte
	waiting := 0
	for i := range e.jobs {
		j := &e.jobs[i]
		if !want(j) {
			continue
		}
		start := len(out)
		out = e.query(append(out, 0, 0), j, s)
		size := len(out) - start - 2
		if j.err = e.account.send(size); j.err != nil {
			out = out[:start]
			continue
		}
		binary.BigEndian.PutUint16(out[start:], uint16(size))
		j.waiting = true
		waiting++
	}
	if waiting == 0 {
		healthy = stop()
		return false
	}
	e.r.counts.streamed.Add(uint64(waiting))
	_, err := st.Write(out)
	var head [2]byte
	var msg []byte
	for err == nil && waiting > 0 {
		if _, err = io.ReadFull(st.in, head[:]); err != nil {
			break
		}
		n := int(binary.BigEndian.Uint16(head[:]))
		if cap(msg) < n {
			msg = make([]byte, n)
		}
		msg = msg[:n]
		if _, err = io.ReadFull(st.in, msg); err != nil {
			break
		}
		e.account.receive(n)
		kept = false // it lives
		j := e.match(msg)
		if j == nil {
			e.r.counts.ignored.Add(1)
			e.fail(s, waits, broken, "another answer than asked for")
			return false
		}
		j.waiting = false
		waiting--
		if truncated(msg) {
			j.last = answer{kind: broken, data: s.address}
			j.asked |= e.bit(s)
			continue
		}
		if e.take(s, j, msg); e.stopped {
			return false
		}
	}
	if err == nil {
		healthy = stop()
		return false
	}
	if kept && !timeout(err) && e.ctx.Err() == nil {
		for i := range e.jobs {
			e.jobs[i].waiting = false
		}
		return true
	}
	if e.ctx.Err() == nil {
		e.fail(s, waits, failureOf(err), err.Error())
	}
	return false
}

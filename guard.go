package smtpguard

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"
)

// Guard runs checks, in order, at each stage of a session. One guard may wrap
// several backends.
type Guard struct {
	cfg    Config
	checks []*Check
	stages [StageData + 1][]*Check // those with a hook, by stage
	spool  *spooler
	prefix string // of connection ids: random, for one process
	seq    atomic.Uint64
}

// New returns a guard that runs checks, in order, at each stage of a session.
// It reports what is wrong with cfg or a check, all of it at once.
func New(cfg Config, checks ...Check) (*Guard, error) {
	cfg = cfg.filled()
	errs := []error{cfg.validate()}
	g := &Guard{cfg: cfg}
	for i := range checks {
		c := &checks[i]
		if c.Name == "" {
			errs = append(errs, fmt.Errorf("smtpguard: check %d has no Name", i))
		}
		if c.OnError < FailDefer || c.OnError > FailRefuse {
			errs = append(errs, fmt.Errorf("smtpguard: check %q: OnError is %d, which is no Failure", c.Name, int(c.OnError)))
		}
		if c.err != nil {
			errs = append(errs, c.err)
		}
		g.checks = append(g.checks, c)
		for s := StageConnect; s <= StageData; s++ {
			if c.has(s) {
				g.stages[s] = append(g.stages[s], c)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	g.spool = newSpooler(&g.cfg)
	var b [5]byte
	rand.Read(b[:])
	g.prefix = strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
	return g, nil
}

// observe hands ev to the operator. A panic of his would end the process, for
// most events come from goroutines that nobody watches over: he hears of it
// instead, where he can.
func (g *Guard) observe(ev Event) {
	if g.cfg.Observe == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			defer func() { _ = recover() }()
			g.cfg.Observe(Event{
				Time: time.Now(), Kind: KindWarning, Conn: ev.Conn, Transaction: ev.Transaction,
				Reason: "Observe panicked", Error: fmt.Sprint(p), Stack: string(debug.Stack()),
			})
		}
	}()
	g.cfg.Observe(ev)
}

// backend is what Wrap returns.
type backend struct {
	guards []*Guard // outer ones first
	next   smtp.Backend
	bare   sync.Map // weak.Pointer[smtp.Conn] to *Conn, for connections that no Listener brought
	warned sync.Once
}

// Wrap is the middleware: it returns a backend that asks g's checks before it
// hands on to next. A guard around a guard merges: the outer one's checks
// first, each check keeping its own Config, one Transaction for all; what the
// session layer itself does (limits, spool, octets, Received) follows the outer
// Config. Guards with a foreign middleware between them share Conn and
// Transaction too.
func (g *Guard) Wrap(next smtp.Backend) smtp.Backend {
	b := &backend{guards: []*Guard{g}, next: next}
	if inner, ok := next.(*backend); ok {
		b.guards = append(b.guards, inner.guards...)
		b.next = inner.next
	}
	return b
}

// Unwrap returns the backend that is guarded.
func (b *backend) Unwrap() smtp.Backend { return b.next }

// event returns an Event of the connection.
func (c *Conn) event(k Kind) Event {
	ev := Event{Time: time.Now(), Kind: k, Conn: c.ID(), Listener: c.listener, Client: c.addr}
	c.mu.Lock()
	ev.Hello, ev.Login = c.hello, c.login
	if c.channel != nil && k != KindVerdict {
		ev.TLS = c.channel.String()
	}
	c.mu.Unlock()
	return ev
}

// note adds r to the summary of tx, or of the connection's first transaction.
func (c *Conn) note(tx *Transaction, r CheckResult) {
	if tx == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.results) < maxResults {
			c.results = append(c.results, r)
		}
		return
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if len(tx.results) < maxResults {
		tx.results = append(tx.results, r)
	}
}

// maxResults bounds the summary of one transaction.
const maxResults = 200

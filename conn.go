package smtpguard

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard/internal/peer"
)

// Conn is one client connection, from accept to close; it survives STARTTLS.
// Checks leave results on it through a [Key]. All methods are safe for
// concurrent use.
type Conn struct {
	wire     *wire // nil when no Listener brought the connection
	prefix   string
	seq      uint64
	listener string // ListenConfig.Name
	remote   net.Addr
	local    net.Addr
	addr     netip.Addr
	started  time.Time

	keys slots

	mu      sync.Mutex
	smtp    *smtp.Conn // nil without a Listener
	weak    weak.Pointer[smtp.Conn]
	channel *peer.Channel // nil in clear text
	raw     net.Conn      // what smtp.Conn.Conn returned, without a Listener: it changes at STARTTLS
	hello   string
	login   string
	authed  bool
	tx      *Transaction
	txSeq   uint64
	ctx     context.Context
	cancel  context.CancelFunc
	closed  bool
	left    bool     // the Close hooks' turn has come
	owed    int      // transactions and logins that are not accounted for
	owner   *backend // whose session opens the transactions
	guards  []*Guard // those that know it: their Connect hooks ran, their Close hooks will
	results []CheckResult
	release func() // forgets a connection without a Listener

	refusals   atomic.Int64
	dead       atomic.Bool // given up: the next reply is the last one
	accounting accounting
	leaving    atomic.Pointer[Transaction] // aborted by the client: its Data is about to account for it

	// Of the session's goroutine alone.
	accepted Stage    // at which an allow list spoke for the connection; 0 when none did
	marks    []string // who wants this connection's mail quarantined
	errors   int
}

// FromConn finds the guard's Conn, and so the Transaction and what checks left
// there, behind a backend's connection. ok is false when c is not guarded, or
// when it came without a [Listener] and the outermost middleware is no guard.
func FromConn(c *smtp.Conn) (conn *Conn, ok bool) {
	if w := wireOf(c.Conn()); w != nil {
		return w.conn, true
	}
	// Without a Listener only a guard that is the outermost middleware can be
	// found: go-smtp's Conn leads nowhere else.
	b, ok := c.Server().Backend.(*backend)
	if !ok {
		return nil, false
	}
	if conn, ok := b.bare.Load(weak.Make(c)); ok {
		return conn.(*Conn), true
	}
	return nil, false
}

// ID names the connection in events, Received fields and logs: unique in this
// process, and with great likelihood among others.
func (c *Conn) ID() string {
	var room [32]byte
	return string(c.appendID(room[:0]))
}

func (c *Conn) appendID(b []byte) []byte {
	return strconv.AppendUint(append(append(b, c.prefix...), '-'), c.seq, 36)
}

// Addr is the client's address, behind a trusted PROXY protocol header the one
// it names; IPv4-mapped addresses as IPv4. It is the zero Addr when there is
// none (a Unix socket) or when a proxy did not know it: that is in no network.
func (c *Conn) Addr() netip.Addr { return c.addr }

// RemoteAddr is the client's address with its port, where it has one.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// LocalAddr is the address that the client connected to.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// Listener is the name of the listener that accepted the connection:
// [ListenConfig.Name], "" without a Listener.
func (c *Conn) Listener() string { return c.listener }

// Started is when the connection was accepted.
func (c *Conn) Started() time.Time { return c.started }

// SMTP is go-smtp's side of the connection, nil before the first EHLO. Without a
// Listener it may be nil again once the connection is gone.
func (c *Conn) SMTP() *smtp.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.smtp != nil {
		return c.smtp
	}
	return c.weak.Value()
}

// Hello is the EHLO identity as claimed, "" before the first EHLO.
func (c *Conn) Hello() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hello
}

// TLS is the state of the TLS connection; ok is false in clear text.
func (c *Conn) TLS() (state tls.ConnectionState, ok bool) {
	sc := c.SMTP()
	if sc == nil {
		if c.wire != nil && c.wire.tls != nil {
			return c.wire.tls.ConnectionState(), true
		}
		return state, false
	}
	return sc.TLSConnectionState()
}

// Login is who the client has proven to be. A proven identity without a name
// (a mechanism that the guard cannot read) is "" and true. STARTTLS clears it.
func (c *Conn) Login() (name string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.login, c.authed
}

// SetLogin is called by whoever judged the proof: a backend whose mechanism does
// not name the login in the exchange, or knows it under another name.
func (c *Conn) SetLogin(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.login, c.authed = name, true
}

// Commands counts the replies so far: to commands, whatever they were, to lines
// that are none, and the banner. Under TLS each line of a reply counts. Without a
// [Listener] it is 0.
func (c *Conn) Commands() int {
	if c.wire == nil {
		return 0
	}
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	return c.wire.total
}

// Errors counts what the client got refused so far: recipients, messages,
// logins, commands out of order, but nothing that was deferred.
func (c *Conn) Errors() int { return int(c.refusals.Load()) }

// SetPatience bounds how long the client may take over its next command or
// piece of content where that is shorter than what the server and the
// [ListenConfig] allow, at once and until it is set anew; 0 lifts it. It is for
// times of overload. Without a [Listener] it does nothing.
func (c *Conn) SetPatience(d time.Duration) {
	if c.wire != nil {
		c.wire.hurry(d)
	}
}

// Transaction is the open transaction, nil between MAIL commands.
func (c *Conn) Transaction() *Transaction {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tx
}

// Context ends with the connection.
func (c *Conn) Context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.context()
}

// context makes the connection's context at first use: most connections that
// are refused, or that wait, never need one. Callers hold c.mu.
func (c *Conn) context() context.Context {
	if c.ctx == nil {
		c.ctx, c.cancel = context.WithCancel(context.Background())
		if c.closed {
			c.cancel()
		}
	}
	return c.ctx
}

func (c *Conn) slots() *slots { return &c.keys }

// accept notes that an allow list spoke for the connection at stage.
func (c *Conn) accept(stage Stage) {
	if c.accepted == 0 {
		c.accepted = stage
	}
}

// known are the guards that know the connection, outer ones first.
func (c *Conn) known() []*Guard {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.guards
}

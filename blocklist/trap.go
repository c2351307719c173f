package blocklist

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/smtpguard/smtpguard"
)

// TrapConfig says which forward-paths are traps and what mail to one comes to.
type TrapConfig struct {
	Name string // of the check, and the Source of its entries; "traps"

	// Traps lists the forward-paths that no person uses: those with a Block entry
	// of the kind Mailbox, or Domain. Required.
	Traps Source

	// Blocks is where clients are blocked: a [*Dynamic]. Required.
	Blocks Blocker

	// At says what counts as mail. StageData, the zero value's meaning: the
	// content has arrived, whoever refused it then. StageRcpt: the RCPT command
	// alone. A server that verifies a forged sender asks with RCPT, and means no
	// harm; so may a person who mistypes while looking an address up.
	At smtpguard.Stage

	// Action is what becomes of the mail at that stage. Continue, the zero value:
	// nothing, so that the backend delivers it, to a mailbox where somebody can
	// look at it. It has to know the address: nothing that was answered with 250 is
	// thrown away. Reject is 550 5.1.1 at RCPT, as for an address that does not
	// exist, or 554 5.7.1 for the whole message, its other recipients included.
	// Mail of those who are not to be blocked is let through in any case.
	Action smtpguard.Action

	// Hits in Window of one client have it blocked for TTL: 1, 24 h, 1 h. Each
	// trap that a message goes to is one. They are counted on each machine alone,
	// for up to Clients clients, 10,000; past that, one is forgotten.
	Hits    int
	Window  time.Duration
	TTL     time.Duration
	Clients int

	// Who is never blocked: clients in Own; those that Exempt says Allow of, our
	// friends and the providers that many others send from; those with a login, and
	// those for whom another check accepted the transaction. An event of an own client or
	// a login is alarming: somebody's account or computer is in other hands, or
	// sends to a bought list.
	Own    []netip.Prefix
	Exempt Source

	// NullSender counts mail with the null reverse-path too. It is no sign of a
	// spammer: traps that are used as forged senders get the bounces of honest
	// servers.
	NullSender bool

	// Report gets every transaction with mail to a trap. It must not block.
	Report func(TrapEvent)
}

// Blocker blocks the one client that an entry names, until it expires.
// [ErrNotKept] says that it is blocked here.
type Blocker interface {
	AddAuto(ctx context.Context, e Entry) error
}

var _ Blocker = (*Dynamic)(nil)

// Spared says why a client was not blocked.
type Spared string

const (
	SparedLogin     Spared = "login"          // it has proven who it is: an account in other hands?
	SparedOwn       Spared = "own network"    // a computer of ours in other hands?
	SparedExempt    Spared = "exempt"         // by TrapConfig.Exempt
	SparedAccepted  Spared = "accepted"       // an allow list spoke for the transaction
	SparedBounce    Spared = "null sender"    // see TrapConfig.NullSender
	SparedUnknown   Spared = "no address"     // a Unix socket, or a proxy that did not know it
	SparedHits      Spared = "too few so far" // see TrapConfig.Hits
	SparedProtected Spared = "protected"      // by the Blocker: see Err
)

// TrapEvent is one transaction with mail to a trap.
type TrapEvent struct {
	Time        time.Time
	Transaction string // its id
	Client      netip.Addr
	Hello       string
	Login       string // with SparedLogin; may be "" for a proven login without a name
	From        string
	Traps       []string // forward-paths as received, up to 100

	Blocked netip.Prefix // what was blocked; the zero Prefix when nothing was
	Until   time.Time
	Spared  Spared
	Err     error // of the Blocker; with Blocked, that the block is not kept yet
}

// Traps are addresses that no person uses: who sends to one has it from a bought
// or harvested list, and is blocked for a while. It is safe for concurrent use.
type Traps struct {
	cfg  TrapConfig
	seen smtpguard.Key[*sighting]

	mu   sync.Mutex
	hits map[netip.Prefix]tally
}

// tally counts a client's hits since its first.
type tally struct {
	n     int
	until time.Time
}

// sighting is what the hooks saw of one transaction.
type sighting struct {
	traps  []string
	spared Spared
	login  string
}

// maxTraps bounds the traps of one transaction that count.
const maxTraps = 100

// NewTraps reports everything that is wrong with cfg.
func NewTraps(cfg TrapConfig) (*Traps, error) {
	var errs []error
	bad := func(field string, v any, why string) {
		errs = append(errs, fmt.Errorf("blocklist: TrapConfig.%s is %v: %s", field, v, why))
	}
	if cfg.Name == "" {
		cfg.Name = "traps"
	}
	if cfg.Traps == nil {
		bad("Traps", nil, "is needed")
	}
	if cfg.Blocks == nil {
		bad("Blocks", nil, "is needed")
	}
	if cfg.At == 0 {
		cfg.At = smtpguard.StageData
	}
	if cfg.At != smtpguard.StageData && cfg.At != smtpguard.StageRcpt {
		bad("At", cfg.At, "must be StageRcpt or StageData")
	}
	if cfg.Action < smtpguard.Continue || cfg.Action > smtpguard.Disconnect {
		bad("Action", int(cfg.Action), "is no action")
	}
	for _, f := range []struct {
		name string
		v    *int
		def  int
	}{{"Hits", &cfg.Hits, 1}, {"Clients", &cfg.Clients, 10_000}} {
		if *f.v == 0 {
			*f.v = f.def
		}
		if *f.v < 0 {
			bad(f.name, *f.v, "must not be negative")
		}
	}
	for _, f := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{{"Window", &cfg.Window, 24 * time.Hour}, {"TTL", &cfg.TTL, time.Hour}} {
		if *f.v == 0 {
			*f.v = f.def
		}
		if *f.v < 0 {
			bad(f.name, *f.v, "must not be negative")
		}
	}
	cfg.Own = slices.Clone(cfg.Own)
	for i, p := range cfg.Own {
		n, err := foldPrefix(p)
		if err != nil {
			bad(fmt.Sprintf("Own[%d]", i), p, err.Error())
		}
		cfg.Own[i] = n
	}
	if cfg.Report == nil {
		cfg.Report = func(TrapEvent) {}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Traps{cfg: cfg, hits: make(map[netip.Prefix]tally)}, nil
}

// traps reports whether addr is a trap.
func (t *Traps) traps(addr string) bool {
	return findPath(t.cfg.Traps, addr).Entry.Word == Block
}

// spares says why the client of tx would not be blocked, as far as that is known
// before its mail has arrived.
func (t *Traps) spares(tx *smtpguard.Transaction) (s Spared, login string) {
	conn := tx.Conn()
	addr := conn.Addr()
	if name, ok := conn.Login(); ok {
		return SparedLogin, name
	}
	switch {
	case !addr.IsValid():
		return SparedUnknown, ""
	case slices.ContainsFunc(t.cfg.Own, func(p netip.Prefix) bool { return p.Contains(addr) }):
		return SparedOwn, ""
	}
	if t.cfg.Exempt != nil {
		if m, ok := t.cfg.Exempt.Find(Query{Kind: Addr, Addr: addr}); ok && m.Entry.Word == Allow {
			return SparedExempt, ""
		}
	}
	if tx.From() == "" && !t.cfg.NullSender {
		return SparedBounce, ""
	}
	return "", ""
}

// count reports whether a client has enough hits with n more.
func (t *Traps) count(client netip.Prefix, n int, now time.Time) bool {
	if n >= t.cfg.Hits {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	h, ok := t.hits[client]
	if !ok || !h.until.After(now) {
		h = tally{until: now.Add(t.cfg.Window)}
	}
	if h.n += n; h.n >= t.cfg.Hits {
		delete(t.hits, client)
		return true
	}
	if !ok && len(t.hits) >= t.cfg.Clients {
		t.forget(now)
	}
	t.hits[client] = h
	return false
}

// forget makes room for one more client: what is over goes, else any one does.
func (t *Traps) forget(now time.Time) {
	for p, h := range t.hits {
		if !h.until.After(now) {
			delete(t.hits, p)
		}
	}
	for p := range t.hits {
		if len(t.hits) < t.cfg.Clients {
			return
		}
		delete(t.hits, p)
	}
}

// network is what is blocked of a client: its one IPv4 address, or its /64,
// which is one computer's (RFC 6177, section 2).
func network(addr netip.Addr) netip.Prefix {
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // the length fits
	return p
}

// reason is what the entry says: short, because an attack makes many.
func (ev *TrapEvent) reason() string {
	others := ""
	if n := len(ev.Traps) - 1; n > 0 {
		others = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("mail to %.100s%s in %s", ev.Traps[0], others, ev.Transaction)
}

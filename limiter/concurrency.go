package limiter

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"sync"

	"github.com/smtpguard/smtpguard"
)

// Concurrency bounds what goes on at once: connections in total, per client
// network and per login, and transactions. It counts what its Check sees, in this
// process. It is safe for concurrent use.
type Concurrency struct {
	cfg ConcurrencyConfig

	conns smtpguard.Key[*connSlot]
	txs   smtpguard.Key[*txSlot]

	mu     sync.Mutex
	rooms  [2]room // for strangers, and for own networks
	logins map[string]int
}

// room is what of a Room is in use. A count that comes to 0 is not kept.
type room struct {
	cfg   *Room
	conns int
	txs   int
	nets  []map[netip.Prefix]int // one for each of cfg.PerNetwork
}

// connSlot is what one connection takes up. The Concurrency's mutex guards it.
type connSlot struct {
	room   *room // nil: nothing
	addr   netip.Addr
	login  string // counted, where logged is set
	logged bool
	gone   bool // the connection is, and takes nothing any more
}

// txSlot is what one transaction takes up.
type txSlot struct {
	room *room
	gone bool
}

// NewConcurrency compiles cfg. It reports everything that is wrong with it, by
// field.
func NewConcurrency(cfg ConcurrencyConfig) (*Concurrency, error) {
	cfg = cfg.filled()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Concurrency{cfg: cfg, logins: make(map[string]int)}
	for i, r := range []*Room{&c.cfg.Strangers, &c.cfg.Own} {
		c.rooms[i].cfg = r
		for range r.PerNetwork {
			c.rooms[i].nets = append(c.rooms[i].nets, make(map[netip.Prefix]int))
		}
	}
	return c, nil
}

// Check returns c as a check. A connection over a limit gets 421 4.7.0 instead of
// the banner, one whose login has too many at its next MAIL, and a transaction
// too many 451 4.3.2. What was counted is released when the connection or the
// transaction ends, however it does.
func (c *Concurrency) Check() smtpguard.Check {
	return smtpguard.Check{
		Name:   "concurrency",
		Always: true,
		Connect: func(_ context.Context, conn *smtpguard.Conn) (smtpguard.Verdict, error) {
			return c.connect(conn), nil
		},
		AuthDone: func(_ context.Context, conn *smtpguard.Conn, a *smtpguard.AuthAttempt) {
			if a.Err == nil {
				c.login(conn)
			}
		},
		Mail: func(_ context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
			if v := c.login(tx.Conn()); v.Action != smtpguard.Continue {
				return v, nil
			}
			return c.begin(tx), nil
		},
		Done:  func(_ context.Context, tx *smtpguard.Transaction, _ smtpguard.Outcome) { c.end(tx) },
		Close: c.close,
	}
}

// slot is what conn takes up.
func (c *Concurrency) slot(conn *smtpguard.Conn) *connSlot {
	return c.conns.Update(conn, func(s *connSlot) *connSlot {
		if s == nil {
			s = new(connSlot)
		}
		return s
	})
}

// roomOf is the room of the clients at addr.
func (c *Concurrency) roomOf(addr netip.Addr) *room {
	if within(c.cfg.OwnNetworks, addr) {
		return &c.rooms[1]
	}
	return &c.rooms[0]
}

func (c *Concurrency) connect(conn *smtpguard.Conn) smtpguard.Verdict {
	s := c.slot(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.gone || s.room != nil {
		return smtpguard.Verdict{}
	}
	s.addr = conn.Addr()
	r := c.roomOf(s.addr)
	if atLimit(r.conns, r.cfg.Conns) {
		return tooMany("connections", "in total", r.cfg.Conns)
	}
	for i, n := range r.cfg.PerNetwork {
		if p := n.Network.of(s.addr); atLimit(r.nets[i][p], n.Conns) {
			return tooMany("connections", "from "+network(p), n.Conns)
		}
	}
	r.conns++
	for i, n := range r.cfg.PerNetwork {
		r.nets[i][n.Network.of(s.addr)]++
	}
	s.room = r
	return smtpguard.Verdict{}
}

// login counts the connection for the login that is proven on it now.
func (c *Concurrency) login(conn *smtpguard.Conn) smtpguard.Verdict {
	login, ok := conn.Login()
	ok = ok && login != ""
	login = fold(login)
	s := c.slot(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.gone || s.logged == ok && s.login == login {
		return smtpguard.Verdict{}
	}
	c.logout(s)
	if !ok {
		return smtpguard.Verdict{}
	}
	if atLimit(c.logins[login], c.cfg.PerLogin) {
		return tooMany("connections", "of one login", c.cfg.PerLogin)
	}
	c.logins[login]++
	s.login, s.logged = login, true
	return smtpguard.Verdict{}
}

// logout ends what s counts for its login. Callers hold c.mu.
func (c *Concurrency) logout(s *connSlot) {
	if s.logged {
		less(c.logins, s.login)
	}
	s.login, s.logged = "", false
}

func (c *Concurrency) begin(tx *smtpguard.Transaction) smtpguard.Verdict {
	s := c.txSlot(tx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.gone || s.room != nil {
		return smtpguard.Verdict{}
	}
	r := c.roomOf(tx.Conn().Addr())
	if atLimit(r.txs, r.cfg.Transactions) {
		v := tooMany("transactions", "in total", r.cfg.Transactions)
		v.Action, v.Reply = smtpguard.Defer, reply(451, 4, 3, 2, "Too many messages at once, try again later")
		return v
	}
	r.txs++
	s.room = r
	return smtpguard.Verdict{}
}

func (c *Concurrency) txSlot(tx *smtpguard.Transaction) *txSlot {
	return c.txs.Update(tx, func(s *txSlot) *txSlot {
		if s == nil {
			s = new(txSlot)
		}
		return s
	})
}

// end releases what tx has. A Mail hook that comes later takes nothing.
func (c *Concurrency) end(tx *smtpguard.Transaction) {
	s := c.txSlot(tx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.room != nil {
		s.room.txs--
	}
	s.room, s.gone = nil, true
}

// close releases what conn has. A hook that comes later takes nothing.
func (c *Concurrency) close(conn *smtpguard.Conn) {
	s := c.slot(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.logout(s)
	if r := s.room; r != nil {
		r.conns--
		for i, n := range r.cfg.PerNetwork {
			less(r.nets[i], n.Network.of(s.addr))
		}
	}
	s.room, s.gone = nil, true
}

// atLimit reports whether n of limit are in use; a negative limit is none.
func atLimit(n, limit int) bool { return limit >= 0 && n >= limit }

// less takes one off a count, which is forgotten at 0.
func less[K comparable](m map[K]int, k K) {
	if m[k]--; m[k] <= 0 {
		delete(m, k)
	}
}

func tooMany(what, where string, limit int) smtpguard.Verdict {
	return smtpguard.Verdict{
		Action: smtpguard.Disconnect,
		Reply:  reply(421, 4, 7, 0, "Too many connections, try again later"),
		Reason: fmt.Sprintf("%d %s %s, which is the limit", limit, what, where),
		Facts:  map[string]string{"limit": what + " " + where, "figure": strconv.Itoa(limit)},
	}
}

// InUse is how much goes on at one time.
type InUse struct {
	Conns, Transactions       int // of strangers
	OwnConns, OwnTransactions int // of one's own networks
	Networks, Logins          int // that are counted apart
}

// InUse returns how much goes on now.
func (c *Concurrency) InUse() InUse {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := InUse{
		Conns: c.rooms[0].conns, Transactions: c.rooms[0].txs,
		OwnConns: c.rooms[1].conns, OwnTransactions: c.rooms[1].txs,
		Logins: len(c.logins),
	}
	for i := range c.rooms {
		for _, m := range c.rooms[i].nets {
			u.Networks += len(m)
		}
	}
	return u
}

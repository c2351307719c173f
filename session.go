package smtpguard

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"
	"weak"

	"github.com/emersion/go-smtp"
)

// session is what go-smtp talks to: one type that implements Session,
// AuthSession and LMTPSession, whatever the backend's implements. go-smtp calls
// it from the connection's goroutine, but Data of a BDAT transfer runs beside
// it, and Logout may be called by Server.Close at any time.
type session struct {
	b     *backend
	conn  *Conn
	next  smtp.Session
	outer bool // owns the transactions: no other guard is around this one

	hello   string // as last judged
	rehello bool   // EHLO was repeated under another name and is to be judged
	alone   uint64 // what the wire had read when a command came that nothing may be sent along with

	attempt atomic.Pointer[AuthAttempt] // AUTH under way, while no command is at work on it
	out     atomic.Bool                 // Logout was called: a command that goes on must tidy up itself
	prompt  promptReader                // of the content under way
	dots    contentDirect               // the same, where it can be read past go-smtp
}

var (
	_ smtp.LMTPSession = (*session)(nil)
	_ smtp.AuthSession = (*session)(nil)
)

// errGone is what a client reads that goes on after it was given up.
var errGone = reply(421, smtp.EnhancedCode{4, 7, 0}, "Closing connection")

// NewSession begins a session: at the first EHLO, and again after STARTTLS.
func (b *backend) NewSession(sc *smtp.Conn) (smtp.Session, error) {
	c := b.connOf(sc)
	if c == nil || c.lost() {
		return nil, errGone
	}
	s := &session{b: b, conn: c, outer: c.ownedBy(b)}
	if s.outer {
		c.begin(sc)
	}
	if c.wire == nil {
		b.warned.Do(func() {
			s.note(KindWarning, "no Listener: early talk, illegal pipelining, cut-short BDAT, failed STARTTLS, slow bodies, "+
				"floods of commands and the session's lifetime go unwatched", nil)
		})
	}
	if r := b.connect(c); r != nil {
		c.hangUp()
		return nil, r
	}
	s.greetedAs(sc.Hostname())
	if err := s.judgeHello(); err != nil {
		return nil, err
	}
	err := s.backend("NewSession", func() (err error) {
		if s.next, err = b.next.NewSession(sc); s.next == nil && err == nil {
			err = errors.New("smtpguard: backend gave neither a session nor an error")
		}
		return err
	}, failure)
	if err != nil {
		return nil, s.refuse(err)
	}
	return s, nil
}

// Unwrap returns the backend's own session.
func (s *session) Unwrap() smtp.Session { return s.next }

// Unwrap returns the session that a guard's session stands in front of, and s
// itself when it is none of a guard's.
func Unwrap(s smtp.Session) smtp.Session {
	if g, ok := s.(*session); ok {
		return g.next
	}
	return s
}

// connOf returns the guard's Conn behind sc, a new one where neither a Listener
// nor an outer guard has made one. It is nil when the connection was closed:
// without a read timeout go-smtp carries out what it had read before.
func (b *backend) connOf(sc *smtp.Conn) *Conn {
	if c, ok := FromConn(sc); ok {
		return c
	}
	key := weak.Make(sc)
	if c, ok := b.bare.Load(key); ok {
		return c.(*Conn)
	}
	nc := sc.Conn()
	if sc.Server().ReadTimeout == 0 && nc.SetReadDeadline(time.Time{}) != nil {
		return nil
	}
	g := b.guards[0]
	c := &Conn{prefix: g.prefix, seq: g.seq.Add(1), started: time.Now(), remote: nc.RemoteAddr(), local: nc.LocalAddr()}
	c.addr = addrOf(c.remote)
	c.release = func() { b.bare.Delete(key) }
	b.bare.Store(key, c)
	// go-smtp calls no Logout where it has no session: after NewSession failed,
	// and from STARTTLS to the next EHLO.
	runtime.AddCleanup(sc, (*Conn).disconnected, c)
	return c
}

// addrOf is the IP address in a, the zero Addr when it has none.
func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("") // no network contains an address with a zone
	}
	return netip.Addr{}
}

// ownedBy makes b the owner of c's transactions where it has none, and reports
// whether it is b.
func (c *Conn) ownedBy(b *backend) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owner == nil {
		c.owner = b
	}
	return c.owner == b
}

// begin notes what a new session starts from. Neither a login nor what an allow
// list said of the client's words outlives STARTTLS (RFC 3207, section 4.2).
func (c *Conn) begin(sc *smtp.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = sc.Conn()
	if tc, ok := c.raw.(*tls.Conn); ok {
		c.channel = channelOf(tc)
	}
	if c.weak = weak.Make(sc); c.wire != nil {
		c.smtp = sc
	}
	c.login, c.authed = "", false
	if c.accepted > StageConnect {
		c.accepted = 0
	}
}

// connect runs the Connect checks of those guards whose have not run yet on c.
// Nil means that the connection may go on.
func (b *backend) connect(c *Conn) *smtp.SMTPError {
	c.accounting.hold()
	defer c.accounting.let()
	if c.isClosed() {
		return errGone
	}
	for i, g := range b.guards {
		if !c.meet(g) {
			continue
		}
		if obj := ask(b.guards[i:i+1], &scene{stage: StageConnect, conn: c}); obj != nil {
			return obj.reply
		}
	}
	return nil
}

// meet notes that g knows the connection and reports whether it is new to it.
func (c *Conn) meet(g *Guard) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, known := range c.guards {
		if known == g {
			return false
		}
	}
	c.guards = append(c.guards, g)
	return true
}

// greetedAs notes an EHLO whose reply is yet to be written.
func (s *session) greetedAs(name string) {
	s.hello = name
	s.standAlone()
	if w := s.conn.wire; w != nil && s.outer {
		w.hello()
	}
}

// judgeHello judges the EHLO identity.
func (s *session) judgeHello() error {
	c, cfg := s.conn, &s.b.guards[0].cfg
	name := s.hello
	hostile, odd := helloError(name)
	if s.outer {
		c.mu.Lock()
		c.hello = name
		if hostile {
			c.hello = ""
		}
		c.mu.Unlock()
		if c.accepted == StageHello { // for another name
			c.accepted = 0
		}
		if hostile || odd && cfg.Hello == HelloRefuse {
			return s.refuse(reply(501, smtp.EnhancedCode{5, 5, 2}, "Invalid EHLO identity"))
		}
		if odd {
			s.note(KindNote, "EHLO identity is neither a domain name nor an address literal", nil)
		}
	}
	if obj := s.ask(&scene{stage: StageHello, conn: c}); obj != nil {
		return s.refuse(obj.reply)
	}
	return nil
}

// lost reports whether nothing runs on the connection any more, and makes the
// reply that says so the last one: it was given up, or it broke off, and go-smtp
// runs the half of a line that it had read.
func (c *Conn) lost() bool {
	if c.dead.Load() || c.isClosed() || c.wire != nil && c.wire.failed() {
		c.hangUp()
		return true
	}
	return false
}

// enter begins a command, where one may run. What the last one left to account
// for comes first.
func (s *session) enter() error {
	if s.conn.lost() {
		return errGone
	}
	s.endAttempt()
	if tx := s.conn.leaving.Swap(nil); tx != nil {
		<-tx.gone
	}
	s.conn.accounting.wait()
	return nil
}

// greeted judges a repeated EHLO before what may follow it, for which go-smtp
// has no hook of its own, and refuses what was sent along with an EHLO, for its
// reply tells the client whether it may pipeline at all (RFC 2920, section 3.1),
// or with AUTH. In clear text the wire has seen that already; under TLS only
// this can.
func (s *session) greeted() error {
	if s.rehello {
		if err := s.judgeHello(); err != nil {
			return err
		}
		s.rehello = false
	}
	return s.waited()
}

// Mail begins a transaction.
func (s *session) Mail(from string, opts *smtp.MailOptions) error {
	if err := s.enter(); err != nil {
		return err
	}
	if err := s.greeted(); err != nil {
		return err
	}
	c := s.conn
	if !s.outer {
		tx := c.Transaction()
		if obj := s.ask(&scene{stage: StageMail, conn: c, tx: tx}); obj != nil {
			tx.end(StageMail, obj.reply, obj.check)
			return obj.reply
		}
		return s.toBackend(tx, StageMail, "Mail", func() error { return s.next.Mail(from, opts) })
	}
	if c.Transaction() != nil {
		return s.refuse(reply(503, smtp.EnhancedCode{5, 5, 1}, "Sender already given")) // RFC 5321, section 4.1.4
	}
	if opts == nil {
		opts = &smtp.MailOptions{}
	}
	if from != "" {
		if err := pathError(from, opts.UTF8, s.b.guards[0].cfg.Limits.Path, smtp.EnhancedCode{5, 1, 7}); err != nil {
			return s.refuse(err)
		}
	}
	tx := c.open(from, opts)
	obj := s.ask(&scene{stage: StageMail, conn: c, tx: tx})
	if obj != nil {
		tx.end(StageMail, obj.reply, obj.check)
		s.finish(tx)
		return s.refused(obj.reply)
	}
	if err := s.toBackend(tx, StageMail, "Mail", func() error { return s.next.Mail(from, opts) }); err != nil {
		s.finish(tx)
		return s.refused(err)
	}
	if w := c.wire; w != nil {
		w.setBusy(true)
	}
	if s.out.Load() { // Logout came first, and saw no transaction
		s.finish(tx)
	}
	return nil
}

// toBackend calls the backend in the course of tx and notes how that ended it.
func (s *session) toBackend(tx *Transaction, stage Stage, what string, f func() error) error {
	err := s.backend(what, f, failure)
	if err != nil && stage != StageRcpt {
		tx.end(stage, err.(*smtp.SMTPError), "")
	}
	return err
}

// refused counts a refusal, but no deferral, against the budget of errors.
func (s *session) refused(err error) error {
	if r, ok := err.(*smtp.SMTPError); ok && r.Code/100 == 4 {
		return err
	}
	return s.refuse(err)
}

// Rcpt adds a recipient.
func (s *session) Rcpt(to string, opts *smtp.RcptOptions) error {
	if err := s.enter(); err != nil {
		return err
	}
	c := s.conn
	tx := c.Transaction()
	if tx == nil {
		return s.refuse(reply(503, smtp.EnhancedCode{5, 5, 1}, "No sender given"))
	}
	if opts == nil {
		opts = &smtp.RcptOptions{}
	}
	if !s.outer {
		if obj := s.ask(&scene{stage: StageRcpt, conn: c, tx: tx, rcpt: tx.judged}); obj != nil {
			return obj.reply
		}
		return s.toBackend(tx, StageRcpt, "Rcpt", func() error { return s.next.Rcpt(to, opts) })
	}
	if w := c.wire; w != nil && tx.asked < max(100, c.SMTP().Server().MaxRecipients) {
		w.credit(1)
	}
	tx.asked++
	if err := pathError(to, tx.opts.UTF8, s.b.guards[0].cfg.Limits.Path, smtp.EnhancedCode{5, 1, 3}); err != nil {
		tx.refuse(to, err, "")
		return s.refuse(err)
	}
	rcpt := &Recipient{Addr: to, Opts: opts}
	tx.judged = rcpt
	if obj := s.ask(&scene{stage: StageRcpt, conn: c, tx: tx, rcpt: rcpt}); obj != nil {
		tx.refuse(to, obj.reply, obj.check)
		return s.refused(obj.reply)
	}
	if first := tx.first(); first != nil && first.Policy != rcpt.Policy && !c.SMTP().Server().LMTP {
		later := reply(452, smtp.EnhancedCode{4, 5, 3}, "Send to this recipient separately")
		tx.refuse(to, later, "")
		return later
	}
	if err := s.toBackend(tx, StageRcpt, "Rcpt", func() error { return s.next.Rcpt(to, opts) }); err != nil {
		tx.refuse(to, err.(*smtp.SMTPError), "")
		return s.refused(err)
	}
	tx.add(rcpt)
	return nil
}

// Reset ends the transaction: after RSET, a repeated EHLO, STARTTLS, and the
// reply to the content. It runs under go-smtp's lock.
func (s *session) Reset() {
	c := s.conn
	s.endAttempt()
	if tx := c.Transaction(); s.outer && tx != nil {
		s.finish(tx)
	}
	if sc := c.SMTP(); sc != nil {
		if name := sc.Hostname(); name != "" && name != s.hello {
			s.greetedAs(name)
			s.rehello = true
		}
	}
	if err := call(func() error { s.next.Reset(); return nil }); err != nil {
		s.note(KindWarning, "backend panicked in Reset", err)
		c.hangUp()
	}
}

// Logout ends the session: at STARTTLS, QUIT, a hang-up, Server.Close. It may
// run beside a command, and a panic here would end the process.
func (s *session) Logout() error {
	c := s.conn
	s.out.Store(true)
	s.endAttempt()
	if s.outer {
		if tx := c.Transaction(); tx != nil {
			s.finish(tx)
		}
		if c.wire == nil && !c.upgraded() {
			defer c.disconnected()
		}
	}
	err := call(s.next.Logout)
	if err != nil {
		s.note(KindWarning, "backend failed in Logout", err)
	}
	return err
}

// upgraded reports whether go-smtp has put TLS in place since the session began.
func (c *Conn) upgraded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.weak.Value().Conn() != c.raw
}

// hangUp makes the reply that is being given the last one.
func (c *Conn) hangUp() {
	if c.dead.Swap(true) && c.wire != nil {
		return
	}
	if c.wire != nil {
		c.wire.hangUp()
		return
	}
	// Without a Listener nothing can end go-smtp's loop but the end of the
	// socket; a moment later, so that the reply gets out.
	if sc := c.SMTP(); sc != nil {
		nc := sc.Conn()
		time.AfterFunc(time.Second, func() { nc.Close() })
	}
}

func (c *Conn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// disconnected is called once when the connection is gone, maybe under
// go-smtp's lock.
func (c *Conn) disconnected() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	if c.cancel != nil {
		c.cancel()
	}
	release := c.release
	c.mu.Unlock()
	if release != nil {
		release()
	}
	c.settled()
}

// settled has the Close hooks run, once, when the connection is gone and its
// transactions and logins are accounted for: a forced end comes before theirs.
func (c *Conn) settled() {
	c.mu.Lock()
	now := c.closed && c.owed == 0 && !c.left
	c.left = c.left || now
	c.mu.Unlock()
	if !now || !c.accounting.atWork() && !accounts(c.known(), func(c *Check) bool { return c.Close != nil }) {
		return
	}
	c.accounting.do(func() {
		c.each(c.known(), "Close", func(_ context.Context, check *Check) {
			if check.Close != nil {
				check.Close(c)
			}
		})
	})
}

package main

import (
	"errors"
	"io"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/examples/server/internal/maildir"
	"github.com/smtpguard/smtpguard/relay"
)

// backend takes mail that the policy let through: into Maildirs, or on to the
// next host.
type backend struct {
	cfg   *Config
	store *maildir.Store
	log   *slog.Logger
}

// NewSession begins a client's session.
func (b *backend) NewSession(c *smtp.Conn) (smtp.Session, error) {
	conn, ok := smtpguard.FromConn(c)
	if !ok {
		return nil, reply(421, 4, 3, 0, "Not guarded")
	}
	return &session{backend: b, conn: conn}, nil
}

// session is one client's. go-smtp calls it from one goroutine, but Logout at
// any time.
type session struct {
	*backend
	conn *smtpguard.Conn

	mu   sync.Mutex
	next *onward
}

func (s *session) Mail(from string, opts *smtp.MailOptions) error { return nil }

// Rcpt gives a recipient elsewhere to the next host at once, whose word on it
// is ours.
func (s *session) Rcpt(to string, opts *smtp.RcptOptions) error {
	tx := s.conn.Transaction()
	d, ok := relay.DecisionOf(tx, to)
	if !ok || d.Kind == relay.Refused {
		return reply(550, 5, 7, 1, "Relaying refused")
	}
	if d.Kind == relay.Local {
		return nil
	}
	route := s.cfg.routeOf(d)
	s.mu.Lock()
	next := s.next
	s.mu.Unlock()
	if next == nil {
		var err error
		if next, err = s.cfg.handOn(tx, route); err != nil {
			return s.refused(tx, route, err)
		}
		s.mu.Lock()
		s.next = next
		s.mu.Unlock()
	}
	if next.route != route { // one reply would have to speak for two hosts
		return reply(452, 4, 5, 3, "Send to this recipient separately")
	}
	if err := next.rcpt(d.Addr()); err != nil {
		return s.refused(tx, route, err)
	}
	return nil
}

// refused makes the next host's refusal ours.
func (s *session) refused(tx *smtpguard.Transaction, route Route, err error) error {
	s.log.Warn("next host refused", "transaction", tx.ID(), "route", route.Address, "error", err.Error())
	return replyOf(err)
}

// Data returns nil when every recipient's copy is on our disk, or was taken by
// the next host. Copies on our disk become visible last, because that is the
// least likely to fail.
func (s *session) Data(r io.Reader) error {
	tx := s.conn.Transaction()
	deliveries := s.deliveries(tx)
	var staged *maildir.Staged
	if len(deliveries) > 0 {
		var err error
		if staged, err = s.store.Stage(r, deliveries...); err != nil {
			return s.failed(tx, err)
		}
		defer staged.Discard()
		r = staged.Content()
	}
	s.mu.Lock()
	next := s.next
	s.mu.Unlock()
	if next != nil && next.taken > 0 {
		if err := next.data(r); err != nil {
			return s.refused(tx, next.route, err)
		}
	}
	if staged != nil {
		if err := staged.Commit(); err != nil {
			return s.failed(tx, err)
		}
	}
	return nil
}

// failed is the reply for a delivery that failed; the client will try again.
func (s *session) failed(tx *smtpguard.Transaction, err error) error {
	s.log.Error("delivery failed", "transaction", tx.ID(), "error", err.Error())
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return reply(452, 4, 3, 1, "Insufficient storage")
	}
	return reply(451, 4, 3, 0, "Temporary failure, try again later")
}

// deliveries are the copies for our own recipients: one for each address, in
// the Maildir of its user, or in the Junk folder there.
func (s *session) deliveries(tx *smtpguard.Transaction) []maildir.Delivery {
	junk := len(tx.Quarantined()) > 0
	byAddr := make(map[string]maildir.Delivery)
	for _, rcpt := range tx.Recipients() {
		d, _ := relay.DecisionOf(tx, rcpt.Addr)
		if d.Kind != relay.Local {
			continue
		}
		box := path.Join(maildir.Name(s.cfg.home(d)), maildir.Name(maildir.User(d.LocalPart)))
		if junk || rcpt.Mark.Action == smtpguard.Quarantine {
			box = path.Join(box, ".Junk")
		}
		addr := quoted(d.Addr())
		byAddr[addr] = maildir.Delivery{
			Mailbox: box,
			Header:  "Return-Path: <" + quoted(tx.From()) + ">\r\nDelivered-To: " + addr + "\r\n",
		}
	}
	var all []maildir.Delivery
	for _, addr := range slices.Sorted(maps.Keys(byAddr)) {
		all = append(all, byAddr[addr])
	}
	return all
}

// home is the domain of ours that a recipient is at home in.
func (cfg *Config) home(d relay.Decision) string {
	if d.Domain == "" || strings.EqualFold(d.Domain, cfg.Hostname) && !cfg.takesHostname() { // postmaster
		return strings.TrimPrefix(cfg.Domains[0], "*.")
	}
	return d.Domain
}

func (s *session) Reset() {
	s.mu.Lock()
	next := s.next
	s.next = nil
	s.mu.Unlock()
	if next != nil {
		next.close()
	}
}

func (s *session) Logout() error {
	s.Reset()
	return nil
}

// quoted writes an address as go-smtp hands it over, unquoted, as RFC 5321,
// section 4.1.2, wants it: a local part that is no dot-string in quotes.
func quoted(addr string) string {
	at := strings.LastIndexByte(addr, '@')
	if at < 0 {
		return addr // the null reverse-path, or postmaster
	}
	local := addr[:at]
	plain := local != "" && local[0] != '.' && local[len(local)-1] != '.' && !strings.Contains(local, "..") &&
		!strings.ContainsFunc(local, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`"(),:;<>@[\]`, r) })
	if plain {
		return addr
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"` + addr[at:]
}

func reply(code, class, subject, detail int, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{class, subject, detail}, Message: text}
}

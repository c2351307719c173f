package blocklist

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard"
)

// Subject is what of a session is looked up.
type Subject uint8

const (
	SubjectClient      Subject = iota + 1 // the address, at Connect; and at MAIL without a login, for what was listed meanwhile
	SubjectCertificate                    // the fingerprint of its TLS certificate, at EHLO
	SubjectHello                          // the EHLO name, at EHLO; on the listeners of CheckConfig.Submission at MAIL
	SubjectSender                         // the reverse-path, at MAIL: the mail address and its domain
	SubjectRcpt                           // the forward-path, at RCPT: the same
)

var subjectNames = [...]string{"", "client", "certificate", "hello", "sender", "rcpt"}

// String returns the subject's name in lower case.
func (s Subject) String() string {
	if s < SubjectClient || int(s) >= len(subjectNames) {
		return "invalid"
	}
	return subjectNames[s]
}

// Rule is what entries mean for one subject.
type Rule struct {
	// Block is what a Block entry does: Reject, the zero value, or Quarantine,
	// Defer or Disconnect.
	Block smtpguard.Action

	// Allow is how far an Allow entry reaches beyond being no Block. The zero
	// value is not at all.
	Allow smtpguard.Scope
}

// DefaultRules are the rules of a check that has none: everything but the
// forward-path is looked up, and refused where it is blocked. An Allow for the
// client's address or certificate, which are proven, accepts the connection. One
// for an EHLO name or a reverse-path, which anybody may claim, only keeps a wider
// Block of its kind from counting.
func DefaultRules() map[Subject]Rule {
	return map[Subject]Rule{
		SubjectClient:      {Allow: smtpguard.ScopeConnection},
		SubjectCertificate: {Allow: smtpguard.ScopeConnection},
		SubjectHello:       {},
		SubjectSender:      {},
	}
}

// CheckConfig says what a check looks up.
type CheckConfig struct {
	Name  string           // of the check, and of the list in reasons; "blocklist"
	List  Source           // required; several are [Lists]
	Rules map[Subject]Rule // only these subjects are looked up; nil means [DefaultRules]

	// Submission names the listeners on which people log in. Their programs greet
	// with whatever the computer is called, so that the EHLO name is judged there
	// no sooner than at MAIL, where it is known whether there is a login.
	Submission []string

	// Logins has EHLO names, reverse-paths and forward-paths judged of clients with
	// a proven login too. By default they are not: such a client answers for itself. Its address
	// and certificate are judged at Connect and EHLO, before anybody can log in: that
	// is where lockouts bite.
	Logins bool
}

// check is a compiled CheckConfig.
type check struct {
	name       string
	list       Source
	rules      map[Subject]Rule
	submission []string
	logins     bool
}

// NewCheck returns a check that looks clients up in a list of our own: 554 5.7.1
// at Connect, 550 5.7.1 later, for who is blocked. It reports everything that is
// wrong with cfg.
//
// It is not Always: the word of an allow list, its own or another check's before
// it, passes over it. What must be refused whatever an allow list says belongs
// in a check that is.
func NewCheck(cfg CheckConfig) (smtpguard.Check, error) {
	var errs []error
	bad := func(field, why string) {
		errs = append(errs, fmt.Errorf("blocklist: CheckConfig.%s %s", field, why))
	}
	c := &check{name: cfg.Name, list: cfg.List, rules: maps.Clone(cfg.Rules), submission: slices.Clone(cfg.Submission), logins: cfg.Logins}
	if c.name == "" {
		c.name = "blocklist"
	}
	if c.list == nil {
		bad("List", "is missing")
	}
	if c.rules == nil {
		c.rules = DefaultRules()
	}
	for subject, r := range c.rules {
		field := fmt.Sprintf("Rules[%v]", subject)
		if subject < SubjectClient || subject > SubjectRcpt {
			bad(field, fmt.Sprintf("is for subject %d, which there is not", subject))
		}
		if r.Block < smtpguard.Continue || r.Block > smtpguard.Disconnect {
			bad(field+".Block", fmt.Sprintf("is %d, which is no action", r.Block))
		}
		if r.Allow < smtpguard.NoScope || r.Allow > smtpguard.ScopeConnection {
			bad(field+".Allow", fmt.Sprintf("is %d, which is no scope", r.Allow))
		}
		if r.Block == smtpguard.Continue {
			r.Block = smtpguard.Reject
			c.rules[subject] = r
		}
	}
	if len(c.rules) == 0 {
		bad("Rules", "is empty: nothing is looked up")
	}
	if err := errors.Join(errs...); err != nil {
		return smtpguard.Check{}, err
	}
	return c.hooks(), nil
}

// hooks returns the check, with hooks for what has rules.
func (c *check) hooks() smtpguard.Check {
	ck := smtpguard.Check{Name: c.name}
	has := func(s Subject) bool { _, ok := c.rules[s]; return ok }
	if has(SubjectClient) {
		ck.Connect = func(_ context.Context, conn *smtpguard.Conn) (smtpguard.Verdict, error) {
			return c.client(conn), nil
		}
	}
	if has(SubjectCertificate) || has(SubjectHello) {
		ck.Hello = func(_ context.Context, conn *smtpguard.Conn) (smtpguard.Verdict, error) {
			v := c.certificate(conn)
			if !decides(v) && !slices.Contains(c.submission, conn.Listener()) {
				v = stronger(v, c.hello(conn))
			}
			return v, nil
		}
	}
	if has(SubjectClient) || has(SubjectHello) || has(SubjectSender) {
		ck.Mail = func(_ context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
			return c.mail(tx), nil
		}
	}
	if has(SubjectRcpt) {
		ck.Rcpt = func(_ context.Context, tx *smtpguard.Transaction, rcpt *smtpguard.Recipient) (smtpguard.Verdict, error) {
			if _, ok := tx.Conn().Login(); ok && !c.logins {
				return smtpguard.Verdict{}, nil
			}
			return c.path(SubjectRcpt, rcpt.Addr), nil
		}
	}
	return ck
}

// mail judges what is to be judged at MAIL, until something is decided.
func (c *check) mail(tx *smtpguard.Transaction) (v smtpguard.Verdict) {
	conn := tx.Conn()
	_, login := conn.Login()
	if !login {
		if again := c.client(conn); again.Action != smtpguard.Continue { // an Allow was heard, or comes too late
			v = again
		}
	}
	if decides(v) || login && !c.logins {
		return v
	}
	if slices.Contains(c.submission, conn.Listener()) {
		if v = stronger(v, c.hello(conn)); decides(v) {
			return v
		}
	}
	if tx.From() != "" {
		v = stronger(v, c.path(SubjectSender, tx.From()))
	}
	return v
}

// decides reports whether v leaves nothing to be asked.
func decides(v smtpguard.Verdict) bool {
	return v.Action >= smtpguard.Defer || v.Accept != smtpguard.NoScope
}

// stronger is what two verdicts say together, of which the first decides nothing.
func stronger(v, next smtpguard.Verdict) smtpguard.Verdict {
	switch {
	case next.Accept != smtpguard.NoScope:
		next.Action = max(v.Action, next.Action) // quarantined nevertheless
		return next
	case next.Action > v.Action || v.Reason == "":
		return next
	}
	return v
}

func (c *check) client(conn *smtpguard.Conn) smtpguard.Verdict {
	if _, ok := c.rules[SubjectClient]; !ok || !conn.Addr().IsValid() {
		return smtpguard.Verdict{}
	}
	m, _ := c.list.Find(Query{Kind: Addr, Addr: conn.Addr()})
	return c.verdict(SubjectClient, conn.Addr().String(), m)
}

func (c *check) certificate(conn *smtpguard.Conn) smtpguard.Verdict {
	if _, ok := c.rules[SubjectCertificate]; !ok {
		return smtpguard.Verdict{}
	}
	state, ok := conn.TLS()
	if !ok || len(state.PeerCertificates) == 0 {
		return smtpguard.Verdict{}
	}
	sum := sha256.Sum256(state.PeerCertificates[0].Raw)
	print := hex.EncodeToString(sum[:])
	m, _ := c.list.Find(Query{Kind: Fingerprint, Value: print})
	return c.verdict(SubjectCertificate, print, m)
}

func (c *check) hello(conn *smtpguard.Conn) smtpguard.Verdict {
	if _, ok := c.rules[SubjectHello]; !ok || conn.Hello() == "" {
		return smtpguard.Verdict{}
	}
	m, _ := c.list.Find(Query{Kind: Hello, Value: conn.Hello()})
	return c.verdict(SubjectHello, conn.Hello(), m)
}

// path looks a mail address and its domain up.
func (c *check) path(s Subject, addr string) smtpguard.Verdict {
	if _, ok := c.rules[s]; !ok {
		return smtpguard.Verdict{}
	}
	return c.verdict(s, addr, findPath(c.list, addr))
}

// findPath returns the entry that says most of a mail address: of the kind
// Mailbox or, for its domain, of the kind Domain. The address itself comes
// first, then its domain, what that is below, and its local part anywhere; Allow
// before Block where two are alike.
func findPath(list Source, addr string) Match {
	weight := func(m Match) int {
		switch {
		case m.Entry.Kind == Mailbox && m.Rank == 3:
			return 4
		case m.Entry.Kind == Mailbox && m.Rank == 2, m.Entry.Kind == Domain && m.Rank%2 == 1:
			return 3
		case m.Entry.Kind == Domain:
			return 2
		}
		return m.Rank
	}
	at := strings.LastIndexByte(addr, '@')
	if at < 0 {
		return Match{}
	}
	m, _ := list.Find(Query{Kind: Mailbox, Value: addr})
	d, _ := list.Find(Query{Kind: Domain, Value: addr[at+1:]})
	if a, b := weight(m), weight(d); b > a || b == a && d.Entry.Word == Allow {
		return d
	}
	return m
}

// verdict makes one of the entry that counts for what, if any does.
func (c *check) verdict(s Subject, what string, m Match) (v smtpguard.Verdict) {
	if m.Entry.Word != Block && m.Entry.Word != Allow {
		return v
	}
	v.Facts = map[string]string{"list": c.name, "subject": s.String(), "entry": m.Entry.Value, "word": m.Entry.Word.String()}
	if m.Entry.Source != "" {
		v.Facts["source"] = m.Entry.Source
	}
	did := "blocked"
	if m.Entry.Word == Allow {
		did, v.Accept = "allowed", c.rules[s].Allow
	} else {
		v.Action = c.rules[s].Block
		v.Reply = refusal(s, v.Action)
	}
	v.Reason = fmt.Sprintf("%v %.254s is %s by %s", s, what, did, m.Entry.Value)
	if m.Entry.Source != "" {
		v.Reason += " of " + m.Entry.Source
	}
	if m.Entry.Reason != "" {
		v.Reason += ": " + m.Entry.Reason
	}
	return v
}

// refusal is what the client reads: what of it we do not take, so that its
// postmaster can tell, and nothing of the list. Nil is the action's default.
func refusal(s Subject, a smtpguard.Action) *smtp.SMTPError {
	if a != smtpguard.Reject {
		return nil
	}
	code := 550
	text := map[Subject]string{
		SubjectClient:      "Your address is blocked here",
		SubjectCertificate: "Your TLS certificate is blocked here",
		SubjectHello:       "Your EHLO name is blocked here",
		SubjectSender:      "The sender is blocked here",
		SubjectRcpt:        "No mail to this recipient from here",
	}[s]
	if s == SubjectClient {
		code = 554 // at Connect (RFC 5321, section 3.1); it fits MAIL as well
	}
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: text}
}

package limiter

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
)

// RatesConfig says how much may come in a time. The zero RatesConfig limits
// nothing.
type RatesConfig struct {
	Rules []Rule

	// Tenant names on whose account a client sends, for rules that count
	// ByTenant; tx is nil before MAIL. "" is nobody's: such rules do not count it.
	Tenant func(conn *smtpguard.Conn, tx *smtpguard.Transaction) string

	Tarpit  *Tarpit           // holds replies back, for rules whose Effect is Slow
	OnError smtpguard.Failure // what a store that fails means

	// Report hears what could not be counted, or given back, after the last reply
	// because the store failed. It may be nil and must not block.
	Report func(error)
}

// Rule is one limit, or several windows of one. What it counts it counts apart
// for each value of By together: By{ByLogin, ByClient} is each login from each
// network.
type Rule struct {
	Name string // in keys, so it must stay as it is, and in events; letters, digits, '-', '_' and '.'
	Unit Unit
	By   []By // nothing: all clients together
	Bits Bits // for ByClient: what is one client

	// Limits are windows that all have to have room: 10 a minute and 100 a day.
	Limits []Limit

	// Only are the clients that the rule is for, the zero Clients meaning all;
	// Exempt are those it is not for. So own networks, logins and clients on an
	// allow list get a rule with figures of their own, or none.
	Only, Exempt Clients

	Effect Effect
	Reply  *smtp.SMTPError // nil is the effect's default

	// Debt is how long a client may be made to wait, beyond an empty window, for
	// what it did over the limit. It is for the units that are counted after they
	// happened (Handshakes, Commands, Errors, Unknown) and for soft limits (Slow,
	// Note); others never go into debt.
	Debt time.Duration

	// Keep counts Messages, Recipients and Octets even where the mail was not
	// accepted. They are given back otherwise: they are what a client may send. To
	// bound what it may try, count Commands, Errors and Unknown.
	Keep bool
}

// Unit is what a rule counts. What is asked for is counted before it is
// granted. What has happened already is counted at the next hook, and held
// against the client from then on, from the banner of its next connection too.
type Unit int

const (
	Messages    Unit = iota // at MAIL
	Recipients              // at RCPT: one for each forward-path
	Octets                  // of content, when it has arrived; a SIZE at MAIL that is too much already is refused there
	Connections             // at the banner, or as soon as what By names is known
	Handshakes              // of TLS, new sessions only; happened
	Commands                // replies, junk and the banner included ([smtpguard.Conn.Commands]); happened
	Errors                  // refused recipients, messages, logins, commands out of order ([smtpguard.Conn.Errors]); happened
	Unknown                 // recipients that do not exist (550 5.1.1 and its kind): probing for addresses; happened
)

var unitNames = [...]string{"messages", "recipients", "octets", "connections", "handshakes", "commands", "errors", "unknown recipients"}

// String returns the unit's name in lower case.
func (u Unit) String() string {
	if u < 0 || int(u) >= len(unitNames) {
		return "invalid"
	}
	return unitNames[u]
}

// happened reports whether the unit is counted after the fact.
func (u Unit) happened() bool { return u >= Handshakes }

// ofMail reports whether the unit is of a transaction.
func (u Unit) ofMail() bool { return u <= Octets || u == Unknown }

// By is part of what a rule counts apart. Where it is not known yet, or the
// client has none, the rule does not count.
type By string

const (
	ByClient     By = "client"      // its network, by Rule.Bits; clients without an address are one
	ByLogin      By = "login"       // proven, in lower case
	ByHello      By = "hello"       // the EHLO identity, claimed
	ByFrom       By = "from"        // the reverse-path; the null one is none
	ByFromDomain By = "from-domain" // its domain
	ByTo         By = "to"          // the forward-path, for Recipients
	ByToDomain   By = "to-domain"   // its domain
	ByTenant     By = "tenant"      // what RatesConfig.Tenant says
)

// of reports what the part belongs to.
func (b By) ofMail() bool { return b == ByFrom || b == ByFromDomain || b.ofRcpt() }
func (b By) ofRcpt() bool { return b == ByTo || b == ByToDomain }

// Effect is what going over a limit does. Defer, Reject and Disconnect are hard
// limits: what is over them is not counted. Slow and Note are soft.
type Effect int

const (
	Defer      Effect = iota // 4yz: 450 4.7.1, 451 4.7.1 or 454 4.7.0; before the banner 421
	Reject                   // 5yz: 550 5.7.1; before the banner 554
	Disconnect               // 421 4.7.0, and hang up
	Slow                     // the reply is held back until there would be room, within the bounds of the Tarpit; under smtpguard.Shadow too
	Note                     // an event
)

func (e Effect) soft() bool { return e >= Slow }

// action is what e does to the session.
func (e Effect) action() smtpguard.Action {
	switch e {
	case Reject:
		return smtpguard.Reject
	case Disconnect:
		return smtpguard.Disconnect
	case Slow, Note:
		return smtpguard.Continue
	}
	return smtpguard.Defer
}

// validate says what is wrong with cfg, naming the field.
func (cfg *RatesConfig) validate() error {
	var errs []error
	names := make(map[string]bool)
	windows := 0
	for i := range cfg.Rules {
		r := &cfg.Rules[i]
		bad := func(field string, err error) {
			if err != nil {
				errs = append(errs, fmt.Errorf("limiter: RatesConfig.Rules[%d] (%q): %s%w", i, r.Name, field, err))
			}
		}
		if names[r.Name] {
			bad("Name: ", errors.New("is another rule's too"))
		}
		names[r.Name] = true
		windows += len(r.Limits)
		r.validate(bad)
		if slices.Contains(r.By, ByTenant) && cfg.Tenant == nil {
			bad("By: ", errors.New("names the tenant, and RatesConfig.Tenant is nil"))
		}
		if r.Effect == Slow && cfg.Tarpit == nil {
			bad("Effect: ", errors.New("is Slow, and RatesConfig.Tarpit is nil"))
		}
	}
	if windows > MaxAsks {
		errs = append(errs, fmt.Errorf("limiter: RatesConfig.Rules: %d limits, more than one Take can have (%d)", windows, MaxAsks))
	}
	if cfg.OnError < smtpguard.FailDefer || cfg.OnError > smtpguard.FailRefuse {
		errs = append(errs, fmt.Errorf("limiter: RatesConfig.OnError: %d is no Failure", int(cfg.OnError)))
	}
	return errors.Join(errs...)
}

func (r *Rule) validate(bad func(field string, err error)) {
	no := func(field, why string) { bad(field+": ", errors.New(why)) }
	if r.Name == "" || len(r.Name) > maxPart || slices.ContainsFunc([]byte(r.Name), func(c byte) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')
	}) {
		no("Name", "must be 1 to 64 letters, digits, '-', '_' and '.'")
	}
	if r.Unit < Messages || r.Unit > Unknown {
		no("Unit", fmt.Sprintf("%d is no Unit", int(r.Unit)))
	}
	for i, b := range r.By {
		switch b {
		case ByClient, ByLogin, ByHello, ByFrom, ByFromDomain, ByTo, ByToDomain, ByTenant:
		default:
			no("By", fmt.Sprintf("%q is nothing to count by", string(b)))
		}
		if slices.Contains(r.By[:i], b) {
			no("By", fmt.Sprintf("has %s twice", b))
		}
		switch {
		case b.ofRcpt() && r.Unit != Recipients:
			no("By", fmt.Sprintf("%s is of one recipient: count Recipients", b))
		case b.ofMail() && !r.Unit.ofMail():
			no("By", fmt.Sprintf("%s is of one message, which %s are not", b, r.Unit))
		}
	}
	bad("Bits.", r.Bits.validate())
	if r.Bits != (Bits{}) && !slices.Contains(r.By, ByClient) {
		no("Bits", "are of no use without ByClient")
	}
	if len(r.Limits) == 0 {
		no("Limits", "there is none")
	}
	for i, l := range r.Limits {
		bad(fmt.Sprintf("Limits[%d]: ", i), l.Validate())
		if l.N == 0 {
			no(fmt.Sprintf("Limits[%d]", i), "limits nothing")
		}
	}
	bad("Only: ", r.Only.validate())
	bad("Exempt: ", r.Exempt.validate())
	if r.Effect < Defer || r.Effect > Note {
		no("Effect", fmt.Sprintf("%d is no Effect", int(r.Effect)))
	}
	if r.Reply != nil {
		class, want := r.Reply.Code/100, map[Effect]int{Defer: 4, Reject: 5, Disconnect: 4}[r.Effect]
		if want == 0 {
			no("Reply", "is never given: the Effect refuses nothing")
		} else if class != want || r.Effect == Disconnect && r.Reply.Code != 421 {
			no("Reply", fmt.Sprintf("%d is no reply for the Effect", r.Reply.Code))
		}
	}
	if r.Debt < 0 || r.Debt > MaxWindow {
		no("Debt", "must be between 0 and MaxWindow")
	}
	if r.Debt > 0 && !r.Unit.happened() && !r.Effect.soft() {
		no("Debt", fmt.Sprintf("what is asked for, as %s are, is refused over a hard limit and leaves no debt", r.Unit))
	}
}

package smtpguard

import (
	"context"
)

// A Check is one policy: a set of hooks in the order of an SMTP session, any
// of which may be nil. The zero Check judges nothing.
//
// A hook judges by its Verdict and fails by its error; the two are separate. A
// failed or panicking hook means what OnError says. Hooks of one session run
// one after another, except under [Together]; those of different sessions run
// at the same time.
//
// A hook acts on the Message and the Recipient that it is given: under [Shadow]
// and [Together] they are not the transaction's own.
//
// The context of a hook ends with the connection (from MAIL on, with the
// transaction) and carries the deadline [Config.StageTimeout] sets.
type Check struct {
	Name    string  // names the check in events; required
	OnError Failure // what a failed or panicking hook means
	Always  bool    // runs even after another check's Accept: relay, AUTH, TLS, limits

	Connect func(context.Context, *Conn) (Verdict, error)               // before the banner
	Hello   func(context.Context, *Conn) (Verdict, error)               // EHLO; a repeated one is judged at the next AUTH or MAIL
	Auth    func(context.Context, *Conn, *AuthAttempt) (Verdict, error) // mechanism chosen; again when a login is claimed
	Mail    func(context.Context, *Transaction) (Verdict, error)
	Rcpt    func(context.Context, *Transaction, *Recipient) (Verdict, error)
	Data    func(context.Context, *Transaction, *Message) (Verdict, error)

	// Accounting: these run in order, one at a time for a connection, after the
	// reply they speak of, and before the hooks of the next transaction.
	AuthDone func(context.Context, *Conn, *AuthAttempt)   // how it ended, "*" and hang-ups included
	Done     func(context.Context, *Transaction, Outcome) // the transaction is over
	Close    func(*Conn)                                  // the connection is gone: release

	// composite marks what a combinator made: it hands on accounting and asks
	// its children itself.
	composite bool
	err       error // what the combinator found wrong with its arguments, for New
}

// Failure says what a check's failure means.
type Failure int

const (
	FailDefer  Failure = iota // 451 4.3.0: mail is deferred, never let through
	FailOpen                  // as if the hook had said Continue: for advisory checks
	FailRefuse                // 554 5.3.0
)

// String returns "defer", "open" or "refuse".
func (f Failure) String() string {
	switch f {
	case FailDefer:
		return "defer"
	case FailOpen:
		return "open"
	case FailRefuse:
		return "refuse"
	}
	return "invalid"
}

// Stage is a point in a session at which checks are asked. Stages are ordered
// as the session goes through them.
type Stage int

const (
	StageConnect Stage = iota + 1 // before the banner
	StageHello                    // EHLO, HELO or LHLO
	StageAuth
	StageMail
	StageRcpt
	StageData // the content has arrived
)

var stageNames = [...]string{"", "connect", "hello", "auth", "mail", "rcpt", "data"}

// String returns the stage's name in lower case.
func (s Stage) String() string {
	if s < 0 || int(s) >= len(stageNames) {
		return "invalid"
	}
	return stageNames[s]
}

// MarshalText makes a stage a word in JSON.
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// scene is what hooks are called with at one stage.
type scene struct {
	stage Stage
	conn  *Conn
	auth  *AuthAttempt // StageAuth
	tx    *Transaction // from StageMail on
	rcpt  *Recipient   // StageRcpt
	msg   *Message     // StageData
}

// has reports whether c has a hook at stage.
func (c *Check) has(stage Stage) bool {
	switch stage {
	case StageConnect:
		return c.Connect != nil
	case StageHello:
		return c.Hello != nil
	case StageAuth:
		return c.Auth != nil
	case StageMail:
		return c.Mail != nil
	case StageRcpt:
		return c.Rcpt != nil
	case StageData:
		return c.Data != nil
	}
	return false
}

// call runs the hook of the scene's stage, which must be there.
func (c *Check) call(ctx context.Context, sc *scene) (Verdict, error) {
	switch sc.stage {
	case StageConnect:
		return c.Connect(ctx, sc.conn)
	case StageHello:
		return c.Hello(ctx, sc.conn)
	case StageAuth:
		return c.Auth(ctx, sc.conn, sc.auth)
	case StageMail:
		return c.Mail(ctx, sc.tx)
	case StageRcpt:
		return c.Rcpt(ctx, sc.tx, sc.rcpt)
	default:
		return c.Data(ctx, sc.tx, sc.msg)
	}
}

// AuthAttempt is one AUTH exchange.
type AuthAttempt struct {
	Mechanism string // as the client chose it, in upper case
	Claimed   string // the login, read from the exchange; for limits and logs: it proves nothing
	Err       error  // in AuthDone: nil when the proof was accepted

	accepted bool // an allow list spoke for the connection, should the proof be accepted
	over     bool // it is accounted for
}

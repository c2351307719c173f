package smtpguard

import (
	"net/netip"
	"time"
)

// Event is something that happened, for logs, metrics and status pages: they
// are all made from the one stream that [Config.Observe] gets. Its JSON form is
// stable: fields may be added, none is renamed. Text that came from the client
// is as the client sent it, so a sink must escape control characters ([LogEvents]
// and encoding/json do). Passwords and SASL responses never appear.
type Event struct {
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`

	Conn        string     `json:"conn,omitempty"`        // connection id
	Transaction string     `json:"transaction,omitempty"` // transaction id
	Listener    string     `json:"listener,omitempty"`    // ListenConfig.Name
	Client      netip.Addr `json:"client,omitzero"`
	Hello       string     `json:"hello,omitempty"` // EHLO identity, as claimed
	Login       string     `json:"login,omitempty"` // proven; in KindAuth, claimed

	// TLS is what the handshake agreed on: version, suite, group; then, of a client
	// certificate, "client", its fingerprint, and its subject if it was verified.
	// "" in clear text, and in KindVerdict: the connection's other events tell.
	TLS string `json:"tls,omitempty"`

	// Of a verdict.
	Stage    Stage             `json:"stage,omitempty"`
	Check    string            `json:"check,omitempty"`
	Parent   string            `json:"parent,omitempty"` // the combinator that asked
	Action   Action            `json:"action,omitempty"`
	Accept   Scope             `json:"accept,omitempty"`
	Score    float64           `json:"score,omitempty"`
	Reason   string            `json:"reason,omitempty"`
	Facts    map[string]string `json:"facts,omitempty"`
	Rcpt     string            `json:"rcpt,omitempty"`
	Duration time.Duration     `json:"duration_ns,omitempty"`
	Error    string            `json:"error,omitempty"`
	Stack    string            `json:"stack,omitempty"` // of a panic
	Shadow   bool              `json:"shadow,omitempty"`

	// Of a transaction, and of what ended it.
	From       string        `json:"from,omitempty"`
	Recipients []string      `json:"recipients,omitempty"` // accepted forward-paths
	Refused    []string      `json:"refused,omitempty"`    // those that were not, up to 100
	Size       int64         `json:"size,omitempty"`       // octets of content
	Reply      string        `json:"reply,omitempty"`      // last reply: code, enhanced code, text
	Delivered  bool          `json:"delivered,omitempty"`
	Checks     []CheckResult `json:"checks,omitempty"`
	Mechanism  string        `json:"mechanism,omitempty"` // of KindAuth
}

// Kind tells events apart.
type Kind string

const (
	KindVerdict     Kind = "verdict"     // a check judged
	KindAuth        Kind = "auth"        // an AUTH exchange ended
	KindTransaction Kind = "transaction" // a transaction ended
	KindConnect     Kind = "connect"     // a connection was accepted
	KindClose       Kind = "close"       // a connection ended
	KindNote        Kind = "note"        // something odd that was allowed, or a rule broken and refused
	KindWarning     Kind = "warning"     // the operator should know: a protection is off, a backend failed
)

// CheckResult is one check's word in the summary of a transaction. Those of
// the connection's own stages are in its first transaction.
type CheckResult struct {
	Check    string        `json:"check"`
	Stage    Stage         `json:"stage"`
	Action   Action        `json:"action"`
	Shadow   bool          `json:"shadow,omitempty"`
	Reason   string        `json:"reason,omitempty"`
	Duration time.Duration `json:"duration_ns"`
}

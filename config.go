package smtpguard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Config says how a guard works. The zero Config is safe.
type Config struct {
	Hostname string // our name in Received fields; "" means smtp.Server.Domain
	Contact  string // for whom to ask: ends every refusal by a check, and of content; "see https://example.org/mail" say

	// Observe gets every event. It is called from the sessions' goroutines, at
	// the same time from several, and must not block.
	Observe func(Event)

	// Context adds to the context of a transaction: what packages look for there, a
	// budget for DNS say. All hooks from MAIL on run under it, and all that they
	// start (Key.Start); it ends with the transaction. It must not ask conn for the
	// transaction. Guards that merge add one after the other, outer ones first.
	Context func(ctx context.Context, conn *Conn) context.Context

	Hello        HelloPolicy
	StageTimeout time.Duration // for all hooks of one stage together; 0 means a minute
	Limits       Limits
	Spool        SpoolConfig

	// Octets is what happens to content with a bare CR, a bare LF or NUL (the
	// stuff of SMTP smuggling). The first rule that fits the client wins, then
	// Octets.
	Octets     OctetPolicy
	OctetRules []OctetRule

	EightBit EightBitPolicy
}

// HelloPolicy is what happens to an EHLO identity that is neither a domain name
// nor an address literal (RFC 5321, section 4.1.1.1). One with control or 8-bit
// characters, or longer than 255 octets, is refused in any case.
type HelloPolicy int

const (
	HelloNote   HelloPolicy = iota // accepted, with an event: many a printer is called "MY PRINTER"
	HelloRefuse                    // 501 5.5.2
)

// OctetPolicy is what happens to octets that RFC 5321, section 2.3.8, forbids
// in content: CR and LF other than as CRLF, and NUL (RFC 5322, section 4).
type OctetPolicy int

const (
	OctetsReject    OctetPolicy = iota // 554 5.6.0
	OctetsNormalize                    // bare CR and bare LF become CRLF, NUL is dropped, before any check looks
	OctetsAllow                        // handed on: only to hops that are known to take it
)

// OctetRule is an OctetPolicy for some clients: those in one of Networks, and
// those with one of Logins (proven).
type OctetRule struct {
	Networks []netip.Prefix
	Logins   []string
	Policy   OctetPolicy
}

// EightBitPolicy is what happens to 8-bit octets in the header section of a
// message that did not ask for SMTPUTF8 (RFC 6532, section 3.2, allows them to
// those that did alone).
type EightBitPolicy int

const (
	EightBitNote   EightBitPolicy = iota // accepted, with an event: much old software sends them
	EightBitRefuse                       // 554 5.6.0
)

// fits reports whether the rule speaks of c.
func (r *OctetRule) fits(c *Conn) bool {
	for _, p := range r.Networks {
		if p.Contains(c.Addr()) {
			return true
		}
	}
	if login, ok := c.Login(); ok && login != "" {
		for _, l := range r.Logins {
			if l == login {
				return true
			}
		}
	}
	return false
}

// octets is the policy for what c sends.
func (cfg *Config) octets(c *Conn) OctetPolicy {
	for i := range cfg.OctetRules {
		if cfg.OctetRules[i].fits(c) {
			return cfg.OctetRules[i].Policy
		}
	}
	return cfg.Octets
}

// Limits bounds what a client may send. The zero value of a field means its
// default.
type Limits struct {
	Path         int // octets of a reverse-path or forward-path without its brackets; 254 (RFC 5321, section 4.5.3.1.3)
	Line         int // octets of a content line, past which it is refused; 8192. Over 998 (RFC 5322, section 2.1.1) is noted
	HeaderBytes  int // octets of the header section; 256 KiB
	HeaderFields int // fields of the header section; 1000
	FieldBytes   int // octets of one field with its folds; 64 KiB
	Received     int // Received fields, past which it is a loop (RFC 5321, section 6.3); 50

	// Errors counts what a session got refused: recipients, logins, commands out
	// of order. Idle counts replies (HELP, NOOP, RSET, VRFY, ...) since the last
	// message or login. At half of each budget replies slow down by Slow, at the end
	// of it the client gets a 421.
	Errors int           // 20
	Idle   int           // 100
	Slow   time.Duration // 1 s; negative: not at all
}

// SpoolConfig says where content is kept while it is judged. The zero value of a
// field means its default.
type SpoolConfig struct {
	Dir    string // for temporary files; "" means os.TempDir
	Memory int    // octets of one message held in memory; more goes to a file. 256 KiB
	Total  int64  // octets of memory of all messages together: past it, files. 64 MiB
}

// filled returns cfg with the defaults in place of zero values.
func (cfg Config) filled() Config {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	l := &cfg.Limits
	def(&l.Path, 254)
	def(&l.Line, 8192)
	def(&l.HeaderBytes, 256<<10)
	def(&l.HeaderFields, 1000)
	def(&l.FieldBytes, 64<<10)
	def(&l.Received, 50)
	def(&l.Errors, 20)
	def(&l.Idle, 100)
	if l.Slow == 0 {
		l.Slow = time.Second
	}
	def(&cfg.Spool.Memory, 256<<10)
	if cfg.Spool.Total == 0 {
		cfg.Spool.Total = 64 << 20
	}
	if cfg.StageTimeout == 0 {
		cfg.StageTimeout = time.Minute
	}
	return cfg
}

// validate says what is wrong with a filled cfg, naming the field.
func (cfg *Config) validate() error {
	var errs []error
	bad := func(field string, v any, why string) {
		errs = append(errs, fmt.Errorf("smtpguard: Config.%s is %v: %s", field, v, why))
	}
	l, s := &cfg.Limits, &cfg.Spool
	for _, f := range []struct {
		name     string
		v, least int
		why      string
	}{
		{"Limits.Path", l.Path, 64, "must be 64 or more"},
		{"Limits.Line", l.Line, 998, "must be 998 or more (RFC 5322, section 2.1.1)"},
		{"Limits.HeaderBytes", l.HeaderBytes, 1024, "must be 1024 or more"},
		{"Limits.HeaderFields", l.HeaderFields, 20, "must be 20 or more"},
		{"Limits.FieldBytes", l.FieldBytes, 998, "must be 998 or more"},
		{"Limits.Received", l.Received, 1, "must be 1 or more"},
		{"Limits.Errors", l.Errors, 1, "must be 1 or more"},
		{"Limits.Idle", l.Idle, 10, "must be 10 or more"},
		{"Spool.Memory", s.Memory, 0, "must not be negative"},
	} {
		if f.v < f.least {
			bad(f.name, f.v, f.why)
		}
	}
	if s.Total < 0 {
		bad("Spool.Total", s.Total, "must not be negative")
	}
	if cfg.StageTimeout < 0 {
		bad("StageTimeout", cfg.StageTimeout, "must not be negative")
	}
	if cfg.Octets < OctetsReject || cfg.Octets > OctetsAllow {
		bad("Octets", int(cfg.Octets), "is no OctetPolicy")
	}
	for i, r := range cfg.OctetRules {
		if r.Policy < OctetsReject || r.Policy > OctetsAllow {
			bad(fmt.Sprintf("OctetRules[%d].Policy", i), int(r.Policy), "is no OctetPolicy")
		}
		for _, p := range r.Networks {
			if !p.IsValid() {
				bad(fmt.Sprintf("OctetRules[%d].Networks", i), p, "is no network")
			}
		}
		if len(r.Networks) == 0 && len(r.Logins) == 0 {
			bad(fmt.Sprintf("OctetRules[%d]", i), "empty", "names no network and no login: it fits nobody")
		}
	}
	if cfg.Hello != HelloNote && cfg.Hello != HelloRefuse {
		bad("Hello", int(cfg.Hello), "is no HelloPolicy")
	}
	if cfg.EightBit != EightBitNote && cfg.EightBit != EightBitRefuse {
		bad("EightBit", int(cfg.EightBit), "is no EightBitPolicy")
	}
	if !validHostname(cfg.Hostname) {
		bad("Hostname", fmt.Sprintf("%q", cfg.Hostname), "is no domain name")
	}
	return errors.Join(errs...)
}

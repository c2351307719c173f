package failure

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/internal/domain"
	"github.com/smtpguard/smtpguard/internal/mailsig"
)

// Config is how a Reporter works. From and Host have to be set.
type Config struct {
	// From is the address that reports come from. Its domain has to sign them with
	// DKIM, or to be that of EHLO with SPF: reports are to pass DMARC themselves
	// (RFC 9991, section 5.1).
	From string
	Host string // the name of the receiver

	// Key makes of a local part the keyed hash of its address, the same in each
	// report (RFC 6590); nil removes it. Who can have reports made, by mail that
	// fails, can have the address of anybody hashed, and then knows it again.
	Key []byte

	// Fields are names of more header fields whose value is told, with addresses
	// redacted: "Subject", "List-Id".
	Fields []string

	// Bounds of an hour. PerDomain is of reports about what is registered of a
	// policy domain, by the Public Suffix List, as names below it cost nothing; 0
	// means 10. PerDestination is of mails to what is registered of a destination; 0
	// means 60. Total is of mails, and of reports that are kept, of up to 40 KiB; 0
	// means 240. Who forges mail of enough domains uses it up: then nobody is told
	// for the rest of the hour.
	PerDomain, PerDestination, Total int
}

// Reporter tells of messages that failed. It is safe for concurrent use.
type Reporter struct {
	from, host     string
	redact         redactor
	perDomain      int
	perDestination int
	total          int

	wake    chan struct{} // has room for one
	mu      sync.Mutex
	entries map[string]*entry // by what makes failures alike
	busy    map[string]bool   // the domains of those that are being sent
	sent    []sending         // of the last hour, the oldest first
}

// New returns a Reporter. It reports every field of cfg that is wrong.
func New(cfg Config) (*Reporter, error) {
	r := &Reporter{
		perDomain: cfg.PerDomain, perDestination: cfg.PerDestination, total: cfg.Total,
		wake: make(chan struct{}, 1), entries: make(map[string]*entry), busy: make(map[string]bool),
	}
	var errs []error
	at := strings.LastIndexByte(cfg.From, '@')
	name, err := domain.Normal(cfg.From[at+1:])
	if at < 1 || err != nil || !isText(cfg.From[:at], atext+".") {
		errs = append(errs, fmt.Errorf("failure: From %q: no address without quotes", cfg.From))
	} else {
		r.from = cfg.From[:at+1] + name
	}
	if r.host, err = domain.Normal(cfg.Host); err != nil {
		errs = append(errs, fmt.Errorf("failure: Host %q: %w", cfg.Host, err))
	}
	if len(cfg.Key) > 0 && len(cfg.Key) < 16 {
		errs = append(errs, errors.New("failure: Key: less than 16 octets can be guessed"))
	}
	r.redact.key = cfg.Key
	for _, name := range cfg.Fields {
		if !mailsig.IsFieldName(name) {
			errs = append(errs, fmt.Errorf("failure: Fields: %q is no name of a field", name))
		}
		r.redact.also = append(r.redact.also, name)
	}
	for _, bound := range []struct {
		name  string
		value *int
		zero  int
	}{{"PerDomain", &r.perDomain, 10}, {"PerDestination", &r.perDestination, 60}, {"Total", &r.total, 240}} {
		if *bound.value < 0 {
			errs = append(errs, fmt.Errorf("failure: %s: must not be negative", bound.name))
		}
		if *bound.value == 0 {
			*bound.value = bound.zero
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return r, nil
}

// registered is what somebody had to pay for of a domain.
func registered(name string) string {
	if org, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return org
	}
	return name
}

// Message is one that was checked.
type Message struct {
	Outcome dmarc.Outcome
	Header  []byte     // the header section as received, more does not hurt
	Source  netip.Addr // the client
	Port    uint16     // its port; 0 means not known

	MailFrom   string    // reverse-path without brackets; "" is the null one, of which nothing is told
	EnvelopeID string    // what the log knows the transaction by; "" to tell nobody
	Arrived    time.Time // zero means now
	Delivery   Result    // what became of it; "" to tell nobody

	Identities []string // i= of the signatures, in the order of Outcome.DKIM; nil where they are not known
	SPF        []Policy // the records that SPF found, the first that of the domain
}

// Policy is an SPF record.
type Policy struct {
	Domain string `json:"domain"`
	Record string `json:"record"`
}

// Result is what became of a message (RFC 6591, section 3.2.2).
type Result string

const (
	Delivered Result = "delivered" // wherever to
	Spam      Result = "spam"      // to a folder for such
	Withheld  Result = "policy"    // not to where it was meant to go, for its failure
	Rejected  Result = "reject"
	Other     Result = "other"
)

// Failure is what failed, as a report has it (RFC 6591, section 3.3; RFC 9991,
// section 4).
type Failure string

const (
	DMARC     Failure = "dmarc"
	Signature Failure = "signature" // of DKIM
	SPF       Failure = "spf"

	BodyHash Failure = "bodyhash" // of DKIM; only in reports of others
	Revoked  Failure = "revoked"  // the key; only in reports of others
)

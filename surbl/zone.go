package surbl

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/dnslist"
	"github.com/smtpguard/smtpguard/internal/domain"
)

// Zone is one DNS list.
type Zone struct {
	Name   string // in logs and replies; Domain where empty
	Domain string // "multi.surbl.org"
	Prefix string // before Key and Domain: "_email"
	Key    Key    // a paid key, before Domain

	Lists Subject // required: what is asked for
	Hash  Hash    // where Lists has Address, URL, Crypto or Attached

	Codes    []Code // none is 127.0.0.2, which rejects
	Refusals []Refusal

	// TestListed is what is always listed, TestUnlisted what never is, as they are
	// asked for. The defaults are those of RFC 5782, section 5, "TEST" and "INVALID",
	// or 127.0.0.2 and 127.0.0.1 in a list of addresses alone; "-" is for a list that
	// has none.
	TestListed, TestUnlisted string
}

// Subject is what of a message a zone is asked for: one or several of these.
type Subject uint16

const (
	Domain   Subject = 1 << iota // the registered domain, of mail addresses too
	Host                         // the whole host, of mail addresses too
	Literal                      // the address that is the host; a list of domains alone must not be asked for it
	Hosted                       // the addresses of the host, which are looked up first
	Served                       // the addresses of the name servers of the registered domain, likewise
	Address                      // a hash of a mail address
	URL                          // a hash of the URI
	Crypto                       // a hash of the address of a cryptocurrency, which is then looked for
	Attached                     // a hash of a file that is attached, likewise

	names   = Domain | Host // asked for as they are
	hashes  = Address | URL | Crypto | Attached
	literal = Literal | Hosted | Served
)

// Code is one meaning of answers.
type Code struct {
	// Answer says which: "127.0.0.2"; a range "127.0.1.4-7" in any octet;
	// "127.0.*.3"; or bits of the last octet that must all be set, "127.0.0.&8".
	Answer string
	Means  string // in words: "phishing"

	Weight float64          // into Verdict.Score and the sum for Config.Limits
	Action smtpguard.Action // what a listing does, whatever the sum

	// Reply is what the client reads where the listing decides. {uri} is the URI,
	// defanged; {subject} is what is listed, {zone} the list's Name, {means} is
	// Means. "" is a text of ours.
	Reply string
}

// Refusal is an answer that is an error, with its meaning in words.
type Refusal struct {
	Answer string // as in Code, without bits
	Means  string
}

// Key is a paid key. It is written as "***", so that it does not get into logs.
type Key string

// String returns "***", or "" for no key.
func (k Key) String() string {
	if k == "" {
		return ""
	}
	return "***"
}

// GoString is String, for %#v.
func (k Key) GoString() string { return `"` + k.String() + `"` }

// MarshalText is String, for encodings.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

func (z *zone) compile(bad func(field, why string)) {
	name, err := domain.Normal(z.Domain)
	if err != nil {
		bad("Domain", "is no domain name")
	}
	if z.Name == "" {
		z.Name = name
	}
	if z.Name != clean(z.Name) {
		bad("Name", "has characters that replies cannot have")
	}
	suffix := "." + name + "."
	if z.Key != "" {
		key, err := domain.Normal(string(z.Key))
		if err != nil || strings.HasPrefix(string(z.Key), "*") {
			bad("Key", "is no label of a name")
		}
		suffix = "." + key + suffix
	}
	if z.Prefix != "" {
		prefix, err := domain.Normal(z.Prefix)
		if err != nil {
			bad("Prefix", "is no label of a name")
		}
		suffix = "." + prefix + suffix
	}
	if len(suffix) > 150 {
		bad("Domain", "leaves no room for a host")
	}
	if z.Lists == 0 || z.Lists&^(names|literal|hashes) != 0 {
		bad("Lists", "must be Domain, Host, Literal, Hosted, Served, Address, URL, Crypto, Attached, or several of them")
	}
	if z.Lists&hashes != 0 {
		z.Hash.vet(bad)
	}
	z.list.Name, z.list.Suffix, z.list.Secret = z.Name, suffix, string(z.Key)
	z.compileCodes(bad)
	z.compileTests(bad)
}

func (z *zone) compileCodes(bad func(field, why string)) {
	z.Codes = slices.Clone(z.Codes)
	if len(z.Codes) == 0 {
		z.Codes = []Code{{Answer: "127.0.0.2", Action: smtpguard.Reject}}
	}
	patterns := make([]dnslist.Pattern, len(z.Codes))
	for i := range z.Codes {
		c := &z.Codes[i]
		var err error
		if patterns[i], err = dnslist.ParsePattern(c.Answer); err != nil {
			bad(fmt.Sprintf("Codes[%d].Answer", i), fmt.Sprintf("%q: %v", c.Answer, err))
		}
		c.Means = clean(c.Means)
		vet(*c, func(f, why string) { bad(fmt.Sprintf("Codes[%d].%s", i, f), why) })
	}
	refusals := make([]dnslist.Refusal, len(z.Refusals))
	for i, r := range z.Refusals {
		p, err := dnslist.ParsePattern(r.Answer)
		if err != nil {
			bad(fmt.Sprintf("Refusals[%d].Answer", i), fmt.Sprintf("%q: %v", r.Answer, err))
		}
		refusals[i] = dnslist.Refusal{Pattern: p, Means: clean(r.Means)}
	}
	var err error
	if z.list.Codes, err = dnslist.NewCodes(patterns, refusals); err != nil {
		bad("Codes", err.Error())
	}
}

// vet reports what is wrong with what a listing does.
func vet(c Code, bad func(field, why string)) {
	if math.IsNaN(c.Weight) || math.IsInf(c.Weight, 0) {
		bad("Weight", "is not finite")
	}
	if c.Action < smtpguard.Continue || c.Action > smtpguard.Disconnect {
		bad("Action", "is no action")
	}
	rest := strings.NewReplacer("{uri}", "", "{subject}", "", "{zone}", "", "{means}", "").Replace(c.Reply)
	if strings.ContainsAny(rest, "{}") || rest != clean(rest) {
		bad("Reply", "has braces that are not {uri}, {subject}, {zone} or {means}, or characters that replies cannot have")
	}
}

func (z *zone) compileTests(bad func(field, why string)) {
	addresses := z.Lists&^literal == 0
	for _, p := range []struct {
		field, value, domain, addr string
		set                        func(name string)
	}{
		{"TestListed", z.TestListed, "test", "127.0.0.2", func(name string) { z.list.Listed = name }},
		{"TestUnlisted", z.TestUnlisted, "invalid", "127.0.0.1", func(name string) { z.list.Unlisted = []string{name} }},
	} {
		point := p.value
		if point == "" {
			if point = p.domain; addresses {
				point = p.addr
			}
		}
		if addr, err := netip.ParseAddr(point); err == nil {
			p.set(string(dnslist.AppendAddr(nil, addr)))
		} else if name, err := domain.Normal(point); err == nil {
			p.set(name)
		} else if point != "-" {
			bad(p.field, fmt.Sprintf("%q is nothing a zone lists", point))
		}
	}
}

// clean makes text fit for a reply and a log: printable ASCII on one line, of at
// most 300 octets.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 300)]
}

package verify

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/arc"
	"github.com/smtpguard/smtpguard/auth/authres"
	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/spf"
)

// write puts our fields on top of the message.
func (v *Verifier) write(tx *smtpguard.Transaction, msg *smtpguard.Message, r *Result) error {
	results := v.Results(r)
	results.UTF8 = tx.Opts().UTF8
	field, err := results.Field()
	if err != nil {
		return fmt.Errorf("verify: Authentication-Results: %w", err)
	}
	if v.cfg.ReceivedSPF {
		if err := msg.Prepend(r.SPF.Received(v.cfg.ID).Field()); err != nil {
			return fmt.Errorf("verify: Received-SPF: %w", err)
		}
	}
	if err := msg.Prepend(field); err != nil {
		return fmt.Errorf("verify: Authentication-Results: %w", err)
	}
	return nil
}

func property(ptype, name, value string) authres.Property {
	return authres.Property{Type: ptype, Name: name, Value: value}
}

// methods are the results for a field (RFC 8601, section 2.7).
func (r *Result) methods() []authres.Method {
	sender := authres.Method{Name: "spf", Result: authres.Result(r.SPF.Result)}
	if r.SPF.Identity == spf.Helo || strings.HasPrefix(r.SPF.Sender, "postmaster@") && r.SPF.Domain == strings.ToLower(r.SPF.Helo) {
		sender.Properties = append(sender.Properties, property("smtp", "helo", r.SPF.Helo))
	} else if r.SPF.Sender != "" {
		sender.Properties = append(sender.Properties, property("smtp", "mailfrom", r.SPF.Sender))
	}
	all := []authres.Method{sender}
	for i := range r.DKIM.Signatures {
		s := &r.DKIM.Signatures[i]
		m := authres.Method{Name: "dkim", Result: authres.Result(s.Result), Reason: s.Reason}
		for _, p := range []authres.Property{
			property("header", "d", s.Domain), property("header", "s", s.Selector), property("header", "a", s.Algorithm), property("header", "b", s.B),
		} {
			if p.Value != "" {
				m.Properties = append(m.Properties, p)
			}
		}
		all = append(all, m)
	}
	if len(r.DKIM.Signatures) == 0 {
		all = append(all, authres.Method{Name: "dkim", Result: authres.None})
	}
	if r.ARC.Status != arc.None {
		m := authres.Method{Name: "arc", Result: authres.Result(r.ARC.Status), Reason: r.ARC.Reason}
		if r.ARC.Oldest >= 0 {
			m.Properties = append(m.Properties, property("header", "oldest-pass", strconv.Itoa(r.ARC.Oldest)))
		}
		if r.Client.IsValid() {
			m.Properties = append(m.Properties, property("smtp", "remote-ip", r.Client.String())) // RFC 8617, section 10.2
		}
		all = append(all, m)
	}
	m := authres.Method{Name: "dmarc", Result: authres.Result(r.DMARC.Result)}
	if r.DMARC.Result != dmarc.Pass && r.DMARC.Result != dmarc.None {
		m.Reason = r.DMARC.Reason
	}
	if r.DMARC.AuthorDomain != "" {
		m.Properties = append(m.Properties, property("header", "from", r.DMARC.AuthorDomain))
	}
	if r.DMARC.Policy != "" {
		m.Properties = append(m.Properties, property("policy", "dmarc", string(r.DMARC.Policy))) // RFC 9989, section 9.2
	}
	return append(all, m)
}

// behind is who brought the message to our gateways, and what he said in EHLO: the
// topmost Received field that names somebody else. Fields below it may be anybody's.
func (v *Verifier) behind(msg *smtpguard.Message) (client netip.Addr, hello string, ok bool) {
	const most = 10 // hops inside
	n := 0
	for f := range msg.Fields("Received") {
		if n++; n > most {
			break
		}
		addr, name, found := from(f.Unfolded())
		if !found {
			return client, "", false // who handed it on without saying from whom cannot be looked behind
		}
		if !within(v.cfg.Gateways, addr) {
			return addr, name, true
		}
	}
	return client, "", false
}

// maxFrom bounds what is read of a Received field.
const maxFrom = 1024

// from reads the from clause of a Received field (RFC 5321, section 4.4): the name
// that the client gave, and its address, the last one in the clause, for the first
// may be that name.
func from(value string) (addr netip.Addr, hello string, ok bool) {
	value = strings.TrimSpace(value[:min(len(value), maxFrom)])
	if len(value) < 5 || !strings.EqualFold(value[:4], "from") || value[4] != ' ' && value[4] != '\t' {
		return addr, "", false
	}
	for i, word := range strings.Fields(value[5:]) {
		if i == 0 {
			hello = word
		}
		if strings.EqualFold(word, "by") {
			break
		}
		word = strings.Trim(word, "()[],;")
		if len(word) > 5 && strings.EqualFold(word[:5], "IPv6:") {
			word = word[5:]
		}
		if a, err := netip.ParseAddr(word); err == nil && a.Zone() == "" {
			addr, ok = a.Unmap(), true
		}
	}
	return addr, hello, ok
}

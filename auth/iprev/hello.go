package iprev

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// Hello is what there is to say of an EHLO name. The zero Hello is that nobody
// asked.
type Hello struct {
	Name     string     // in normal form, "" for what is no name
	Literal  netip.Addr // of an address literal
	Client   bool       // it leads to the client's address, or is it
	Ours     bool       // it is our name or address, and the client is not us
	Err      error      // why it could not be looked up
	Findings []Finding
}

// unqualified are top-level domains that nobody has (RFC 2606, section 2; RFC
// 6761; RFC 6762; RFC 8375; ICANN's for private use), and what computers call
// themselves.
var unqualified = []string{
	"local", "localhost", "localdomain", "lan", "home", "corp", "internal", "intranet", "private", "workgroup", "home.arpa",
	"invalid", "test", "example", "onion",
}

// Hello judges an EHLO name, claimed by a client at addr.
func (c *Checker) Hello(ctx context.Context, name string, addr netip.Addr) (h Hello) {
	addr = addr.Unmap().WithZone("")
	h.judge(c, name, addr)
	if h.Name == "" || len(h.Findings) > 0 {
		return h
	}
	switch c.patterns.class(h.Name, addr) {
	case Generic:
		h.Findings = append(h.Findings, HelloGeneric)
	case Dynamic:
		h.Findings = append(h.Findings, HelloDynamic)
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	list, err := c.addrs(ctx, h.Name)
	h.Err = err
	h.Client = addr.IsValid() && slices.Contains(list, addr)
	switch {
	case err != nil:
		h.Findings = append(h.Findings, HelloTemporary)
	case len(list) == 0:
		h.Findings = append(h.Findings, HelloUnknown)
	case h.Client:
	case !anyPublic(list):
		h.Findings = append(h.Findings, HelloBogon)
	default:
		h.Findings = append(h.Findings, HelloMismatch)
	}
	return h
}

// judge says what there is to say of name without DNS.
func (h *Hello) judge(c *Checker, name string, addr netip.Addr) {
	find := func(f Finding) { h.Findings = append(h.Findings, f) }
	us := c.isOurs(addr)
	if a, ok := domain.Literal(name); ok {
		h.Literal, h.Client = a, a == addr
		h.Ours = !us && c.isOurs(a)
		if h.Ours {
			find(HelloOurs)
		} else if !h.Client {
			find(HelloNotClient)
		}
		return
	}
	if a, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil { // "[2001:db8::1]", without its tag, too
		h.Ours = !us && c.isOurs(a)
		if h.Ours {
			find(HelloOurs)
		}
		find(HelloBareAddress)
		return
	}
	n, err := domain.Normal(name)
	if err != nil {
		find(HelloSyntax)
		return
	}
	h.Name = n
	if c.ours[n] && !us {
		h.Ours = true
		find(HelloOurs)
		return
	}
	if !strings.Contains(n, ".") || slices.ContainsFunc(unqualified, func(top string) bool { return strings.HasSuffix(n, "."+top) }) {
		find(HelloUnqualified)
	}
}

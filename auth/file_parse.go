package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// attributes of a line of a password file.
type attributes struct {
	label    string
	senders  []string
	scope    Scope
	until    time.Time
	disabled bool
	any      bool // besides the label
}

// builder makes a version of a file's lines.
type builder struct {
	version
	apps map[*Account]map[string]int // place in Account.Passwords by label
}

// parseFile reads a password file. Its error begins with the number of the line.
func parseFile(text string, derived *atomic.Int64) (*version, error) {
	b := builder{apps: make(map[*Account]map[string]int)}
	b.accounts = make(map[string]*Account)
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := b.line(line); err != nil {
			return nil, fmt.Errorf("%d: %w", n, err)
		}
	}
	b.checker = &Checker{total: derived}
	for login, a := range b.accounts {
		if err := b.checker.Know(a); err != nil {
			return nil, fmt.Errorf(" %s: %w", login, err)
		}
	}
	b.terms = map[string]ScramTerms{ScramSHA256: b.termsOf(ScramSHA256), ScramSHA1: b.termsOf(ScramSHA1)}
	return &b.version, nil
}

// line takes one line up.
func (b *builder) line(line string) error {
	name, rest, ok := strings.Cut(line, ":")
	f := strings.Fields(rest)
	if !ok || len(f) == 0 {
		return errors.New("not login:hash")
	}
	if strings.ContainsAny(name, " \t") {
		return errors.New("white space in the login")
	}
	login, err := NormalLogin(name)
	if err != nil {
		return err
	}
	var hash Hash
	if f[0] != "*" {
		if hash, err = ParseHash(f[0]); err != nil {
			return err
		}
	}
	attr, err := parseAttributes(f[1:])
	if err != nil {
		return err
	}
	return b.add(login, attr, hash)
}

// add takes up forms of a password, or none.
func (b *builder) add(login string, attr attributes, forms ...Hash) error {
	a := b.accounts[login]
	if a == nil {
		a = &Account{Identity: &Identity{Login: login}}
		b.accounts[login], b.apps[a] = a, make(map[string]int)
	}
	place, again := b.apps[a][attr.label]
	if again && attr.any {
		return fmt.Errorf("attributes of %s belong on the first of its lines", describe(login, attr.label))
	}
	if !again {
		place = len(a.Passwords)
		b.apps[a][attr.label] = place
		a.Passwords = append(a.Passwords, attr.password(a))
	}
	for _, hash := range forms {
		if err := a.form(place, hash, describe(login, attr.label)); err != nil {
			return err
		}
	}
	return nil
}

// form gives the password at place, which is whose, another form; the zero Hash
// is none.
func (a *Account) form(place int, hash Hash, whose string) error {
	p := &a.Passwords[place]
	if hash.kind == "" {
		return nil
	}
	for i := range p.Forms {
		if p.Forms[i].kind == hash.kind {
			return fmt.Errorf("a second %s hash of %s: app passwords have a label", hash.kind, whose)
		}
	}
	if m := hash.kind.mechanism(); m != "" {
		for _, k := range a.Scram(m) {
			if string(k.Salt) != string(hash.salt) || k.Iterations != hash.cost.time {
				return fmt.Errorf("SCRAM keys of %s have another salt or number of iterations than others of the login", whose)
			}
		}
	}
	p.Forms = append(p.Forms, hash)
	return nil
}

func describe(login, label string) string {
	if label == "" {
		return login
	}
	return login + " (" + label + ")"
}

// password makes a password of its first line's attributes. What they say of the
// account's own goes into the account.
func (attr *attributes) password(a *Account) Password {
	if attr.label == "" {
		id := a.Identity
		id.Senders, id.Scope, id.Until = attr.senders, attr.scope, attr.until
		a.Disabled = attr.disabled
		return Password{}
	}
	return Password{Disabled: attr.disabled, Identity: &Identity{
		Login: a.Identity.Login, App: attr.label, Senders: attr.senders, Scope: attr.scope, Until: attr.until, Within: a.Identity,
	}}
}

// termsOf says what the SCRAM keys for a mechanism are like.
func (b *builder) termsOf(mechanism string) ScramTerms {
	t := ScramTerms{Every: true}
	terms := make(map[[2]int]int)
	for _, a := range b.accounts {
		for _, k := range a.Scram(mechanism) {
			terms[[2]int{k.Iterations, len(k.Salt)}]++
		}
		for i := range a.Passwords {
			p := &a.Passwords[i]
			if len(p.Forms) == 0 || a.identity(p) == nil {
				continue
			}
			if !slices.ContainsFunc(p.Forms, func(h Hash) bool { return h.kind.mechanism() == mechanism }) {
				t.Every = false
				if login := a.Identity.Login; t.Lacking == "" || login < t.Lacking {
					t.Lacking = login
				}
			}
		}
	}
	best := 0
	for k, n := range terms {
		if n > best || n == best && (k[0] > t.Iterations || k[0] == t.Iterations && k[1] > t.SaltOctets) {
			best, t.Iterations, t.SaltOctets = n, k[0], k[1]
		}
	}
	t.Every = t.Every && best > 0
	return t
}

// parseAttributes reads what stands behind a hash.
func parseAttributes(f []string) (attr attributes, err error) {
	seen := make(map[string]bool)
	for _, s := range f {
		name, value, valued := strings.Cut(s, "=")
		if seen[name] {
			return attr, fmt.Errorf("attribute %s twice", name)
		}
		seen[name] = true
		if name == "disabled" && !valued {
			attr.disabled, attr.any = true, true
			continue
		}
		if value == "" {
			return attr, fmt.Errorf("attribute %s without a value", name)
		}
		if err := attr.set(name, value); err != nil {
			return attr, err
		}
	}
	return attr, nil
}

// set takes an attribute with a value.
func (attr *attributes) set(name, value string) (err error) {
	attr.any = attr.any || name != "label"
	list := strings.Split(value, ",")
	if name != "label" && slices.Contains(list, "") {
		return fmt.Errorf("attribute %s has an empty entry", name)
	}
	switch name {
	case "label":
		attr.label = value
	case "senders":
		attr.senders = list
		for _, s := range list {
			if err := CheckSender(s); err != nil {
				return err
			}
		}
	case "networks":
		attr.scope.Networks, err = parseNetworks(list)
	case "mechanisms":
		for i, m := range list {
			list[i] = strings.ToUpper(m)
			if !slices.Contains(mechanisms, list[i]) {
				return fmt.Errorf("no mechanism is called %q", m)
			}
		}
		attr.scope.Mechanisms = list
	case "listeners":
		attr.scope.Listeners = list
	case "until":
		attr.until, err = parseUntil(value)
	default:
		return fmt.Errorf("no attribute is called %q", name)
	}
	return err
}

func parseNetworks(list []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if addr, err2 := netip.ParseAddr(s); err2 == nil {
			p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil || p.Addr().Is4In6() || p.Addr().Zone() != "" {
			return nil, fmt.Errorf("%q is no network", s)
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

// parseUntil reads a time, or a date and returns the end of that day.
func parseUntil(s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.AddDate(0, 0, 1), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("%q is neither a date nor a time of RFC 3339", s)
	}
	return t, nil
}

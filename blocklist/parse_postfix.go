package blocklist

import (
	"net/netip"
	"strings"
)

// postfix reads a line of a cidr table (cidr_table(5)) or of an access table
// (access(5)). A line that begins with white space goes on with the one before
// it, so each is read when the next one has begun.
func (p *parser) postfix(line string) error {
	if line != "" && (line[0] == ' ' || line[0] == '\t') && p.held != "" {
		if text := strings.TrimSpace(line); text != "" && text[0] != '#' && len(p.held) < p.cfg.MaxLine {
			p.held += " " + text
		}
		return nil
	}
	text := strings.TrimSpace(line)
	if line != "" && (text == "" || text[0] == '#') { // which end no line
		return nil
	}
	whole := p.held
	if whole != "" {
		p.at = p.heldAt
	}
	p.held, p.heldAt = text, p.report.Lines
	if whole == "" {
		return nil
	}
	key, action := whole, ""
	if i := strings.IndexAny(whole, " \t"); i >= 0 {
		key, action = whole[:i], strings.TrimSpace(whole[i:])
	}
	if p.cfg.Format == PostfixCIDR {
		if key[0] == '!' || strings.EqualFold(key, "if") || strings.EqualFold(key, "endif") {
			return wrong(key, "is a condition, which cannot be carried over: write the networks out")
		}
	}
	word, reason, err := postfixAction(action)
	if err != nil {
		return err
	}
	e := Entry{Word: word, Reason: reason}
	if p.cfg.Format == PostfixCIDR {
		return p.cidr(e, key)
	}
	return p.access(e, key)
}

// postfixAction is what the right-hand side of access(5) means here.
func postfixAction(action string) (w Word, reason string, err error) {
	verb, text, _ := strings.Cut(action, " ")
	text = strings.TrimSpace(text)
	switch v := strings.ToUpper(verb); {
	case v == "":
		return None, "", wrong(action, "is no action: the line has a key alone")
	case v == "OK", v == "PERMIT":
		return Allow, text, nil
	case v == "DUNNO":
		return Except, text, nil
	case v == "REJECT", v == "DEFER", v == "DEFER_IF_PERMIT", v == "DEFER_IF_REJECT":
		return Block, text, nil
	case strings.Trim(v, "0123456789") == "":
		if len(v) == 3 && (v[0] == '4' || v[0] == '5') {
			return Block, action, nil
		}
		return Allow, text, nil // "all-numerical" is OK
	}
	return None, "", wrong(verb, "is an action that a list cannot carry out")
}

// cidr enters a network. Where several lines fit a client the first one counts
// in Postfix and the most specific one here, so a line behind a wider one says
// nothing.
func (p *parser) cidr(e Entry, key string) error {
	prefix, err := normalPrefix(strings.NewReplacer("[", "", "]", "").Replace(key))
	if err != nil {
		return wrong(key, err.Error())
	}
	if p.cover == nil {
		p.cover = new(prefixCover)
	}
	if !p.cover.add(prefix) {
		return nil
	}
	e.Kind, e.Value = Addr, prefix.String()
	return p.enter(e)
}

// prefixCover knows which prefixes lie in those added before.
type prefixCover struct {
	seen    map[netip.Prefix]struct{}
	lengths [2][129]bool // by family: of those seen
}

// add reports whether p lies in none of those before it.
func (c *prefixCover) add(p netip.Prefix) bool {
	lengths := &c.lengths[0]
	if p.Addr().Is6() {
		lengths = &c.lengths[1]
	}
	for n := range p.Bits() + 1 {
		if lengths[n] {
			wider, err := p.Addr().Prefix(n)
			if _, ok := c.seen[wider]; ok && err == nil {
				return false
			}
		}
	}
	if c.seen == nil {
		c.seen = make(map[netip.Prefix]struct{})
	}
	c.seen[p] = struct{}{}
	lengths[p.Bits()] = true
	return true
}

// access enters what a key of access(5) stands for: a mail address, "user@", an
// address or the beginning of one, or a domain with all that is below it, as
// Postfix has it by default (parent_domain_matches_subdomains).
func (p *parser) access(e Entry, key string) error {
	switch {
	case key == "<>":
		return wrong(key, "is the null reverse-path, which no list holds")
	case strings.Contains(key, "@"):
		e.Kind, e.Value = Mailbox, key
		return p.enter(e)
	}
	if addr, octets, ok := partial4(key); ok {
		e.Kind = Addr
		a := netip.AddrFrom4([4]byte{byte(addr >> 24), byte(addr >> 16), byte(addr >> 8), byte(addr)})
		e.Value = netip.PrefixFrom(a, 8*octets).String()
		return p.enter(e)
	}
	if strings.Contains(key, ":") {
		prefix, err := prefix6(key)
		if err != nil {
			return wrong(key, err.Error())
		}
		e.Kind, e.Value = Addr, prefix.String()
		return p.enter(e)
	}
	e.Kind, e.Value = Domain, key
	if key[0] == '.' {
		e.Value = "*" + key
	} else {
		e.Value = "." + key
	}
	return p.enter(e)
}

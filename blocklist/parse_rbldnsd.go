package blocklist

import (
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
)

// rbldnsd reads a line of one of rbldnsd's sets (rbldnsd(8), "dataset types").
// A "!" in front excludes; ":127.0.0.2:text" alone is what the lines below it
// mean, behind a value what it means.
func (p *parser) rbldnsd(line string) error {
	line = strings.TrimSpace(line)
	if line == "" || strings.ContainsRune("#;$", rune(line[0])) { // comments, and $SOA, $NS, $TTL and their like
		return nil
	}
	if line[0] == ':' {
		p.unset = rblText(line)
		return nil
	}
	e := Entry{Reason: p.unset}
	if rest, ok := strings.CutPrefix(line, "!"); ok {
		e.Word, line = Except, strings.TrimSpace(rest)
	}
	value, text := line, ""
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		value, text = line[:i], strings.TrimSpace(line[i:])
	}
	if text != "" && text[0] != '#' && text[0] != ';' {
		e.Reason = rblText(text)
	}
	e.Reason = strings.ReplaceAll(e.Reason, "$", value)
	switch p.cfg.Format {
	case IP4Set:
		return p.range4(e, value)
	case IP6Trie:
		e.Kind = Addr
		prefix, err := prefix6(value)
		if err != nil {
			return wrong(value, err.Error())
		}
		e.Value = prefix.String()
	default:
		e.Kind, e.Value = Domain, value
	}
	return p.enter(e)
}

// rblText is the text of ":A:text", ":text" or "text".
func rblText(s string) string {
	if rest, ok := strings.CutPrefix(s, ":"); ok {
		s = rest
		if value, text, ok := strings.Cut(rest, ":"); ok && strings.Trim(value, "0123456789.") == "" {
			return strings.TrimSpace(text)
		}
		if strings.Trim(s, "0123456789.") == "" {
			return ""
		}
	}
	return strings.TrimSpace(s)
}

// prefix6 reads "2001:db8::/32", and "2001:db8:1" for 2001:db8:1::/48.
func prefix6(s string) (netip.Prefix, error) {
	host, length, has := strings.Cut(s, "/")
	groups := strings.Count(host, ":") + 1
	short := !strings.Contains(host, "::") && groups < 8
	if short {
		host = strings.TrimSuffix(host, ":") + "::"
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("is no IPv6 address or prefix")
	}
	n := 128
	switch {
	case has:
		if n, err = strconv.Atoi(length); err != nil || n < 0 || n > 128 {
			return netip.Prefix{}, fmt.Errorf("has no prefix length from 0 to 128")
		}
	case short:
		n = 16 * groups
	}
	p := netip.PrefixFrom(addr, n)
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("has bits beyond its length")
	}
	return p, nil
}

// range4 enters "192.0.2.1", "192.0.2" (a /24), "192.0.2.0/24" or a range
// "192.0.2.1-192.0.2.7", whose end may be its last octet alone, as prefixes.
func (p *parser) range4(e Entry, s string) error {
	e.Kind = Addr
	from, to, ranged := strings.Cut(s, "-")
	host, length, has := strings.Cut(from, "/")
	if ranged && has {
		return wrong(s, "is a range and a prefix")
	}
	low, octets, ok := partial4(host)
	if !ok {
		return wrong(s, "is no IPv4 address, prefix or range")
	}
	high := low | (1<<(32-8*octets) - 1)
	switch {
	case has:
		n, err := strconv.Atoi(length)
		if err != nil || n < 0 || n > 32 {
			return wrong(s, "has no prefix length from 0 to 32")
		}
		mask := uint32(uint64(1)<<(32-n) - 1)
		if low&mask != 0 {
			return wrong(s, "has bits beyond its length")
		}
		high = low | mask
	case ranged:
		if strings.Contains(to, ".") {
			end, n, ok := partial4(to)
			if !ok {
				return wrong(s, "does not end in an IPv4 address")
			}
			high = end | uint32(uint64(1)<<(32-8*n)-1)
		} else {
			n, err := strconv.ParseUint(to, 10, 8)
			if err != nil {
				return wrong(s, "does not end in an octet")
			}
			shift := 32 - 8*octets
			high = low&^(0xff<<shift) | uint32(n)<<shift | uint32(uint64(1)<<shift-1)
		}
		if high < low {
			return wrong(s, "ends before it begins")
		}
	}
	for first, last := uint64(low), uint64(high); first <= last; {
		size := min(bits.TrailingZeros64(first|1<<32), bits.Len64(last-first+1)-1)
		addr := netip.AddrFrom4([4]byte{byte(first >> 24), byte(first >> 16), byte(first >> 8), byte(first)})
		e.Value = netip.PrefixFrom(addr, 32-size).String()
		if err := p.enter(e); err != nil {
			return err
		}
		first += 1 << size
	}
	return nil
}

// partial4 reads one to four octets from the left; those that are not there
// are 0.
func partial4(s string) (addr uint32, octets int, ok bool) {
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil || octets == 4 || len(part) > 1 && part[0] == '0' {
			return 0, 0, false
		}
		octets++
		addr |= uint32(n) << (32 - 8*octets)
	}
	return addr, octets, true
}

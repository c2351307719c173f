package blocklist

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// rbldnsdFile reads FormatIP4Set, FormatIP6Trie and FormatDNSet (rbldnsd(8)).
type rbldnsdFile struct {
	*parsing
	text     string // of entries that have none
	maxRange uint64 // addresses in a range of IPv4; 0: as many as there are
}

func (f *rbldnsdFile) format() format { return format{line: f.line} }

func (f *rbldnsdFile) line(line string) error {
	line = strings.TrimSpace(line)
	switch {
	case line == "":
		return nil
	case line[0] == '$', len(line) > 1 && line[1] == '$' && strings.IndexByte("#;:", line[0]) >= 0:
		return f.special(line[strings.IndexByte(line, '$')+1:])
	case line[0] == '#', line[0] == ';':
		return nil
	case line[0] == ':' && (f.Format != FormatIP6Trie || !strings.HasPrefix(line, "::")):
		f.text = valueText(line, "")
		return nil
	}
	e := Entry{Word: f.Word}
	if rest, ok := strings.CutPrefix(line, "!"); ok {
		line, e.Word = strings.TrimSpace(rest), Except
	}
	end := strings.IndexAny(line, " \t#;")
	if f.Format == FormatIP4Set {
		end = strings.IndexAny(line, " \t#;:") // an A value may follow at once
	}
	if end < 0 {
		end = len(line)
	}
	e.Value = line[:end]
	if e.Word != Except {
		e.Reason = valueText(strings.TrimSpace(line[end:]), f.text)
	}
	switch f.Format {
	case FormatIP4Set:
		return f.range4(e)
	case FormatIP6Trie:
		return f.prefix6(e)
	}
	e.Kind = f.Kind.or(Domain)
	return f.emit(e)
}

// special heeds a line that begins with '$'.
func (f *rbldnsdFile) special(line string) error {
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return nil
	}
	switch strings.ToUpper(fields[0]) {
	case "DATASET":
		return fatal{errors.New("is a combined dataset: give each of its datasets a file")}
	case "MAXRANGE4":
		if len(fields) < 2 {
			return errors.New("$MAXRANGE4 without a size")
		}
		text, isLength := strings.CutPrefix(fields[1], "/")
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || isLength && n > 32 || n == 0 && !isLength {
			return fmt.Errorf("$MAXRANGE4 %.20q is no size", fields[1])
		}
		if isLength {
			n = 1 << (32 - n)
		}
		if f.maxRange == 0 || n < f.maxRange { // it can only be narrowed
			f.maxRange = n
		}
	}
	return nil // of the zone, not of the list
}

// valueText returns the text of ":A value:text" or of "text", or instead where
// there is none or only a comment.
func valueText(value, instead string) string {
	if value == "" || value[0] == '#' || value[0] == ';' {
		return instead
	}
	if value[0] != ':' {
		return value
	}
	_, text, ok := strings.Cut(value[1:], ":")
	if !ok {
		return instead
	}
	return strings.TrimSpace(text)
}

var errRange = errors.New("is no range of addresses")

// range4 adds the prefixes that make up a range.
func (f *rbldnsdFile) range4(e Entry) error {
	from, to, err := parseRange4(e.Value)
	if err != nil {
		return fmt.Errorf("%.80q %w", e.Value, err)
	}
	if size := uint64(to) - uint64(from) + 1; f.maxRange > 0 && size > f.maxRange {
		return fmt.Errorf("%.80q has over %d addresses ($MAXRANGE4)", e.Value, f.maxRange)
	}
	e.Kind = Addr
	for p := range rangePrefixes(from, to) {
		e.Value = p.String()
		if err := f.emit(e); err != nil {
			return err
		}
	}
	return nil
}

// parseRange4 reads "192.0.2.1", "192.0.2", "192.0.2.0/24", "192.0/16",
// "192.0.2.1-192.0.2.9", "192.0-192.1" and "192.0.2.1-9": the last octets of
// the first address may be missing, and only the last of the second be there.
func parseRange4(s string) (from, to uint32, err error) {
	first, last, isRange := strings.Cut(s, "-")
	base, length, hasLength := strings.Cut(first, "/")
	from, bits, err := parseOctets(base)
	switch {
	case err != nil || isRange && hasLength:
		return 0, 0, errRange
	case isRange:
		var lastBits int
		if to, lastBits, err = parseOctets(last); err != nil {
			return 0, 0, err
		}
		if lastBits == 8 && bits > 8 { // of the octet that the first ends in
			to, lastBits = to>>(bits-8)|from&^(^uint32(0)>>(bits-8)), bits
		}
		if lastBits != bits {
			return 0, 0, errRange
		}
	case hasLength:
		if bits, err = strconv.Atoi(length); err != nil || bits < 0 || bits > 32 || length[0] == '+' {
			return 0, 0, errRange
		}
		if to = from; from&(^uint32(0)>>bits) != 0 {
			return 0, 0, errors.New("has bits set beyond its length")
		}
	case bits == 8:
		return 0, 0, errRange // a number
	default:
		to = from
	}
	if to |= ^uint32(0) >> bits; from > to {
		return 0, 0, errRange
	}
	return from, to, nil
}

// parseOctets reads one to four octets, and says how many bits they are.
func parseOctets(s string) (addr uint32, bits int, err error) {
	for octet := range strings.SplitSeq(s, ".") {
		n, err := strconv.ParseUint(octet, 10, 8)
		if err != nil || octet[0] == '+' || bits == 32 {
			return 0, 0, errRange
		}
		bits += 8
		addr |= uint32(n) << (32 - bits)
	}
	return addr, bits, nil
}

// rangePrefixes yields the fewest prefixes that make up from..to.
func rangePrefixes(from, to uint32) func(yield func(netip.Prefix) bool) {
	return func(yield func(netip.Prefix) bool) {
		at, end := uint64(from), uint64(to)
		for at <= end {
			size, length := uint64(1), 32
			for length > 0 && at%(2*size) == 0 && at+2*size-1 <= end {
				size, length = 2*size, length-1
			}
			if !yield(prefix4(uint32(at), length)) {
				return
			}
			at += size
		}
	}
}

func prefix4(addr uint32, length int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(addr >> 24), byte(addr >> 16), byte(addr >> 8), byte(addr)}), length)
}

// prefix6 adds a prefix, of which the last words may be missing:
// "2001:db8:0:1" is "2001:db8:0:1::/64".
func (f *rbldnsdFile) prefix6(e Entry) error {
	p, err := parsePrefix6(e.Value)
	if err == nil && p.Masked() != p {
		err = errors.New("has bits set beyond its length")
	}
	if err != nil {
		return fmt.Errorf("%.80q %w", e.Value, err)
	}
	e.Kind, e.Value = Addr, p.String()
	return f.emit(e)
}

func parsePrefix6(s string) (netip.Prefix, error) {
	text, length, hasLength := strings.Cut(s, "/")
	bits := 128
	if !hasLength && strings.IndexByte(text, ':') < 0 {
		return netip.Prefix{}, errNoPrefix // a number
	}
	if words := strings.Count(text, ":") + 1; words < 8 && !strings.Contains(text, "::") {
		text += "::"
		bits = 16 * words
	}
	addr, err := netip.ParseAddr(text)
	if err == nil && hasLength {
		bits, err = strconv.Atoi(length)
	}
	if err != nil || !addr.Is6() || addr.Zone() != "" || bits < 0 || bits > 128 {
		return netip.Prefix{}, errNoPrefix
	}
	return netip.PrefixFrom(addr, bits), nil
}

package blocklist

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// postfixFile reads FormatCIDR and FormatAccess: logical lines, which go on
// where a line begins with a blank.
type postfixFile struct {
	*parsing
	text  string // of the logical line at hand
	first int    // where it begins

	prefixes map[netip.Prefix]int // of FormatCIDR, with their lines
	lengths  map[int]bool         // that occur
	keys     map[string]int       // of FormatAccess
}

func (f *postfixFile) format() format {
	f.prefixes, f.lengths, f.keys = make(map[netip.Prefix]int), make(map[int]bool), make(map[string]int)
	return format{f.line, f.flush}
}

func (f *postfixFile) line(text string) error {
	trimmed := strings.TrimSpace(text)
	switch {
	case trimmed == "" || trimmed[0] == '#':
		return nil // and the logical line may go on behind it
	case text[0] != ' ' && text[0] != '\t':
		at := f.parsing.line
		err := f.flush()
		f.text, f.first = trimmed, at
		return err
	case f.text == "":
		return errors.New("goes on from a line that is not there")
	case len(f.text)+len(trimmed) >= f.MaxLine:
		return fatal{errLongLine}
	}
	f.text += " " + trimmed
	return nil
}

// flush reads the logical line at hand; its errors are where that begins.
func (f *postfixFile) flush() error {
	if f.text == "" {
		return nil
	}
	text := f.text
	f.text, f.parsing.line = "", f.first
	key, result := text, ""
	if i := strings.IndexAny(text, " \t"); i >= 0 {
		key, result = text[:i], strings.TrimSpace(text[i:])
	}
	if f.Format == FormatCIDR {
		switch lower := strings.ToLower(key); {
		case lower == "if", lower == "endif":
			return fatal{fmt.Errorf("%q makes what fits depend on where it stands: write prefixes alone", key)}
		case key[0] == '!':
			return fatal{fmt.Errorf("%.80q fits what is not in a prefix: write prefixes alone", key)}
		}
	}
	if result == "" {
		return fmt.Errorf("%.80q has no action", key)
	}
	word, reason, actionErr := postfixAction(result)
	pattern := f.cidr
	if f.Format == FormatAccess {
		pattern, key = f.access, strings.ToLower(key)
	}
	e, err := pattern(key)
	if err != nil {
		return err
	}
	if actionErr != nil { // it still keeps what it fits from the wider patterns
		word, reason = Except, ""
	}
	if word == Except && strings.HasSuffix(e.Value, "/0") {
		return actionErr // there is nothing wider
	}
	e.Word, e.Reason = word, reason
	return cmp.Or(f.emit(e), actionErr)
}

// postfixAction is what an action says of who fits (access(5)).
func postfixAction(action string) (w Word, reason string, err error) {
	name, text, _ := strings.Cut(action, " ")
	text = strings.TrimSpace(text)
	switch upper := strings.ToUpper(name); {
	case upper == "REJECT":
		return Block, text, nil
	case upper == "DEFER":
		return Block, action, nil
	case len(name) == 3 && (name[0] == '4' || name[0] == '5') && numeric(name) && text != "":
		return Block, action, nil
	case text == "" && (upper == "OK" || upper == "PERMIT" || numeric(name)):
		return Allow, "", nil
	case text == "" && upper == "DUNNO":
		return Except, "", nil
	}
	return None, "", fmt.Errorf("%.80q is no action of a list: it neither lets in nor refuses", action)
}

// numeric reports whether s is nothing but digits.
func numeric(s string) bool { return strings.Trim(s, "0123456789") == "" }

// cidr returns the entry of a pattern of FormatCIDR, which counts for what no
// earlier one fits.
func (f *postfixFile) cidr(key string) (e Entry, err error) {
	if strings.HasPrefix(key, "[") && strings.HasSuffix(key, "]") {
		key = key[1 : len(key)-1]
	}
	p, err := netip.ParsePrefix(key)
	if addr, addrErr := netip.ParseAddr(key); addrErr == nil && addr.Zone() == "" {
		p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	switch {
	case err != nil:
		return e, fmt.Errorf("%.80q %w", key, errNoPrefix)
	case p.Masked() != p:
		return e, fmt.Errorf("%.80q has bits set beyond its length", key)
	}
	for length := range f.lengths {
		if wider, err := p.Addr().Prefix(length); err == nil && length <= p.Bits() {
			if line, ok := f.prefixes[wider]; ok {
				return e, fmt.Errorf("%.80q is never reached: line %d fits all of it", key, line)
			}
		}
	}
	f.prefixes[p] = f.first
	f.lengths[p.Bits()] = true
	return Entry{Kind: Addr, Value: p.String()}, nil
}

// access returns the entry of a pattern of FormatAccess. Of the same patterns
// the first counts.
func (f *postfixFile) access(key string) (e Entry, err error) {
	if line, ok := f.keys[key]; ok {
		return e, fmt.Errorf("%.80q is in line %d already", key, line)
	}
	f.keys[key] = f.first
	switch {
	case strings.HasPrefix(key, "@"), key == "<>":
		return e, fmt.Errorf("%.80q is no pattern that a list has", key)
	case strings.IndexByte(key, '@') >= 0:
		return Entry{Kind: Mailbox, Value: key}, nil
	case strings.Trim(key, "0123456789.") == "":
		addr, bits, err := parseOctets(key)
		if err != nil {
			return e, fmt.Errorf("%.80q %w", key, errNoPrefix)
		}
		return Entry{Kind: Addr, Value: prefix4(addr, bits).String()}, nil
	case strings.IndexByte(key, ':') >= 0:
		p, err := parsePrefix6(key)
		if err != nil || strings.IndexByte(key, '/') >= 0 {
			return e, fmt.Errorf("%.80q %w", key, errNoPrefix)
		}
		return Entry{Kind: Addr, Value: p.String()}, nil
	case key[0] == '.':
		key = "*" + key
	case !f.Exact:
		key = "." + key
	}
	return Entry{Kind: f.Kind.or(Domain), Value: key}, nil
}

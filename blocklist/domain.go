package blocklist

import "strings"

// findDomain returns the most specific pattern for name, in normal form and of
// so many labels, that is live: the pattern as in Entry.Value, and its rank.
func (t *nameTable) findDomain(name string, labels int, notes []note) (pattern string, rank int, n *note) {
	if t.labels.has(labels) {
		if pattern, mark, n := t.best(name, func(mark byte) bool { return mark != '*' }, notes); n != nil {
			if mark == 0 {
				return pattern, exactRank(name, labels), n
			}
			return pattern, 2 * labels, n
		}
	}
	for labels--; labels > 0; labels-- {
		name = name[strings.IndexByte(name, '.')+1:]
		if t.above.has(labels) {
			if pattern, _, n := t.best(name, func(mark byte) bool { return mark != 0 }, notes); n != nil {
				return pattern, 2 * labels, n
			}
		}
	}
	return "", 0, nil
}

// exactRank is the rank of a name in full.
func exactRank(name string, labels int) int {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if strings.IndexByte(name, ':') >= 0 || strings.Trim(last, "0123456789") == "" {
		return 1 // an address, of EHLO: the last label of a domain is no number
	}
	return 2*labels + 1
}

// best looks for patterns whose name is name and whose mark fits, and returns
// the one that goes first of those that are live.
func (t *nameTable) best(name string, fits func(mark byte) bool, notes []note) (pattern string, mark byte, best *note) {
	for p := t.probe(t.hash(name)); p.next(); {
		text, number := p.record()
		m, base := cutMark(text)
		if base != name || !fits(m) {
			continue
		}
		n := &notes[number]
		// The name itself is more specific than what has it and all below it.
		if best == nil || m == 0 && mark != 0 || (m == 0) == (mark == 0) && n.word.order() > best.word.order() {
			if n.live() {
				pattern, mark, best = text, m, n
			}
		}
	}
	return pattern, mark, best
}

// cutMark parts a pattern: mark is '*' for "*.name", '.' for ".name", else 0.
func cutMark(pattern string) (mark byte, name string) {
	switch pattern[0] {
	case '*':
		return '*', pattern[2:]
	case '.':
		return '.', pattern[1:]
	}
	return 0, pattern
}

// plainName counts the labels of a name that is in normal form as it stands:
// what most names that arrive are, and cheap to see. It is 0 for any other, and
// for A-labels, which only IDNA can judge.
func plainName(name string) (labels int) {
	if len(name) > 253 {
		return 0
	}
	start := 0
	letter := false // in the label at hand: else it may be a number
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c == '-', c == '_':
			letter = true
		case c >= '0' && c <= '9':
		case c == '.' && plainLabel(name[start:i]):
			labels++
			start, letter = i+1, false
		default:
			return 0
		}
	}
	if last := name[start:]; !letter || !plainLabel(last) || strings.HasPrefix(last, "0x") {
		return 0
	}
	return labels + 1
}

// plainLabel reports whether label, of the right characters, is one.
func plainLabel(label string) bool {
	return len(label) > 0 && len(label) <= 63 && label[0] != '-' && label[len(label)-1] != '-' &&
		(label[0] != 'x' || !strings.HasPrefix(label, "xn--"))
}

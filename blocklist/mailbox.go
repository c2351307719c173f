package blocklist

import "strings"

// findMailbox returns the most specific entry for addr, in normal form, that is
// live, and its rank. After each try of the local part in full comes one of
// what is left of the first of delimiters in it: "ann" of "ann+news".
func (t *nameTable) findMailbox(addr, delimiters string, notes []note) (text string, rank int, n *note) {
	at := strings.LastIndexByte(addr, '@')
	if at < 1 || len(t.slots) == 0 {
		return "", 0, nil
	}
	local, host := addr[:at], addr[at+1:]
	stem := local
	if i := strings.IndexAny(local[1:], delimiters); i >= 0 {
		stem = local[:i+1]
	}
	for _, try := range [...]struct {
		local, host string
		rank        int
		again       bool
	}{
		{local, host, 3, false},
		{stem, host, 3, true},
		{"", host, 2, false},
		{local, "", 1, false},
		{stem, "", 1, true},
	} {
		if try.again && stem == local {
			continue
		}
		if text, n := t.joined(try.local, try.host, notes); n != nil {
			return text, try.rank, n
		}
	}
	return "", 0, nil
}

// joined finds local@host, the entry that goes first of those that are live.
func (t *nameTable) joined(local, host string, notes []note) (text string, best *note) {
	for p := t.probe(pair(t.hash(local), t.hash(host))); p.next(); {
		s, number := t.record(p.at)
		if len(s) != len(local)+1+len(host) || s[:len(local)] != local || s[len(local)] != '@' || s[len(local)+1:] != host {
			continue
		}
		if n := &notes[number]; (best == nil || n.word.order() > best.word.order()) && n.live() {
			text, best = s, n
		}
	}
	return text, best
}

// findText returns the entry for text itself.
func (t *nameTable) findText(text string, notes []note) (best *note) {
	if len(t.slots) == 0 {
		return nil
	}
	for p := t.probe(t.hash(text)); p.next(); {
		s, number := t.record(p.at)
		if n := &notes[number]; s == text && (best == nil || n.word.order() > best.word.order()) && n.live() {
			best = n
		}
	}
	return best
}

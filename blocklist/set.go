package blocklist

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Set is a list that never changes: one of a million entries answers in well
// under a microsecond and takes about 14 octets for an IPv4 prefix, 18 for an
// IPv6 one (24 when it is longer than 64 bits), and 13 and its text for any other
// entry. What entries say (Word, Reason, Source, Added, Expires) is kept once
// for all that say the same.
//
// The zero Set is empty. A Set is safe for concurrent use.
type Set struct {
	v4         prefixTable[uint32]
	v6         prefixTable[uint64]
	long       longTable
	tables     [Fingerprint + 1]*nameTable // by kind; none for Addr
	notes      []note
	delimiters string
}

var _ Source = (*Set)(nil)

// NewSet returns the set of entries. Its error names every entry that is wrong.
func NewSet(entries ...Entry) (*Set, error) {
	var b Builder
	var errs []error
	for _, e := range entries {
		if err := b.Add(e); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return b.Set(), nil
}

// Builder collects the entries of a [Set]. The zero Builder is ready to use. It
// must not be used by several goroutines at once.
type Builder struct {
	// Delimiters are characters that end the local part of a mail address for
	// entries that have none of them: with "+", an entry for ann@example.org fits
	// ann+news@example.org too, where that has no entry of its own. Empty: none.
	Delimiters string

	notebook notebook
	prefixes prefixes
	names    [Fingerprint + 1]names
}

// Add enters e, of any word but None. Its error says what is wrong with e, and
// then nothing was entered. Entries may repeat and contradict each other: see
// [Word].
func (b *Builder) Add(e Entry) error {
	fail := func(err error) error { return fmt.Errorf("blocklist: %v %.80q %w", e.Kind, e.Value, err) }
	if e.Kind == Addr {
		p, err := normalPrefix(e.Value)
		if err != nil {
			return fail(err)
		}
		return b.AddPrefix(p, e)
	}
	value, err := normalValue(e.Kind, e.Value)
	if err == nil && e.Word.order() == 0 {
		err = errNoWord
	}
	if err != nil {
		return fail(err)
	}
	number, err := b.notebook.number(&e)
	if err == nil {
		err = b.names[e.Kind].add(value, number)
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

var errNoWord = errors.New("is neither Block nor Allow nor Except")

// AddPrefix enters p with what e says of it; Kind and Value of e do not count.
func (b *Builder) AddPrefix(p netip.Prefix, e Entry) error {
	p, err := foldPrefix(p)
	if err == nil && e.Word.order() == 0 {
		err = errNoWord
	}
	var number uint32
	if err == nil {
		number, err = b.notebook.number(&e)
	}
	if err == nil {
		err = b.prefixes.add(p, number)
	}
	if err != nil {
		return fmt.Errorf("blocklist: addr %v %w", p, err)
	}
	return nil
}

// Len is how many entries were added.
func (b *Builder) Len() int {
	n := len(b.prefixes.v4) + len(b.prefixes.short) + len(b.prefixes.long)
	for i := range b.names {
		n += b.names[i].count
	}
	return n
}

// Set returns the set of what was added so far.
func (b *Builder) Set() *Set {
	s := &Set{delimiters: b.Delimiters}
	s.notes = append(s.notes, b.notebook.notes...)
	s.v4, s.v6, s.long = b.prefixes.tables(s.notes)
	for kind := Domain; kind <= Fingerprint; kind++ {
		s.tables[kind] = b.names[kind].table(kind, s.notes)
	}
	return s
}

// Len is how many entries the set has. Of entries with the same value and word
// it keeps the one that expires last.
func (s *Set) Len() int {
	n := len(s.v4.rows) + len(s.v6.rows) + len(s.long.rows)
	for _, t := range s.tables {
		if t != nil {
			n += t.count
		}
	}
	return n
}

// Find returns the most specific entry that fits q and has not expired. It
// allocates only the text of a prefix that fits ([Set.FindAddr] does not), and
// the normal form of a query that is in none.
func (s *Set) Find(q Query) (m Match, ok bool) {
	var n *note
	var text string
	rank := 0
	if q.Kind == Addr {
		prefix, e, ok := s.FindAddr(q.Addr)
		if !ok {
			return Match{}, false
		}
		e.Value = prefixText(prefix)
		return Match{Entry: e, Rank: prefix.Bits()}, true
	}
	if q.Kind < Domain || q.Kind > Fingerprint || s.tables[q.Kind] == nil || s.tables[q.Kind].count == 0 {
		return Match{}, false
	}
	t := s.tables[q.Kind]
	labels := plainName(q.Value)
	if q.Kind > Hello || labels == 0 {
		if q, ok = q.normal(); !ok {
			return Match{}, false
		}
		labels = strings.Count(q.Value, ".") + 1
	}
	switch q.Kind {
	case Domain, Hello:
		text, rank, n = t.findDomain(q.Value, labels, s.notes)
	case Mailbox:
		text, rank, n = t.findMailbox(q.Value, s.delimiters, s.notes)
	case Fingerprint:
		text, rank = q.Value, 1
		n = t.findText(q.Value, s.notes)
	}
	if n == nil || n.word == Except {
		return Match{}, false
	}
	return Match{Entry: n.entry(q.Kind, text), Rank: rank}, true
}

// FindAddr is [Set.Find] for an address. It returns the prefix that fits beside
// its entry, whose Value is empty, and so allocates nothing.
func (s *Set) FindAddr(a netip.Addr) (p netip.Prefix, e Entry, ok bool) {
	a = a.Unmap()
	var n *note
	length := 0
	switch {
	case a.Is4():
		length, n = s.v4.find(key4(a), s.notes)
	case a.IsValid():
		a = a.WithZone("")
		key := key6(a)
		if len(s.long.rows) > 0 {
			length, n = s.long.find(key, s.notes)
		}
		if n == nil {
			length, n = s.v6.find(key.hi, s.notes)
		}
	}
	if n == nil || n.word == Except {
		return netip.Prefix{}, Entry{}, false
	}
	p, _ = a.Prefix(length)
	return p, n.entry(Addr, ""), true
}

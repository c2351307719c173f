package dnslist

import (
	"errors"
	"fmt"
	"net/netip"
)

// Set is a set of codes by their place in a list of them: bit i is the code i.
type Set uint64

// MaxCodes bounds the codes of one list.
const MaxCodes = 64

// Has reports whether the code i is in s.
func (s Set) Has(i int) bool { return s&(1<<i) != 0 }

// maxAnswers bounds the addresses of one answer. Lists that combine others
// return a handful.
const maxAnswers = 32

// Codes tells the answers of one list apart. The zero Codes knows none, so that
// every answer is an error.
type Codes struct {
	patterns []Pattern
	refusals []Refusal
}

// Refusal is an answer by which an operator says that it does not answer.
type Refusal struct {
	Pattern Pattern
	Means   string
}

// NewCodes takes the codes that count, and answers of this list that are errors
// besides those that are everywhere: see Read.
func NewCodes(patterns []Pattern, refusals []Refusal) (Codes, error) {
	if len(patterns) > MaxCodes {
		return Codes{}, fmt.Errorf("over %d codes", MaxCodes)
	}
	for i := range patterns {
		if patterns[i].reserved() {
			return Codes{}, errReserved
		}
	}
	return Codes{patterns, refusals}, nil
}

// Trouble is what is wrong with an answer.
type Trouble int

const (
	Refused Trouble = iota + 1 // the operator does not answer us
	Foreign                    // outside 127.0.0.0/8: the zone is parked, or somebody rewrites answers
	Unnamed                    // no code names it
	Endless                    // more addresses than any list has reason to return
)

// AnswerError is an answer that is no listing, and not the absence of one.
type AnswerError struct {
	Trouble Trouble
	Answer  netip.Addr // the one that is wrong, the zero Addr for Endless
	Means   string     // in words
}

func (e *AnswerError) Error() string {
	if !e.Answer.IsValid() {
		return e.Means
	}
	return fmt.Sprintf("answers %v: %s", e.Answer, e.Means)
}

// everywhere are answers that are errors in all lists that do not name just
// them as a code: Spamhaus', URIBL's and SURBL's, DNSWL's and DBL's ways of
// saying no. They are no bits, and in no range.
var everywhere = []struct {
	answer [4]byte
	means  string
}{
	{[4]byte{127, 0, 0, 1}, "the operator has blocked the resolver"},
	{[4]byte{127, 0, 0, 255}, "the operator has blocked the resolver, for too many questions"},
	{[4]byte{127, 0, 1, 255}, "an address was asked for in a list of domains"},
}

var reserved = [...]struct {
	last  byte
	means string
}{
	{250, "the key is not valid"},
	{252, "the zone's name is misspelt"},
	{254, "asked through a public resolver, or one whose owner cannot be told"},
	{255, "too many questions"},
}

var errNone = errors.New("an answer without addresses")

// Read returns the codes that answers, the A records of one name, have among
// them. Where none has any, or one is an error, it returns an *AnswerError: the
// answers are then no listing. Answers beside a named one that no code names are
// passed over. No answers are an error, too: a name that is not listed has no A
// records, and is not asked about here.
func (c *Codes) Read(answers []netip.Addr) (set Set, err error) {
	if len(answers) == 0 {
		return 0, errNone
	}
	if len(answers) > maxAnswers {
		return 0, &AnswerError{Trouble: Endless, Means: fmt.Sprintf("answers with %d addresses", len(answers))}
	}
	var unnamed netip.Addr
	for _, addr := range answers {
		addr = addr.Unmap()
		if !addr.Is4() {
			return 0, foreign(addr)
		}
		a := addr.As4()
		if a[0] != 127 {
			return 0, foreign(addr)
		}
		if means, ok := c.refusal(a); ok {
			return 0, &AnswerError{Refused, addr, means}
		}
		found := c.match(a)
		if found == 0 {
			unnamed = addr
		}
		set |= found
	}
	if set == 0 {
		return 0, &AnswerError{Unnamed, unnamed, "no code names it"}
	}
	return set, nil
}

func foreign(addr netip.Addr) error {
	return &AnswerError{Foreign, addr, "outside 127.0.0.0/8: the list is gone, or answers are rewritten on the way"}
}

func (c *Codes) match(a [4]byte) (set Set) {
	for i := range c.patterns {
		if c.patterns[i].fits(a) {
			set |= 1 << i
		}
	}
	return set
}

// refusal reports whether a is an error, and what it means.
func (c *Codes) refusal(a [4]byte) (means string, ok bool) {
	for i := range c.refusals {
		if c.refusals[i].Pattern.fits(a) {
			return c.refusals[i].Means, true
		}
	}
	if a[1] == 255 && a[2] == 255 {
		for _, r := range reserved {
			if r.last == a[3] {
				return r.means, true
			}
		}
		return "the operator does not answer us", true
	}
	for _, e := range everywhere {
		if e.answer == a {
			return e.means, !c.names(a)
		}
	}
	return "", false
}

// names reports whether a code names a alone.
func (c *Codes) names(a [4]byte) bool {
	for i := range c.patterns {
		if p := &c.patterns[i]; p.single() && p.low == a {
			return true
		}
	}
	return false
}

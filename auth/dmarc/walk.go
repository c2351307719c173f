package dmarc

import (
	"context"
	"strings"
)

// maxWalk bounds the queries of one tree walk (RFC 9989, section 4.10): names of
// more labels are cut to one less after the first.
const maxWalk = 8

// targets returns the domains that a tree walk from name asks about, in order.
func targets(name string) []string {
	list := make([]string, 1, maxWalk)
	list[0] = name
	name = suffix(name, min(labels(name), maxWalk)-1)
	for name != "" {
		list = append(list, name)
		_, name, _ = strings.Cut(name, ".")
	}
	return list
}

// labels counts the labels of name.
func labels(name string) int { return strings.Count(name, ".") + 1 }

// suffix returns the last n labels of name, which has as many at least.
func suffix(name string, n int) string {
	if n == 0 {
		return ""
	}
	for range labels(name) - n {
		_, name, _ = strings.Cut(name, ".")
	}
	return name
}

// within reports whether name is parent or below it.
func within(name, parent string) bool {
	return name == parent || len(name) > len(parent) && strings.HasSuffix(name, parent) && name[len(name)-len(parent)-1] == '.'
}

// place is where the walk from a domain led.
type place struct {
	organizational string
	record         *Record // of the organizational domain; nil means none
	psd            string  // the public suffix domain above it, "" where none was found
	psdRecord      *Record
}

// walk walks up from name, and selects its organizational domain (section
// 4.10.2). The error is that of the first answer that was missed.
func (l *lookups) walk(name string) (place, error) {
	list := targets(name)
	l.ask(list...)
	at := place{organizational: name}
	for i, target := range list {
		a := l.known(target)
		switch {
		case a.err != nil:
			return place{}, a.err
		case a.record == nil:
		case a.record.Suffix == SuffixYes && i > 0:
			at = place{organizational: suffix(name, labels(target)+1), psd: target, psdRecord: a.record}
			if below := l.known(at.organizational); below != nil { // not where names were cut
				at.record = below.record
			}
			return at, nil
		case a.record.Suffix == SuffixUnknown:
			at.organizational, at.record = target, a.record
		default:
			at.organizational, at.record = target, a.record
			return at, nil
		}
	}
	return at, nil
}

// Step is one query of a tree walk.
type Step struct {
	Domain string  `json:"domain"`           // without "_dmarc"
	Record *Record `json:"record,omitempty"` // nil means none, or more than one
	Error  string  `json:"error,omitempty"`  // why the answer is not known
	Note   string  `json:"note,omitempty"`   // what was wrong with an answer
}

// Walk is what a tree walk found.
type Walk struct {
	Domain         string `json:"domain"`                   // where it began, in normal form
	Steps          []Step `json:"steps"`                    // in order, up to where it stopped
	Organizational string `json:"organizational,omitempty"` // "" where an answer was missing
	Suffix         string `json:"suffix,omitempty"`         // the public suffix domain that ended it, if one did
	BySuffixList   string `json:"by_suffix_list"`           // the organizational domain by the Public Suffix List
}

// Walk does the tree walk from name, for those who want to see it. Its error
// says what is wrong with name, or which answer was missing.
func (c *Checker) Walk(ctx context.Context, name string) (Walk, error) {
	name, err := normal(name)
	if err != nil {
		return Walk{}, err
	}
	l := c.lookups(ctx)
	defer l.ctx.End()
	at, err := l.walk(name)
	w := Walk{Domain: name, Organizational: at.organizational, Suffix: at.psd, BySuffixList: c.registered(name)}
	for i, target := range targets(name) {
		a := l.known(target)
		step := Step{Domain: target, Record: a.record, Note: a.note}
		if a.err != nil {
			step.Error = a.err.Error()
		}
		w.Steps = append(w.Steps, step)
		if a.err != nil || a.record != nil && (a.record.Suffix == SuffixNo || a.record.Suffix == SuffixYes) {
			w.Steps = w.Steps[:i+1]
			break
		}
	}
	return w, err
}

// Organizational returns the organizational domain of name, by the discovery of
// c. Its error says what is wrong with name, or which answer was missing.
func (c *Checker) Organizational(ctx context.Context, name string) (string, error) {
	name, err := normal(name)
	if err != nil {
		return "", err
	}
	if c.discovery == PublicSuffix {
		return c.registered(name), nil
	}
	l := c.lookups(ctx)
	defer l.ctx.End()
	at, err := l.walk(name)
	return at.organizational, err
}

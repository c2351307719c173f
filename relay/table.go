package relay

import (
	"errors"
	"fmt"
	"strings"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// table finds the entry for a domain. The zero table is empty.
type table struct {
	exact map[string]entry // by domain or literal in normal form
	below map[string]entry // "*.example.org" by its "example.org"
}

// entry is a domain pattern as the operator wrote it, and what it means.
type entry struct {
	text string
	kind Kind
}

// add enters text, a domain, pattern or literal.
func (t *table) add(text string, kind Kind) error {
	if text == "*" {
		return errors.New("fits every domain: that is an open relay")
	}
	if strings.HasPrefix(text, ".") {
		return fmt.Errorf("subdomains are written %q", "*"+text)
	}
	rest, pattern := strings.CutPrefix(text, "*.")
	name, err := destination(rest)
	if err == nil && pattern && name[0] == '[' {
		err = errors.New("a literal has nothing below it")
	}
	if err != nil {
		return err
	}
	m := &t.exact
	if pattern {
		m = &t.below
	}
	if other, ok := (*m)[name]; ok && other.kind != kind {
		return fmt.Errorf("is %v as %q already", other.kind, other.text)
	}
	if *m == nil {
		*m = make(map[string]entry)
	}
	(*m)[name] = entry{text, kind}
	return nil
}

// find returns the entry that says most of name, which is in normal form.
func (t *table) find(name string) (e entry, ok bool) {
	if e, ok = t.exact[name]; ok {
		return e, true
	}
	for {
		if _, name, ok = strings.Cut(name, "."); !ok {
			return e, false
		}
		if e, ok = t.below[name]; ok {
			return e, true
		}
	}
}

// destination returns the normal form of the right-hand side of an address: a
// domain, or an address literal with its address in canonical form.
func destination(s string) (string, error) {
	if addr, ok := domain.Literal(s); ok && addr.Is6() {
		return "[IPv6:" + addr.String() + "]", nil
	} else if ok {
		return "[" + addr.String() + "]", nil
	}
	return domain.Normal(s)
}

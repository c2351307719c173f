package dmarc

import (
	"errors"
	"fmt"
)

// align judges every identifier (RFC 9989, section 4.10.2). passed is that one
// is authenticated and aligned; missed, where none is, why that may be for want
// of an answer.
func (e *evaluation) align() (passed bool, missed error) {
	each := func(id *Identifier, method string, mode Mode) {
		id.Mode = mode
		aligned, err := e.aligned(id, mode)
		switch {
		case id.Reason != "": // no domain name
		case id.Result == string(Pass) && err != nil:
			id.Reason = reason(err)
		case id.Result == string(Pass) && !aligned:
			id.Reason = "not aligned"
		case id.Result == string(Pass):
			id.Aligned, passed = true, true
		default:
			id.Reason = fmt.Sprintf("%s=%s", method, id.Result)
			if id.Result == string(TempError) && aligned {
				err = fmt.Errorf("dmarc: %s=temperror of %s", method, id.Domain)
			}
		}
		if missed == nil && !errors.Is(err, errBudget) { // which is of who authenticates with so many names
			missed = err
		}
	}
	if e.out.SPF != nil {
		each(e.out.SPF, "spf", e.out.Record.SPF)
	}
	for i := range e.out.DKIM {
		each(&e.out.DKIM[i], "dkim", e.out.Record.DKIM)
	}
	return passed, missed
}

// aligned reports whether the domain of id is in alignment with that of the
// author, as far as that may count.
func (e *evaluation) aligned(id *Identifier, mode Mode) (bool, error) {
	switch {
	case id.Reason != "", id.Result != string(Pass) && id.Result != string(TempError):
		return false, nil
	case id.Domain == e.out.AuthorDomain:
		return true, nil
	case mode == Strict:
		return false, nil
	}
	home, err := e.settle()
	if err != nil {
		return false, err
	}
	// An organizational domain is the domain itself or one above it, so what is
	// not below the author's can not share it.
	if !within(id.Domain, home.organizational) {
		return false, nil
	}
	at, err := e.place(id.Domain)
	if err != nil {
		return false, err
	}
	id.OrganizationalDomain = at.organizational
	return at.organizational == home.organizational, nil
}

package authres

import "errors"

// maxField bounds the value of a field that is parsed, in octets. The work is
// linear in it.
const maxField = 32 << 10

var (
	errLong     = errors.New("authres: field too long")
	errID       = errors.New("authres: malformed authserv-id or version")
	errMethod   = errors.New("authres: malformed method or result")
	errReason   = errors.New("authres: malformed reason, or a second one")
	errProperty = errors.New("authres: malformed property")
	errEmpty    = errors.New(`authres: neither a result nor "none"`)
	errNone     = errors.New(`authres: "none" beside results`)
	errSpace    = errors.New("authres: comment without an end, or a line end that is no fold")
)

// Parse reads the value of an Authentication-Results field, folded or not (RFC
// 8601, section 2.2): comments, quoted strings, versions, methods and properties
// of any name. What is not legal but common is read too: a semicolon at the end,
// values such as addresses without quotes, underscores in names, a reason behind
// properties, and properties without a ptype, which are left out.
//
// That a field parses says nothing of who wrote it.
func Parse(value string) (Results, error) {
	var r Results
	if len(value) > maxField {
		return r, errLong
	}
	s := &scanner{rest: value}
	if !s.space() {
		return r, errSpace
	}
	id, ok := s.value(`<>@,:/[]?=`)
	if !ok {
		return r, errID
	}
	r.ID = id
	if !s.space() {
		return Results{}, errSpace
	}
	r.Version, ok = s.number()
	if ok && r.Version == 0 || !s.space() {
		return Results{}, errID
	}
	none := false
	for s.rest != "" {
		if !s.take(';') {
			return Results{}, errID
		}
		if s.rest == "" {
			break // a semicolon at the end
		}
		var m Method
		isNone, err := s.method(&m)
		if err != nil {
			return Results{}, err
		}
		if none || isNone && len(r.Methods) > 0 {
			return Results{}, errNone
		}
		if none = isNone; !isNone {
			r.Methods = append(r.Methods, m)
		}
	}
	if !none && len(r.Methods) == 0 {
		return Results{}, errEmpty
	}
	return r, nil
}

// method reads one resinfo, up to a semicolon or the end, or no-result.
func (s *scanner) method(m *Method) (none bool, err error) {
	m.Name = s.keyword()
	if m.Name == "" || !s.space() {
		return false, errMethod
	}
	if m.Name == "none" && (s.rest == "" || s.rest[0] == ';') {
		return true, nil
	}
	if s.rest != "" && s.rest[0] == '/' {
		ok := s.take('/')
		if ok {
			m.Version, ok = s.number()
		}
		if !ok || m.Version == 0 {
			return false, errMethod
		}
	}
	if !s.take('=') {
		return false, errMethod
	}
	if m.Result = Result(s.keyword()); m.Result == "" {
		return false, errMethod
	}
	before := s.rest
	if !s.space() {
		return false, errSpace
	}
	if s.rest != "" && s.rest[0] != ';' && s.rest == before {
		return false, errMethod // the result goes on
	}
	reason := false
	for s.rest != "" && s.rest[0] != ';' {
		word := s.keyword()
		if !s.space() || word == "" || s.rest == "" {
			return false, errProperty
		}
		switch s.rest[0] {
		case '=':
			if !s.take('=') {
				return false, errReason
			}
			if word != "reason" { // Microsoft's "action=none", in all that its hosts write
				if _, ok := s.value("="); !ok {
					return false, errProperty
				}
				break
			}
			if reason {
				return false, errReason
			}
			reason = true
			var ok bool
			if m.Reason, ok = s.value(""); !ok {
				return false, errReason
			}
		case '.':
			p := Property{Type: word}
			if !s.property(&p) {
				return false, errProperty
			}
			m.Properties = append(m.Properties, p)
		default:
			return false, errProperty
		}
		if !s.space() {
			return false, errSpace
		}
	}
	return false, nil
}

// property reads what stands behind a ptype.
func (s *scanner) property(p *Property) (ok bool) {
	if !s.take('.') {
		return false
	}
	if p.Name = s.keyword(); p.Name == "" || !s.take('=') {
		return false
	}
	if s.rest == "" {
		return false
	}
	if s.rest[0] != '@' {
		if p.Value, ok = s.value("@"); !ok {
			return false
		}
	}
	if !s.space() {
		return false
	}
	// A local part, quoted or not, may have comments behind it (RFC 5322, section
	// 3.4.1); its domain has none inside.
	if s.rest != "" && s.rest[0] == '@' {
		name, ok := s.value("")
		if !ok || len(name) < 2 {
			return false
		}
		p.Value += name
	}
	return true
}

package spf

// maxExplanation bounds an explanation in octets, so that it fits a reply line
// (RFC 5321, section 4.5.3.1.5).
const maxExplanation = 450

// explanation fetches what the domain that decided says of a fail (RFC 7208,
// section 6.2). Whatever goes wrong means that it says nothing.
func (e *evaluation) explanation() string {
	s, where := e.decided.explain, e.decided.where
	if s == nil {
		return ""
	}
	target, ok := e.target(s, where)
	if !ok {
		return ""
	}
	texts, err := e.checker.resolver.LookupTXT(e.ctx, target)
	if err != nil || len(texts) != 1 || len(texts[0]) > maxRecord {
		return ""
	}
	parts, err := parseMacros(texts[0], true)
	if err != nil {
		return ""
	}
	text, _ := e.expand(parts, where, false)
	if len(text) > maxExplanation {
		text = text[:maxExplanation]
	}
	for i := 0; i < len(text); i++ {
		// Section 6.2 allows US-ASCII only. Line ends would be the domain's own
		// reply lines, other control characters its hand on a terminal.
		if text[i] < ' ' || text[i] > '~' {
			return ""
		}
	}
	return text
}

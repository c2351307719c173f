package failure

import (
	"net/netip"
	"strings"
)

// received tells which way a message came: the names and addresses of hosts, the
// protocol, the identifier and the time. The rest, comments and for whom it was,
// is what programs write freely, names of users among it.
func received(value string) string {
	at := strings.LastIndexByte(value, ';')
	if at < 0 {
		return ""
	}
	when := date(strings.TrimSpace(value[at+1:]))
	if when == "" {
		return ""
	}
	var told []string
	clause := ""
	rest := value[:at]
	for rest != "" {
		if rest[0] == '(' {
			var comment string
			comment, rest = cutComment(rest)
			if addr, ok := literal(comment); ok && clause == "told" {
				told = append(told, "(["+addr.String()+"])")
			}
			continue
		}
		end := strings.IndexAny(rest, " (")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			rest = rest[1:]
			continue
		}
		word := rest[:end]
		rest = rest[end:]
		switch key := strings.ToLower(word); {
		case key == "from" || key == "by" || key == "with" || key == "id":
			clause = key
		case key == "for" || key == "via":
			clause = ""
		case clause == "" || clause == "told":
		default:
			// A name that says nothing of where it is may be that of who owns it:
			// "Anns-Phone".
			if len(word) > 255 || !isText(word, "-._:[]/+=<>") || clause == "from" && !strings.ContainsAny(word, ".:") {
				word = "unknown"
			}
			told = append(told, clause, word)
			clause = "told"
		}
	}
	if len(told) == 0 {
		return ""
	}
	return strings.Join(told, " ") + "; " + when
}

// cutComment cuts the comment that s begins with, nested ones in it.
func cutComment(s string) (comment, rest string) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return s[:i+1], s[i+1:]
			}
		}
	}
	return s, ""
}

// literal is the address in brackets of a comment.
func literal(comment string) (netip.Addr, bool) {
	_, after, _ := strings.Cut(comment, "[")
	text, _, found := strings.Cut(after, "]")
	if prefix := "ipv6:"; len(text) > len(prefix) && strings.EqualFold(text[:len(prefix)], prefix) {
		text = text[len(prefix):]
	}
	addr, err := netip.ParseAddr(text)
	if !found || err != nil || addr.Zone() != "" {
		return netip.Addr{}, false
	}
	return addr, true
}

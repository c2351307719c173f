package verify

import (
	"net/netip"
	"strings"

	"github.com/smtpguard/smtpguard"
)

// throughGateway reports whether a client is a gateway of ours: one of Config.Gateways,
// or where there are any, who has no address, over a Unix socket.
func (v *Verifier) throughGateway(client netip.Addr) bool {
	return len(v.cfg.Gateways) > 0 && (!client.IsValid() || within(v.cfg.Gateways, client))
}

// behind is who brought the message to our gateways, and what he said in EHLO: the
// topmost Received field that names somebody else. Fields below it may be anybody's.
func (v *Verifier) behind(msg *smtpguard.Message) (client netip.Addr, hello string, ok bool) {
	const most = 10 // hops inside
	n := 0
	for f := range msg.Fields("Received") {
		if n++; n > most {
			break
		}
		addr, name, found := from(f.Unfolded())
		if !found {
			return client, "", false // who handed it on without saying from whom cannot be looked behind
		}
		if !within(v.cfg.Gateways, addr) {
			return addr, name, true
		}
	}
	return client, "", false
}

// maxFrom bounds a Received field that is read. A part of one would not do: what a
// client said in EHLO may look like a whole one.
const maxFrom = 2048

// from reads the from clause of a Received field (RFC 5321, section 4.4): the name
// that the client gave, and its address.
//
// The address is what the gateway knows, and all beside it what the client or his
// DNS says, with spaces, brackets and parentheses in it where the gateway does not
// mind. So a field that could be read in two ways is not read at all. What is
// written in the world:
//
//	from HELO (NAME [ADDRESS]) (TLS and certificate) by     Postfix, Sendmail, ours
//	from NAME ([ADDRESS] helo=HELO) by                      Exim
//	from [ADDRESS] (helo=HELO) by                           Exim; ours with EHLO
//	from NAME (HELO HELO) (ADDRESS) by                      qmail
//	from HELO (ADDRESS) by                                  Exchange
func from(value string) (addr netip.Addr, hello string, ok bool) {
	if len(value) > maxFrom {
		return addr, "", false
	}
	var words, comments []string // outside comments, and they
	for rest := strings.TrimLeft(value, " \t"); rest != ""; rest = strings.TrimLeft(rest, " \t") {
		n := strings.IndexAny(rest, " \t")
		if n < 0 {
			n = len(rest)
		}
		if rest[0] != '(' {
			if strings.ContainsAny(rest[:n], "()") {
				return addr, "", false // a name with parentheses, or a comment that is none
			}
			words, rest = append(words, rest[:n]), rest[n:]
			continue
		}
		if n = comment(rest); n < 0 {
			return addr, "", false
		}
		if len(words) == 2 {
			comments = append(comments, rest[1:n])
		}
		rest = rest[n+1:]
	}
	if len(words) < 3 || !strings.EqualFold(words[0], "from") || !strings.EqualFold(words[2], "by") || len(comments) == 0 {
		return addr, "", false
	}
	for _, w := range words[3:] {
		if strings.EqualFold(w, "by") {
			return addr, "", false
		}
	}
	hello = words[1]
	var found []netip.Addr
	if greets(comments[0]) {
		comments = comments[1:]
		if a, ok := literal(hello); ok {
			found = append(found, a)
		}
	}
	for _, c := range comments {
		found = append(found, addresses(c)...)
	}
	if len(found) != 1 {
		return addr, "", false
	}
	return found[0], hello, true
}

// comment returns where the comment that text begins with ends, with those in it;
// -1 if it does not, or goes on without a space.
func comment(text string) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth > 0 {
				continue
			}
			if i+1 < len(text) && strings.IndexByte(" \t;", text[i+1]) < 0 {
				return -1
			}
			return i
		}
	}
	return -1
}

// greets reports whether a comment begins with what the client said, and so has no
// address that is known.
func greets(comment string) bool {
	word, _, _ := strings.Cut(comment, " ")
	name, _, _ := strings.Cut(word, "=")
	return strings.EqualFold(word, "EHLO") || strings.EqualFold(word, "HELO") ||
		len(name) < len(word) && (strings.EqualFold(name, "helo") || strings.EqualFold(name, "port"))
}

// addresses are those of a comment: in brackets, or the whole of it.
func addresses(comment string) (found []netip.Addr) {
	if a, ok := literal("[" + comment + "]"); ok {
		return append(found, a)
	}
	for {
		i := strings.IndexByte(comment, '[')
		if i < 0 {
			return found
		}
		comment = comment[i:]
		n := strings.IndexByte(comment, ']') + 1
		a, ok := literal(comment[:n])
		if !ok {
			comment = comment[1:] // another bracket may open before this one is shut
			continue
		}
		found, comment = append(found, a), comment[n:]
	}
}

// literal reads an address in brackets, with or without the tag that RFC 5321,
// section 4.1.3, wants for IPv6.
func literal(text string) (addr netip.Addr, ok bool) {
	text, open := strings.CutPrefix(text, "[")
	text, shut := strings.CutSuffix(text, "]")
	if len(text) > 5 && strings.EqualFold(text[:5], "IPv6:") {
		text = text[5:]
	}
	a, err := netip.ParseAddr(text)
	return a.Unmap(), open && shut && err == nil && a.Zone() == ""
}

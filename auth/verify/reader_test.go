package verify_test

import (
	"net/mail"
	"regexp"
	"strings"

	"golang.org/x/net/idna"
)

// The readers below are what mail programs do, of the careless kind. They share
// nothing with what is tested. What is shown as a name (quoted strings, comments,
// encoded words) is not taken for an address: no receiver can keep people from
// believing it (RFC 9989, section 11.4).

// sectionReader finds the fields of a message, as names in lower case and values.
type sectionReader struct {
	name string
	read func(message string) [][2]string
}

var sectionReaders = []sectionReader{
	{"RFC 5322", func(m string) [][2]string { return fields(m, "\r\n", false) }},
	{"lines end at LF", func(m string) [][2]string { return fields(strings.ReplaceAll(m, "\r\n", "\n"), "\n", false) }},
	{"lines end at CR too", func(m string) [][2]string {
		return fields(strings.ReplaceAll(strings.ReplaceAll(m, "\r\n", "\n"), "\r", "\n"), "\n", false)
	}},
	{"goes on behind what is no field", func(m string) [][2]string {
		return fields(strings.ReplaceAll(m, "\r\n", "\n"), "\n", true)
	}},
	{"drops NUL", func(m string) [][2]string {
		return fields(strings.ReplaceAll(strings.ReplaceAll(m, "\x00", ""), "\r\n", "\n"), "\n", true)
	}},
	{"ends lines at NUL", func(m string) [][2]string {
		return fields(regexp.MustCompile(`\x00[^\n]*`).ReplaceAllString(strings.ReplaceAll(m, "\r\n", "\n"), ""), "\n", true)
	}},
	{"ends at a blank line", func(m string) [][2]string {
		m = strings.ReplaceAll(m, "\r\n", "\n")
		return fields(regexp.MustCompile(`\n[ \t]+\n`).ReplaceAllString(m, "\n\n"), "\n", true)
	}},
	{"net/mail", func(m string) (found [][2]string) {
		msg, err := mail.ReadMessage(strings.NewReader(m))
		if err != nil {
			return nil
		}
		for name, values := range msg.Header {
			for _, v := range values {
				found = append(found, [2]string{strings.ToLower(name), v})
			}
		}
		return found
	}},
}

// fields splits a header section at end. Names are taken without what is not
// seen. In careless reading, lines that are no fields are passed over.
func fields(message, end string, careless bool) (found [][2]string) {
	for line := range strings.SplitSeq(message, end) {
		if line == "" {
			break
		}
		if (line[0] == ' ' || line[0] == '\t') && len(found) > 0 {
			found[len(found)-1][1] += " " + strings.TrimSpace(line)
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.ContainsAny(strings.TrimSpace(name), " \t") {
			if careless {
				continue
			}
			break
		}
		name = strings.Map(func(r rune) rune {
			if r <= ' ' || r >= 0x7f {
				return -1
			}
			return r
		}, name)
		found = append(found, [2]string{strings.ToLower(name), value})
	}
	return found
}

// addressReaders find the domains that may be shown as those of a From field's
// author: the first and the last address, which is what programs pick.
var addressReaders = []struct {
	name string
	read func(value string) []string
}{
	{"net/mail", func(v string) (domains []string) {
		list, err := mail.ParseAddressList(v)
		if err != nil {
			return nil
		}
		for _, a := range list {
			domains = append(domains, behindAt(a.Address))
		}
		return domains
	}},
	{"brackets", func(v string) []string { return bracketed(outside(v, true)) }},
	{"brackets, blind to backslashes", func(v string) []string { return bracketed(outside(v, false)) }},
	{"anything with @", func(v string) []string { return anything(outside(v, true)) }},
	{"anything with @, blind to backslashes", func(v string) []string { return anything(outside(v, false)) }},
}

// outside is value without quoted strings and comments, but for quoted strings
// that an @ follows.
func outside(value string, escapes bool) string {
	var b strings.Builder
	depth, quoted, start := 0, false, 0
	for i := 0; i < len(value); i++ {
		c := value[i]
		switch {
		case c == '\\' && escapes && (quoted || depth > 0):
			i++
		case quoted:
			if c == '"' {
				quoted = false
				if strings.HasPrefix(value[i+1:], "@") {
					b.WriteString(value[start+1 : i])
				}
			}
		case c == '"' && depth == 0:
			quoted, start = true, i
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth == 0:
			b.WriteByte(c)
		}
	}
	return b.String()
}

var inBrackets = regexp.MustCompile(`<([^<>]*)>?`)

func bracketed(v string) (domains []string) {
	for _, m := range inBrackets.FindAllStringSubmatch(v, -1) {
		if strings.Contains(m[1], "@") {
			domains = append(domains, behindAt(m[1]))
		}
	}
	return domains
}

var withAt = regexp.MustCompile(`@([^\s<>,;:@()"]+)`)

func anything(v string) (domains []string) {
	for _, m := range withAt.FindAllStringSubmatch(v, -1) {
		domains = append(domains, m[1])
	}
	return domains
}

func behindAt(address string) string {
	return strings.TrimSpace(address[strings.LastIndexByte(address, '@')+1:])
}

// shown are the domains that any of the readers may show as the author's, with who
// does.
func shown(message string) map[string]string {
	found := make(map[string]string) // by the last reader, of which the strictest is the first
	for _, s := range sectionReaders {
		for _, f := range s.read(message) {
			if f[0] != "from" {
				continue
			}
			for _, a := range addressReaders {
				for _, d := range a.read(f[1]) {
					found[sameName(d)] = s.name + "; " + a.name
				}
			}
		}
	}
	return found
}

// sameName is one spelling of a domain, or the text where it is none.
func sameName(d string) string {
	if a, err := idna.Lookup.ToASCII(d); err == nil {
		d = a
	}
	return strings.ToLower(strings.TrimSuffix(d, "."))
}

var (
	passes   = regexp.MustCompile(`(?i)\b(spf|dkim|dmarc|arc)(?:\s*/\s*\d+)?\s*=[^a-z0-9]*pass`)
	author   = regexp.MustCompile(`(?i)header\s*\.\s*from\s*=\s*([^\s;]+)`)
	signer   = regexp.MustCompile(`(?i)header\s*\.\s*(?:d|i)\s*=\s*([^\s;]+)`)
	envelope = regexp.MustCompile(`(?i)smtp\s*\.\s*(?:mailfrom|helo)\s*=`)
	comments = regexp.MustCompile(`\([^()]*\)`)
)

// claims is what a field says to who searches it for words.
type claims struct {
	pass     map[string]int // results by method
	authors  []string
	signers  []string
	envelope int
}

// claimed are the claims of a field to careless readers: as it stands, without
// comments, and without quotes.
func claimed(value string) (all []claims) {
	for _, text := range []string{
		value, comments.ReplaceAllString(value, ""), strings.NewReplacer(`"`, "", `\`, "").Replace(value),
		comments.ReplaceAllString(strings.NewReplacer(`"`, "", `\`, "").Replace(value), ""),
	} {
		c := claims{pass: make(map[string]int), envelope: len(envelope.FindAllString(text, -1))}
		for _, m := range passes.FindAllStringSubmatch(text, -1) {
			c.pass[strings.ToLower(m[1])]++
		}
		for _, m := range author.FindAllStringSubmatch(text, -1) {
			c.authors = append(c.authors, strings.Trim(m[1], `"\`))
		}
		for _, m := range signer.FindAllStringSubmatch(text, -1) {
			c.signers = append(c.signers, strings.Trim(m[1], `"\`))
		}
		all = append(all, c)
	}
	return all
}

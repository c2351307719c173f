package surbl

import (
	"net/netip"
	"strings"
)

// URI is one link or mail address of a message. Those that name the same are
// one, the most telling of them.
type URI struct {
	// Text is as it stood, without transfer encoding, character set and character
	// references, cut at 2,048 octets. A sender wrote it.
	Text string

	Scheme  string     // in lower case; "" where none was written
	Host    string     // A-labels in lower case; "" where Addr is the host
	Addr    netip.Addr // the host where that is a literal, in whatever form
	Domain  string     // the registered domain of Host, or Host where that is a public suffix; "" for an Addr
	Port    string     // as written, digits; "" where none was written
	Path    string     // with query and fragment, as written; "" for mail addresses
	Mailbox string     // "local-part@host" of a mail address, the local part as written

	Kind   Kind
	Hidden Hidden

	// Shown is the host that the visible text of a link names, where Hidden has
	// Mismatch.
	Shown string

	// Via is the host of the redirector that has this URI inside it; "" for others.
	Via string

	Part   int   // 0 is the message's own header section, 1 the first part that holds text, -1 the reverse-path
	Offset int64 // into the decoded part, in octets; of the nearest run of text for what HTML shows
	Times  int   // how often it stood; more where Links.Broken has a message read more than once
}

// Kind is where a URI stood.
type Kind uint8

const (
	Link     Kind = iota + 1 // followed by a click: href
	Form                     // where what somebody fills in goes: action, formaction
	Refresh                  // followed without a click: meta refresh
	Base                     // what relative links begin with
	Plain                    // in text, with a scheme or www.
	Inner                    // inside another URI, which redirects there
	Bare                     // in text, a host without a scheme
	Mail                     // a mail address
	Resource                 // loaded to show the message: src, srcset, background
	Style                    // url() in a style
	Script                   // in a script
)

var kindNames = [...]string{"", "link", "form", "refresh", "base", "plain", "inner", "bare", "mail", "resource", "style", "script"}

// String returns the kind's name in lower case.
func (k Kind) String() string {
	if k < Link || int(k) >= len(kindNames) {
		return "invalid"
	}
	return kindNames[k]
}

// Hidden is how a URI was kept from being read: one or several of these. The
// zero Hidden is a URI in plain sight.
type Hidden uint16

const (
	Mismatch    Hidden = 1 << iota // the visible text names a host of another domain
	MixedScript                    // a label mixes scripts that are not written together
	Lookalike                      // a label wholly of letters that look like Latin ones
	Number                         // an IPv4 address not as four decimal numbers
	UserInfo                       // something before an @, which looks like the host
	Encoded                        // the host in percent encoding
	Doubled                        // in percent encoding, more than once
	Invisible                      // zero-width or bidirectional characters, or soft hyphens
	Compatible                     // full-width letters, ideographic dots and the like
	Backslash                      // backslashes, or a number of slashes other than two
	Defanged                       // hxxp, [.]
	Redirected                     // has another URI inside it, or is inside one
	Shortened                      // a known shortener, whose target is not in the URI
	Pictured                       // in a picture: a QR code
)

var hiddenNames = [...]string{"mismatch", "mixed script", "lookalike", "number", "userinfo", "encoded", "doubly encoded",
	"invisible characters", "compatibility characters", "backslash", "defanged", "redirector", "shortener", "picture"}

// String lists what h has: "number, userinfo"; "" for the zero Hidden.
func (h Hidden) String() string {
	var names []string
	for i, name := range hiddenNames {
		if h&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// telling orders URIs: what tricks a reader first, then what a reader follows,
// and what only decorates a message last.
func (u *URI) telling() int {
	const tricks = Mismatch | MixedScript | Lookalike | Number | UserInfo | Encoded | Doubled | Invisible | Compatible | Pictured
	n := int(u.Kind)
	if u.Hidden&tricks == 0 {
		n += 100
	}
	return n
}

// Defang returns u for people to read and not to follow: "hxxp://evil[.]example/".
// Controls and what is not ASCII are "?", and it is cut at 120 octets.
func (u *URI) Defang() string {
	var b strings.Builder
	host := u.Host
	if u.Addr.IsValid() {
		host = u.Addr.String()
	}
	switch {
	case u.Mailbox != "":
		local, _, _ := strings.Cut(u.Mailbox, "@"+host)
		b.WriteString(local + "[@]")
	case strings.HasPrefix(u.Scheme, "http"):
		b.WriteString("hxxp" + u.Scheme[len("http"):] + "://")
	case u.Scheme != "":
		b.WriteString(u.Scheme + "://")
	}
	b.WriteString(strings.NewReplacer(".", "[.]", ":", "[:]").Replace(host))
	b.WriteString(u.Path)
	text := b.String()
	if len(text) > 120 {
		text = text[:117] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}

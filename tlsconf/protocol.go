package tlsconf

import (
	"fmt"
	"slices"
)

// Protocol is what is spoken inside TLS. The zero Protocol is SMTP.
type Protocol int

const (
	SMTP Protocol = iota
	IMAP
	POP3
	HTTPS
)

var protocolNames = [...]string{"smtp", "imap", "pop3", "https"}

// String returns the protocol's name in lower case.
func (p Protocol) String() string {
	if !p.valid() {
		return "invalid"
	}
	return protocolNames[p]
}

// MarshalText makes a protocol a word in JSON and YAML.
func (p Protocol) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what String writes.
func (p *Protocol) UnmarshalText(text []byte) error {
	i := slices.Index(protocolNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("tlsconf: %q is none of the protocols smtp, imap, pop3, https", text)
	}
	*p = Protocol(i)
	return nil
}

func (p Protocol) valid() bool { return p >= 0 && int(p) < len(protocolNames) }

// acmeProtocol is offered by whoever validates a name for an ACME certificate
// (RFC 8737, section 3), and nothing beside it.
const acmeProtocol = "acme-tls/1"

// alpn are the names that a server answers to (RFC 7301). One that is offered
// only others ends the handshake, so that no browser can be sent here with the
// user's cookies (RFC 9325, section 3.7); one that is offered none goes on.
func (p Protocol) alpn() []string {
	switch p {
	case IMAP:
		return []string{"imap"}
	case POP3:
		return []string{"pop3"}
	case HTTPS:
		return []string{"h2", "http/1.1", acmeProtocol}
	}
	return []string{"smtp", "esmtp"} // none is registered; these are in use
}

package relay

import (
	"crypto/tls"
	"net/netip"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/peer"
)

// Client is what is known, and proven, of who sends.
type Client struct {
	Addr         netip.Addr // the zero Addr is in no network
	Login        string     // who the client has proven to be; may be "" with LoggedIn
	LoggedIn     bool
	Certificates []string // the names of its certificate, as [CertificateNames] returns them
	Listener     string   // on which listener it came
}

// ClientOf returns the client of conn as it stands now: before a login, say.
func ClientOf(conn *smtpguard.Conn) Client {
	c := Client{Addr: conn.Addr(), Listener: conn.Listener()}
	c.Login, c.LoggedIn = conn.Login()
	if state, ok := conn.TLS(); ok {
		c.Certificates = CertificateNames(state)
	}
	return c
}

// CertificateNames returns by which names a [Grant] may know the client
// certificate of a TLS connection; none when there is none.
//
//	sha256:2cf24d…                        its fingerprint, in hex
//	dns:host.example.org                  a DNS name in its subject alternative names,
//	email:ann@example.org                 a mailbox there,
//	uri:spiffe://example.org/mailer       a URI there,
//	subject:CN=mailer,O=Example           its subject (RFC 2253)
//
// The handshake proves that the client has the key, so the fingerprint holds
// for self-signed certificates too. The other names are only those of a
// certificate that was verified against the ClientCAs of the server's
// tls.Config, and are worth as much as these.
func CertificateNames(state tls.ConnectionState) []string { return peer.Names(&state) }

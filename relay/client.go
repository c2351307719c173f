package relay

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net/netip"
	"net/url"
	"strings"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/domain"
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
func CertificateNames(state tls.ConnectionState) []string {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	sum := sha256.Sum256(state.PeerCertificates[0].Raw)
	names := []string{"sha256:" + hex.EncodeToString(sum[:])}
	if len(state.VerifiedChains) == 0 {
		return names
	}
	add := func(name string) {
		if name, err := certificateName(name); err == nil { // what is no name fits no grant
			names = append(names, name)
		}
	}
	cert := state.PeerCertificates[0]
	for _, s := range cert.DNSNames {
		add("dns:" + s)
	}
	for _, s := range cert.EmailAddresses {
		add("email:" + s)
	}
	for _, u := range cert.URIs {
		add("uri:" + u.String())
	}
	add("subject:" + cert.Subject.String())
	return names
}

// certificateName returns the normal form of a name of a certificate.
func certificateName(name string) (string, error) {
	kind, value, _ := strings.Cut(name, ":")
	var err error
	switch kind {
	case "sha256":
		value = strings.ToLower(strings.ReplaceAll(value, ":", ""))
		if b, err := hex.DecodeString(value); err != nil || len(b) != sha256.Size {
			return "", errors.New("is not 64 hexadecimal digits, with or without colons")
		}
	case "dns":
		value, err = domain.Normal(value)
	case "email":
		at := strings.LastIndexByte(value, '@')
		if at < 1 {
			return "", errors.New("is no mailbox")
		}
		var host string
		host, err = domain.Normal(value[at+1:])
		value = value[:at+1] + host
	case "uri":
		var u *url.URL
		if u, err = url.Parse(value); err == nil {
			if value = u.String(); u.Scheme == "" {
				err = errors.New("is no absolute URI")
			}
		}
	case "subject":
		if value == "" {
			err = errors.New("is empty")
		}
	default:
		err = errors.New("must begin with one of sha256: dns: email: uri: subject: and go on")
	}
	return kind + ":" + value, err
}

package tlsconf_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/relay"
	"github.com/smtpguard/smtpguard/smtpguardtest"
	"github.com/smtpguard/smtpguard/tlsconf"
)

func TestIdentities(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	names := func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "mailer", Organization: []string{"Example"}}
		c.DNSNames = []string{"Mailer.example.org"}
		c.EmailAddresses = []string{"Ann@Example.org"}
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/mailer"}}
	}
	signed, foreign := ca.issue(t, wish{change: names}), other.issue(t, wish{change: names})
	fingerprint := func(c tls.Certificate) string { return fmt.Sprintf("%X", sha256.Sum256(c.Certificate[0])) }
	state := func(c tls.Certificate, verified bool) tls.ConnectionState {
		s := tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.Leaf}}
		if verified {
			s.VerifiedChains = [][]*x509.Certificate{{c.Leaf, ca.cert}}
		}
		return s
	}
	for _, tt := range []struct {
		name  string
		cfg   tlsconf.IdentitiesConfig
		state tls.ConnectionState
		want  string
	}{
		{"nobody is known", tlsconf.IdentitiesConfig{}, state(signed, true), ""},
		{"no certificate", tlsconf.IdentitiesConfig{Mailboxes: []string{"example.org"}}, tls.ConnectionState{}, ""},
		{"fingerprint", tlsconf.IdentitiesConfig{Logins: map[string]string{"sha256:" + fingerprint(foreign): "ann"}}, state(foreign, false), "ann"},
		{"another's fingerprint", tlsconf.IdentitiesConfig{Logins: map[string]string{"sha256:" + fingerprint(foreign): "ann"}}, state(signed, true), ""},
		{"DNS name", tlsconf.IdentitiesConfig{Logins: map[string]string{"dns:MAILER.example.org.": "mailer"}}, state(signed, true), "mailer"},
		{"URI", tlsconf.IdentitiesConfig{Logins: map[string]string{"uri:spiffe://example.org/mailer": "mailer"}}, state(signed, true), "mailer"},
		{"subject", tlsconf.IdentitiesConfig{Logins: map[string]string{"subject:CN=mailer,O=Example": "mailer"}}, state(signed, true), "mailer"},
		{"mailbox", tlsconf.IdentitiesConfig{Logins: map[string]string{"email:Ann@example.org": "ann"}}, state(signed, true), "ann"},
		{"mailbox is the login", tlsconf.IdentitiesConfig{Mailboxes: []string{"EXAMPLE.org"}}, state(signed, true), "Ann@example.org"},
		{"mailbox at another domain", tlsconf.IdentitiesConfig{Mailboxes: []string{"example.net"}}, state(signed, true), ""},
		{"unverified", tlsconf.IdentitiesConfig{Logins: map[string]string{"dns:mailer.example.org": "mailer"}, Mailboxes: []string{"example.org"}}, state(signed, false), ""},
		{"verified here", tlsconf.IdentitiesConfig{Logins: map[string]string{"dns:mailer.example.org": "mailer"}, CAs: ca.pool}, state(signed, false), "mailer"},
		{"not to be verified", tlsconf.IdentitiesConfig{Logins: map[string]string{"dns:mailer.example.org": "mailer"}, CAs: ca.pool}, state(foreign, false), ""},
		{"two names of one", tlsconf.IdentitiesConfig{Logins: map[string]string{"dns:mailer.example.org": "m", "subject:CN=mailer,O=Example": "m"}}, state(signed, true), "m"},
		{"two names of two", tlsconf.IdentitiesConfig{Logins: map[string]string{"dns:mailer.example.org": "m", "subject:CN=mailer,O=Example": "n"}}, state(signed, true), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ids, err := tlsconf.NewIdentities(tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			if login, ok := ids.Login(tt.state); login != tt.want || ok != (tt.want != "") {
				t.Errorf("%q, %v, want %q", login, ok, tt.want)
			}
		})
	}
	if login, ok := new(tlsconf.Identities).Login(state(signed, true)); ok {
		t.Errorf("the zero Identities knows %q", login)
	}
	_, err := tlsconf.NewIdentities(tlsconf.IdentitiesConfig{
		Logins:    map[string]string{"cn:x": "a", "dns:a.example": "", "dns:b.example": "a", "dns:B.example": "b"},
		Mailboxes: []string{"a b"},
	})
	for _, want := range []string{`tlsconf: IdentitiesConfig.Logins["cn:x"]: must begin with`, `Logins["dns:a.example"]: has no login`, `is there already, for another login`, `Mailboxes[0] "a b"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
}

// TestIdentityRelays: at the level of an MX, where the handshake verifies
// nobody, a client is known by its certificate, and relays by its login's grant.
func TestIdentityRelays(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	cert := ca.issue(t, wish{names: []string{"mx.example.org"}})
	ids, err := tlsconf.NewIdentities(tlsconf.IdentitiesConfig{Logins: map[string]string{"dns:mailer.example.org": "mailer"}, CAs: ca.pool})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := relay.New(relay.Rules{Grants: []relay.Grant{{Logins: []string{"mailer"}, To: []string{"*"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		cert  tls.Certificate
		reply string
		login string
	}{
		{"known", ca.issue(t, wish{names: []string{"mailer.example.org"}}), "250", "mailer"},
		{"somebody else's CA", other.issue(t, wish{names: []string{"mailer.example.org"}}), "550 5.7.1 *", ""},
		{"unknown", ca.issue(t, wish{names: []string{"printer.example.org"}}), "550 5.7.1 *", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := new(events)
			target := site(t, server(t, tlsconf.MX, tlsconf.ServerConfig{Certificates: one{&cert}, ClientCAs: ca.pool}), e.observe, nil, ids.Check(), rules.Check())
			target.TLS.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tt.cert, nil }
			smtpguardtest.Play(t, target, `
				HELLO
				C: MAIL FROM:<a@client.example>
				S: 250
				C: RCPT TO:<b@foreign.example>
				S: 550 5.7.1 *
				STARTTLS
				C: MAIL FROM:<a@client.example>
				S: 250
				C: RCPT TO:<b@foreign.example>
				S: `+tt.reply+`
				C: QUIT
				S: 221
				S: EOF`)
			var logins []string
			waitFor(t, "the transactions", func() bool {
				for _, ev := range e.take() {
					if ev.Kind == smtpguard.KindTransaction {
						logins = append(logins, ev.Login)
					}
				}
				return len(logins) == 2 // the one before STARTTLS, too
			})
			if want := []string{"", tt.login}; !slices.Equal(logins, want) {
				t.Errorf("logins %q, want %q", logins, want)
			}
		})
	}
}

package auth_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// code is the reply code of an error, 235 for none.
func code(err error) int {
	var r *smtp.SMTPError
	switch {
	case err == nil:
		return 235
	case errors.As(err, &r):
		return r.Code
	}
	return 0
}

// bothTokens takes one token, for ann.
var bothTokens = auth.TokensFunc(func(_ context.Context, token string) (*auth.Identity, error) {
	switch token {
	case "good-token":
		return &auth.Identity{Login: "ann@example.org"}, nil
	case "broken":
		return nil, errors.New("issuer away")
	}
	return nil, auth.ErrCredentials
})

// fullStore has keys for every mechanism.
func fullStore(t testing.TB) *auth.File {
	return file(t,
		"ann@example.org:"+hashed(t, auth.Argon2id, "secret"),
		"ann@example.org:"+hashed(t, auth.ScramKeysSHA256, "secret"),
		"ann@example.org:"+hashed(t, auth.ScramKeysSHA1, "secret"),
		"ann@example.org:"+hashed(t, auth.Argon2id, "phone")+" label=phone",
		"ann@example.org:"+hashed(t, auth.ScramKeysSHA256, "phone")+" label=phone",
		"ann@example.org:"+hashed(t, auth.ScramKeysSHA1, "phone")+" label=phone",
		"eve@example.org:"+hashed(t, auth.Argon2id, "secret")+" disabled",
		"eve@example.org:"+hashed(t, auth.ScramKeysSHA256, "secret"),
		"eve@example.org:"+hashed(t, auth.ScramKeysSHA1, "secret"),
	)
}

var allMechanisms = []string{
	auth.External, auth.ScramSHA256Plus, auth.ScramSHA1Plus, auth.ScramSHA256, auth.ScramSHA1,
	auth.OAuthBearer, auth.XOAuth2, auth.Plain, auth.Login,
}

// bind is a client of a -PLUS mechanism on c.
func bind(t testing.TB, c *smtp.Client, client scramClient, kind string, data []byte) *scramClient {
	t.Helper()
	client.gs2, client.data = "p="+kind+",,", data
	if data == nil {
		state, _ := c.TLSConnectionState()
		var err error
		if client.data, err = state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32); err != nil {
			t.Fatal(err)
		}
	}
	return &client
}

// Every mechanism lets the right one in, and nobody else.
func TestMechanisms(t *testing.T) {
	store := fullStore(t)
	l := newLab(t, auth.Config{Store: store, Tokens: bothTokens, Mechanisms: allMechanisms, Cache: auth.Cache{For: -1},
		External: func(context.Context, tls.ConnectionState) (*auth.Identity, error) {
			return store.Identity(context.Background(), "ann@example.org")
		}})
	var err error
	if l.TLSConfig.Certificates == nil {
		t.Fatal("no certificate")
	}
	addr := l.start(t)
	clientCert, _ := certificate(t)
	withCert := l.client.Clone()
	withCert.Certificates = []tls.Certificate{clientCert}

	scram := func(mechanism, user, password string) scramClient {
		return scramClient{mechanism: mechanism, user: user, password: password}
	}
	r := func(s ...string) (all [][]byte) {
		for _, s := range s {
			all = append(all, []byte(s))
		}
		return all
	}
	for _, tt := range []struct {
		name   string
		cfg    *tls.Config
		client func(c *smtp.Client) sasl.Client
		want   int
		by     string
		keys   int64 // derived
	}{
		{"PLAIN", nil, func(*smtp.Client) sasl.Client { return sasl.NewPlainClient("", "ann@example.org", "secret") }, 235, "ann@example.org/", 1},
		{"PLAIN in other letters", nil, func(*smtp.Client) sasl.Client { return sasl.NewPlainClient("", "Ann@EXAMPLE.org", "secret") }, 235, "ann@example.org/", 1},
		{"PLAIN for herself", nil, func(*smtp.Client) sasl.Client {
			return sasl.NewPlainClient("Ann@example.org", "ann@example.org", "secret")
		}, 235, "ann@example.org/", 1},
		{"PLAIN by app password", nil, func(*smtp.Client) sasl.Client { return sasl.NewPlainClient("", "ann@example.org", "phone") }, 235, "ann@example.org/phone", 1},
		{"PLAIN for another", nil, func(*smtp.Client) sasl.Client {
			return sasl.NewPlainClient("eve@example.org", "ann@example.org", "secret")
		}, 535, "", 1},
		{"PLAIN, wrong", nil, func(*smtp.Client) sasl.Client { return sasl.NewPlainClient("", "ann@example.org", "wrong") }, 535, "", 1},
		{"PLAIN, unknown", nil, func(*smtp.Client) sasl.Client { return sasl.NewPlainClient("", "bob@example.org", "secret") }, 535, "", 1},
		{"PLAIN, disabled", nil, func(*smtp.Client) sasl.Client { return sasl.NewPlainClient("", "eve@example.org", "secret") }, 535, "", 1},
		{"PLAIN, no password", nil, func(*smtp.Client) sasl.Client { return sasl.NewPlainClient("", "ann@example.org", "") }, 535, "", 0},
		{"LOGIN", nil, func(*smtp.Client) sasl.Client { return sasl.NewLoginClient("ann@example.org", "secret") }, 235, "ann@example.org/", 1},
		{"LOGIN, wrong", nil, func(*smtp.Client) sasl.Client { return sasl.NewLoginClient("ann@example.org", "wrong") }, 535, "", 1},
		{"LOGIN, unknown", nil, func(*smtp.Client) sasl.Client { return sasl.NewLoginClient("bob", "wrong") }, 535, "", 1},
		{"LOGIN with PLAIN's message", nil, func(*smtp.Client) sasl.Client {
			return &says{mechanism: "LOGIN", responses: r("\x00ann@example.org\x00secret", "\x00ann@example.org\x00secret")}
		}, 535, "", 0},

		{"SCRAM-SHA-256", nil, func(*smtp.Client) sasl.Client { c := scram(auth.ScramSHA256, "ann@example.org", "secret"); return &c }, 235, "ann@example.org/", 0},
		{"SCRAM-SHA-256 by app password", nil, func(*smtp.Client) sasl.Client { c := scram(auth.ScramSHA256, "ann@example.org", "phone"); return &c }, 235, "ann@example.org/phone", 0},
		{"SCRAM-SHA-256 for herself", nil, func(*smtp.Client) sasl.Client {
			c := scram(auth.ScramSHA256, "ann@example.org", "secret")
			c.gs2 = "n,a=ANN@example.org,"
			return &c
		}, 235, "ann@example.org/", 0},
		{"SCRAM-SHA-256 for another", nil, func(*smtp.Client) sasl.Client {
			c := scram(auth.ScramSHA256, "ann@example.org", "secret")
			c.gs2 = "n,a=eve@example.org,"
			return &c
		}, 535, "", 0},
		{"SCRAM-SHA-256, wrong", nil, func(*smtp.Client) sasl.Client { c := scram(auth.ScramSHA256, "ann@example.org", "wrong"); return &c }, 535, "", 0},
		{"SCRAM-SHA-256, unknown", nil, func(*smtp.Client) sasl.Client { c := scram(auth.ScramSHA256, "bob@example.org", "secret"); return &c }, 535, "", 0},
		{"SCRAM-SHA-256, disabled", nil, func(*smtp.Client) sasl.Client { c := scram(auth.ScramSHA256, "eve@example.org", "secret"); return &c }, 535, "", 0},
		{"SCRAM-SHA-1", nil, func(*smtp.Client) sasl.Client { c := scram(auth.ScramSHA1, "ann@example.org", "secret"); return &c }, 235, "ann@example.org/", 0},
		{"SCRAM-SHA-1, the other's hash", nil, func(*smtp.Client) sasl.Client {
			c := scram(auth.ScramSHA1, "ann@example.org", "secret")
			c.asHash = sha256.New
			return &c
		}, 535, "", 0},
		{"SCRAM-SHA-256-PLUS", nil, func(c *smtp.Client) sasl.Client {
			return bind(t, c, scram(auth.ScramSHA256Plus, "ann@example.org", "secret"), "tls-exporter", nil)
		}, 235, "ann@example.org/", 0},
		{"SCRAM-SHA-1-PLUS", nil, func(c *smtp.Client) sasl.Client {
			return bind(t, c, scram(auth.ScramSHA1Plus, "ann@example.org", "secret"), "tls-exporter", nil)
		}, 235, "ann@example.org/", 0},
		{"PLUS bound elsewhere", nil, func(c *smtp.Client) sasl.Client {
			return bind(t, c, scram(auth.ScramSHA256Plus, "ann@example.org", "secret"), "tls-exporter", make([]byte, 32))
		}, 535, "", 0},
		{"PLUS bound to nothing", nil, func(c *smtp.Client) sasl.Client {
			return bind(t, c, scram(auth.ScramSHA256Plus, "ann@example.org", "secret"), "tls-exporter", []byte{})
		}, 535, "", 0},
		{"PLUS by what is not offered", nil, func(c *smtp.Client) sasl.Client {
			return bind(t, c, scram(auth.ScramSHA256Plus, "ann@example.org", "secret"), "tls-unique", []byte{})
		}, 535, "", 0},
		{"PLUS by an end point nobody told", nil, func(c *smtp.Client) sasl.Client {
			sum := sha256.Sum256(l.cert.Certificate[0])
			return bind(t, c, scram(auth.ScramSHA256Plus, "ann@example.org", "secret"), "tls-server-end-point", sum[:])
		}, 535, "", 0},
		{"PLUS without binding", nil, func(*smtp.Client) sasl.Client {
			c := scram(auth.ScramSHA256Plus, "ann@example.org", "secret")
			return &c
		}, 535, "", 0},
		{"SCRAM-SHA-256 with PLUS's message", nil, func(c *smtp.Client) sasl.Client {
			return bind(t, c, scram(auth.ScramSHA256, "ann@example.org", "secret"), "tls-exporter", nil)
		}, 535, "", 0},
		{"a downgrade", nil, func(*smtp.Client) sasl.Client {
			c := scram(auth.ScramSHA256, "ann@example.org", "secret")
			c.gs2 = "y,,"
			return &c
		}, 535, "", 0},
		{"SCRAM with PLAIN's message", nil, func(*smtp.Client) sasl.Client {
			return &says{mechanism: auth.ScramSHA256, responses: r("\x00ann@example.org\x00secret")}
		}, 535, "", 0},
		{"PLAIN with SCRAM's message", nil, func(*smtp.Client) sasl.Client {
			return &says{mechanism: auth.Plain, responses: r("n,,n=ann@example.org,r=abc")}
		}, 501, "", 0},

		{"OAUTHBEARER", nil, func(*smtp.Client) sasl.Client {
			return &says{mechanism: auth.OAuthBearer, responses: r("n,a=ann@example.org,\x01host=mx.example.org\x01port=587\x01auth=Bearer good-token\x01\x01")}
		}, 235, "ann@example.org/", 0},
		{"OAUTHBEARER without a name", nil, func(*smtp.Client) sasl.Client {
			return &says{mechanism: auth.OAuthBearer, responses: r("n,,\x01auth=bearer good-token\x01\x01")}
		}, 235, "ann@example.org/", 0},
		{"OAUTHBEARER for another", nil, func(*smtp.Client) sasl.Client {
			return &says{mechanism: auth.OAuthBearer, responses: r("n,a=eve@example.org,\x01auth=Bearer good-token\x01\x01", "\x01")}
		}, 535, "", 0},
		{"OAUTHBEARER, wrong", nil, func(*smtp.Client) sasl.Client {
			return &says{mechanism: auth.OAuthBearer, responses: r("n,,\x01auth=Bearer bad-token\x01\x01", "\x01")}
		}, 535, "", 0},
		{"OAUTHBEARER, wrong, an empty answer", nil, func(*smtp.Client) sasl.Client {
			return &says{mechanism: auth.OAuthBearer, responses: r("n,,\x01auth=Bearer bad-token\x01\x01", "")}
		}, 535, "", 0},
		{"OAUTHBEARER, wrong, then right", nil, func(*smtp.Client) sasl.Client {
			return &says{mechanism: auth.OAuthBearer, responses: r("n,,\x01auth=Bearer bad-token\x01\x01", "n,,\x01auth=Bearer good-token\x01\x01")}
		}, 535, "", 0},
		{"OAUTHBEARER, the issuer away", nil, func(*smtp.Client) sasl.Client {
			return &says{mechanism: auth.OAuthBearer, responses: r("n,,\x01auth=Bearer broken\x01\x01")}
		}, 454, "", 0},
		{"XOAUTH2", nil, func(*smtp.Client) sasl.Client {
			return &says{mechanism: auth.XOAuth2, responses: r("user=Ann@example.org\x01auth=Bearer good-token\x01\x01")}
		}, 235, "ann@example.org/", 0},
		{"XOAUTH2, wrong", nil, func(*smtp.Client) sasl.Client {
			return &says{mechanism: auth.XOAuth2, responses: r("user=ann@example.org\x01auth=Bearer bad\x01\x01", "")}
		}, 535, "", 0},

		{"EXTERNAL", withCert, func(*smtp.Client) sasl.Client { return &says{mechanism: auth.External, responses: r("")} }, 235, "ann@example.org/", 0},
		{"EXTERNAL for herself", withCert, func(*smtp.Client) sasl.Client { return sasl.NewExternalClient("ann@example.org") }, 235, "ann@example.org/", 0},
		{"EXTERNAL for another", withCert, func(*smtp.Client) sasl.Client { return sasl.NewExternalClient("eve@example.org") }, 535, "", 0},
		{"EXTERNAL without a certificate", nil, func(*smtp.Client) sasl.Client { return sasl.NewExternalClient("ann@example.org") }, 504, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := l.dial(t, addr, tt.cfg)
			before := store.Derivations()
			if err = c.Auth(tt.client(c)); code(err) != tt.want {
				t.Fatalf("%v, want %d", err, tt.want)
			}
			if got := store.Derivations() - before; got != tt.keys {
				t.Errorf("%d keys were derived, want %d", got, tt.keys)
			}
			before = int64(len(l.box.senders()))
			if err := c.SendMail("ann@example.org", []string{"bob@example.org"}, message("From: ann@example.org")); err != nil {
				t.Fatal(err)
			}
			want := tt.by
			if want == "" {
				want = "nobody"
			}
			if by := l.box.senders(); len(by) != int(before)+1 || by[before] != want {
				t.Errorf("the mail is of %q, want %q", by[before:], want)
			}
		})
	}
	warnings := l.notes(smtpguard.KindWarning)
	for _, want := range []string{"downgrade: channel binding was offered", "the proof is right and bound to another channel"} {
		if !slices.ContainsFunc(warnings, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("no warning of %q among %q", want, warnings)
		}
	}
	notes := l.notes(smtpguard.KindNote)
	for _, want := range []string{"channel binding was offered, and the client cannot", "auth: credentials refused: disabled", "auth: credentials refused: may not act for another"} {
		if !slices.ContainsFunc(notes, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("no note of %q among %q", want, notes)
		}
	}
	for _, ev := range l.all() {
		if s := fmt.Sprintf("%+v", ev); strings.Contains(s, "secret") || strings.Contains(s, "token") {
			t.Errorf("an event carries a secret: %s", s)
		}
	}
}

func TestServerEndPoint(t *testing.T) {
	l := newLab(t, auth.Config{Store: fullStore(t), Mechanisms: allMechanisms[1:5]})
	certs, err := auth.ServerCertificates(&tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &l.cert, nil }})
	if err != nil {
		t.Fatal(err)
	}
	l2 := newLab(t, auth.Config{Store: fullStore(t), Certificates: certs})
	l2.TLSConfig.Certificates[0] = l.cert
	addr := l2.start(t)
	for _, tt := range []struct {
		cert []byte
		want int
	}{{l.cert.Certificate[0], 235}, {l2.cert.Certificate[0], 535}} {
		sum := sha256.Sum256(tt.cert)
		c := l2.dial(t, addr, l.client)
		err := c.Auth(bind(t, c, scramClient{mechanism: auth.ScramSHA256Plus, user: "ann@example.org", password: "secret"}, "tls-server-end-point", sum[:]))
		if code(err) != tt.want {
			t.Errorf("%v, want %d", err, tt.want)
		}
	}
	if _, err := auth.ServerCertificates(nil); err == nil {
		t.Error("certificates of no configuration")
	}
	if _, err := auth.ServerCertificates(&tls.Config{Certificates: make([]tls.Certificate, 1)}); err == nil {
		t.Error("an empty certificate")
	}
}

func TestOffered(t *testing.T) {
	noKeys := file(t, "ann@example.org:"+hashed(t, auth.Argon2id, "secret"))
	plain := auth.StoreFunc(func(context.Context, string, string) (*auth.Identity, error) { return nil, auth.ErrCredentials })
	for _, tt := range []struct {
		name  string
		cfg   auth.Config
		clear string // AUTH line before TLS
		tls12 bool
		want  string
	}{
		{"all", auth.Config{Store: fullStore(t), Tokens: bothTokens, Mechanisms: allMechanisms[1:]}, "", false,
			"SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 OAUTHBEARER XOAUTH2 PLAIN LOGIN"},
		{"usual", auth.Config{Store: fullStore(t), Tokens: bothTokens}, "", false, "SCRAM-SHA-256-PLUS SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN"},
		{"TLS 1.2", auth.Config{Store: fullStore(t)}, "", true, "SCRAM-SHA-256 PLAIN"},
		{"some, in any order", auth.Config{Store: fullStore(t), Mechanisms: []string{auth.Plain, auth.ScramSHA256}}, "", false, "SCRAM-SHA-256 PLAIN"},
		{"no keys", auth.Config{Store: noKeys}, "", false, "PLAIN"},
		{"no keys, but anyway", auth.Config{Store: noKeys, ScramAnyway: true}, "", false, "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN"},
		{"a function", auth.Config{Store: plain, ScramAnyway: true}, "", false, "PLAIN"},
		{"tokens alone", auth.Config{Tokens: bothTokens}, "", false, "OAUTHBEARER XOAUTH2"},
		{"at another listener", auth.Config{Store: plain, Listeners: []string{"submissions"}}, "", false, ""},
		{"everywhere", auth.Config{Store: plain, Listeners: []string{"*"}}, "", false, "PLAIN"},
		{"insecure", auth.Config{Store: fullStore(t), Insecure: true}, "SCRAM-SHA-256 PLAIN", false, "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, tt.cfg)
			l.AllowInsecureAuth = true // which is not what makes AUTH be offered
			if tt.tls12 {
				l.TLSConfig.MaxVersion = tls.VersionTLS12
			}
			addr := l.start(t)
			for _, secure := range []bool{false, true} {
				dial := func() *smtp.Client {
					if secure {
						return l.dial(t, addr, nil)
					}
					c, err := smtp.Dial(addr)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { c.Close() })
					if err := c.Hello("client.example"); err != nil {
						t.Fatal(err)
					}
					return c
				}
				want := tt.clear
				if secure {
					want = tt.want
				}
				if _, got := dial().Extension("AUTH"); got != want {
					t.Errorf("under TLS %t: %q, want %q", secure, got, want)
				}
				for _, m := range allMechanisms {
					if slices.Contains(strings.Fields(want), m) {
						continue
					}
					if err := dial().Auth(&says{mechanism: m, responses: [][]byte{[]byte("x")}}); code(err) != 504 {
						t.Errorf("under TLS %t: %s is answered %v", secure, m, err)
					}
				}
			}
		})
	}
}

// Who is unknown is told the same as who is known.
func TestUnknownLoginsLookKnown(t *testing.T) {
	store := fullStore(t)
	secret := bytes.Repeat([]byte("s"), 16)
	challenge := func(addr string, l *lab, user string) string {
		t.Helper()
		c := l.dial(t, addr, nil)
		client := &scramClient{mechanism: auth.ScramSHA256, user: user, password: "wrong"}
		if err := c.Auth(client); code(err) != 535 {
			t.Errorf("%s: %v", user, err)
		}
		_, terms, _ := strings.Cut(client.challenge, ",")
		return terms
	}
	l := newLab(t, auth.Config{Store: store, Secret: secret})
	addr := l.start(t)
	known := challenge(addr, l, "ann@example.org")
	nobody, other := challenge(addr, l, "nobody@example.org"), challenge(addr, l, "other@example.org")
	if len(nobody) != len(known) || !strings.HasSuffix(nobody, ",i=4096") || nobody == other || nobody == known {
		t.Errorf("known %s, unknown %s and %s", known, nobody, other)
	}
	if again := challenge(addr, l, "Nobody@example.org"); again != nobody {
		t.Errorf("%s, and then %s", nobody, again)
	}
	restarted := newLab(t, auth.Config{Store: store, Secret: secret})
	if again := challenge(restarted.start(t), restarted, "nobody@example.org"); again != nobody {
		t.Errorf("%s, and after a restart %s", nobody, again)
	}
	for user, want := range map[string]string{"eve@example.org": known, "ann@example.org": known} {
		if got := challenge(addr, l, user); len(got) != len(want) {
			t.Errorf("%s: %s", user, got)
		}
	}
}

func TestScopes(t *testing.T) {
	l := newLab(t, auth.Config{Store: file(t,
		"ann@example.org:"+hashed(t, auth.Argon2id, "secret"),
		"ann@example.org:"+hashed(t, auth.Argon2id, "near")+" label=near networks=192.0.2.0/24",
		"ann@example.org:"+hashed(t, auth.Argon2id, "far")+" label=far networks=198.51.100.0/24",
		"ann@example.org:"+hashed(t, auth.Argon2id, "here")+" label=here listeners=submission",
		"ann@example.org:"+hashed(t, auth.Argon2id, "there")+" label=there listeners=submissions",
		"ann@example.org:"+hashed(t, auth.Argon2id, "plain")+" label=plain mechanisms=PLAIN",
		"ann@example.org:"+hashed(t, auth.Argon2id, "scram")+" label=scram mechanisms=SCRAM-SHA-256",
		"ann@example.org:"+hashed(t, auth.Argon2id, "old")+" label=old until=2020-01-01",
		"bob@example.org:"+hashed(t, auth.Argon2id, "bob's")+" networks=198.51.100.0/24",
		"bob@example.org:"+hashed(t, auth.Argon2id, "app's")+" label=app networks=192.0.2.0/24",
	)})
	target := l.target()
	for _, tt := range []struct{ user, password, client, want string }{
		{"ann@example.org", "secret", "192.0.2.99:25", "235"},
		{"ann@example.org", "near", "192.0.2.99:25", "235"},
		{"ann@example.org", "near", "[::ffff:192.0.2.99]:25", "235"},
		{"ann@example.org", "far", "192.0.2.99:25", "535"},
		{"ann@example.org", "far", "198.51.100.7:25", "235"},
		{"ann@example.org", "here", "192.0.2.99:25", "235"},
		{"ann@example.org", "there", "192.0.2.99:25", "535"},
		{"ann@example.org", "plain", "192.0.2.99:25", "235"},
		{"ann@example.org", "scram", "192.0.2.99:25", "535"},
		{"ann@example.org", "old", "192.0.2.99:25", "535"},
		{"bob@example.org", "bob's", "192.0.2.99:25", "535"},
		{"bob@example.org", "bob's", "198.51.100.7:25", "235"},
		{"bob@example.org", "app's", "192.0.2.99:25", "535"}, // within what the account may
		{"bob@example.org", "app's", "198.51.100.7:25", "535"},
	} {
		target.User, target.Password, target.ClientAddr = tt.user, tt.password, netip.MustParseAddrPort(tt.client)
		t.Run(tt.password+" from "+tt.client, func(t *testing.T) {
			smtpguardtest.Play(t, target, "HELLO\nSTARTTLS\nC: AUTH PLAIN ${plain}\nS: "+tt.want)
		})
	}
}

func TestUntilIsJudgedAtMailToo(t *testing.T) {
	id := &auth.Identity{Login: "ann@example.org", Until: time.Now().Add(4 * time.Second)}
	s, err := auth.NewSenders(auth.SendersConfig{})
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, auth.Config{Store: auth.StoreFunc(func(context.Context, string, string) (*auth.Identity, error) { return id, nil })}, s.Check())
	smtpguardtest.Play(t, l.target(), `
		HELLO
		STARTTLS
		AUTH
		C: MAIL FROM:<ann@example.org>
		S: 250
		C: RSET
		S: 250
		WAIT 4100ms
		C: MAIL FROM:<ann@example.org>
		S: 550 5.7.1 Your login has expired`)
}

func TestCache(t *testing.T) {
	var calls atomic.Int64
	store := &versioned{verify: func(login, password string) (*auth.Identity, error) {
		calls.Add(1)
		if password != "secret" {
			return nil, auth.ErrCredentials
		}
		return &auth.Identity{}, nil
	}}
	l := newLab(t, auth.Config{Store: store, Cache: auth.Cache{For: 3 * time.Second, Entries: 2}})
	addr := l.start(t)
	try := func(user, password string, want int, wantCalls int64) {
		t.Helper()
		before := calls.Load()
		err := l.dial(t, addr, nil).Auth(sasl.NewPlainClient("", user, password))
		if n := calls.Load() - before; code(err) != want || n != wantCalls {
			t.Errorf("%s %s: %v after %d questions; want %d, %d", user, password, err, n, want, wantCalls)
		}
	}
	try("ann", "secret", 235, 1)
	try("Ann", "secret", 235, 0)
	try("ann", "wrong", 535, 1)
	try("ann", "wrong", 535, 1)
	try("bob", "secret", 235, 1)
	store.version.Add(1)
	try("ann", "secret", 235, 1)
	try("cid", "secret", 235, 1)
	try("dan", "secret", 235, 1) // makes one of the others go
	time.Sleep(3100 * time.Millisecond)
	try("dan", "secret", 235, 1)
}

type versioned struct {
	version atomic.Uint64
	verify  func(login, password string) (*auth.Identity, error)
}

func (v *versioned) Version() uint64 { return v.version.Load() }
func (v *versioned) Verify(_ context.Context, login, password string) (*auth.Identity, error) {
	return v.verify(login, password)
}

// Who finds no slot in time is deferred, and others feel nothing of it.
func TestGate(t *testing.T) {
	enter, leave := make(chan struct{}, 10), make(chan struct{})
	l := newLab(t, auth.Config{
		Store: auth.StoreFunc(func(ctx context.Context, _, _ string) (*auth.Identity, error) {
			enter <- struct{}{}
			<-leave
			return &auth.Identity{}, nil
		}),
		Gate: auth.Gate{Slots: 2, Wait: 20 * time.Millisecond},
	})
	addr := l.start(t)
	results := make(chan error, 2)
	for i := range 2 {
		c := l.dial(t, addr, nil)
		go func() { results <- c.Auth(sasl.NewPlainClient("", fmt.Sprint("user", i), "secret")) }()
		<-enter
	}
	c := l.dial(t, addr, nil)
	err := c.Auth(sasl.NewPlainClient("", "late", "secret"))
	if code(err) != 454 || !strings.Contains(err.Error(), "Too many logins") {
		t.Errorf("the third: %v", err)
	}
	if err := c.SendMail("a@client.example", []string{"bob@example.org"}, message("From: a@client.example")); err != nil {
		t.Errorf("mail meanwhile: %v", err)
	}
	close(leave)
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	for code(err) == 454 { // slots rest for as long as they were in use
		c = l.dial(t, addr, nil) // go-smtp's client follows a refusal with "*", and four of these are too many
		err = c.Auth(sasl.NewPlainClient("", "late", "secret"))
	}
	if err != nil {
		t.Error(err)
	}
}

func TestStoresThatFail(t *testing.T) {
	l := newLab(t, auth.Config{Store: auth.StoreFunc(func(_ context.Context, login, _ string) (*auth.Identity, error) {
		switch login {
		case "away":
			return nil, errors.New("dial ldap.internal: connection refused")
		case "deferred":
			return nil, fmt.Errorf("as a reply: %w", &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "ldap sleeps"})
		case "panic":
			panic("no")
		case "nothing":
			return nil, nil
		case "odd":
			return &auth.Identity{Login: "Odd"}, nil
		}
		return &auth.Identity{Login: "other"}, nil // an alias
	})})
	addr := l.start(t)
	for login, want := range map[string]int{"away": 454, "panic": 421, "nothing": 454, "odd": 454, "alias": 235, "deferred": 450} {
		err := l.dial(t, addr, nil).Auth(sasl.NewPlainClient("", login, "secret"))
		if code(err) != want || want == 454 && err.Error() != "SMTP error 454: Temporary failure, try again later" {
			t.Errorf("%s: %v, want %d", login, err, want)
		}
		var r *smtp.SMTPError
		if errors.As(err, &r) && r.EnhancedCode == (smtp.EnhancedCode{4, 7, 0}) {
			t.Errorf("%s: %v, which others take for a wrong password", login, err)
		}
	}
	if notes := l.notes(smtpguard.KindWarning); !slices.ContainsFunc(notes, func(s string) bool { return strings.Contains(s, "connection refused") }) {
		t.Errorf("the operator hears %q", notes)
	}
}

func TestExchangesThatAreLeft(t *testing.T) {
	l := newLab(t, auth.Config{Store: fullStore(t), Tokens: bothTokens, Mechanisms: allMechanisms[1:]})
	for name, script := range map[string]string{
		"PLAIN":              "C: AUTH PLAIN\nS: 334 \nC: *\nS: 501",
		"LOGIN":              "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: YW5u\nS: 334 UGFzc3dvcmQ6\nC: *\nS: 501",
		"LOGIN with a name":  "C: AUTH LOGIN YW5u\nS: 334 UGFzc3dvcmQ6\nC: =\nS: 535 5.7.8 Authentication failed",
		"LOGIN with nothing": "C: AUTH LOGIN =\nS: 334 UGFzc3dvcmQ6\nC: YW5u\nS: 535",
		"SCRAM":              "C: AUTH SCRAM-SHA-256\nS: 334 \nC: *\nS: 501",
		"SCRAM with nothing": "C: AUTH SCRAM-SHA-256 =\nS: 535",
		"SCRAM left":         "C: AUTH SCRAM-SHA-256 biwsbj1hbm4scj1hYmM=\nS: 334 *\nC: *\nS: 501",
		"SCRAM twice":        "C: AUTH SCRAM-SHA-256 biwsbj1hbm4scj1hYmM=\nS: 334 *\nC: biwsbj1hbm4scj1hYmM=\nS: 535",
		"OAUTHBEARER":        "C: AUTH OAUTHBEARER\nS: 334 \nC:\nS: 535",
		"XOAUTH2":            "C: AUTH XOAUTH2 =\nS: 535",
		"in lower case":      "C: auth plain ${plain}\nS: 235",
		"twice":              "AUTH\nC: AUTH PLAIN ${plain}\nS: 503",
		"unlisted":           "C: AUTH CRAM-MD5\nS: 504 5.7.4 *",
	} {
		t.Run(name, func(t *testing.T) {
			after := "\nC: MAIL FROM:<ann@example.org>\nS: 250"
			smtpguardtest.Play(t, l.target(), "HELLO\nSTARTTLS\n"+script+after)
		})
	}
	if by := l.box.senders(); len(by) != 0 {
		t.Errorf("mail of %q", by)
	}
}

// What was said before STARTTLS says nothing of who speaks after it.
func TestIdentityEndsWithStartTLS(t *testing.T) {
	var seen []string
	see := smtpguard.Check{Name: "see", Mail: func(_ context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
		id, ok := auth.IdentityOf(tx.Conn())
		seen = append(seen, fmt.Sprint(id != nil, ok))
		return smtpguard.Verdict{}, nil
	}}
	l := newLab(t, auth.Config{Store: fullStore(t), Insecure: true}, see)
	l.AllowInsecureAuth = true
	smtpguardtest.Play(t, l.target(), `
		HELLO
		C: MAIL FROM:<ann@example.org>
		S: 250
		C: RSET
		S: 250
		AUTH
		C: MAIL FROM:<ann@example.org>
		S: 250
		C: RSET
		S: 250
		STARTTLS
		C: MAIL FROM:<ann@example.org>
		S: 250`)
	if want := []string{"false false", "true true", "false false"}; !slices.Equal(seen, want) {
		t.Errorf("%q, want %q", seen, want)
	}
}

func TestRequired(t *testing.T) {
	for name, tt := range map[string]struct {
		listeners []string
		want      string
	}{
		"everywhere": {nil, "530 5.7.0 Authentication required, after STARTTLS"},
		"here":       {[]string{"submissions", "submission"}, "530 5.7.0 Authentication required, after STARTTLS"},
		"elsewhere":  {[]string{"submissions"}, "250 *"},
	} {
		t.Run(name, func(t *testing.T) {
			friend := smtpguard.Check{Name: "friend", Connect: func(context.Context, *smtpguard.Conn) (smtpguard.Verdict, error) {
				return smtpguard.Verdict{Accept: smtpguard.ScopeConnection}, nil
			}}
			l := newLab(t, auth.Config{Store: fullStore(t)}, friend, auth.Required(tt.listeners...))
			smtpguardtest.Play(t, l.target(), `
				HELLO
				C: MAIL FROM:<ann@example.org>
				S: `+tt.want+`
				C: RSET
				S: 250
				STARTTLS
				C: MAIL FROM:<ann@example.org>
				S: `+strings.TrimSuffix(tt.want, ", after STARTTLS")+`
				C: RSET
				S: 250
				AUTH
				C: MAIL FROM:<ann@example.org>
				S: 250`)
		})
	}
}

func TestUnguarded(t *testing.T) {
	a, err := auth.New(auth.Config{Store: fullStore(t), Listeners: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	srv := smtp.NewServer(a.Wrap(&mailbox{}))
	defer srv.Close()
	smtpguardtest.Play(t, smtpguardtest.Target{Server: srv, Recipient: "user@example.org"}, "S: 220\nC: EHLO client.example\nS: 451 4.3.5 *")
}

func TestLMTP(t *testing.T) {
	l := newLab(t, auth.Config{Store: fullStore(t)})
	l.LMTP = true
	target := l.target()
	target.LMTP = true
	smtpguardtest.Play(t, target, `
		HELLO
		STARTTLS
		AUTH
		C: MAIL FROM:<ann@example.org>
		S: 250
		C: RCPT TO:<bob@example.org>
		S: 250
		C: RCPT TO:<cid@example.org>
		S: 250
		C: DATA
		S: 354
		C: From: ann@example.org
		C:
		C: .
		S: 250
		S: 250`)
	if by := l.box.senders(); !slices.Equal(by, []string{"ann@example.org/"}) {
		t.Errorf("mail of %q", by)
	}
}

func TestNewRefuses(t *testing.T) {
	store := auth.StoreFunc(func(context.Context, string, string) (*auth.Identity, error) { return nil, auth.ErrCredentials })
	for want, cfg := range map[string]auth.Config{
		"Config.Store: is nil":                   {Listeners: []string{"*"}},
		"Config.Listeners: is empty":             {Store: store},
		"Config.Mechanisms: is empty":            {Store: store, Listeners: []string{"*"}, Mechanisms: []string{}},
		`Config.Mechanisms[1]: "CRAM-MD5" is no`: {Store: store, Listeners: []string{"*"}, Mechanisms: []string{"PLAIN", "CRAM-MD5"}},
		`"EXTERNAL" needs Config.External`:       {Store: store, Listeners: []string{"*"}, Mechanisms: []string{"EXTERNAL"}},
		`"XOAUTH2" needs Config.Tokens`:          {Store: store, Listeners: []string{"*"}, Mechanisms: []string{"XOAUTH2"}},
		`"LOGIN" needs Config.Store`:             {Tokens: bothTokens, Listeners: []string{"*"}, Mechanisms: []string{"LOGIN"}},
		`"SCRAM-SHA-1" needs a Config.Store`:     {Store: store, Listeners: []string{"*"}, Mechanisms: []string{"SCRAM-SHA-1"}},
		"Config.Secret: has fewer":               {Store: store, Listeners: []string{"*"}, Secret: []byte("short")},
		"Config.Timeout: must not":               {Store: store, Listeners: []string{"*"}, Timeout: -1},
		"Config.Gate.Slots: must not":            {Store: store, Listeners: []string{"*"}, Gate: auth.Gate{Slots: -1}},
		"Config.Gate.Share: is 2":                {Store: store, Listeners: []string{"*"}, Gate: auth.Gate{Share: 2}},
		"Config.Cache.Entries: must not":         {Store: store, Listeners: []string{"*"}, Cache: auth.Cache{Entries: -1}},
	} {
		if a, err := auth.New(cfg); a != nil || err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "auth: ") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

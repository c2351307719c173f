package auth_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/internal/require"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

func TestCheckSender(t *testing.T) {
	for _, s := range []string{"ann@example.org", "*@example.org", "*@*.example.org", "ann@*.example.org", "*", "jörg@bücher.example", "a b@example.org"} {
		if err := auth.CheckSender(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", "ann", "@example.org", "ann@", "an*@example.org", "ann@*", "ann@*.", "ann@ex*mple.org", "ann@[192.0.2.1]", "a\x00@example.org", "**@example.org"} {
		if err := auth.CheckSender(s); err == nil {
			t.Errorf("%q is a sender", s)
		}
	}
}

func TestAllows(t *testing.T) {
	account := &auth.Identity{Login: "ann@example.org", Senders: []string{"ann@example.org", "*@lists.example.org", "*@*.sub.example.org", "info@*.example.net", "bücher@example.org", "a b@example.org"}}
	for _, tt := range []struct {
		id   *auth.Identity
		cfg  auth.SendersConfig
		addr string
		want bool
	}{
		{&auth.Identity{Login: "ann@example.org"}, auth.SendersConfig{}, "ann@example.org", true},
		{&auth.Identity{Login: "ann@example.org"}, auth.SendersConfig{}, "ANN@Example.ORG", true},
		{&auth.Identity{Login: "ann@example.org"}, auth.SendersConfig{}, "ann@example.org.", true},
		{&auth.Identity{Login: "ann@example.org"}, auth.SendersConfig{}, "ann+lists@example.org", true},
		{&auth.Identity{Login: "ann@example.org"}, auth.SendersConfig{}, "ann-lists@example.org", false},
		{&auth.Identity{Login: "ann@example.org"}, auth.SendersConfig{Delimiters: "-+"}, "ann-lists@example.org", true},
		{&auth.Identity{Login: "ann@example.org"}, auth.SendersConfig{NoDetail: true}, "ann+lists@example.org", false},
		{&auth.Identity{Login: "ann@example.org"}, auth.SendersConfig{}, "anna@example.org", false},
		{&auth.Identity{Login: "ann@example.org"}, auth.SendersConfig{}, "bob@example.org", false},
		{&auth.Identity{Login: "ann@example.org"}, auth.SendersConfig{}, "ann@example.com", false},
		{&auth.Identity{Login: "ann@example.org"}, auth.SendersConfig{}, "ann@mx.example.org", false},
		{&auth.Identity{Login: "ann@example.org"}, auth.SendersConfig{}, "ann@evil.example@example.org", false},
		{&auth.Identity{Login: "ann@example.org"}, auth.SendersConfig{}, "ann+x y@example.org", false},
		{&auth.Identity{Login: "ann@example.org"}, auth.SendersConfig{}, "ann+ceo@bank.example@example.org", false},
		{&auth.Identity{Login: "ann@example.org"}, auth.SendersConfig{}, "ａnn@example.org", false},
		{&auth.Identity{Login: "ann@example.org"}, auth.SendersConfig{}, "ann@[192.0.2.1]", false},
		{&auth.Identity{Login: "ann@example.org"}, auth.SendersConfig{}, "ann", false},
		{&auth.Identity{Login: "ann@example.org"}, auth.SendersConfig{}, "@example.org", false},
		{&auth.Identity{Login: "ann@example.org"}, auth.SendersConfig{}, "", false},
		{&auth.Identity{Login: "kim@example.org"}, auth.SendersConfig{}, "\u212aim@example.org", false}, // KELVIN SIGN
		{&auth.Identity{Login: "ann"}, auth.SendersConfig{}, "ann@example.org", false},
		{&auth.Identity{Login: "*"}, auth.SendersConfig{Domain: "example.org"}, "ceo@example.org", false},
		{&auth.Identity{Login: "*@example.org"}, auth.SendersConfig{}, "ceo@example.org", false},
		{&auth.Identity{Login: "*@*.example.org"}, auth.SendersConfig{}, "ceo@mx.example.org", false},
		{&auth.Identity{Login: "ann@*.example.org"}, auth.SendersConfig{}, "ann@mx.example.org", false},
		{&auth.Identity{Login: "ann"}, auth.SendersConfig{}, "ann", false},
		{&auth.Identity{Login: "ann"}, auth.SendersConfig{Domain: "Example.org"}, "ann@example.org", true},
		{&auth.Identity{Login: "ann"}, auth.SendersConfig{Domain: "example.org"}, "bob@example.org", false},
		{&auth.Identity{Login: "ann@example.com"}, auth.SendersConfig{Domain: "example.org"}, "ann@example.org", false},
		{&auth.Identity{}, auth.SendersConfig{Domain: "example.org"}, "@example.org", false},

		{account, auth.SendersConfig{}, "ann@example.org", true},
		{account, auth.SendersConfig{}, "any.body@lists.example.org", true},
		{account, auth.SendersConfig{}, "any body@lists.example.org", false},
		{account, auth.SendersConfig{}, "ceo@bank.example@lists.example.org", false},
		{account, auth.SendersConfig{}, "anybody@x.lists.example.org", false},
		{account, auth.SendersConfig{}, "anybody@sub.example.org", false},
		{account, auth.SendersConfig{}, "anybody@a.b.sub.example.org", true},
		{account, auth.SendersConfig{}, "anybody@xsub.example.org", false},
		{account, auth.SendersConfig{}, "info@a.example.net", true},
		{account, auth.SendersConfig{}, "ann@a.example.net", false},
		{account, auth.SendersConfig{}, "bücher@example.org", true},
		{account, auth.SendersConfig{}, "a b@example.org", true},
		{&auth.Identity{Login: "x", Senders: []string{"*"}}, auth.SendersConfig{}, "anybody@anywhere.example", true},
		{&auth.Identity{Login: "x", Senders: []string{"*"}}, auth.SendersConfig{}, "any body@anywhere.example", false},
		{&auth.Identity{Login: "x@example.org", Senders: []string{"nonsense"}}, auth.SendersConfig{}, "x@example.org", false},

		{&auth.Identity{Login: "ann@example.org", App: "phone", Within: account}, auth.SendersConfig{}, "any@lists.example.org", true},
		{&auth.Identity{Login: "ann@example.org", App: "phone", Within: account}, auth.SendersConfig{}, "bob@example.org", false},
		{&auth.Identity{Login: "ann@example.org", App: "cron", Senders: []string{"cron@lists.example.org", "bob@example.org"}, Within: account}, auth.SendersConfig{}, "cron@lists.example.org", true},
		{&auth.Identity{Login: "ann@example.org", App: "cron", Senders: []string{"cron@lists.example.org", "bob@example.org"}, Within: account}, auth.SendersConfig{}, "ann@example.org", false},
		{&auth.Identity{Login: "ann@example.org", App: "cron", Senders: []string{"cron@lists.example.org", "bob@example.org"}, Within: account}, auth.SendersConfig{}, "bob@example.org", false},
	} {
		s, err := auth.NewSenders(tt.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Allows(context.Background(), tt.id, tt.addr); got != tt.want || err != nil {
			t.Errorf("%+v as %q: %t, %v", tt.id, tt.addr, got, err)
		}
	}
}

func TestAliases(t *testing.T) {
	var asked []string
	s, err := auth.NewSenders(auth.SendersConfig{Alias: func(_ context.Context, id *auth.Identity, addr string) (bool, error) {
		asked = append(asked, addr)
		if addr == "down@example.org" {
			return true, errors.New("no database")
		}
		return addr == "sales@xn--bcher-kva.example" && id.Login == "ann@example.org", nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ann := &auth.Identity{Login: "ann@example.org"}
	for addr, want := range map[string]bool{"ann@example.org": true, "Sales@BÜCHER.example": true, "ceo@example.org": false, "down@example.org": false} {
		if got, err := s.Allows(context.Background(), ann, addr); got != want || (err != nil) != (addr == "down@example.org") {
			t.Errorf("%s: %t, %v", addr, got, err)
		}
	}
	if len(asked) != 3 {
		t.Errorf("asked about %q", asked)
	}
	if ok, _ := s.Allows(context.Background(), &auth.Identity{Login: "bob@example.org"}, "sales@bücher.example"); ok {
		t.Error("somebody else's alias")
	}
}

func TestNewSendersRefuses(t *testing.T) {
	for want, cfg := range map[string]auth.SendersConfig{
		"SendersConfig.Domain":     {Domain: "-"},
		"SendersConfig.NoDetail":   {NoDetail: true, Delimiters: "+"},
		"SendersConfig.Delimiters": {Delimiters: "+@"},
	} {
		if s, err := auth.NewSenders(cfg); s != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// sending serves logins behind a check of their senders. Any password will do.
func sending(t *testing.T, cfg auth.SendersConfig, senders ...string) *lab {
	t.Helper()
	s, err := auth.NewSenders(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return newLab(t, auth.Config{Store: auth.StoreFunc(func(context.Context, string, string) (*auth.Identity, error) {
		return &auth.Identity{Senders: senders}, nil
	})}, s.Check())
}

func TestSendersEnvelope(t *testing.T) {
	l := sending(t, auth.SendersConfig{})
	smtpguardtest.Play(t, l.target(), `
		HELLO
		C: MAIL FROM:<anybody@client.example>
		S: 250
		C: RSET
		S: 250
		STARTTLS
		AUTH
		C: MAIL FROM:<ann@example.org>
		S: 250
		C: RSET
		S: 250
		C: MAIL FROM:<Ann+x@Example.Org>
		S: 250
		C: RSET
		S: 250
		C: MAIL FROM:<>
		S: 250
		C: RSET
		S: 250
		C: MAIL FROM:<bob@example.org>
		S: 553 5.7.1 Sender address is not yours
		C: MAIL FROM:<"ann@example.org"@evil.example>
		S: 553 5.7.1 *
		C: MAIL FROM:<@example.org:ann@evil.example>
		S: 553 5.7.1 *`)
}

func TestSendersHeader(t *testing.T) {
	const own = "From: ann@example.org\n"
	l := sending(t, auth.SendersConfig{}, "ann@example.org", "*@lists.example.org")
	for _, tt := range []struct{ name, header, want string }{
		{"own", own, "250"},
		{"with a name", "From: \"Clark, Ann\" <ann@example.org>\n", "250"},
		{"with her address for a name", "From: \"ann@example.org\" <ann@example.org>\n", "250"},
		{"with a detail", "From: Ann <ann+x@example.org>\n", "250"},
		{"in other letters", "FROM: <ANN@EXAMPLE.ORG>\n", "250"},
		{"two of hers", "From: ann@example.org, ann@lists.example.org\nSender: ann@example.org\n", "250"},
		{"sent again", own + "Resent-From: ann@example.org\nResent-Sender: ann@lists.example.org\n", "250"},
		{"sent again twice", own + "Resent-From: ann@example.org\nResent-To: a@b.example\nResent-From: ann@example.org\n", "250"},
		{"other fields", own + "To: ceo@bank.example\nReply-To: anybody@anywhere.example\nX-From: ceo@bank.example\n", "250"},
		{"a comment", "From: ann@example.org (Ann)\n", "250"},
		{"folded", "From: Ann\n <ann@example.org>\n", "250"},
		{"at sign in a name", "From: \"Ann @ work\" <ann@example.org>\n", "250"},
		{"encoded", "From: =?utf-8?q?=C3=84nn?= <ann@example.org>\n", "250"},

		{"another's", "From: bob@example.org\n", "550 5.7.1 From is not yours"},
		{"none", "Subject: x\n", "550 5.7.1 No From field"},
		{"none but in the body", "Subject: x\n\n" + own, "550 5.7.1 No From field"},
		{"empty", "From:\n", "550 5.7.1 From field is malformed or ambiguous"},
		{"two fields", own + "From: ceo@bank.example\n", "550 5.7.1 More than one From field"},
		{"two fields, both hers", own + own, "550 5.7.1 More than one From field"},
		{"two fields in other letters", own + "fROM: ceo@bank.example\n", "550 5.7.1 More than one From field"},
		{"two addresses", "From: ann@example.org, ceo@bank.example\n", "550 5.7.1 From is not yours"},
		{"two addresses, hers last", "From: ceo@bank.example, ann@example.org\n", "550 5.7.1 From is not yours"},
		{"a sender", own + "Sender: ceo@bank.example\n", "550 5.7.1 Sender is not yours"},
		{"two senders", own + "Sender: ann@example.org\nSender: ann@example.org\n", "550 5.7.1 More than one Sender field"},
		{"a sender of two", own + "Sender: ann@example.org, ann@lists.example.org\n", "550 5.7.1 Sender field with more than one address"},
		{"a sender alone", "Sender: ann@example.org\n", "550 5.7.1 No From field"},
		{"sender hers, author not", "From: ceo@bank.example\nSender: ann@example.org\n", "550 5.7.1 From is not yours"},
		{"sent again by another", own + "Resent-From: ceo@bank.example\n", "550 5.7.1 Resent-From is not yours"},
		{"sent again by another, below", own + "Resent-From: ann@example.org\nResent-From: ceo@bank.example\n", "550 5.7.1 Resent-From is not yours"},
		{"sent again, a sender", own + "Resent-From: ann@example.org\nResent-Sender: ceo@bank.example\n", "550 5.7.1 Resent-Sender is not yours"},
		{"space before the colon", "From : ann@example.org\n", "550 5.7.1 From field with a space *"},
		{"space before the colon, another", own + "From : ceo@bank.example\n", "550 5.7.1 *"},
		{"a group", "From: staff: ann@example.org;\n", "550 5.7.1 *"},
		{"a route", "From: <@bank.example:ann@example.org>\n", "550 5.7.1 *"},
		{"two in brackets", "From: <ceo@bank.example> <ann@example.org>\n", "550 5.7.1 *"},
		{"a bare address for a name", "From: ceo@bank.example <ann@example.org>\n", "550 5.7.1 *"},
		{"a quoted address for a name", "From: \"ceo@bank.example\" <ann@example.org>\n", "550 5.7.1 From is not yours"},
		{"a quoted address in a name", "From: \"The CEO <ceo@bank.example>\" <ann@example.org>\n", "550 5.7.1 *"},
		{"an encoded address for a name", "From: =?utf-8?q?ceo=40bank=2Eexample?= <ann@example.org>\n", "550 5.7.1 *"},
		{"an encoded address in quotes", "From: \"=?utf-8?b?Y2VvQGJhbmsuZXhhbXBsZQ==?=\" <ann@example.org>\n", "550 5.7.1 *"},
		{"an address in two encoded words", "From: =?utf-8?q?ceo=40bank?=\n =?utf-8?q?=2Eexample?= <ann@example.org>\n", "550 5.7.1 *"},
		{"a spaced address for a name", "From: \"ceo @ bank.example\" <ann@example.org>\n", "550 5.7.1 *"},
		{"a wide address for a name", "From: =?utf-8?b?Y2Vv77ygYmFua++8jmV4YW1wbGU=?= <ann@example.org>\n", "550 5.7.1 *"},
		{"an address with a joiner", "From: =?utf-8?b?Y2Vv4oCLQGJhbmsuZXhhbXBsZQ==?= <ann@example.org>\n", "550 5.7.1 *"},
		{"an address in a comment", "From: ann@example.org (ceo@bank.example)\n", "550 5.7.1 *"},
		{"a name turned around", "From: =?utf-8?b?4oCuZWxwbWF4ZQ==?= <ann@example.org>\n", "550 5.7.1 *"},
		{"a name in UTF-7", "From: =?utf-7?q?ceo+AEA-bank.example?= <ann@example.org>\n", "550 5.7.1 *"},
		{"a quoted address for a local part", "From: \"ceo@bank.example\"@lists.example.org\n", "550 5.7.1 *"},
		{"a comment in the address", "From: ann@(x)example.org\n", "550 5.7.1 *"},
		{"a literal", "From: ann@[192.0.2.1]\n", "550 5.7.1 *"},
		{"a subdomain", "From: ann@mx.example.org\n", "550 5.7.1 *"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			send(t, l, "ann@example.org", tt.header, tt.want)
		})
	}
	// Receipts have no reverse-path, and an author all the same.
	send(t, l, "", own, "250")
	send(t, l, "", "From: ceo@bank.example\n", "550 5.7.1 From is not yours")
}

// send logs in and sends a message with the given header.
func send(t *testing.T, l *lab, from, header, want string) {
	t.Helper()
	smtpguardtest.Play(t, l.target(), "HELLO\nSTARTTLS\nAUTH\nC: MAIL FROM:<"+from+">\nS: 250\nC: RCPT TO:<${rcpt}>\nS: 250\nC: DATA\nS: 354\n"+
		fmt.Sprintf("C! %q\nS: %s", strings.ReplaceAll(header, "\n", "\r\n")+"\r\nhello\r\n.\r\n", want))
}

// An internationalized author is compared by the normal form of the domain.
func TestSendersUTF8(t *testing.T) {
	l := sending(t, auth.SendersConfig{}, "jörg@bücher.example")
	target := l.target()
	smtpguardtest.Play(t, target, `
		HELLO
		STARTTLS
		AUTH
		C: MAIL FROM:<jörg@bücher.example> SMTPUTF8
		S: 250
		C: RCPT TO:<user@example.org>
		S: 250
		C: DATA
		S: 354
		C: From: Jörg <jörg@BÜCHER.example>
		C:
		C: hello
		C: .
		S: 250
		C: MAIL FROM:<jorg@bücher.example> SMTPUTF8
		S: 553 5.7.1 *`)
}

// The messages by which espoofer has somebody with an account send in another's
// name.
func TestSpoofingSuite(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(require.Suite(t, "spoofing", "espoofer", "eml"), "client_a*.eml"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%d messages: %v", len(files), err)
	}
	l := sending(t, auth.SendersConfig{}, "attacker@example.com")
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			header, _, _ := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n\n")
			send(t, l, "attacker@example.com", header+"\n", "550 5.7.1 *")
		})
	}
}

// A login that another backend proved may send as itself.
func TestSendersOfAnothersLogin(t *testing.T) {
	s, err := auth.NewSenders(auth.SendersConfig{Domain: "example.org"})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := smtpguard.Check{Name: "elsewhere", Hello: func(_ context.Context, c *smtpguard.Conn) (smtpguard.Verdict, error) {
		c.SetLogin("ann")
		return smtpguard.Verdict{}, nil
	}}
	l := newLab(t, auth.Config{Store: fullStore(t)}, elsewhere, s.Check())
	smtpguardtest.Play(t, l.target(), `
		HELLO
		C: MAIL FROM:<ann@example.org>
		S: 250
		C: RSET
		S: 250
		C: MAIL FROM:<bob@example.org>
		S: 553 5.7.1 *`)
}

// However many addresses a message has, few are looked up.
func TestLookupsAreBounded(t *testing.T) {
	var asked atomic.Int64
	l := sending(t, auth.SendersConfig{Alias: func(context.Context, *auth.Identity, string) (bool, error) { asked.Add(1); return true, nil }})
	var header strings.Builder
	header.WriteString("From: ann@example.org\n")
	for i := range 500 {
		fmt.Fprintf(&header, "Resent-From: a%d@example.org\n", i)
	}
	send(t, l, "ann@example.org", header.String(), "550 5.7.1 *")
	if n := asked.Load(); n > 100 {
		t.Errorf("%d aliases were looked up", n)
	}
	header.Reset()
	header.WriteString("From: sales@example.org\n")
	header.WriteString(strings.Repeat("Resent-From: \"sales@example.org\" <sales@example.org>\n", 500))
	asked.Store(0)
	send(t, l, "ann@example.org", header.String(), "250")
	if n := asked.Load(); n != 1 {
		t.Errorf("one alias was looked up %d times", n)
	}
}

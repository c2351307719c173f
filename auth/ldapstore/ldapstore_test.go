package ldapstore

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/auth/storetest"
)

// The kit, over every way to a real server and to an entry.
func TestSlapd(t *testing.T) {
	s := startSlapd(t)
	people := Config{DN: "uid={local},ou=people,dc=example,dc=org", Domains: []string{"Example.org"}}
	for _, tt := range []struct {
		name string
		cfg  Config
	}{
		{"search, ldaps", Config{URLs: []string{s.tls}, Search: searching(), Senders: []string{"mail"}}},
		{"search, StartTLS", Config{URLs: []string{s.plain}, StartTLS: true, Search: searching()}},
		{"search, decoy", Config{URLs: []string{s.local}, Search: func() *Search {
			search := searching()
			search.Decoy = "cn=decoy,dc=example,dc=org"
			return search
		}()}},
		{"search for a part", Config{URLs: []string{s.tls}, Domains: people.Domains, Search: func() *Search {
			search := searching()
			search.Attributes, search.Value = []string{"uid", "cn"}, "{local}"
			return search
		}()}},
		{"direct, ldaps", Config{URLs: []string{s.tls}, DN: people.DN, Domains: people.Domains}},
		{"direct, clear text", Config{URLs: []string{s.plain}, Insecure: true, DN: people.DN, Domains: people.Domains, Conns: 1}},
		{"second server", Config{URLs: []string{"ldap://127.0.0.1:1", s.plain}, StartTLS: true, Search: searching()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := s.store(tt.cfg)
			storetest.Run(t, storetest.Config{
				Store: store,
				Login: "ann@example.org", Password: "correct horse",
				Refused: []storetest.Proof{
					{Login: "bob@example.org", Password: "correct horse"},
					{Login: "new@example.org", Password: "correct horse"},
					{Login: "ann@example.net", Password: "correct horse"},
					{Login: "ann", Password: "correct horse"},
				},
				Away: func(*testing.T) func() {
					s.kill()
					return s.start
				},
			})
			for _, p := range []*pool{store.binders, store.searchers} {
				if n := len(p.free); n > store.cfg.Conns || len(p.slots) != 0 {
					t.Errorf("%d connections are kept, %d in use", n, len(p.slots))
				}
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	s := startSlapd(t)
	ctx := t.Context()
	want := []string{"Ann@Example.org", "sales@example.org"}
	for name, cfg := range map[string]Config{
		"search": {Search: searching(), Senders: []string{"MAIL", "cn"}},
		"direct": {DN: "uid={local},ou=people,dc=example,dc=org", Domains: []string{"example.org"}, Senders: []string{"mail", "cn"}},
	} {
		id, err := s.store(cfg).Verify(ctx, "ann@example.org", "correct horse")
		if err != nil || id.Login != "ann@example.org" || !slices.Equal(id.Senders, want) {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
	store := s.store(Config{Search: searching(), Senders: []string{"mail"}})
	if id, err := store.Verify(ctx, "sales@example.org", "correct horse"); err != nil || id.Login != "sales@example.org" {
		t.Errorf("by another address: %+v, %v", id, err)
	}
	if id, err := store.Verify(ctx, "odd@example.org", "correct horse"); err != nil {
		t.Errorf("an entry with an odd name: %+v, %v", id, err)
	}
	if id, err := store.Verify(ctx, "twin@example.org", "correct horse"); err == nil || errors.Is(err, auth.ErrCredentials) || !strings.Contains(err.Error(), "two entries") {
		t.Errorf("two entries: %+v, %v", id, err)
	}
	asked := ""
	store = s.store(Config{Search: searching(), Identity: func(_ context.Context, login string) (*auth.Identity, error) {
		asked = login
		return nil, auth.ErrCredentials
	}})
	if _, err := store.Verify(ctx, "ann@example.org", "wrong"); !errors.Is(err, auth.ErrCredentials) || asked != "" {
		t.Errorf("Identity is asked before the password is proven: %q, %v", asked, err)
	}
	if _, err := store.Verify(ctx, "ann@example.org", "correct horse"); !errors.Is(err, auth.ErrCredentials) || asked != "ann@example.org" {
		t.Errorf("Identity is asked %q: %v", asked, err)
	}
	if id, err := store.Verify(ctx, "nobody@example.org", "nobody knows this"); !errors.Is(err, auth.ErrCredentials) {
		t.Errorf("the decoy's password: %+v, %v", id, err)
	}
}

// The decoy's own password opens nothing.
func TestDecoy(t *testing.T) {
	s := startSlapd(t)
	search := searching()
	search.Decoy = "cn=decoy,dc=example,dc=org"
	id, err := s.store(Config{Search: search}).Verify(t.Context(), "nobody@example.org", "nobody knows this")
	if id != nil || !errors.Is(err, auth.ErrCredentials) {
		t.Errorf("got %+v, %v", id, err)
	}
}

// Whether a login exists makes no difference in what the directory is asked.
func TestSameWork(t *testing.T) {
	s := startSlapd(t)
	var steps atomic.Int64
	url := serve(t, func(c net.Conn) {
		server, err := net.Dial("tcp", strings.TrimPrefix(s.plain, "ldap://"))
		if err != nil {
			return
		}
		defer server.Close()
		go io.Copy(c, server)
		for b := make([]byte, 4096); ; {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			steps.Add(1)
			if _, err := server.Write(b[:n]); err != nil {
				return
			}
		}
	})
	for name, tt := range map[string]struct {
		cfg  Config
		want int64
	}{
		"search": {Config{Search: searching(), Domains: []string{"example.org"}}, 2},
		"direct": {Config{DN: "uid={local},ou=people,dc=example,dc=org", Domains: []string{"example.org"}}, 1},
	} {
		tt.cfg.URLs, tt.cfg.Insecure = []string{url}, true
		store := s.store(tt.cfg)
		if _, err := store.Verify(t.Context(), "ann@example.org", "correct horse"); err != nil { // connects
			t.Fatal(err)
		}
		for _, login := range []string{"ann@example.org", "bob@example.org", "new@example.org", "nobody@example.org", "ann@example.net", "ann @example.org", "*"} {
			before := steps.Load()
			if _, err := store.Verify(t.Context(), login, "wrong"); !errors.Is(err, auth.ErrCredentials) {
				t.Errorf("%s, %s: %v", name, login, err)
			}
			if n := steps.Load() - before; n != tt.want {
				t.Errorf("%s: %s takes %d steps, want %d", name, login, n, tt.want)
			}
		}
	}
}

// What is wrong with who searches, or with the certificate, is not the client's
// fault.
func TestMisconfigured(t *testing.T) {
	s := startSlapd(t)
	spoiled := func(spoil func(*Search)) *Search {
		search := searching()
		spoil(search)
		return search
	}
	for _, tt := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"password of who searches", Config{Search: spoiled(func(s *Search) { s.BindPassword = "secret-but-wrong" })}, "cannot search"},
		{"nobody searches", Config{Search: spoiled(func(s *Search) { s.BindDN, s.BindPassword = "", "" })}, "search"},
		{"no such base", Config{Search: spoiled(func(s *Search) { s.Base = "ou=pets,dc=example,dc=org" })}, "No Such Object"},
		{"certificate", Config{TLS: &tls.Config{}, Search: searching()}, "certificate"},
		{"host", Config{TLS: &tls.Config{RootCAs: s.roots, ServerName: "ldap.example.org"}, Search: searching()}, "ldap.example.org"},
		{"StartTLS, certificate", Config{URLs: []string{s.plain}, StartTLS: true, TLS: &tls.Config{}, Search: searching()}, "certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := tt.cfg
			if cfg.URLs == nil {
				cfg.URLs = []string{s.tls}
			}
			if cfg.TLS == nil {
				cfg.TLS = s.client()
			}
			store, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			id, err := store.Verify(t.Context(), "ann@example.org", "correct horse")
			if id != nil || err == nil || errors.Is(err, auth.ErrCredentials) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %+v, %v, want an error about %q", id, err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret-but-wrong") {
				t.Errorf("%v has a password in it", err)
			}
		})
	}
}

// serve answers every connection by f.
func serve(t *testing.T, f func(net.Conn)) (url string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}()
	return "ldap://" + ln.Addr().String()
}

// A server may say nothing, nonsense, or too much.
func TestHostileServers(t *testing.T) {
	endless := append([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x02, 0x01, 0x01, 0x61, 0x84, 0x7f, 0xff, 0xff, 0x00, 0x04, 0x84, 0x7f, 0xff, 0xfe, 0x00}, make([]byte, 64<<10)...)
	for name, f := range map[string]func(net.Conn){
		"silent": func(c net.Conn) { c.Read(make([]byte, 1000)); time.Sleep(time.Minute) },
		"gone":   func(net.Conn) {},
		"HTTP":   func(c net.Conn) { c.Write([]byte("HTTP/1.0 400 Bad Request\r\n\r\n")) },
		"endless": func(c net.Conn) {
			for {
				if _, err := c.Write(endless); err != nil {
					return
				}
			}
		},
		"empty answers": func(c net.Conn) {
			for {
				if _, err := c.Write([]byte{0x30, 0x00}); err != nil {
					return
				}
			}
		},
		// The right message, and no result in it.
		"no result": func(c net.Conn) {
			c.Read(make([]byte, 1000))
			c.Write([]byte{0x30, 0x05, 0x02, 0x01, 0x01, 0x61, 0x00})
			time.Sleep(time.Minute)
		},
		"another's reply": func(c net.Conn) {
			c.Read(make([]byte, 1000))
			c.Write([]byte{0x30, 0x0c, 0x02, 0x01, 0x63, 0x61, 0x07, 0x0a, 0x01, 0x00, 0x04, 0x00, 0x04, 0x00})
			time.Sleep(time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, err := New(Config{URLs: []string{serve(t, f)}, Insecure: true, DN: "uid={login},dc=example", Timeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			begin := time.Now()
			for range 2 {
				id, err := store.Verify(t.Context(), "ann", "secret")
				if id != nil || err == nil || errors.Is(err, auth.ErrCredentials) {
					t.Errorf("got %+v, %v", id, err)
				}
			}
			if d := time.Since(begin); d > 20*time.Second {
				t.Errorf("that took %v", d)
			}
		})
	}
}

// A fake server shows what reaches a directory: results and their meaning.
func TestResults(t *testing.T) {
	answer := func(code byte, text string) func(net.Conn) {
		return func(c net.Conn) {
			c.Read(make([]byte, 1000))
			op := append([]byte{0x0a, 0x01, code, 0x04, 0x00, 0x04, byte(len(text))}, text...)
			msg := append([]byte{0x02, 0x01, 0x01, 0x61, byte(len(op))}, op...)
			c.Write(append([]byte{0x30, byte(len(msg))}, msg...))
			time.Sleep(time.Second)
		}
	}
	for _, tt := range []struct {
		name    string
		code    byte
		text    string
		refused bool
		want    string
	}{
		{"success", 0, "", false, ""},
		{"wrong", 49, "", true, "auth: credentials refused"},
		{"Windows, wrong", 49, "80090308: LdapErr: DSID-0C09042A, comment: AcceptSecurityContext error, data 52e, v3839", true, "auth: credentials refused"},
		{"Windows, disabled", 49, "80090308: LdapErr: DSID-0C09042A, comment: AcceptSecurityContext error, data 533, v3839", true, "auth: credentials refused: disabled"},
		{"inactive", 53, "Account inactivated.\r\nBcc: x", true, `LDAP result 53, Unwilling To Perform, "Account inactivated.\r\nBcc: x"`},
		{"locked", 19, "Exceed password retry limit.", true, "retry limit"},
		{"no such entry", 32, "", true, "No Such Object"},
		{"busy", 51, "", false, "Busy"},
		{"unavailable", 52, "", false, "Unavailable"},
		{"wants TLS", 13, "", false, "Confidentiality Required"},
		{"referral", 10, "", false, "Referral"},
		{"SASL goes on", 14, "", false, "Sasl Bind"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			store, err := New(Config{URLs: []string{serve(t, answer(tt.code, tt.text))}, Insecure: true, DN: "uid={login},dc=example", Timeout: 20 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			id, err := store.Verify(t.Context(), "ann", "secret")
			switch {
			case (err == nil) != (tt.code == 0) || (err == nil) != (id != nil):
				t.Errorf("got %+v, %v", id, err)
			case errors.Is(err, auth.ErrCredentials) != tt.refused:
				t.Errorf("got %v, refused is %t", err, tt.refused)
			case err != nil && (!strings.Contains(err.Error(), tt.want) || strings.ContainsAny(err.Error(), "\r\n")):
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

package ldapstore

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/smtpguard/smtpguard/auth"
)

func TestNewNamesTheField(t *testing.T) {
	search := func(spoil func(*Search)) func(*Config) {
		return func(c *Config) {
			c.DN, c.Search = "", searching()
			spoil(c.Search)
		}
	}
	for _, tt := range []struct {
		want  string
		spoil func(*Config)
	}{
		{"Config.URLs", func(c *Config) { c.URLs = nil }},
		{"Config.URLs[1]", func(c *Config) { c.URLs = append(c.URLs, "ldap://ldap.example.org") }},
		{"Config.URLs[0]", func(c *Config) { c.URLs[0] = "http://ldap.example.org" }},
		{"Config.URLs[0]", func(c *Config) { c.URLs[0] = "ldaps://" }},
		{"Config.URLs[0]", func(c *Config) { c.URLs[0] = "ldaps://user@ldap.example.org" }},
		{"Config.URLs[0]", func(c *Config) { c.URLs[0] = "ldaps://ldap.example.org/dc=example?uid" }},
		{"Config.URLs[0]", func(c *Config) { c.URLs[0] = "ldaps://ldap.example.org:port" }},
		{"Config.URLs[0]", func(c *Config) { c.URLs[0] = "ldapi://" }},
		{"Config.URLs[0]", func(c *Config) { c.StartTLS = true }},
		{"Config.TLS", func(c *Config) { c.TLS = &tls.Config{InsecureSkipVerify: true} }},
		{"Config.DN", func(c *Config) { c.DN = "" }},
		{"Config.DN", func(c *Config) { c.Search = searching() }},
		{"Config.DN", func(c *Config) { c.DN = "uid=ann,dc=example" }},
		{"Config.DN", func(c *Config) { c.DN = "uid={user},dc=example" }},
		{"Config.DN", func(c *Config) { c.DN = "uid={login,dc=example" }},
		{"Config.DN", func(c *Config) { c.DN = "uid=login},dc={login}" }},
		{"Config.DN", func(c *Config) { c.DN = "{login}" }},
		{"Config.Domains", func(c *Config) { c.DN = "uid={local},dc=example" }},
		{"Config.Domains[0]", func(c *Config) { c.Domains = []string{"a@b"} }},
		{"Config.Domains[1]", func(c *Config) { c.Domains = []string{"", "a\r\nb"} }},
		{"Config.Senders", func(c *Config) {
			c.Senders = []string{"mail"}
			c.Identity = func(context.Context, string) (*auth.Identity, error) { return nil, nil }
		}},
		{"Config.Conns", func(c *Config) { c.Timeout = -1 }},
		{"Config.Search.Base", search(func(s *Search) { s.Base = "" })},
		{"Config.Search.Base", search(func(s *Search) { s.Base = "example.org" })},
		{"Config.Search.Filter", search(func(s *Search) { s.Filter = "objectClass=person)" })},
		{"Config.Search.Attributes[1]", search(func(s *Search) { s.Attributes = []string{"mail", "uid)(cn"} })},
		{"Config.Search.Value", search(func(s *Search) { s.Value = "ann" })},
		{"Config.Domains", search(func(s *Search) { s.Value = "{local}" })},
		{"Config.Search.BindDN", search(func(s *Search) { s.BindDN = "" })},
		{"Config.Search.BindPassword", search(func(s *Search) { s.BindPassword = "" })},
		{"Config.Search.Decoy", search(func(s *Search) { s.Decoy = "nobody" })},
	} {
		cfg := Config{URLs: []string{"ldaps://ldap.example.org"}, DN: "uid={local},ou={domain},dc=example"}
		tt.spoil(&cfg)
		s, err := New(cfg)
		if s != nil || err == nil || !strings.HasPrefix(err.Error(), "auth: ldapstore: "+tt.want) {
			t.Errorf("%+v: %v, want an error about %s", cfg, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "searching") {
			t.Errorf("%v has a password in it", err)
		}
	}
}

func TestEndpoints(t *testing.T) {
	for url, want := range map[string]endpoint{
		"ldaps://ldap.example.org":   {network: "tcp", addr: "ldap.example.org:636", host: "ldap.example.org", tls: true},
		"ldaps://[2001:db8::1]:6636": {network: "tcp", addr: "[2001:db8::1]:6636", host: "2001:db8::1", tls: true},
		"ldapi:///run/slapd/ldapi":   {network: "unix", addr: "/run/slapd/ldapi"},
		"ldap://ldap.example.org/":   {network: "tcp", addr: "ldap.example.org:389", host: "ldap.example.org"},
	} {
		cfg := Config{Insecure: true}
		if got, err := cfg.parseURL(url); err != nil || got != want {
			t.Errorf("%s is %+v, %v", url, got, err)
		}
	}
}

func TestTemplates(t *testing.T) {
	for _, tt := range []struct{ template, login, want string }{
		{"uid={login},dc=example", "ann@example.org", "uid=ann@example.org,dc=example"},
		{"uid={local},ou={domain},dc=x", "ann@example.org", "uid=ann,ou=example.org,dc=x"},
		{"{local}{local}", "a@b@c", "a@ba@b"},
		{"uid={login}", `a,b+c="d"<e>;#\ f`, `uid=a\2cb\2bc\3d\22d\22\3ce\3e\3b\23\5c\20f`},
		{"uid={login}", "jörg", `uid=j\c3\b6rg`},
		{"uid={login}", "{domain}@b", `uid=\7bdomain\7d@b`},
	} {
		parsed, err := parseTemplate(tt.template)
		if err != nil {
			t.Errorf("%s: %v", tt.template, err)
		} else if got := parsed.fill(tt.login, escapeDN); got != tt.want {
			t.Errorf("%s with %s is %s, want %s", tt.template, tt.login, got, tt.want)
		}
	}
}

// Whatever a login is, it is one value of a DN and of a filter.
func FuzzEscaping(f *testing.F) {
	for _, s := range []string{"ann@example.org", `a,b+c="d"<e>;#\ f`, "*)(uid=*", "\x00\xff", " a ", "#a"} {
		f.Add(s)
	}
	name, err := parseTemplate("uid={login},ou=people,dc=example")
	if err != nil {
		f.Fatal(err)
	}
	store := &Store{find: Search{Filter: "(objectClass=person)", Attributes: []string{"mail", "uid"}}}
	f.Fuzz(func(t *testing.T, login string) {
		if login == "" {
			return
		}
		dn, err := ldap.ParseDN(name.fill(login, escapeDN))
		if err != nil {
			t.Fatalf("%q: %v", login, err)
		}
		if len(dn.RDNs) != 3 || len(dn.RDNs[0].Attributes) != 1 || dn.RDNs[0].Attributes[0].Value != login {
			t.Errorf("%q becomes %s", login, dn)
		}
		p, err := ldap.CompileFilter(store.filter(login))
		if err != nil {
			t.Fatalf("%q: %v", login, err)
		}
		if len(p.Children) != 2 || len(p.Children[1].Children) != 2 {
			t.Fatalf("%q becomes %s", login, store.filter(login))
		}
		for _, equal := range p.Children[1].Children {
			if equal.Tag != ldap.FilterEqualityMatch || equal.Children[1].Data.String() != login {
				t.Errorf("%q is looked for as %q", login, equal.Children[1].Data.Bytes())
			}
		}
	})
}

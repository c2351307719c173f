package ldapstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/smtpguard/smtpguard/auth"
)

// Config says which directory judges, and how a login becomes an entry of it.
// URLs and one of DN and Search are required. The zero value of every other field
// is safe.
type Config struct {
	// URLs of the servers, all of one directory, tried in turn:
	// "ldaps://ldap.example.org", "ldap://ldap.example.org:389", and
	// "ldapi:///run/slapd/ldapi" for a Unix socket.
	URLs []string

	// StartTLS begins TLS on ldap:// (RFC 4511, section 4.14), or fails.
	StartTLS bool

	// TLS is for ldaps:// and StartTLS. With nil, servers need a certificate that
	// the system trusts, and TLS 1.2. An empty ServerName means the host of the URL.
	TLS *tls.Config

	// Insecure lets passwords travel over ldap:// in clear text.
	Insecure bool

	// DN is the name of a login's entry, with {login}, {local} (what is before the
	// last "@") or {domain} in it: "uid={local},ou={domain},dc=example,dc=org".
	// Where the directory takes "ánn" for "ann", as Active Directory does, Search
	// tells them apart, and this does not.
	DN string

	// Search finds the entry of a login instead.
	Search *Search

	// Domains are those of logins that may have an entry, "" for a login without
	// one; nil means any. It is required where only {local} is looked for, or
	// ann@other.example would be ann@example.org.
	Domains []string

	// Senders are attributes of addresses that the login may send as
	// (auth.Identity.Senders); values that are none are left out.
	Senders []string

	// Identity says what a login is good for that was proven, auth.File.Identity
	// say, in place of Senders. With nil and no Senders, it may send as its own
	// address.
	Identity func(ctx context.Context, login string) (*auth.Identity, error)

	Conns   int           // at once, for binding, and as many for searching; 8
	Idle    time.Duration // after which a connection is not used again; 1 minute
	Timeout time.Duration // for a login, connecting and waiting for a connection included; 5 s
}

// Search finds the entry of a login. Base is required.
type Search struct {
	Base   string
	Filter string // of entries that may log in (RFC 4515): leave out the disabled; "" means all

	// Attributes that may have the login, one of which an entry must have; nil
	// means mail. Value is what they have: "{login}", the default, or "{local}".
	Attributes []string
	Value      string

	// BindDN is who searches, with BindPassword; "" searches as nobody.
	BindDN, BindPassword string

	// Decoy is the name of an entry whose password nobody knows, hashed as others
	// are: it binds for logins that are unknown, to the same work. With "" a name
	// binds that does not exist, which the directory may say sooner.
	Decoy string
}

// endpoint is where a server is.
type endpoint struct {
	network, addr string
	host          string // for its certificate
	tls, starttls bool
}

// parseURL reads a URL of a server.
func (cfg *Config) parseURL(s string) (e endpoint, err error) {
	u, err := url.Parse(s)
	if err != nil {
		return e, errors.New("is no URL")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "ldapi" && strings.Trim(u.Path, "/") != "" {
		return e, errors.New("has more than a scheme, a host and a port")
	}
	port := u.Port()
	switch u.Scheme {
	case "ldapi":
		if u.Host != "" || u.Path == "" || cfg.StartTLS {
			return e, errors.New("is no ldapi:///path, or StartTLS is set")
		}
		return endpoint{network: "unix", addr: u.Path}, nil
	case "ldaps":
		if cfg.StartTLS {
			return e, errors.New("has TLS already, and StartTLS is set")
		}
		e.tls = true
		if port == "" {
			port = ldap.DefaultLdapsPort
		}
	case "ldap":
		if !cfg.StartTLS && !cfg.Insecure {
			return e, errors.New("would send passwords in clear text: set StartTLS, or Insecure")
		}
		e.starttls = cfg.StartTLS
		if port == "" {
			port = ldap.DefaultLdapPort
		}
	default:
		return e, errors.New("is none of ldaps://, ldap:// and ldapi://")
	}
	if u.Hostname() == "" {
		return e, errors.New("has no host")
	}
	e.network, e.host, e.addr = "tcp", u.Hostname(), net.JoinHostPort(u.Hostname(), port)
	return e, nil
}

// New makes a store of cfg, and connects to nobody. It reports everything that is
// wrong with cfg, by field.
func New(cfg Config) (*Store, error) {
	var errs []error
	bad := func(field, why string) {
		errs = append(errs, fmt.Errorf("auth: ldapstore: Config.%s: %s", field, why))
	}
	s := &Store{cfg: cfg}
	if len(cfg.URLs) == 0 {
		bad("URLs", "is empty")
	}
	for i, text := range cfg.URLs {
		e, err := cfg.parseURL(text)
		if err != nil {
			bad(fmt.Sprintf("URLs[%d]", i), fmt.Sprintf("%q %v", text, err))
		}
		s.servers = append(s.servers, e)
	}
	if cfg.TLS != nil && cfg.TLS.InsecureSkipVerify && cfg.TLS.VerifyConnection == nil && cfg.TLS.VerifyPeerCertificate == nil {
		bad("TLS", "has InsecureSkipVerify: anybody could ask for passwords")
	}
	switch {
	case cfg.DN == "" && cfg.Search == nil:
		bad("DN", "is empty, and Search is nil: nobody has an entry")
	case cfg.DN != "" && cfg.Search != nil:
		bad("DN", "is set, and so is Search")
	case cfg.Search != nil:
		s.search(cfg.Search, bad)
	default:
		var err error
		if s.name, err = parseTemplate(cfg.DN); err == nil {
			_, err = ldap.ParseDN(s.name.fill("a@b", escapeDN))
		}
		if err != nil {
			bad("DN", err.Error())
		}
	}
	if s.name.at != nil && s.name.ambiguous() && len(cfg.Domains) == 0 {
		bad("Domains", "is empty, and only {local} is looked for: anybody's domain would do")
	}
	if cfg.Identity != nil && len(cfg.Senders) > 0 {
		bad("Senders", "is set, and so is Identity")
	}
	s.cfg.Senders, s.cfg.Domains = slices.Clone(cfg.Senders), nil
	for i, name := range cfg.Domains {
		normal, err := auth.NormalLogin("a@" + name)
		if err != nil || strings.Contains(name, "@") {
			bad(fmt.Sprintf("Domains[%d]", i), fmt.Sprintf("%q is no domain", name))
		}
		_, domain := split(normal)
		s.cfg.Domains = append(s.cfg.Domains, domain)
	}
	if cfg.Conns < 0 || cfg.Idle < 0 || cfg.Timeout < 0 {
		bad("Conns, Idle and Timeout", "must not be negative")
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.fill()
	return s, nil
}

// search takes over how entries are found.
func (s *Store) search(search *Search, bad func(field, why string)) {
	s.find = *search
	s.find.Attributes = slices.Clone(search.Attributes)
	if search.Base == "" {
		bad("Search.Base", "is empty")
	} else if _, err := ldap.ParseDN(search.Base); err != nil {
		bad("Search.Base", err.Error())
	}
	if search.Filter != "" {
		if _, err := ldap.CompileFilter(search.Filter); err != nil {
			bad("Search.Filter", err.Error())
		}
	}
	if len(search.Attributes) == 0 {
		s.find.Attributes = []string{"mail"}
	}
	for i, a := range s.find.Attributes {
		if !attribute(a) {
			bad(fmt.Sprintf("Search.Attributes[%d]", i), fmt.Sprintf("%q is no attribute", a))
		}
	}
	if search.Value == "" {
		s.find.Value = "{login}"
	}
	var err error
	if s.name, err = parseTemplate(s.find.Value); err != nil {
		bad("Search.Value", err.Error())
	}
	switch {
	case search.BindDN == "" && search.BindPassword != "":
		bad("Search.BindDN", "is empty, and BindPassword is not")
	case search.BindDN != "" && search.BindPassword == "":
		bad("Search.BindPassword", "is empty: the search would be done as nobody (RFC 4513, section 5.1.2)")
	}
	if search.Decoy != "" {
		if _, err := ldap.ParseDN(search.Decoy); err != nil {
			bad("Search.Decoy", err.Error())
		}
	}
}

// attribute reports whether s is the description of one (RFC 4512, section 2.5).
func attribute(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', i > 0 && ('0' <= c && c <= '9' || c == '-' || c == ';' || c == '.'):
		default:
			return false
		}
	}
	return s != ""
}

// fill sets what the zero values mean.
func (s *Store) fill() {
	cfg := &s.cfg
	if cfg.Conns == 0 {
		cfg.Conns = 8
	}
	if cfg.Idle == 0 {
		cfg.Idle = time.Minute
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.TLS == nil {
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	s.binders = newPool(cfg.Conns, cfg.Idle, s.dial)
	s.searchers = newPool(cfg.Conns, cfg.Idle, s.dialService)
}

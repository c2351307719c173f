package ldapstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"unicode"

	"github.com/go-ldap/ldap/v3"

	"github.com/smtpguard/smtpguard/auth"
)

// Store is a store in a directory. It is safe for concurrent use.
type Store struct {
	cfg     Config
	servers []endpoint
	good    atomic.Int64 // the server that answered last
	name    template     // of Config.DN, or of Search.Value
	find    Search

	binders, searchers *pool
}

var _ auth.Store = (*Store)(nil)

// maxPassword bounds a password in octets, as the hashes of package auth do.
const maxPassword = 1024

// Close ends the connections. Nobody is judged well after that.
func (s *Store) Close() error {
	s.binders.close()
	s.searchers.close()
	return nil
}

// Verify judges a password: see [auth.Store].
func (s *Store) Verify(ctx context.Context, login, password string) (*auth.Identity, error) {
	if login == "" || password == "" || len(password) > maxPassword {
		return nil, auth.ErrCredentials
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	dn, senders, err := s.entry(ctx, login)
	if err != nil {
		return nil, err
	}
	known := dn != ""
	if !known {
		dn = s.decoy()
	}
	err = s.binders.do(ctx, func(l *ldap.Conn) error {
		if err := l.Bind(dn, password); err != nil || !known || s.cfg.Search != nil || len(s.cfg.Senders) == 0 {
			return err
		}
		found, err := l.Search(s.request(dn, ldap.ScopeBaseObject, "(objectClass=*)", s.cfg.Senders))
		switch {
		case answered(err): // which judges no password, whatever the result is
			return &ldap.Error{ResultCode: ldap.LDAPResultOther, Err: fmt.Errorf("its own entry: %w", cleaned(err))}
		case err != nil:
			return err
		}
		for _, e := range found.Entries {
			senders = append(senders, s.senders(e)...)
		}
		return nil
	})
	if err = judged(err); err != nil {
		return nil, err
	}
	switch {
	case !known: // whatever the password of the decoy is
		return nil, auth.ErrCredentials
	case s.cfg.Identity != nil:
		return s.cfg.Identity(ctx, login)
	}
	return &auth.Identity{Login: login, Senders: senders}, nil
}

// entry finds the name of a login's entry, "" for none, and after a search what
// it may send as.
func (s *Store) entry(ctx context.Context, login string) (dn string, senders []string, err error) {
	possible := s.possible(login)
	if s.cfg.Search == nil {
		if possible {
			dn = s.name.fill(login, escapeDN)
		}
		return dn, nil, nil
	}
	value := s.name.fill(login, unescaped)
	if !possible {
		value = rand.Text() // searched for as well, so that it takes as long
	}
	var found *ldap.SearchResult
	err = s.searchers.do(ctx, func(l *ldap.Conn) (err error) {
		found, err = l.Search(s.request(s.find.Base, ldap.ScopeWholeSubtree, s.filter(value), slices.Concat(s.find.Attributes, s.cfg.Senders)))
		return err
	})
	if err != nil {
		return "", nil, fmt.Errorf("auth: ldapstore: search: %w", cleaned(err))
	}
	for _, e := range found.Entries {
		switch same, err := s.same(e, value); {
		case err != nil:
			return "", nil, err
		case !same:
		case e.DN == "":
			return "", nil, errors.New("auth: ldapstore: an entry without a name") // which would bind as nobody
		case dn != "":
			return "", nil, fmt.Errorf("auth: ldapstore: two entries have the login %s: %.200q and %.200q", login, dn, e.DN)
		default:
			dn, senders = e.DN, s.senders(e)
		}
	}
	return dn, senders, nil
}

// possible reports whether a login may have an entry.
func (s *Store) possible(login string) bool {
	local, domain := split(login)
	switch {
	case local == "" || strings.ContainsFunc(login, unicode.IsSpace):
		return false
	case s.cfg.Domains != nil && !slices.Contains(s.cfg.Domains, domain):
		return false
	}
	return domain != "" || !slices.Contains(s.name.at, "domain")
}

// decoy is the name that binds for a login without an entry.
func (s *Store) decoy() string {
	switch {
	case s.cfg.Search == nil:
		return s.name.fill(rand.Text()+"@"+rand.Text(), escapeDN)
	case s.find.Decoy != "":
		return s.find.Decoy
	}
	return "cn=" + rand.Text() + "," + s.find.Base
}

// maxEntries bounds what a search may find: entries that only compare alike.
const maxEntries = 8

func (s *Store) request(base string, scope int, filter string, attributes []string) *ldap.SearchRequest {
	limit := int(s.cfg.Timeout.Seconds()) + 1
	return ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, maxEntries, limit, false, filter, attributes, nil)
}

// filter is that of the entries with value in one of the attributes.
func (s *Store) filter(value string) string {
	var b strings.Builder
	b.WriteString("(&" + s.find.Filter + "(|")
	for _, a := range s.find.Attributes {
		b.WriteString("(" + a + "=" + ldap.EscapeFilter(value) + ")")
	}
	b.WriteString("))")
	return b.String()
}

// same reports whether an entry has the very value, in normal form, and not one
// that the directory takes for it.
func (s *Store) same(e *ldap.Entry, value string) (bool, error) {
	seen := false
	for _, a := range s.find.Attributes {
		for _, v := range e.GetEqualFoldAttributeValues(a) {
			seen = true
			if normal, err := auth.NormalLogin(v); err == nil && normal == value {
				return true, nil
			}
		}
	}
	if !seen {
		return false, fmt.Errorf("auth: ldapstore: of %.200q nobody may read %s, by which it was found", e.DN, strings.Join(s.find.Attributes, ", "))
	}
	return false, nil
}

// senders are the addresses that an entry may send as.
func (s *Store) senders(e *ldap.Entry) []string {
	var all []string
	for _, a := range s.cfg.Senders {
		for _, v := range e.GetEqualFoldAttributeValues(a) {
			if auth.CheckSender(v) == nil {
				all = append(all, v)
			}
		}
	}
	return all
}

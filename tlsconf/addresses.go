package tlsconf

import (
	"errors"
	"strings"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// addresses is a set of mail addresses and domains. The zero addresses is empty.
type addresses struct {
	mailboxes map[string]bool // with a domain in normal form, "" for the null reverse-path
	domains   map[string]bool
	above     map[string]bool // domains that everything below is of
}

func (a *addresses) empty() bool { return len(a.mailboxes)+len(a.domains)+len(a.above) == 0 }

// add reads one entry.
func (a *addresses) add(entry string) error {
	put := func(m *map[string]bool, key string) {
		if *m == nil {
			*m = make(map[string]bool)
		}
		(*m)[key] = true
	}
	if entry == "<>" {
		put(&a.mailboxes, "")
		return nil
	}
	if strings.Contains(entry, "@") {
		local, host, err := split(entry)
		if err != nil {
			return err
		}
		put(&a.mailboxes, local+"@"+host)
		return nil
	}
	name, below := strings.CutPrefix(entry, "*.")
	host, err := domain.Normal(name)
	if err != nil {
		return errors.New("is no domain name and no address")
	}
	if below {
		put(&a.above, host)
	} else {
		put(&a.domains, host)
	}
	return nil
}

// has reports whether addr, a path as go-smtp parsed it, is in the set.
func (a *addresses) has(addr string) bool {
	if a.empty() {
		return false
	}
	if addr == "" {
		return a.mailboxes[""]
	}
	local, host, err := split(addr)
	if err != nil {
		return false
	}
	user, _, _ := strings.Cut(local, "+") // a detail (RFC 5233) leads to the same mailbox
	if a.mailboxes[local+"@"+host] || a.mailboxes[user+"@"+host] || a.domains[host] {
		return true
	}
	for {
		_, above, ok := strings.Cut(host, ".")
		if !ok {
			return false
		}
		if a.above[above] {
			return true
		}
		host = above
	}
}

// split returns the local part of addr in lower case and its domain in normal
// form.
func split(addr string) (local, host string, err error) {
	at := strings.LastIndexByte(addr, '@')
	if at < 1 {
		return "", "", errors.New("has no local part or no domain")
	}
	if host, err = domain.Normal(addr[at+1:]); err != nil {
		return "", "", errors.New("has no domain name behind the @")
	}
	return strings.ToLower(addr[:at]), host, nil
}

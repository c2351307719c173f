package main

import (
	"context"
	"slices"
	"strings"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/examples/server/internal/maildir"
	"github.com/smtpguard/smtpguard/relay"
)

// rules says who may relay where. Without a route there is no elsewhere.
func (cfg *Config) rules() relay.Rules {
	r := relay.Rules{Local: cfg.Domains}
	for _, d := range cfg.Relayed {
		r.Relayed = append(r.Relayed, d.Domain)
	}
	if cfg.Route.Address != "" {
		r.Grants = grants(cfg.Relay)
	}
	foreign := !cfg.takesHostname()
	if foreign {
		r.Local = append(slices.Clone(r.Local), cfg.Hostname)
	}
	r.Recipients = func(_ context.Context, addr string) (bool, error) { // postmaster is not asked about
		at := strings.LastIndexByte(addr, '@')
		if foreign && strings.EqualFold(addr[at+1:], cfg.Hostname) {
			return false, nil
		}
		return len(cfg.Mailboxes) == 0 || slices.ContainsFunc(cfg.Mailboxes, func(m string) bool {
			return maildir.Name(m) == maildir.Name(maildir.User(addr[:at]))
		}), nil
	}
	return r
}

// takesHostname reports whether hostname is one of the domains we take mail
// for. Where it is not, it has a postmaster nevertheless, and nobody else (RFC
// 5321, section 4.5.1): mail to bare postmaster is for that one.
func (cfg *Config) takesHostname() bool {
	r := relay.Rules{Local: cfg.Domains}
	for _, d := range cfg.Relayed {
		r.Relayed = append(r.Relayed, d.Domain)
	}
	rules, err := relay.New(r)
	return err == nil && rules.Decide(relay.Client{}, "postmaster@"+cfg.Hostname).Kind != relay.Refused
}

func grants(gs []Grant) []relay.Grant {
	var all []relay.Grant
	for _, g := range gs {
		all = append(all, relay.Grant{Name: g.Name, Logins: g.Logins, Networks: prefixes(g.Networks), To: g.To})
	}
	return all
}

// loginRequired refuses mail without a login (RFC 6409, section 4.3).
func loginRequired() smtpguard.Check {
	return smtpguard.Check{
		Name:   "login-required",
		Always: true,
		Mail: func(_ context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
			if _, ok := tx.Conn().Login(); ok {
				return smtpguard.Verdict{}, nil
			}
			text := "Authentication required"
			if _, ok := tx.Conn().TLS(); !ok {
				text = "Authentication required, after STARTTLS" // RFC 3207, section 4
			}
			return smtpguard.Verdict{
				Action: smtpguard.Reject,
				Reply:  reply(530, 5, 7, 0, text), // RFC 4954, section 6
				Reason: "no login",
			}, nil
		},
	}
}

// ownSender refuses a reverse-path that is not the user's own (RFC 6409,
// section 6.1). The null reverse-path is everybody's: mail programs send
// receipts with it (RFC 8098, section 3).
func ownSender(cfg *Config) smtpguard.Check {
	return smtpguard.Check{
		Name:   "own-sender",
		Always: true,
		Mail: func(_ context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
			login, ok := tx.Conn().Login()
			if !ok || tx.From() == "" || cfg.owns(login, tx.From()) {
				return smtpguard.Verdict{}, nil
			}
			return smtpguard.Verdict{
				Action: smtpguard.Reject,
				Reply:  reply(550, 5, 7, 1, "Not your address"),
				Reason: "reverse-path is not the login's",
			}, nil
		},
	}
}

// ownReturnPath removes Return-Path fields, because the one we write is to be
// the only one (RFC 5321, section 4.4).
func ownReturnPath() smtpguard.Check {
	return smtpguard.Check{
		Name: "own-return-path",
		Data: func(_ context.Context, _ *smtpguard.Transaction, m *smtpguard.Message) (smtpguard.Verdict, error) {
			m.Strip("Return-Path", nil)
			return smtpguard.Verdict{}, nil
		},
	}
}

// submitted is mail that came in on a listener for submission.
func submitted(cfg *Config) smtpguard.Predicate {
	return func(c *smtpguard.Conn, _ *smtpguard.Transaction, _ *smtpguard.Recipient) bool {
		return slices.ContainsFunc(cfg.Listeners, func(l Listener) bool {
			return l.Name == c.Listener() && l.Kind == submission
		})
	}
}

// owns reports whether addr, detail or not, belongs to login.
func (cfg *Config) owns(login, addr string) bool {
	i := slices.IndexFunc(cfg.Users, func(u User) bool { return u.Name == login })
	if i < 0 {
		return false
	}
	own := cfg.Users[i].Addresses
	if len(own) == 0 {
		for _, d := range cfg.Domains {
			own = append(own, login+"@"+d)
		}
	}
	return slices.ContainsFunc(own, func(a string) bool { return sameUser(a, addr) })
}

// sameUser reports whether two addresses are one user's.
func sameUser(a, b string) bool {
	i, j := strings.LastIndexByte(a, '@'), strings.LastIndexByte(b, '@')
	return i > 0 && j > 0 && strings.EqualFold(a[i:], b[j:]) &&
		maildir.Name(maildir.User(a[:i])) == maildir.Name(maildir.User(b[:j]))
}

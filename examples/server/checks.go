package main

import (
	"context"
	"slices"
	"strings"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/examples/server/internal/maildir"
	"github.com/smtpguard/smtpguard/relay"
	"github.com/smtpguard/smtpguard/tlsconf"
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

// fromServers is true of clients at listeners that are not for submission.
func fromServers(cfg *Config) smtpguard.Predicate {
	return func(c *smtpguard.Conn, _ *smtpguard.Transaction, _ *smtpguard.Recipient) bool {
		return !slices.Contains(cfg.submissions(), c.Listener())
	}
}

// requirement is what is taken over TLS alone.
func (cfg *Config) requirement() tlsconf.Requirement {
	r := &cfg.TLS.Require
	return tlsconf.Requirement{Mail: r.Mail, From: r.From, To: r.To, Reports: r.Reports}
}

// authChecks want TLS, a login and one's own name.
func (cfg *Config) authChecks(l *logins) ([]smtpguard.Check, error) {
	overTLS, err := tlsconf.RequireTLS(cfg.requirement())
	if err != nil {
		return nil, err
	}
	// A login that is no address is one at our first domain.
	senders, err := auth.NewSenders(auth.SendersConfig{Domain: strings.TrimPrefix(cfg.Domains[0], "*.")})
	if err != nil {
		return nil, err
	}
	checks := []smtpguard.Check{overTLS}
	if len(cfg.Auth.Certificates) > 0 { // servers do not use AUTH
		checks = append(checks, smtpguard.When(fromServers(cfg), l.hosts()))
	}
	if at := cfg.submissions(); len(at) > 0 {
		checks = append(checks, auth.Required(at...), l.standing())
	}
	return append(checks, smtpguard.When(submitted(cfg), senders.Check())), nil
}

// submitted is true of clients at listeners for submission.
func submitted(cfg *Config) smtpguard.Predicate {
	return func(c *smtpguard.Conn, _ *smtpguard.Transaction, _ *smtpguard.Recipient) bool {
		return slices.Contains(cfg.submissions(), c.Listener())
	}
}

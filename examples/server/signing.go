package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/auth/dkim"
	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/relay"
)

// Signing says which mail is signed with DKIM, and with which keys. Without keys
// none is.
type Signing struct {
	Keys     string   `yaml:"keys"`
	By       signedBy `yaml:"by"`
	Hosts    bool     `yaml:"hosts"`
	Required bool     `yaml:"required"`
	Expire   duration `yaml:"expire"`
}

// Whose domain signs.
type signedBy string

const (
	byFrom  signedBy = "from"
	byLogin signedBy = "login"
)

func (b *signedBy) UnmarshalYAML(n ast.Node) error {
	return word(n, b, map[string]signedBy{"from": byFrom, "login": byLogin})
}

func (s *Signing) problems(bad func(string, ...any)) {
	if _, err := dkim.NewSigner(dkim.SignConfig{Expire: time.Duration(s.Expire)}); err != nil {
		bad(short(err), "signing", "expire")
	}
	if s.Keys != "" {
		return
	}
	for key, set := range map[string]bool{"required": s.Required, "hosts": s.Hosts} {
		if set {
			bad("there are no keys to sign with", "signing", key)
		}
	}
}

// signing signs what our users, and hosts of ours, send.
type signing struct {
	cfg    *Config
	signer *dkim.Signer
	keys   *dkim.Folder
	log    *slog.Logger
}

// newSigning opens the keys of cfg; nil where it names none.
func newSigning(cfg *Config, log *slog.Logger) (*signing, error) {
	if cfg.Signing.Keys == "" {
		return nil, nil
	}
	s := &signing{cfg: cfg, log: log}
	var err error
	if s.signer, err = dkim.NewSigner(dkim.SignConfig{Expire: time.Duration(cfg.Signing.Expire)}); err != nil {
		return nil, err
	}
	s.keys, err = dkim.OpenFolder(dkim.FolderConfig{Dir: cfg.Signing.Keys, Observe: func(e dkim.Event) {
		if e.Error != "" {
			log.Warn("signing key "+string(e.Kind), "error", e.Error)
		} else {
			log.Info("signing key "+string(e.Kind), "domain", e.Domain, "selector", e.Selector)
		}
	}})
	if err != nil {
		return nil, fmt.Errorf("signing.keys: %w", err)
	}
	return s, nil
}

func (s *signing) close() {
	if s != nil {
		s.keys.Close()
	}
}

// maxSignedHeader bounds the header section of what is signed, as package dkim does.
const maxSignedHeader = 1 << 20

// check has mail signed after all other checks. No allow list passes over it.
func (s *signing) check() smtpguard.Check {
	return smtpguard.Check{Name: "dkim-sign", Always: true, Data: s.data}
}

func (s *signing) data(_ context.Context, tx *smtpguard.Transaction, m *smtpguard.Message) (smtpguard.Verdict, error) {
	if !s.ours(tx) {
		return smtpguard.Verdict{}, nil
	}
	keys, err := s.keysOf(tx.Conn(), m)
	switch {
	case err != nil && s.cfg.Signing.Required:
		return smtpguard.Verdict{
			Action: smtpguard.Reject,
			Reply:  reply(550, 5, 7, 1, "Mail of that domain cannot be signed here"),
			Reason: "not signed: " + err.Error(),
		}, nil
	case err != nil:
		return smtpguard.Verdict{Reason: "not signed: " + err.Error()}, nil
	}
	m.Sign(func(ctx context.Context, content io.Reader) ([]string, error) {
		fields, err := s.signer.Sign(ctx, content, keys...)
		if hopeless(err) && !s.cfg.Signing.Required {
			s.log.Warn("not signed", "transaction", tx.ID(), "error", err.Error())
			return nil, nil
		}
		return fields, err
	})
	var names []string
	for _, k := range keys {
		names = append(names, k.Name())
	}
	return smtpguard.Verdict{Facts: map[string]string{"keys": strings.Join(names, ", ")}}, nil
}

// hopeless is an error of the message itself.
func hopeless(err error) bool {
	return errors.Is(err, dkim.ErrAuthor) || errors.Is(err, dkim.ErrBareCR) || errors.Is(err, dkim.ErrHeader)
}

// ours reports whether we answer for a message: it was submitted, or a host sends it
// that may send elsewhere, where that is to count.
func (s *signing) ours(tx *smtpguard.Transaction) bool {
	if slices.Contains(s.cfg.submissions(), tx.Conn().Listener()) {
		return true
	}
	return s.cfg.Signing.Hosts && goesBy(tx, relay.Outbound)
}

// goesBy reports whether a recipient of tx was taken for the reason kind.
func goesBy(tx *smtpguard.Transaction, kind relay.Kind) bool {
	return slices.ContainsFunc(tx.Recipients(), func(r *smtpguard.Recipient) bool {
		d, ok := relay.DecisionOf(tx, r.Addr)
		return ok && d.Kind == kind
	})
}

// keysOf are the keys that a message is to be signed with, one at least; an error
// says why there is none.
func (s *signing) keysOf(c *smtpguard.Conn, m *smtpguard.Message) ([]dkim.Key, error) {
	size := m.BodyOffset()
	if size > maxSignedHeader {
		return nil, dkim.ErrHeader
	}
	header := make([]byte, size)
	if _, err := m.ReadAt(header, 0); err != nil && err != io.EOF {
		return nil, err
	}
	const most = 1000 // addresses in From: whose they may be is not our matter here
	name, err := dmarc.AuthorDomain(header, most)
	if err != nil {
		return nil, err
	}
	if login, ok := c.Login(); ok && s.cfg.Signing.By == byLogin {
		if name, err = s.cfg.domainOf(login); err != nil {
			return nil, err
		}
	}
	for host := name; strings.Contains(host, "."); _, host, _ = strings.Cut(host, ".") {
		if keys := s.keys.Keys(host); len(keys) > 0 { // DMARC takes one above for the domain's own
			return keys, nil
		}
	}
	return nil, fmt.Errorf("%s has no key", name)
}

// domainOf is the domain of a login, in normal form.
func (cfg *Config) domainOf(login string) (string, error) {
	if !strings.Contains(login, "@") {
		login += "@" + strings.TrimPrefix(cfg.Domains[0], "*.")
	}
	normal, err := auth.NormalLogin(login)
	return normal[strings.LastIndexByte(normal, '@')+1:], err
}

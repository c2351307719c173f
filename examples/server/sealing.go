package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/arc"
	"github.com/smtpguard/smtpguard/auth/authres"
	"github.com/smtpguard/smtpguard/auth/dkim"
	"github.com/smtpguard/smtpguard/relay"
)

// Sealing says with which key mail is sealed that we pass on to relayed domains.
// Without a key none is.
type Sealing struct {
	Domain   string `yaml:"domain"`
	Selector string `yaml:"selector"`
	Key      string `yaml:"key"`
}

func (s *Sealing) problems(in *Inbound, bad func(string, ...any)) {
	if *s == (Sealing{}) {
		return
	}
	if s.Domain == "" || s.Selector == "" || s.Key == "" {
		bad("domain, selector and key come together", "sealing")
		return
	}
	// Another key is as good to see whether the names are.
	names := arc.Key{Domain: s.Domain, Selector: s.Selector, Private: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
	if err := seals(names); err != nil {
		bad(short(err), "sealing")
	}
	if in.Mode == unlooked {
		bad("nothing is found that could be sealed: authentication.mode is none", "sealing")
	}
}

// seals reports what keeps a key from sealing.
func seals(key arc.Key) error {
	s, err := arc.NewSealer(arc.SealConfig{})
	if err == nil {
		_, err = s.Seal(context.Background(), strings.NewReader("From: a@b.example\r\n\r\n"), &arc.Chain{Status: arc.None}, "b.example; none", key)
	}
	return err
}

// sealing seals what goes on to relayed domains.
type sealing struct {
	sealer *arc.Sealer
	key    arc.Key
	chains *arc.Validator // for mail that a gateway of ours has looked at
	found  func(*smtpguard.Transaction) (authres.Results, *arc.Chain, bool)
	log    *slog.Logger
}

// newSealing reads the key of cfg; nil where it names none.
func newSealing(cfg *Config, in *incoming, dns arc.Resolver, log *slog.Logger) (*sealing, error) {
	sc := &cfg.Sealing
	if sc.Key == "" {
		return nil, nil
	}
	s := &sealing{key: arc.Key{Domain: sc.Domain, Selector: sc.Selector}, found: in.found, log: log}
	text, err := readKey(sc.Key)
	if err == nil {
		s.key.Private, err = dkim.ParseKey(text)
	}
	if err == nil {
		err = seals(s.key)
	}
	if err != nil {
		return nil, fmt.Errorf("sealing.key: %s: %w", sc.Key, err)
	}
	if s.sealer, err = arc.NewSealer(arc.SealConfig{}); err != nil {
		return nil, err
	}
	s.chains, err = arc.New(arc.Config{Resolver: dns})
	return s, err
}

// readKey reads the file of a private key that is nobody else's.
func readKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, bare(err)
	}
	if mode := info.Mode().Perm(); mode&0o027 != 0 { // as package dkim has it
		return nil, fmt.Errorf("mode %#o: others may read the key, or the group write it", mode)
	}
	text, err := os.ReadFile(path)
	return text, bare(err)
}

// bare is an error of a file without its path.
func bare(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// check has mail sealed last of all: it has to be behind those that sign.
func (s *sealing) check() smtpguard.Check {
	return smtpguard.Check{Name: "arc-seal", Always: true, Data: s.data}
}

func (s *sealing) data(ctx context.Context, tx *smtpguard.Transaction, m *smtpguard.Message) (smtpguard.Verdict, error) {
	if !goesBy(tx, relay.Relayed) {
		return smtpguard.Verdict{}, nil
	}
	results, chain, ok := s.found(tx)
	if !ok {
		return smtpguard.Verdict{Reason: "not sealed: it was not authenticated"}, nil
	}
	if chain == nil {
		var err error
		if chain, err = s.chains.Validate(ctx, m.Open()); err != nil {
			return smtpguard.Verdict{Reason: "not sealed: " + err.Error()}, nil
		}
	}
	if len(results.Find("arc")) == 0 {
		results.Methods = append(results.Methods[:len(results.Methods):len(results.Methods)], authres.Method{Name: "arc", Result: authres.Result(chain.Status)})
	}
	results.UTF8 = tx.Opts().UTF8
	field, err := results.Field()
	if err != nil {
		return smtpguard.Verdict{}, err
	}
	_, value, _ := strings.Cut(strings.TrimSuffix(field, "\r\n"), ":")
	// A seal helps who comes after us: mail does not wait for it.
	m.Sign(func(ctx context.Context, content io.Reader) ([]string, error) {
		fields, err := s.sealer.Seal(ctx, content, chain, value, s.key)
		if err != nil {
			s.log.Warn("not sealed", "transaction", tx.ID(), "error", err.Error())
		}
		return fields, nil
	})
	return smtpguard.Verdict{Facts: map[string]string{"chain": string(chain.Status)}}, nil
}

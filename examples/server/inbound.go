package main

import (
	"context"
	"errors"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/arc"
	"github.com/smtpguard/smtpguard/auth/authres"
	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/verify"
	"github.com/smtpguard/smtpguard/resolver"
)

// incoming is how mail at listeners for servers is authenticated.
type incoming struct {
	verifier *verify.Verifier // nil where cfg does not want it
	upstream *upstream
}

// newInbound compiles what cfg says of it.
func newInbound(cfg *Config, dns verify.Resolver) (*incoming, error) {
	if cfg.Inbound.Mode == unlooked {
		return new(incoming), nil
	}
	v, err := newVerifier(cfg, dns)
	if err != nil {
		return nil, err
	}
	u, err := newUpstream(cfg)
	return &incoming{v, u}, err
}

func newVerifier(cfg *Config, dns verify.Resolver) (*verify.Verifier, error) {
	in := &cfg.Inbound
	return verify.New(verify.Config{
		ID:       cfg.Hostname,
		Resolver: dns,
		Policy: verify.Policy{
			Monitor:   in.Mode == monitored,
			Most:      smtpguard.Action(in.Most),
			Temporary: smtpguard.Action(in.Temporary),
			SPFFail:   smtpguard.Action(in.SPFFail),
		},
		Forwarders:  prefixes(in.Forwarders),
		Sealers:     in.Sealers,
		Gateways:    prefixes(in.Gateways),
		ReceivedSPF: in.ReceivedSPF,
		DMARC:       dmarc.Config{Exists: exists(dns)},
	})
}

// checks are ours, or what a gateway has found; and those that take forged results
// out of all mail.
func (in *incoming) checks(cfg *Config) []smtpguard.Check {
	if in.verifier == nil {
		return nil
	}
	outside, gateway := fromServers(cfg), in.upstream.from
	strangers := func(c *smtpguard.Conn, tx *smtpguard.Transaction, r *smtpguard.Recipient) bool {
		return outside(c, tx, r) && !gateway(c, tx, r)
	}
	checks := []smtpguard.Check{smtpguard.When(strangers, in.verifier.Check())}
	if len(in.upstream.gateways) == 0 {
		return append(checks, in.verifier.Strip())
	}
	others := func(c *smtpguard.Conn, tx *smtpguard.Transaction, r *smtpguard.Recipient) bool {
		return !gateway(c, tx, r)
	}
	return append(checks,
		smtpguard.When(others, in.verifier.Strip()),
		smtpguard.When(gateway, in.upstream.check()),
		smtpguard.When(gateway, in.upstream.strip()))
}

// found is what was found out about the message of tx, by us or by a gateway; then
// there is no chain. ok is false where nobody has looked.
func (in *incoming) found(tx *smtpguard.Transaction) (results authres.Results, chain *arc.Chain, ok bool) {
	if r, ok := in.verifier.ResultOf(tx); ok {
		return in.verifier.Results(&r), r.ARC, true
	}
	results, ok = in.upstream.result.Get(tx)
	return results, nil, ok
}

// exists tells a name that does not exist from one without texts, which package
// resolver does.
func exists(dns verify.Resolver) func(context.Context, string) (bool, error) {
	return func(ctx context.Context, name string) (bool, error) {
		_, err := dns.LookupTXT(ctx, name)
		switch {
		case err == nil, errors.Is(err, resolver.ErrNoData):
			return true, nil
		case errors.Is(err, resolver.ErrNoName), errors.Is(err, resolver.ErrName):
			return false, nil
		}
		return false, err
	}
}

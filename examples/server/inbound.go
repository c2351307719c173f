package main

import (
	"context"
	"errors"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/verify"
	"github.com/smtpguard/smtpguard/resolver"
)

// newInbound authenticates mail at listeners for servers, and takes forged results
// out of all mail; no checks where cfg does not want it.
func newInbound(cfg *Config, dns verify.Resolver) ([]smtpguard.Check, error) {
	in := &cfg.Inbound
	if in.Mode == unlooked {
		return nil, nil
	}
	v, err := verify.New(verify.Config{
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
	if err != nil {
		return nil, err
	}
	return []smtpguard.Check{smtpguard.When(fromServers(cfg), v.Check()), v.Strip()}, nil
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

package main

import (
	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/verify"
)

// newInbound authenticates mail at listeners for servers; no checks where cfg does
// not want it.
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
	})
	if err != nil {
		return nil, err
	}
	return []smtpguard.Check{smtpguard.When(fromServers(cfg), v.Check())}, nil
}

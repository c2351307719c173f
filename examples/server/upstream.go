package main

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/authres"
)

// Upstream is a gateway of ours that has authenticated the mail it hands us: what
// it writes under its authserv-id counts in place of our own checks.
type Upstream struct {
	ID       string    `yaml:"id"`
	Networks []network `yaml:"networks"`
}

// problems are those of entry i.
func (u *Upstream) problems(cfg *Config, i int, bad func(string, ...any)) {
	key := []any{"authentication", "upstream", i}
	if _, err := u.filter(cfg); err != nil {
		bad(short(err), append(key, "id")...)
	}
	if len(u.Networks) == 0 {
		bad("names no network: it fits nobody", key...)
	}
	for j, n := range u.Networks {
		if netip.Prefix(n).Bits() == 0 {
			bad("would let anybody say who mail is from", append(key, "networks", j)...)
		}
	}
	if cfg.Inbound.Mode == unlooked {
		bad("nothing is looked at: authentication.mode is none", key...)
	}
}

func (u *Upstream) filter(cfg *Config) (*authres.Filter, error) {
	return authres.New(authres.Config{ID: cfg.Hostname, Upstream: []string{u.ID}})
}

// upstream reads the results of gateways.
type upstream struct {
	in       *Inbound
	servers  smtpguard.Predicate
	gateways []gateway
	result   smtpguard.Key[authres.Results]
}

// gateway is an Upstream, compiled.
type gateway struct {
	networks []netip.Prefix
	fields   *authres.Filter
}

func newUpstream(cfg *Config) (*upstream, error) {
	u := &upstream{in: &cfg.Inbound, servers: fromServers(cfg)}
	for i := range cfg.Inbound.Upstream {
		entry := &cfg.Inbound.Upstream[i]
		fields, err := entry.filter(cfg)
		if err != nil {
			return nil, err
		}
		u.gateways = append(u.gateways, gateway{prefixes(entry.Networks), fields})
	}
	return u, nil
}

// of is the gateway that c comes from, nil for none.
func (u *upstream) of(c *smtpguard.Conn) *gateway {
	if !u.servers(c, nil, nil) {
		return nil
	}
	addr := c.Addr().Unmap()
	for i := range u.gateways {
		if slices.ContainsFunc(u.gateways[i].networks, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			return &u.gateways[i]
		}
	}
	return nil
}

// from is true of clients that are a gateway.
func (u *upstream) from(c *smtpguard.Conn, _ *smtpguard.Transaction, _ *smtpguard.Recipient) bool {
	return u.of(c) != nil
}

// check judges by what the gateway has found, and writes it down as ours.
func (u *upstream) check() smtpguard.Check {
	return smtpguard.Check{Name: "upstream", Data: u.data}
}

// strip takes out what claims to be a result and is not the gateway's own: its
// fields are the topmost. No allow list passes over it.
func (u *upstream) strip() smtpguard.Check {
	return smtpguard.Check{Name: "upstream-strip", Always: true, Data: func(_ context.Context, tx *smtpguard.Transaction, m *smtpguard.Message) (smtpguard.Verdict, error) {
		g, top := u.of(tx.Conn()), true
		m.Strip("Authentication-Results", func(value []byte) bool {
			top = top && !g.fields.StripFromUpstream(value)
			return !top
		})
		return smtpguard.Verdict{}, nil
	}}
}

// Bounds of what is read of a gateway's results.
const (
	maxUpstreamFields  = 50
	maxUpstreamMethods = 100
)

func (u *upstream) data(_ context.Context, tx *smtpguard.Transaction, m *smtpguard.Message) (smtpguard.Verdict, error) {
	g := u.of(tx.Conn())
	var values []string
	for f := range m.Fields("Authentication-Results") {
		if values = append(values, f.Value()); len(values) == maxUpstreamFields {
			break
		}
	}
	found := g.fields.Upstream(values)
	var methods []authres.Method
	for _, r := range found {
		methods = append(methods, r.Methods...)
	}
	methods = methods[:min(len(methods), maxUpstreamMethods)]
	results := g.fields.Results(methods...)
	u.result.Set(tx, results)
	ours := results
	ours.UTF8 = tx.Opts().UTF8
	field, err := ours.Field()
	if err == nil {
		err = m.Prepend(field)
	}
	if err != nil {
		return smtpguard.Verdict{}, err
	}
	if len(found) == 0 {
		return smtpguard.Verdict{Reason: "the gateway tells no results"}, nil
	}
	return u.in.judge(results), nil
}

// judge is what follows from the results of a gateway, as package verify has it for
// our own.
func (in *Inbound) judge(r authres.Results) smtpguard.Verdict {
	var said []string
	for _, m := range r.Methods {
		said = append(said, m.Name+"="+string(m.Result))
	}
	v := smtpguard.Verdict{Facts: map[string]string{"result": strings.Join(said, ", ")}}
	act, reason, refusal := in.decide(r)
	if act == smtpguard.Continue {
		return v
	}
	if in.Mode == monitored {
		v.Reason = "monitored, not " + act.String() + ": " + reason
		return v
	}
	v.Action, v.Reason = act, reason
	switch act {
	case smtpguard.Reject:
		v.Reply = refusal
	case smtpguard.Defer:
		v.Reply = reply(451, 4, refusal.EnhancedCode[1], refusal.EnhancedCode[2], refusal.Message)
	}
	return v
}

func (in *Inbound) decide(r authres.Results) (smtpguard.Action, string, *smtp.SMTPError) {
	var policy, result = "", authres.None
	if all := r.Find("dmarc"); len(all) > 0 {
		policy, result = strings.ToLower(all[0].Value("policy", "dmarc")), all[0].Result // RFC 9989, section 9.2
	}
	act := smtpguard.Continue
	switch {
	case result == authres.Pass:
		return act, "", nil
	case result == authres.TempError:
		return smtpguard.Action(in.Temporary), "DMARC of the gateway: temperror", reply(550, 5, 4, 3, "Policy of the author domain cannot be told now")
	case result == authres.Fail && policy == "reject":
		act = smtpguard.Reject
	case result == authres.Fail && policy == "quarantine":
		act = smtpguard.Quarantine
	}
	if act != smtpguard.Continue {
		return min(act, smtpguard.Action(in.Most)), "DMARC of the gateway: fail, whose policy is " + policy, reply(550, 5, 7, 26, "Not authenticated as its author, whose policy is "+policy)
	}
	if slices.ContainsFunc(r.Find("spf"), func(m authres.Method) bool { return m.Result == authres.Fail }) {
		return smtpguard.Action(in.SPFFail), "SPF of the gateway: fail", reply(550, 5, 7, 23, "Client may not send for that domain (SPF)")
	}
	return act, "", nil
}

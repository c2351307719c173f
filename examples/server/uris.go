package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/surbl"
	"github.com/smtpguard/smtpguard/surbl/follow"
	"github.com/smtpguard/smtpguard/surbl/pdf"
	"github.com/smtpguard/smtpguard/surbl/qr"
)

// uriPresets are the lists that are known by name.
var uriPresets = map[string]func() surbl.Zone{
	"surbl":        surbl.SURBL,
	"uribl":        surbl.URIBL,
	"spamhaus-dbl": surbl.SpamhausDBL,
}

// newURILists has what messages link to looked up in the zones of cfg, and these
// watched.
func (b *background) newURILists(cfg *Config, dns surbl.Resolver, log *slog.Logger) ([]smtpguard.Check, error) {
	if len(cfg.URILists.Zones) == 0 {
		return nil, nil
	}
	uc, err := cfg.URILists.config(dns)
	if err != nil {
		return nil, err
	}
	uc.Observe = smtpguard.LogEvents(log)
	lists, err := surbl.New(uc)
	if err != nil {
		return nil, err
	}
	b.add(func(ctx context.Context) { _ = lists.Run(ctx) }) // ends with ctx
	return []smtpguard.Check{lists.Check(), lists.Outbound()}, nil
}

func (u *URILists) config(dns surbl.Resolver) (uc surbl.Config, err error) {
	uc = surbl.Config{Resolver: dns, Limits: surbl.Limits{Quarantine: u.Limits.Quarantine, Defer: u.Limits.Defer, Reject: u.Limits.Reject}}
	if len(u.Exempt) > 0 {
		uc.Exempt = u.Exempt
	}
	if err := u.reads(&uc, dns); err != nil {
		return uc, err
	}
	for i := range u.Zones {
		z, err := u.Zones[i].zone()
		if err != nil {
			return uc, err
		}
		uc.Zones = append(uc.Zones, z)
	}
	return uc, nil
}

// reads has what is asked for read besides text, and followed.
func (u *URILists) reads(uc *surbl.Config, dns surbl.Resolver) error {
	var pictures surbl.Decoder
	if u.QR {
		d, err := qr.New(qr.Config{})
		if err != nil {
			return err
		}
		pictures = d
		uc.Extract.Decoders = append(uc.Extract.Decoders, d)
	}
	if u.PDF {
		d, err := pdf.New(pdf.Config{Pictures: pictures})
		if err != nil {
			return err
		}
		uc.Extract.Decoders = append(uc.Extract.Decoders, d)
	}
	if u.Follow {
		f, err := follow.New(follow.Config{Resolver: dns})
		if err != nil {
			return err
		}
		uc.Follow.Follower = f
	}
	return nil
}

// zone is z for package surbl: its preset, and what it says over that.
func (z *URIZone) zone() (zone surbl.Zone, err error) {
	if z.Preset != "" {
		preset, ok := uriPresets[z.Preset]
		if !ok {
			return zone, fmt.Errorf("%q is none of %s", z.Preset, strings.Join(slices.Sorted(maps.Keys(uriPresets)), ", "))
		}
		zone = preset()
		zone.Name = cmp.Or(zone.Name, zone.Domain)
	} else {
		zone.Lists = surbl.Domain
	}
	zone.Name = cmp.Or(z.Name, zone.Name)
	zone.Domain = cmp.Or(z.Domain, zone.Domain)
	zone.Key = surbl.Key(z.Key)
	if len(z.Codes) > 0 {
		zone.Codes = nil
	}
	for _, c := range z.Codes {
		zone.Codes = append(zone.Codes, surbl.Code{Answer: c.Answer, Means: c.Means, Weight: c.Weight, Action: smtpguard.Action(c.Action)})
	}
	return zone, nil
}

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

// uriPresets are the lists that are known by name. They are given the key, which
// several of them do nothing without.
var uriPresets = map[string]func(key surbl.Key) []surbl.Zone{
	"msbl-ebl":     keyed(surbl.MSBLEBL),
	"spamhaus-dbl": keyed(surbl.SpamhausDBL),
	"spamhaus-hbl": surbl.SpamhausHBL,
	"spamhaus-sbl": keyed(surbl.SpamhausSBL),
	"spamhaus-zrd": func(key surbl.Key) []surbl.Zone { return []surbl.Zone{surbl.SpamhausZRD(key)} },
	"surbl":        keyed(surbl.SURBL),
	"surbl-hash":   keyed(surbl.SURBLHash),
	"uribl":        keyed(surbl.URIBL),
}

func keyed(preset func() surbl.Zone) func(key surbl.Key) []surbl.Zone {
	return func(key surbl.Key) []surbl.Zone {
		z := preset()
		z.Key = key
		return []surbl.Zone{z}
	}
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
	if uc.Extract.Suffixes, err = surbl.ReadSuffixFiles(cfg.URILists.Suffixes, cfg.URILists.Levels...); err != nil {
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
	uc = surbl.Config{
		Resolver: dns,
		Limits:   surbl.Limits{Quarantine: u.Limits.Quarantine, Defer: u.Limits.Defer, Reject: u.Limits.Reject},
		Unseen:   surbl.Unseen{Weight: u.Unseen.Weight, Action: smtpguard.Action(u.Unseen.Action)},
	}
	if len(u.Exempt) > 0 {
		uc.Exempt = u.Exempt
	}
	if err := u.reads(&uc, dns); err != nil {
		return uc, err
	}
	for i := range u.Zones {
		zones, err := u.Zones[i].zones()
		if err != nil {
			return uc, err
		}
		uc.Zones = append(uc.Zones, zones...)
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

// zones are z for package surbl: its preset, and what it says over that.
func (z *URIZone) zones() ([]surbl.Zone, error) {
	zones := []surbl.Zone{{Key: surbl.Key(z.Key)}}
	if z.Preset != "" {
		preset, ok := uriPresets[z.Preset]
		if !ok {
			return nil, fmt.Errorf("%q is none of %s", z.Preset, strings.Join(slices.Sorted(maps.Keys(uriPresets)), ", "))
		}
		zones = preset(surbl.Key(z.Key))
		if len(zones) > 1 && (z.Name != "" || z.Prefix != "" || len(z.Lists)+len(z.Codes) > 0) {
			return nil, fmt.Errorf("%q are several lists, beside which only domain and key stand", z.Preset)
		}
	}
	for i := range zones {
		z.over(&zones[i])
	}
	return zones, nil
}

// over is what z says over a preset.
func (z *URIZone) over(zone *surbl.Zone) {
	zone.Name = cmp.Or(z.Name, zone.Name, zone.Domain)
	zone.Domain = cmp.Or(z.Domain, zone.Domain)
	zone.Prefix = cmp.Or(z.Prefix, zone.Prefix)
	zone.TestListed = cmp.Or(z.Test.Listed, zone.TestListed)
	zone.TestUnlisted = cmp.Or(z.Test.Unlisted, zone.TestUnlisted)
	if hash := (surbl.Hash{Sum: surbl.Sum(z.Hash.Sum), Base32: z.Hash.Base32, Length: int(z.Hash.Length), URL: surbl.URLForm(z.Hash.URL)}); hash != (surbl.Hash{}) {
		zone.Hash = hash
	}
	if len(z.Lists) > 0 {
		zone.Lists = 0
	} else if z.Preset == "" {
		zone.Lists = surbl.Domain
	}
	for _, l := range z.Lists {
		zone.Lists |= surbl.Subject(l)
	}
	if len(z.Codes) > 0 {
		zone.Codes = nil
	}
	for _, c := range z.Codes {
		zone.Codes = append(zone.Codes, surbl.Code{Answer: c.Answer, Means: c.Means, Weight: c.Weight, Action: smtpguard.Action(c.Action)})
	}
}

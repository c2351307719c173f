package dnsbl_test

import (
	"fmt"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/dnsbl"
)

func TestConfigErrors(t *testing.T) {
	z := func(change func(*dnsbl.Zone)) dnsbl.Config {
		zone := dnsbl.Zone{Domain: "a.example", Lists: dnsbl.IPv4}
		change(&zone)
		return dnsbl.Config{Resolver: net.DefaultResolver, Zones: []dnsbl.Zone{zone}}
	}
	code := func(c dnsbl.Code) dnsbl.Config {
		return z(func(z *dnsbl.Zone) { z.Codes = []dnsbl.Code{c} })
	}
	c := func(change func(*dnsbl.Config)) dnsbl.Config {
		cfg := z(func(*dnsbl.Zone) {})
		change(&cfg)
		return cfg
	}
	for want, cfg := range map[string]dnsbl.Config{
		"":                                      z(func(*dnsbl.Zone) {}),
		"Resolver is missing":                   {Zones: []dnsbl.Zone{{Domain: "a.example", Lists: 1}}},
		"Zones are 0":                           {Resolver: net.DefaultResolver},
		"Zones are 65":                          c(func(c *dnsbl.Config) { c.Zones = make([]dnsbl.Zone, 65) }),
		`Zones[1].Name "a.example" is another`:  c(func(c *dnsbl.Config) { c.Zones = append(c.Zones, c.Zones[0]) }),
		"Judge is auth":                         c(func(c *dnsbl.Config) { c.Judge = smtpguard.StageAuth }),
		"Judge is invalid":                      c(func(c *dnsbl.Config) { c.Judge = -1 }),
		"Timeout and Health.Retry must":         c(func(c *dnsbl.Config) { c.Timeout = -time.Second }),
		"Pending must not":                      c(func(c *dnsbl.Config) { c.Pending = -1 }),
		"Hops must not":                         c(func(c *dnsbl.Config) { c.Hops = -1 }),
		"Health.Errors must":                    c(func(c *dnsbl.Config) { c.Health.Errors = -1 }),
		"Limits.Reject must":                    c(func(c *dnsbl.Config) { c.Limits.Reject = math.NaN() }),
		"Limits.Defer must":                     c(func(c *dnsbl.Config) { c.Limits.Defer = -1 }),
		"Zones[0].Domain is no domain":          z(func(z *dnsbl.Zone) { z.Domain = "a..b" }),
		"Zones[0].Domain leaves no room":        z(func(z *dnsbl.Zone) { z.Domain = strings.Repeat("a.", 91) + "a" }),
		"Zones[0].Lists must be":                z(func(z *dnsbl.Zone) { z.Lists = 0 }),
		"Lists must be IPv4, IPv6, ":            z(func(z *dnsbl.Zone) { z.Lists = 8 }),
		"Zones[0].Name has characters":          z(func(z *dnsbl.Zone) { z.Name = "a\r\nb" }),
		"Zones[0].Key is no label":              z(func(z *dnsbl.Zone) { z.Key = "a b" }),
		"At has client twice":                   z(func(z *dnsbl.Zone) { z.At = []dnsbl.Position{dnsbl.Client, dnsbl.Client} }),
		"At has hello, and the zone lists no":   z(func(z *dnsbl.Zone) { z.At = []dnsbl.Position{dnsbl.Hello} }),
		"At has received, and the zone lists":   z(func(z *dnsbl.Zone) { z.Lists, z.At = dnsbl.Domains, []dnsbl.Position{dnsbl.Received} }),
		"At has a position 77":                  z(func(z *dnsbl.Zone) { z.At = []dnsbl.Position{77} }),
		"ReverseNames is missing":               z(func(z *dnsbl.Zone) { z.Lists, z.At = dnsbl.Domains, []dnsbl.Position{dnsbl.ReverseName} }),
		"Zones[0].Action is no":                 z(func(z *dnsbl.Zone) { z.Action = 9 }),
		"Zones[0].Reply has braces":             z(func(z *dnsbl.Zone) { z.Reply = "{ip}" }),
		`TestListed "x.example" is nothing`:     z(func(z *dnsbl.Zone) { z.TestListed = "x.example" }),
		`TestUnlisted "::1" is nothing`:         z(func(z *dnsbl.Zone) { z.TestUnlisted = "::1" }),
		"Refusals[0].Answer":                    z(func(z *dnsbl.Zone) { z.Refusals = []dnsbl.Refusal{{Answer: "x"}} }),
		"Codes[0].Answer \"\"":                  code(dnsbl.Code{}),
		"Codes[0].Answer \"127.0.0\"":           code(dnsbl.Code{Answer: "127.0.0"}),
		"Codes[0].Answer \"10.0.0.2\"":          code(dnsbl.Code{Answer: "10.0.0.2"}),
		"Codes[0].Answer \"*.0.0.2\"":           code(dnsbl.Code{Answer: "*.0.0.2"}),
		"Codes[0].Answer \"127.0.0.9-2\"":       code(dnsbl.Code{Answer: "127.0.0.9-2"}),
		"Codes[0].Answer \"127.0.&1.2\"":        code(dnsbl.Code{Answer: "127.0.&1.2"}),
		"Codes[0].Answer \"127.0.0.&0\"":        code(dnsbl.Code{Answer: "127.0.0.&0"}),
		"Codes[0].Answer \"127.0.0.02\"":        code(dnsbl.Code{Answer: "127.0.0.02"}),
		"Codes[0].Answer \"127.0.0.256\"":       code(dnsbl.Code{Answer: "127.0.0.256"}),
		"Codes is in 127.255.255.0/24":          code(dnsbl.Code{Answer: "127.255.255.254"}),
		"Codes over 64 codes":                   z(func(z *dnsbl.Zone) { z.Codes = make([]dnsbl.Code, 65) }),
		"Codes[0].Weight is not finite":         code(dnsbl.Code{Answer: "127.0.0.2", Weight: math.Inf(1)}),
		"Codes[0].Action is no":                 code(dnsbl.Code{Answer: "127.0.0.2", Action: -1}),
		"Codes[0].Accept is no":                 code(dnsbl.Code{Answer: "127.0.0.2", Accept: 7}),
		"Codes[0].Accept does not go with":      code(dnsbl.Code{Answer: "127.0.0.2", Accept: 1, Action: smtpguard.Reject}),
		"Codes[0].Reply has braces that are no": code(dnsbl.Code{Answer: "127.0.0.2", Reply: "}"}),
	} {
		_, err := dnsbl.New(cfg)
		if want == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), "dnsbl: Config.") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// Everything that can be refused names the key nowhere.
func TestConfigErrorsKeepTheKey(t *testing.T) {
	_, err := dnsbl.New(dnsbl.Config{Zones: []dnsbl.Zone{{Domain: "..", Key: "s3cr3t key", Name: "\n", Reply: "{"}}})
	if err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Error(err)
	}
}

func TestPresets(t *testing.T) {
	zones := []dnsbl.Zone{dnsbl.SpamhausZEN(), dnsbl.SpamhausDBL(), dnsbl.SpamCop(), dnsbl.Barracuda(), dnsbl.PSBL(), dnsbl.UCEPROTECT1(), dnsbl.Mailspike(), dnsbl.DNSWL()}
	newLists(t, dnsbl.Config{Resolver: net.DefaultResolver, Zones: zones})
	for _, tt := range []struct {
		zone         dnsbl.Zone
		answer, want string
	}{
		{zones[0], "127.0.0.2 127.0.0.9 127.0.0.10", "reject 0 SBL, spam source; DROP, hijacked or criminal network; PBL, not a mail server by its provider's policy"},
		{zones[0], "127.0.0.30", "reject 0 BCL, botnet controller"},
		{zones[0], "127.0.0.8", "error"},
		{zones[1], "127.0.1.2", "reject 0 domain of low reputation"},
		{zones[1], "127.0.1.103", "continue 2 abused redirector"},
		{zones[1], "127.0.1.255", "error"},
		{zones[2], "127.0.0.2", "continue 3 reported for spam"},
		{zones[3], "127.0.0.2", "continue 4 poor reputation"},
		{zones[4], "127.0.0.2", "continue 4 wrote to spam traps"},
		{zones[5], "127.0.0.2", "continue 2 level 1, sent spam within a week"},
		{zones[6], "127.0.0.11", "continue 3 very bad reputation"},
		{zones[6], "127.0.0.13", "error"},
		{zones[7], "127.0.5.1", "continue -1 trust low"},
		{zones[7], "127.0.0.255", "error"},
	} {
		res := answered(t, tt.zone, tt.answer)
		got := "error"
		if len(res.Failures) == 0 {
			var means []string
			for _, c := range res.Listings[0].Codes {
				means = append(means, c.Means)
			}
			got = fmt.Sprintf("%v %g %s", res.Action, res.Score, strings.Join(means, "; "))
		}
		if got != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.zone.Domain, tt.answer, got, tt.want)
		}
	}
}

func TestWords(t *testing.T) {
	for _, s := range []fmt.Stringer{dnsbl.Client, dnsbl.Position(0), dnsbl.Position(99), dnsbl.World, dnsbl.Standing(-1), dnsbl.Standing(99), dnsbl.Key("x"), dnsbl.Key("")} {
		if got := s.String(); got == "" && s != dnsbl.Key("") || strings.Contains(got, "x") {
			t.Errorf("%#v is %q", s, got)
		}
	}
}

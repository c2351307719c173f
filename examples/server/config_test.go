package main

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/limiter"
	"github.com/smtpguard/smtpguard/limiter/redisstore"
	"github.com/smtpguard/smtpguard/tlsconf"

	"github.com/smtpguard/smtpguard"
)

// The defaults hold without any file, and are what server.yaml says.
func TestDefaults(t *testing.T) {
	cfg, err := load("")
	if err != nil {
		t.Fatal(err)
	}
	wait := func(d time.Duration) *duration { x := duration(d); return &x }
	at := func(l tlsconf.Level) *level { x := level(l); return &x }
	want := &Config{
		Hostname:  "mail.example.org",
		Domains:   []string{"example.org"},
		Mailboxes: []string{},
		Route:     Route{TLS: startTLS},
		Relay:     []Grant{{Name: "logins", Logins: []string{"*"}, Networks: []network{}, To: []string{"*"}}},
		Relayed:   []Relayed{},
		Auth:      Auth{Mechanisms: []string{"EXTERNAL", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"}, Certificates: []ClientCertificate{}},
		Listeners: []Listener{
			{"inbound", inbound, "127.0.0.1:2525", startTLS, at(tlsconf.MX), wait(2 * time.Second), []network{}, []network{}},
			{"submission", submission, "127.0.0.1:2587", startTLS, at(tlsconf.Submission), wait(0), []network{}, []network{}},
			{"submissions", submission, "127.0.0.1:2465", implicit, at(tlsconf.Submission), wait(0), []network{}, []network{}},
		},
		Limits: Limits{
			MessageOctets: 32 << 20, Recipients: 100, Connections: 1000, Errors: 20, IdleCommands: 100, MinRate: 100,
			Slow: duration(time.Second), CommandTimeout: duration(5 * time.Minute), BodyTimeout: duration(3 * time.Minute),
			Lifetime: duration(time.Hour),
		},
		OwnNetworks: []network{},
		Concurrency: Concurrency{Connections: 1000, Transactions: 500, Client: 20, Network: 50, Login: 20},
		Rates: []Rate{
			{Name: "connections", Unit: unit(limiter.Connections), By: []string{"client"}, Limits: []limit{{N: 120, Per: time.Minute}},
				Networks: []network{}, Logins: []string{}, Except: []network{}},
			{Name: "probing", Unit: unit(limiter.Unknown), By: []string{"client"}, Limits: []limit{{N: 30, Per: time.Hour}}, Effect: effect(limiter.Disconnect)},
			{Name: "errors", Unit: unit(limiter.Errors), By: []string{"client"}, Limits: []limit{{N: 200, Per: time.Hour}}, Effect: effect(limiter.Disconnect)},
			{Name: "users", Unit: unit(limiter.Recipients), By: []string{"login"}, Limits: []limit{{N: 100, Per: 10 * time.Minute}, {N: 1000, Per: 24 * time.Hour}}},
		},
		Guesses: Guesses{
			Pair: limit{N: 5, Per: 15 * time.Minute}, Home: limit{N: 20, Per: time.Hour}, Login: limit{N: 50, Per: time.Hour}, Client: limit{N: 20, Per: time.Hour},
			First: duration(5 * time.Minute), Max: duration(time.Hour), Forget: duration(24 * time.Hour),
		},
		Lists:    []List{},
		Traps:    Traps{Addresses: []string{}, Hits: 1, Block: duration(time.Hour)},
		Redis:    Redis{Machines: 1, Away: away(redisstore.Local)},
		Shutdown: duration(20 * time.Second),
	}
	want.Octets.Rules = []OctetRule{}
	want.Inbound = Inbound{Mode: monitored, Most: action(smtpguard.Reject), Forwarders: []network{}, Sealers: []string{}, Gateways: []network{}}
	want.Inbound.Upstream = []Upstream{}
	want.Signing.By = byFrom
	want.Reports.Aggregate = Aggregate{Period: duration(24 * time.Hour), Jitter: duration(time.Hour)}
	want.Reports.Failure = Failures{Fields: []string{}, PerDomain: 10, Total: 240}
	want.URILists.Zones, want.URILists.Exempt, want.URILists.Levels = []URIZone{}, []string{}, []string{}
	want.Identity = Identity{Check: off, Addresses: []network{}, Rules: map[string]action{}}
	want.Resolver = Resolver{Entries: 100_000, Octets: 64 << 20}
	want.Resolver.Budget.Queries, want.Resolver.Budget.Time, want.Resolver.Budget.Octets = 200, duration(20*time.Second), 1<<20
	want.Resolver.Servers, want.DNSLists.Zones, want.DNSLists.Watch = []string{}, []DNSZone{}, []string{}
	want.TLS.Certificates = []Pair{}
	want.TLS.Require.From, want.TLS.Require.To, want.TLS.Require.Reports = []string{}, []string{}, []string{}
	want.Log.Format = textLog
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("defaults are\n%+v\nwant\n%+v", cfg, want)
	}
	empty := filepath.Join(t.TempDir(), "empty.yaml")
	if err := os.WriteFile(empty, []byte("# nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"server.yaml", empty} {
		if got, err := load(file); err != nil || !reflect.DeepEqual(got, cfg) {
			t.Errorf("%s is %+v, %v", file, got, err)
		}
	}
	if err := check(cfg); err != nil {
		t.Error(err)
	}
}

// The default file is the documentation: it has every key.
func TestEveryKeyIsDocumented(t *testing.T) {
	var walk func(reflect.Type)
	seen := 0
	walk = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Slice, reflect.Pointer:
			walk(typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				f := typ.Field(i)
				key := f.Tag.Get("yaml")
				if key == "" {
					continue
				}
				seen++
				if !bytes.Contains(defaults, []byte(key+":")) {
					t.Errorf("server.yaml does not have %s", key)
				}
				walk(f.Type)
			}
		}
	}
	walk(reflect.TypeFor[Config]())
	if seen < 40 {
		t.Errorf("only %d keys seen", seen)
	}
}

func TestOverDefaults(t *testing.T) {
	cfg := new(Config)
	for _, text := range []string{string(defaults), `
domains: [example.net, "*.example.net"]
relay:
  - {networks: [192.0.2.0/24, "2001:db8::1"], to: [example.com]}
listeners:
  - {name: in, kind: inbound, address: "127.0.0.1:25", tls: none}
  - {name: in2, kind: inbound, address: "127.0.0.1:26", tls: none, wait: 0s}
  - {name: sub, kind: submission, address: "127.0.0.1:27", tls: implicit}
limits: {slow: 0s}
octets: {rules: [{logins: [scanner], policy: normalize}]}
log: {format: json, level: warn}
`} {
		if err := parse("c.yaml", []byte(text), cfg); err != nil {
			t.Fatal(err)
		}
	}
	if got := []time.Duration{cfg.Listeners[0].wait(), cfg.Listeners[1].wait(), cfg.Listeners[2].wait()}; !reflect.DeepEqual(got, []time.Duration{2 * time.Second, 0, 0}) {
		t.Errorf("waits are %v", got)
	}
	if got := prefixes(cfg.Relay[0].Networks); !reflect.DeepEqual(got, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::1/128")}) {
		t.Errorf("networks are %v", got)
	}
	if cfg.Limits.Recipients != 100 || cfg.Limits.Slow != 0 || len(cfg.Domains) != 2 {
		t.Errorf("%+v", cfg)
	}
	gc := cfg.guard("", logger(cfg, os.Stderr))
	if gc.Limits.Slow >= 0 || gc.OctetRules[0].Policy != smtpguard.OctetsNormalize {
		t.Errorf("guard is %+v", gc)
	}
	if len(cfg.rules().Grants) != 0 {
		t.Error("grants without a route")
	}
	cfg.Route.Address = "192.0.2.1:25"
	if len(cfg.rules().Grants) != 1 {
		t.Error("no grant with a route")
	}
	if err := check(cfg); err != nil {
		t.Error(err)
	}
}

func TestBadFiles(t *testing.T) {
	for text, want := range map[string]string{
		"hostnme: x":                                  `1:1: hostnme: unknown field "hostnme"`,
		"limits:\n  erors: 3":                         `2:3: limits.erors: unknown field "erors"`,
		"listeners:\n  - name: a\n    nam: b":         `3:5: listeners[0].nam: unknown field "nam"`,
		"hostname: a\nhostname: b":                    `2:1: mapping key "hostname" already defined at [1:1]`,
		"domains: {a: 1}":                             `1:10: domains: mapping was used where sequence is expected`,
		"limits: 5":                                   `1:9: limits: int was used where mapping is expected`,
		"hostname: [a":                                `1:11: sequence end token ']' not found`,
		"limits:\n  slow: [1s]":                       `2:9: limits.slow: one value is wanted here`,
		"shutdown: 5":                                 `1:11: shutdown: "5" is no time, such as 500ms, 2s, 5m or 1h`,
		"shutdown: -5s":                               `1:11: shutdown: "-5s" is no time, such as 500ms, 2s, 5m or 1h`,
		"limits:\n  errors: 1.5":                      `2:11: limits.errors: "1.5" is no whole number, 0 or more`,
		"log: {level: loud}":                          `1:14: log.level: "loud" is none of debug, error, info, warn`,
		"listeners:\n- kind: foo":                     `2:9: listeners[0].kind: "foo" is none of inbound, submission`,
		"a: 1\n---\nb: 2":                             `a second document begins: one is read`,
		"listeners:\n- no-wait: [10.0.0.1/8]":         `2:13: listeners[0].no-wait[0]: "10.0.0.1/8" is no network: that would be 10.0.0.0/8`,
		"route: {address: x, tls: maybe}":             `1:26: route.tls: "maybe" is none of implicit, none, starttls`,
		"hostname: a b":                               `1:11: hostname: "a b" is no domain name`,
		"domains: []":                                 `1:10: domains: is empty`,
		"domains: [example.org, '*']":                 `1:24: domains[1]: fits every domain: that is an open relay`,
		"mailboxes: [ann, b@c]":                       `1:18: mailboxes[1]: "b@c" is no local part without detail`,
		"route: {address: x}":                         `1:18: route.address: "x" is not host:port`,
		"relay: [{networks: [0.0.0.0/0], to: ['*']}]": `relay[0]: Networks[0] 0.0.0.0/0: fits everybody`,
		"relay: [{networks: [192.0.2.1]}]":            `relay[0]: To: is empty`,
		"relayed: [{domain: a.example}]":              `relayed[0].route.address: "" is not host:port`,
		"domains: [a.example]\nrelayed: [{domain: a.example, route: {address: 'b:1'}}]":                                            `2:20: relayed[0].domain: "a.example" is one of domains`,
		"auth: {mechanisms: [CRAM-MD5]}":                                                                                           `1:21: auth.mechanisms[0]: "CRAM-MD5" is none of EXTERNAL`,
		"auth: {certificates: [{name: 'dns:a.example'}]}":                                                                          `auth.certificates[0].login: `,
		"auth: {certificates: [{name: x, login: a}]}":                                                                              `1:30: auth.certificates[0].name: `,
		"auth: {certificates: [{name: 'dns:a', login: a}]}":                                                                        `needs authorities`,
		"tls: {require: {to: ['a b']}}":                                                                                            `tls.require: `,
		"listeners:\n- level: old":                                                                                                 `2:10: listeners[0].level: "old" is none of mx, strict, submission`,
		"listeners: []":                                                                                                            `listeners: is empty: nobody could connect`,
		"listeners:\n- {name: a, kind: submission, tls: none, address: '127.0.0.1:1'}":                                             `2:36: listeners[0].tls: submission needs TLS`,
		"listeners:\n- {name: a, address: '127.0.0.1:1', tls: none}":                                                               `listeners[0]: has no kind`,
		"listeners:\n- {name: a, kind: inbound, address: '127.0.0.1:1'}":                                                           `listeners[0]: has no tls`,
		"listeners:\n- {name: a, kind: inbound, tls: none, address: 'a:smtp'}":                                                     `listeners[0].address: "a:smtp" is not host:port`,
		"listeners:\n- {name: a, kind: inbound, tls: none, address: 'a:1', wait: 5m}":                                              `listeners[0].wait: clients give up after 5m`,
		"listeners:\n- {name: a, kind: inbound, tls: none, address: 'a:1', wait: 0s, no-wait: [10.0.0.0/8]}":                       `listeners[0].no-wait: there is no wait`,
		"listeners:\n- {name: a, kind: inbound, tls: none, address: 'a:1', proxy: ['::/0']}":                                       `listeners[0].proxy[0]: would let anybody say`,
		"listeners:\n- {name: a, kind: inbound, tls: none, address: 'a:1'}\n- {name: a, kind: inbound, tls: none, address: 'a:1'}": `3:10: listeners[1].name: "a" is there already`,
		"tls: {certificates: [{key: k}]}":                                                                                          `tls.certificates[0]: certificate and key come together`,
		"relay: [{logins: [Ann@example.org], to: ['*']}]":                                                                          `1:19: relay[0].logins[0]: "Ann@example.org" logs in as "ann@example.org"`,
		"rates: [{name: a, unit: messages, limits: [5/1h], logins: ['*', b@bücher.example]}]":                                      `1:65: rates[0].logins[1]: "b@bücher.example" logs in as "b@xn--bcher-kva.example"`,
		"octets: {rules: [{logins: [\"a\\nb\"], policy: allow}]}":                                                                  `octets.rules[0].logins[0]: `,
		"auth: {certificates: [{name: 'dns:a', login: Host}]}":                                                                     `auth.certificates[0].login: "Host" logs in as "host"`,
		"octets: {rules: [{policy: allow}]}":                                                                                       `octets.rules[0]: names no network and no login`,
		"limits: {recipients: 5}":                                                                                                  `1:22: limits.recipients: must be 100 or more (RFC 5321, section 4.5.3.1.8)`,
		"limits: {lifetime: 2s}":                                                                                                   `1:20: limits.lifetime: 2s is over before the wait of listener inbound, 2s`,
		"relay: [{networks: [0.0.0.0/0]}]":                                                                                         `0.0.0.0/0: fits everybody: that is an open relay; To: is empty`,
		"limits: {lifetime: 0s}":                                                                                                   `1:20: limits.lifetime: must be more than 0s`,

		"rates: [{name: a, unit: mails}]":                                                   `1:25: rates[0].unit: "mails" is none of commands, connections,`,
		"rates: [{name: a, unit: messages, limits: [5 an hour]}]":                           `1:44: rates[0].limits[0]: "5 an hour" is no limit, such as 20/1h`,
		"rates: [{name: a, unit: messages, limits: [5/0s]}]":                                `"5/0s" is no limit`,
		"rates: [{name: a, unit: messages, by: [hat], limits: [5/1h]}]":                     `rates[0]: By: "hat" is nothing to count by`,
		"rates: [{name: a, unit: messages}]":                                                `rates[0]: Limits: there is none`,
		"rates: [{name: a, limits: [5/1h]}, {name: a, limits: [5/1h]}]":                     `rates[1].name: "a" is there already`,
		"guesses: {first: 2h}":                                                              `guesses: Backoff.Max: must not be less than First`,
		"concurrency: {client: 0}":                                                          `concurrency: `,
		"own-networks: [0.0.0.0/0]":                                                         `1:16: own-networks[0]: is everybody`,
		"lists: [{name: A, path: x}]":                                                       `1:16: lists[0].name: "A" is no name`,
		"lists: [{name: a}]":                                                                `lists[0]: has to have either a path or a url`,
		"lists: [{name: a, path: x, format: xml}]":                                          `lists[0]: ParseConfig.Format "xml" is not known`,
		"lists: [{name: a, url: 'http://a.example/'}]":                                      `Fetch.URL has scheme "http", which is not allowed`,
		"traps: {addresses: [nobody]}":                                                      `1:21: traps.addresses[0]: mailbox "nobody" is no mail address`,
		"traps: {hits: 0}":                                                                  `1:15: traps.hits: must be 1 or more`,
		"resolver: {servers: [here]}":                                                       `1:22: resolver.servers[0]: `,
		"resolver: {entries: 0}":                                                            `resolver: entries and octets must be 1 or more`,
		"authentication: {mode: maybe}":                                                     `1:24: authentication.mode: "maybe" is none of enforce, monitor, none`,
		"authentication: {mode: enforce, most: none}":                                       `1:39: authentication.most: none is what mode monitor does`,
		"authentication: {mode: enforce, sealers: ['a b']}":                                 `authentication: Config.Sealers[0] "a b" is no domain name`,
		"authentication: {upstream: [{id: 'a b', networks: [192.0.2.1]}]}":                  `1:34: authentication.upstream[0].id: `,
		"authentication: {upstream: [{id: mail.example.org, networks: [192.0.2.1]}]}":       `authentication.upstream[0].id: "mail.example.org" is ours`,
		"authentication: {upstream: [{id: a.example}]}":                                     `authentication.upstream[0]: names no network`,
		"authentication: {upstream: [{id: a.example, networks: [192.0.2.1, '::/0']}]}":      `authentication.upstream[0].networks[1]: would let anybody say`,
		"authentication: {mode: none, upstream: [{id: a.example, networks: [192.0.2.1]}]}":  `authentication.upstream[0]: nothing is looked at`,
		"signing: {by: domain}":                                                             `1:15: signing.by: "domain" is none of from, login`,
		"signing: {keys: k, expire: 1500ms}":                                                `1:28: signing.expire: not a number of seconds`,
		"signing: {required: true}":                                                         `1:21: signing.required: there are no keys to sign with`,
		"signing: {hosts: true}":                                                            `1:18: signing.hosts: there are no keys to sign with`,
		"sealing: {domain: example.org, selector: s}":                                       `sealing: domain, selector and key come together`,
		"sealing: {domain: example, selector: s, key: k}":                                   `sealing: `,
		"authentication: {mode: none}\nsealing: {domain: example.org, selector: s, key: k}": `sealing: nothing is found that could be sealed`,
		"reports: {email: here}":                                                            `1:18: reports.email: "here" is no mail address`,
		"reports: {email: 'A <a@b.example>'}":                                               `reports.email: "A <a@b.example>" is no mail address`,
		"reports: {organization: x}":                                                        `reports.email: is empty: whom would reports be from?`,
		"reports: {email: a@b.example, organization: \"a\\nb\"}":                            `reports.organization: "a\nb" has control characters, or over 200`,
		"reports: {email: a@b.example, aggregate: {period: 7h}}":                            `1:51: reports.aggregate.period: not a part of a day`,
		"authentication: {mode: none}\nreports: {email: a@b.example}":                       `reports: nothing is found that could be reported`,
		"identity: {check: enforce, rules: {odd: reject}}":                                  `1:35: identity.rules: `,
		"uri-lists: {zones: [{preset: zen}]}":                                               `uri-lists.zones[0]: "zen" is none of msbl-ebl, spamhaus-dbl, spamhaus-hbl,`,
		"uri-lists: {zones: [{preset: spamhaus-hbl, key: k, lists: [url]}]}":                `uri-lists.zones[0]: "spamhaus-hbl" are several lists`,
		"uri-lists: {zones: [{domain: a.example, lists: [links]}]}":                         `uri-lists.zones[0].lists[0]: "links" is none of address, domain,`,
		"uri-lists: {zones: [{domain: a.example, hash: {sum: md6}}]}":                       `uri-lists.zones[0].hash.sum: "md6" is none of md5, sha1, sha256`,
		"uri-lists: {zones: [{domain: a.example, lists: [file], hash: {sum: sha256}}]}":     `uri-lists.zones[0]: `,
		"uri-lists: {zones: [{preset: surbl}, {preset: surbl}]}":                            `uri-lists: `,
		"uri-lists: {zones: [{name: a}]}":                                                   `uri-lists.zones[0]: `,
		"dns-lists: {zones: [{preset: zen}]}":                                               `dns-lists.zones[0]: "zen" is none of barracuda,`,
		"dns-lists: {zones: [{domain: bl.example}]}":                                        `dns-lists.zones[0]: `,
		"dns-lists: {watch: [192.0.2.1]}":                                                   `1:20: dns-lists.watch: there are no zones`,
		"redis: {address: here}":                                                            `1:18: redis.address: "here" is neither host:port nor a path`,
		"redis: {machines: 0}":                                                              `1:19: redis.machines: must be 1 or more`,
	} {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := load(path)
		if err == nil || !strings.HasPrefix(err.Error(), path+":") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want %s", text, err, want)
		}
	}
	err := parse("c.yaml", []byte("limits:\n  recipients: 1\n  errors: 0\nhostname: ''\n"), new(Config))
	if n := strings.Count(err.Error(), "\n"); n < 2 || !strings.Contains(err.Error(), "c.yaml:2:15") || !strings.Contains(err.Error(), "c.yaml:3:11") {
		t.Errorf("not everything is said at once: %v", err)
	}
}

// What only the parts together know to be wrong, -check says too.
func TestCheck(t *testing.T) {
	cfg, err := load("")
	if err != nil {
		t.Fatal(err)
	}
	fails := func(want string) {
		t.Helper()
		if err := check(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
	cfg.TLS.Certificates = []Pair{{"/nonexistent/c.pem", "/nonexistent/k.pem"}}
	fails("tls: ")
	cfg.TLS.Certificates = nil
	cfg.Auth.Passwords = "/nonexistent/passwords"
	fails("passwords")
	cfg.Auth.Passwords = ""
	cfg.Auth.Authorities = "server.yaml"
	fails("auth.authorities: server.yaml has no certificate")
	cfg.Auth.Authorities = ""
	cfg.URILists.Zones, cfg.URILists.Levels = []URIZone{{Preset: "surbl"}}, []string{"/nonexistent/levels"}
	fails("/nonexistent/levels")
}

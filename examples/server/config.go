package main

import (
	_ "embed"
	"log/slog"
	"net/netip"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/blocklist"
	"github.com/smtpguard/smtpguard/dnsbl"
	"github.com/smtpguard/smtpguard/limiter"
	"github.com/smtpguard/smtpguard/limiter/redisstore"
	"github.com/smtpguard/smtpguard/surbl"
	"github.com/smtpguard/smtpguard/tlsconf"
)

// defaults is the file that says what every key means.
//
//go:embed server.yaml
var defaults []byte

// Config is what server.yaml says.
type Config struct {
	Hostname  string     `yaml:"hostname"`
	Contact   string     `yaml:"contact"`
	Domains   []string   `yaml:"domains"`
	Mailboxes []string   `yaml:"mailboxes"`
	Route     Route      `yaml:"route"`
	Relay     []Grant    `yaml:"relay"`
	Relayed   []Relayed  `yaml:"relayed"`
	Auth      Auth       `yaml:"auth"`
	Listeners []Listener `yaml:"listeners"`
	TLS       TLS        `yaml:"tls"`
	Limits    Limits     `yaml:"limits"`

	OwnNetworks []network   `yaml:"own-networks"`
	Concurrency Concurrency `yaml:"concurrency"`
	Rates       []Rate      `yaml:"rates"`
	Guesses     Guesses     `yaml:"guesses"`
	Lists       []List      `yaml:"lists"`
	Traps       Traps       `yaml:"traps"`
	Resolver    Resolver    `yaml:"resolver"`
	Inbound     Inbound     `yaml:"authentication"`
	Signing     Signing     `yaml:"signing"`
	Sealing     Sealing     `yaml:"sealing"`
	Reports     Reports     `yaml:"reports"`
	Identity    Identity    `yaml:"identity"`
	DNSLists    DNSLists    `yaml:"dns-lists"`
	URILists    URILists    `yaml:"uri-lists"`
	Redis       Redis       `yaml:"redis"`

	Hello  helloPolicy `yaml:"hello"`
	Octets struct {
		Policy octetPolicy `yaml:"policy"`
		Rules  []OctetRule `yaml:"rules"`
	} `yaml:"octets"`
	Log struct {
		Format logFormat `yaml:"format"`
		Level  logLevel  `yaml:"level"`
	} `yaml:"log"`
	Shutdown duration `yaml:"shutdown"`
}

// Route is the next host. The zero Route leads nowhere; the zero TLS is
// startTLS.
type Route struct {
	Address string  `yaml:"address"`
	TLS     tlsMode `yaml:"tls"`
}

// Grant lets clients send elsewhere.
type Grant struct {
	Name     string    `yaml:"name"`
	Logins   []string  `yaml:"logins"`
	Networks []network `yaml:"networks"`
	To       []string  `yaml:"to"`
}

// Relayed is a domain whose mail is passed on.
type Relayed struct {
	Domain string `yaml:"domain"`
	Route  Route  `yaml:"route"`
}

// Auth says who may log in, and how.
type Auth struct {
	Passwords    string              `yaml:"passwords"`
	Mechanisms   []string            `yaml:"mechanisms"`
	Authorities  string              `yaml:"authorities"`
	Certificates []ClientCertificate `yaml:"certificates"`
}

// ClientCertificate is whose a certificate is.
type ClientCertificate struct {
	Name  string `yaml:"name"`
	Login string `yaml:"login"`
}

// TLS is what the wire is protected with, and where it has to be.
type TLS struct {
	Certificates []Pair `yaml:"certificates"`
	Require      struct {
		Mail    bool     `yaml:"mail"`
		From    []string `yaml:"from"`
		To      []string `yaml:"to"`
		Reports []string `yaml:"reports"`
	} `yaml:"require"`
}

// Pair is a certificate and its key, as files.
type Pair struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
}

// Listener is a socket.
type Listener struct {
	Name    string    `yaml:"name"`
	Kind    kind      `yaml:"kind"`
	Address string    `yaml:"address"`
	TLS     tlsMode   `yaml:"tls"`
	Level   *level    `yaml:"level"`
	Wait    *duration `yaml:"wait"`
	NoWait  []network `yaml:"no-wait"`
	Proxy   []network `yaml:"proxy"`
}

// wait is how long clients wait for the banner.
func (l *Listener) wait() time.Duration {
	switch {
	case l.Wait != nil:
		return time.Duration(*l.Wait)
	case l.Kind == inbound:
		return 2 * time.Second
	}
	return 0
}

// level is how much of TLS is asked of clients.
func (l *Listener) level() tlsconf.Level {
	switch {
	case l.Level != nil:
		return tlsconf.Level(*l.Level)
	case l.Kind == inbound:
		return tlsconf.MX
	}
	return tlsconf.Submission
}

// Limits bounds clients.
type Limits struct {
	MessageOctets  count    `yaml:"message-octets"`
	Recipients     count    `yaml:"recipients"`
	Connections    count    `yaml:"connections"`
	Errors         count    `yaml:"errors"`
	IdleCommands   count    `yaml:"idle-commands"`
	Slow           duration `yaml:"slow"`
	CommandTimeout duration `yaml:"command-timeout"`
	BodyTimeout    duration `yaml:"body-timeout"`
	MinRate        count    `yaml:"min-rate"`
	Lifetime       duration `yaml:"lifetime"`
}

// Concurrency bounds what goes on at once.
type Concurrency struct {
	Connections  count `yaml:"connections"`
	Transactions count `yaml:"transactions"`
	Client       count `yaml:"client"`
	Network      count `yaml:"network"`
	Login        count `yaml:"login"`
}

// Rate is a rule of how much may come in a time.
type Rate struct {
	Name     string    `yaml:"name"`
	Unit     unit      `yaml:"unit"`
	By       []string  `yaml:"by"`
	Limits   []limit   `yaml:"limits"`
	Effect   effect    `yaml:"effect"`
	Networks []network `yaml:"networks"`
	Logins   []string  `yaml:"logins"`
	Except   []network `yaml:"except"`
}

// Guesses says how many failed logins are free, and what follows.
type Guesses struct {
	Pair   limit    `yaml:"pair"`
	Home   limit    `yaml:"home"`
	Login  limit    `yaml:"login"`
	Client limit    `yaml:"client"`
	First  duration `yaml:"first"`
	Max    duration `yaml:"max"`
	Forget duration `yaml:"forget"`
	Block  duration `yaml:"block"`
}

// List is a list of our own, from a file or a URL.
type List struct {
	Name   string   `yaml:"name"`
	Path   string   `yaml:"path"`
	URL    string   `yaml:"url"`
	Every  duration `yaml:"every"`
	Plain  bool     `yaml:"plain"`
	Format string   `yaml:"format"`
	Word   listWord `yaml:"word"`
	Kind   listKind `yaml:"kind"`
	Column string   `yaml:"column"`
}

// Traps are addresses that no person uses.
type Traps struct {
	Addresses []string `yaml:"addresses"`
	Refuse    bool     `yaml:"refuse"`
	Hits      count    `yaml:"hits"`
	Block     duration `yaml:"block"`
}

// Resolver is whom DNS is asked through.
type Resolver struct {
	Servers []string `yaml:"servers"`
	Rotate  bool     `yaml:"rotate"`
	Entries count    `yaml:"entries"`
	Octets  count    `yaml:"octets"`
	Stale   duration `yaml:"stale"`
	Budget  struct {
		Queries count    `yaml:"queries"`
		Time    duration `yaml:"time"`
		Octets  count    `yaml:"octets"`
	} `yaml:"budget"`
}

// Inbound says how mail from other servers is authenticated.
type Inbound struct {
	Mode        mode       `yaml:"mode"`
	Most        action     `yaml:"most"`
	Temporary   action     `yaml:"temporary"`
	SPFFail     action     `yaml:"spf-fail"`
	Forwarders  []network  `yaml:"forwarders"`
	Sealers     []string   `yaml:"sealers"`
	Gateways    []network  `yaml:"gateways"`
	ReceivedSPF bool       `yaml:"received-spf"`
	Upstream    []Upstream `yaml:"upstream"`
}

// What is made of the results of authentication.
type mode string

const (
	unlooked  mode = "none"
	monitored mode = "monitor"
	enforced  mode = "enforce"
)

// Identity says what is asked of clients' names and reverse-paths.
type Identity struct {
	Check     degree            `yaml:"check"`
	Addresses []network         `yaml:"addresses"`
	Rules     map[string]action `yaml:"rules"`
}

// How much a check counts.
type degree string

const (
	off     degree = "none"
	note    degree = "note"
	enforce degree = "enforce"
)

// DNSLists are public lists.
type DNSLists struct {
	Zones  []DNSZone `yaml:"zones"`
	Limits struct {
		Quarantine float64 `yaml:"quarantine"`
		Defer      float64 `yaml:"defer"`
		Reject     float64 `yaml:"reject"`
	} `yaml:"limits"`
	Watch []string `yaml:"watch"`
}

// DNSZone is one of them.
type DNSZone struct {
	Name   string     `yaml:"name"`
	Preset string     `yaml:"preset"`
	Domain string     `yaml:"domain"`
	Key    string     `yaml:"key"`
	Lists  []zoneKind `yaml:"lists"`
	Action action     `yaml:"action"`
	Codes  []Code     `yaml:"codes"`
}

// URILists are public lists of what messages link to.
type URILists struct {
	Zones  []URIZone `yaml:"zones"`
	Limits struct {
		Quarantine float64 `yaml:"quarantine"`
		Defer      float64 `yaml:"defer"`
		Reject     float64 `yaml:"reject"`
	} `yaml:"limits"`
	Unseen struct {
		Weight float64 `yaml:"weight"`
		Action action  `yaml:"action"`
	} `yaml:"unseen"`
	Suffixes string   `yaml:"suffixes"`
	Levels   []string `yaml:"levels"`

	Exempt []string `yaml:"exempt"`
	PDF    bool     `yaml:"pdf"`
	QR     bool     `yaml:"qr"`
	Follow bool     `yaml:"follow"`
}

// URIZone is one of them.
type URIZone struct {
	Name   string       `yaml:"name"`
	Preset string       `yaml:"preset"`
	Domain string       `yaml:"domain"`
	Key    string       `yaml:"key"`
	Prefix string       `yaml:"prefix"`
	Lists  []uriSubject `yaml:"lists"`
	Hash   struct {
		Sum    uriSum  `yaml:"sum"`
		Base32 bool    `yaml:"base32"`
		Length count   `yaml:"length"`
		URL    urlForm `yaml:"url"`
	} `yaml:"hash"`
	Test struct {
		Listed   string `yaml:"listed"`
		Unlisted string `yaml:"unlisted"`
	} `yaml:"test"`
	Codes []Code `yaml:"codes"`
}

// Code is what an answer of a zone means.
type Code struct {
	Answer string  `yaml:"answer"`
	Means  string  `yaml:"means"`
	Weight float64 `yaml:"weight"`
	Action action  `yaml:"action"`
}

// Redis is where several servers share limits and what is blocked.
type Redis struct {
	Address  string `yaml:"address"`
	Username string `yaml:"username"`
	Password string `yaml:"password"`
	Machines count  `yaml:"machines"`
	Away     away   `yaml:"away"`
}

// OctetRule is a policy for some clients.
type OctetRule struct {
	Networks []network   `yaml:"networks"`
	Logins   []string    `yaml:"logins"`
	Policy   octetPolicy `yaml:"policy"`
}

// What a listener is for.
type kind string

const (
	inbound    kind = "inbound"
	submission kind = "submission"
)

// When a listener does TLS.
type tlsMode string

const (
	startTLS tlsMode = "starttls"
	implicit tlsMode = "implicit"
	noTLS    tlsMode = "none"
)

type logFormat string

const (
	textLog logFormat = "text"
	jsonLog logFormat = "json"
)

type (
	duration    time.Duration
	count       int
	network     netip.Prefix
	logLevel    slog.Level
	helloPolicy smtpguard.HelloPolicy
	octetPolicy smtpguard.OctetPolicy
	unit        limiter.Unit
	effect      limiter.Effect
	limit       limiter.Limit
	listWord    blocklist.Word
	listKind    blocklist.Kind
	away        redisstore.Away
	level       tlsconf.Level
	zoneKind    dnsbl.Kind
	uriSubject  surbl.Subject
	uriSum      surbl.Sum
	urlForm     surbl.URLForm
	action      smtpguard.Action
)

func prefixes(ns []network) []netip.Prefix {
	var ps []netip.Prefix
	for _, n := range ns {
		ps = append(ps, netip.Prefix(n))
	}
	return ps
}

func (d duration) String() string { return time.Duration(d).String() }

package main

import (
	_ "embed"
	"log/slog"
	"net/netip"
	"time"

	"github.com/smtpguard/smtpguard"
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
	Users     []User     `yaml:"users"`
	Listeners []Listener `yaml:"listeners"`
	TLS       struct {
		Certificate string `yaml:"certificate"`
		Key         string `yaml:"key"`
	} `yaml:"tls"`
	Limits Limits      `yaml:"limits"`
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

// User may log in.
type User struct {
	Name      string   `yaml:"name"`
	Hash      string   `yaml:"hash"`
	Addresses []string `yaml:"addresses"`
}

// Listener is a socket.
type Listener struct {
	Name    string    `yaml:"name"`
	Kind    kind      `yaml:"kind"`
	Address string    `yaml:"address"`
	TLS     tlsMode   `yaml:"tls"`
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
)

func prefixes(ns []network) []netip.Prefix {
	var ps []netip.Prefix
	for _, n := range ns {
		ps = append(ps, netip.Prefix(n))
	}
	return ps
}

func (d duration) String() string { return time.Duration(d).String() }

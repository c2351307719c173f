package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/blocklist"
	"github.com/smtpguard/smtpguard/dnsbl"
	"github.com/smtpguard/smtpguard/limiter"
	"github.com/smtpguard/smtpguard/limiter/redisstore"
	"github.com/smtpguard/smtpguard/surbl"
	"github.com/smtpguard/smtpguard/tlsconf"
)

// load returns the defaults, and what the file at path says over them; "" is no
// file. Its error has a line for everything that is wrong, with the place; the
// first value that cannot be read hides the rest.
func load(path string) (*Config, error) {
	cfg := new(Config)
	if err := parse("server.yaml", defaults, cfg); err != nil {
		return nil, err
	}
	if path == "" {
		return cfg, nil
	}
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := parse(path, src, cfg); err != nil {
		return nil, err
	}
	return cfg, nil
}

// parse reads src, named name in errors, over what cfg has.
func parse(name string, src []byte, cfg *Config) error {
	file, err := parser.ParseBytes(src, 0)
	if err != nil {
		return placed(name, nil, err)
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if body != nil {
			return at(name, doc.GetToken(), "a second document begins: one is read")
		}
		body = doc.Body
	}
	if body != nil { // DecodeFromNode would clear cfg
		err = yaml.NewDecoder(strings.NewReader(""), yaml.Strict()).DecodeFromNode(body, cfg)
		if err != nil {
			return placed(name, body, err)
		}
	}
	problems := cfg.problems()
	for i := range problems {
		problems[i].place(body)
	}
	slices.SortStableFunc(problems, func(a, b problem) int { return a.line - b.line })
	var errs []error
	for _, p := range problems {
		errs = append(errs, errors.New(p.text(name)))
	}
	return errors.Join(errs...)
}

// placed gives a YAML error its place on one line.
func placed(name string, body ast.Node, err error) error {
	var e yaml.Error
	if !errors.As(err, &e) || e.GetToken() == nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	message := e.GetMessage()
	if key := keyOf(body, e.GetToken()); key != "" {
		message = key + ": " + message
	}
	return at(name, e.GetToken(), message)
}

// keyOf is the key whose value begins with t; "" is none.
func keyOf(body ast.Node, t *token.Token) (key string) {
	if body != nil {
		ast.Walk(visitor(func(n ast.Node) {
			if key == "" && n.GetToken() == t {
				key = strings.TrimPrefix(strings.TrimPrefix(n.GetPath(), "$"), ".")
			}
		}), body)
	}
	return key
}

type visitor func(ast.Node)

func (v visitor) Visit(n ast.Node) ast.Visitor {
	v(n)
	return v
}

func at(name string, t *token.Token, message string) error {
	return fmt.Errorf("%s:%d:%d: %s", name, t.Position.Line, t.Position.Column, message)
}

// problem is something wrong with the value of a key.
type problem struct {
	key  []any // field names and list indices, from the top
	what string

	line, column int // 0 when the key is not in the file
}

// place finds the key, or what is nearest above it, in a document.
func (p *problem) place(n ast.Node) {
	for _, step := range p.key {
		if n = child(n, step); n == nil {
			return
		}
		if t := n.GetToken(); t != nil && t.Position != nil {
			p.line, p.column = t.Position.Line, t.Position.Column
		}
	}
}

func (p *problem) text(name string) string {
	var key strings.Builder
	for _, step := range p.key {
		switch s := step.(type) {
		case int:
			fmt.Fprintf(&key, "[%d]", s)
		case string:
			if key.Len() > 0 {
				key.WriteByte('.')
			}
			key.WriteString(s)
		}
	}
	if p.line == 0 {
		return fmt.Sprintf("%s: %s: %s", name, key.String(), p.what)
	}
	return fmt.Sprintf("%s:%d:%d: %s: %s", name, p.line, p.column, key.String(), p.what)
}

// child is the value of a field, or of a list's element; nil when there is none.
func child(n ast.Node, step any) ast.Node {
	switch s := step.(type) {
	case string:
		m, ok := n.(ast.MapNode)
		if !ok {
			return nil
		}
		for it := m.MapRange(); it.Next(); {
			if it.Key().GetToken().Value == s {
				return it.Value()
			}
		}
	case int:
		if list, ok := n.(*ast.SequenceNode); ok && s < len(list.Values) {
			return list.Values[s]
		}
	}
	return nil
}

// scalar reads one value; what is wrong with it is said with its place.
func scalar[T any](n ast.Node, v *T, read func(string) (T, error)) error {
	if _, ok := n.(ast.ScalarNode); !ok {
		return &yaml.SyntaxError{Message: "one value is wanted here", Token: n.GetToken()}
	}
	text := n.GetToken().Value
	x, err := read(text)
	if err != nil {
		return &yaml.SyntaxError{Message: fmt.Sprintf("%q is %v", text, err), Token: n.GetToken()}
	}
	*v = x
	return nil
}

// word reads one of some words.
func word[T any](n ast.Node, v *T, words map[string]T) error {
	return scalar(n, v, func(s string) (T, error) {
		x, ok := words[s]
		if !ok {
			var known []string
			for w := range words {
				known = append(known, w)
			}
			slices.Sort(known)
			return x, errors.New("none of " + strings.Join(known, ", "))
		}
		return x, nil
	})
}

func (k *kind) UnmarshalYAML(n ast.Node) error {
	return word(n, k, map[string]kind{"inbound": inbound, "submission": submission})
}

func (m *tlsMode) UnmarshalYAML(n ast.Node) error {
	return word(n, m, map[string]tlsMode{"starttls": startTLS, "implicit": implicit, "none": noTLS})
}

func (f *logFormat) UnmarshalYAML(n ast.Node) error {
	return word(n, f, map[string]logFormat{"text": textLog, "json": jsonLog})
}

func (l *logLevel) UnmarshalYAML(n ast.Node) error {
	return word(n, l, map[string]logLevel{
		"debug": logLevel(slog.LevelDebug), "info": logLevel(slog.LevelInfo),
		"warn": logLevel(slog.LevelWarn), "error": logLevel(slog.LevelError),
	})
}

func (p *helloPolicy) UnmarshalYAML(n ast.Node) error {
	return word(n, p, map[string]helloPolicy{
		"note": helloPolicy(smtpguard.HelloNote), "refuse": helloPolicy(smtpguard.HelloRefuse),
	})
}

func (p *octetPolicy) UnmarshalYAML(n ast.Node) error {
	return word(n, p, map[string]octetPolicy{
		"reject": octetPolicy(smtpguard.OctetsReject), "normalize": octetPolicy(smtpguard.OctetsNormalize),
		"allow": octetPolicy(smtpguard.OctetsAllow),
	})
}

func (u *unit) UnmarshalYAML(n ast.Node) error {
	words := make(map[string]unit)
	for x := limiter.Messages; x <= limiter.Unknown; x++ {
		words[strings.ReplaceAll(x.String(), " ", "-")] = unit(x)
	}
	return word(n, u, words)
}

func (e *effect) UnmarshalYAML(n ast.Node) error {
	return word(n, e, map[string]effect{
		"defer": effect(limiter.Defer), "reject": effect(limiter.Reject), "disconnect": effect(limiter.Disconnect),
		"slow": effect(limiter.Slow), "note": effect(limiter.Note),
	})
}

func (w *listWord) UnmarshalYAML(n ast.Node) error {
	return word(n, w, map[string]listWord{"block": listWord(blocklist.Block), "allow": listWord(blocklist.Allow)})
}

func (k *listKind) UnmarshalYAML(n ast.Node) error {
	words := make(map[string]listKind)
	for x := blocklist.Addr; x <= blocklist.Fingerprint; x++ {
		words[x.String()] = listKind(x)
	}
	return word(n, k, words)
}

func (a *away) UnmarshalYAML(n ast.Node) error {
	return word(n, a, map[string]away{
		"local": away(redisstore.Local), "closed": away(redisstore.Closed), "open": away(redisstore.Open),
	})
}

func (k *zoneKind) UnmarshalYAML(n ast.Node) error {
	return word(n, k, map[string]zoneKind{
		"ipv4": zoneKind(dnsbl.IPv4), "ipv6": zoneKind(dnsbl.IPv6), "domains": zoneKind(dnsbl.Domains),
	})
}

func (s *uriSubject) UnmarshalYAML(n ast.Node) error {
	return word(n, s, map[string]uriSubject{
		"domain": uriSubject(surbl.Domain), "host": uriSubject(surbl.Host), "literal": uriSubject(surbl.Literal),
		"hosted": uriSubject(surbl.Hosted), "served": uriSubject(surbl.Served), "address": uriSubject(surbl.Address),
		"url": uriSubject(surbl.URL), "wallet": uriSubject(surbl.Crypto), "file": uriSubject(surbl.Attached),
	})
}

func (s *uriSum) UnmarshalYAML(n ast.Node) error {
	words := make(map[string]uriSum)
	for _, x := range []surbl.Sum{surbl.SHA1, surbl.SHA256, surbl.MD5} {
		words[x.String()] = uriSum(x)
	}
	return word(n, s, words)
}

func (f *urlForm) UnmarshalYAML(n ast.Node) error {
	return word(n, f, map[string]urlForm{
		"host-path": urlForm(surbl.HostPath), "shorteners": urlForm(surbl.Shorteners), "spamhaus": urlForm(surbl.Spamhaus),
	})
}

func (m *mode) UnmarshalYAML(n ast.Node) error {
	return word(n, m, map[string]mode{"none": unlooked, "monitor": monitored, "enforce": enforced})
}

func (d *degree) UnmarshalYAML(n ast.Node) error {
	return word(n, d, map[string]degree{"none": off, "note": note, "enforce": enforce})
}

func (a *action) UnmarshalYAML(n ast.Node) error {
	return word(n, a, map[string]action{
		"none": action(smtpguard.Continue), "quarantine": action(smtpguard.Quarantine),
		"defer": action(smtpguard.Defer), "reject": action(smtpguard.Reject),
	})
}

func (l *level) UnmarshalYAML(n ast.Node) error {
	words := make(map[string]level)
	for _, x := range []tlsconf.Level{tlsconf.Submission, tlsconf.MX, tlsconf.Strict} {
		words[x.String()] = level(x)
	}
	return word(n, l, words)
}

// UnmarshalYAML reads "20/1h", and "none" for no limit.
func (l *limit) UnmarshalYAML(n ast.Node) error {
	return scalar(n, l, func(s string) (limit, error) {
		if s == "none" {
			return limit{N: -1}, nil
		}
		number, window, _ := strings.Cut(s, "/")
		x, err := strconv.Atoi(number)
		per, e := time.ParseDuration(window)
		made := limiter.Limit{N: x, Per: per}
		if err != nil || e != nil || x < 1 || made.Validate() != nil {
			return limit{}, errors.New("no limit, such as 20/1h, and not none")
		}
		return limit(made), nil
	})
}

func (d *duration) UnmarshalYAML(n ast.Node) error {
	return scalar(n, d, func(s string) (duration, error) {
		x, err := time.ParseDuration(s)
		if err != nil || x < 0 || s == "0" {
			return 0, errors.New("no time, such as 500ms, 2s, 5m or 1h")
		}
		return duration(x), nil
	})
}

func (c *count) UnmarshalYAML(n ast.Node) error {
	return scalar(n, c, func(s string) (count, error) {
		x, err := strconv.Atoi(s)
		if err != nil || x < 0 {
			return 0, errors.New("no whole number, 0 or more")
		}
		return count(x), nil
	})
}

func (p *network) UnmarshalYAML(n ast.Node) error {
	return scalar(n, p, func(s string) (network, error) {
		if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
			addr = addr.Unmap()
			return network(netip.PrefixFrom(addr, addr.BitLen())), nil
		}
		x, err := netip.ParsePrefix(s)
		switch {
		case err != nil || x.Addr().Is4In6():
			return network{}, errors.New("no network, such as 192.0.2.0/24 or 2001:db8::1")
		case x != x.Masked():
			return network{}, fmt.Errorf("no network: that would be %v", x.Masked())
		}
		return network(x), nil
	})
}

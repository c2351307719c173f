package spf_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// zone answers from memory, by lower-case name without its trailing dot. It is
// both our Resolver and that of blitiri.com.ar/go/spf.
type zone map[string]*node

// node is what a zone has of one name.
type node struct {
	TXT     []string
	MX      []*net.MX
	A, AAAA []netip.Addr
	PTR     []string
	CNAME   string
	Timeout bool // for what there is no data of
}

// find follows aliases. A name that is not there is a zero node.
func (z zone) find(name string) *node {
	for range 8 {
		n := z[strings.ToLower(strings.TrimSuffix(name, "."))]
		switch {
		case n == nil:
			return &node{Timeout: strings.HasPrefix(name, "error.")}
		case n.CNAME == "":
			return n
		}
		name = n.CNAME
	}
	return &node{Timeout: true}
}

func answer[T any](n *node, name string, found []T) ([]T, error) {
	switch {
	case len(found) > 0:
		return found, nil
	case n.Timeout:
		return nil, &net.DNSError{Err: "i/o timeout", Name: name, IsTimeout: true, IsTemporary: true}
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	n := z.find(name)
	return answer(n, name, n.TXT)
}

func (z zone) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	n := z.find(name)
	return answer(n, name, n.MX)
}

func (z zone) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	n := z.find(host)
	if network == "ip4" {
		return answer(n, host, n.A)
	}
	return answer(n, host, n.AAAA)
}

func (z zone) LookupAddr(_ context.Context, addr string) ([]string, error) {
	name := reverseName(netip.MustParseAddr(addr))
	n := z.find(name)
	return answer(n, name, n.PTR)
}

// LookupIPAddr is for blitiri's resolver. It asks for both families and filters.
func (z zone) LookupIPAddr(_ context.Context, host string) ([]net.IPAddr, error) {
	n := z.find(host)
	var addrs []net.IPAddr
	for _, a := range append(append([]netip.Addr(nil), n.A...), n.AAAA...) {
		addrs = append(addrs, net.IPAddr{IP: a.AsSlice()})
	}
	return answer(n, host, addrs)
}

func reverseName(addr netip.Addr) string {
	var b strings.Builder
	if addr.Is4() {
		q := addr.As4()
		return fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa", q[3], q[2], q[1], q[0])
	}
	q := addr.As16()
	for i := 15; i >= 0; i-- {
		fmt.Fprintf(&b, "%x.%x.", q[i]&15, q[i]>>4)
	}
	return b.String() + "ip6.arpa"
}

// parseZone reads lines such as "example.org TXT v=spf1 -all", with the types
// of node's fields.
func parseZone(t testing.TB, text string) zone {
	t.Helper()
	z := zone{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		kind, value, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if err := z.add(name, kind, value); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	return z
}

func (z zone) add(name, kind, value string) error {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if z[name] == nil {
		z[name] = &node{}
	}
	n := z[name]
	switch kind {
	case "TXT":
		n.TXT = append(n.TXT, value)
	case "A", "AAAA":
		addr, err := netip.ParseAddr(value)
		if err != nil {
			return err
		}
		if kind == "A" {
			n.A = append(n.A, addr)
		} else {
			n.AAAA = append(n.AAAA, addr)
		}
	case "MX":
		pref, host, _ := strings.Cut(value, " ")
		p, err := strconv.ParseUint(pref, 10, 16)
		if err != nil {
			return err
		}
		n.MX = append(n.MX, &net.MX{Pref: uint16(p), Host: host + "."})
	case "PTR":
		n.PTR = append(n.PTR, value)
	case "CNAME":
		n.CNAME = value
	case "TIMEOUT", "SERVFAIL", "CNAMELOOP":
		n.Timeout = true
	default:
		return fmt.Errorf("no type %q", kind)
	}
	return nil
}

// scenario is one zone of a suite and the checks in it.
type scenario struct {
	Description string
	zone        zone
	tests       []vector
}

type vector struct {
	id, helo, mailFrom, host string
	results                  []string // any of them will do
	explanation              string   // "" where the suite says nothing
}

// readJSON reads a suite in its normalized form.
func readJSON(t testing.TB, path string) []scenario {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var raw []struct {
		Description string
		Zone        map[string]struct {
			TXT     [][]string
			MX      [][2]any
			A, AAAA []string
			PTR     []string
			CNAME   []string
			TIMEOUT bool
		}
		Tests []struct {
			ID, Helo, MailFrom, Host string
			Result                   []string
			Explanation              *string
		}
	}
	if err := json.Unmarshal(content, &raw); err != nil {
		t.Fatal(err)
	}
	var suite []scenario
	for _, r := range raw {
		s := scenario{Description: r.Description, zone: zone{}}
		for name, data := range r.Zone {
			var lines [][2]string
			for _, v := range data.TXT {
				lines = append(lines, [2]string{"TXT", strings.Join(v, "")})
			}
			for _, v := range data.MX {
				lines = append(lines, [2]string{"MX", fmt.Sprintf("%v %v", v[0], v[1])})
			}
			for kind, values := range map[string][]string{"A": data.A, "AAAA": data.AAAA, "PTR": data.PTR, "CNAME": data.CNAME} {
				for _, v := range values {
					lines = append(lines, [2]string{kind, v})
				}
			}
			if data.TIMEOUT {
				lines = append(lines, [2]string{"TIMEOUT"})
			}
			for _, l := range lines {
				if err := s.zone.add(name, l[0], l[1]); err != nil {
					t.Fatal(name, err)
				}
			}
		}
		for _, v := range r.Tests {
			w := vector{id: v.ID, helo: v.Helo, mailFrom: v.MailFrom, host: v.Host, results: v.Result}
			if v.Explanation != nil {
				w.explanation = *v.Explanation
			}
			s.tests = append(s.tests, w)
		}
		suite = append(suite, s)
	}
	return suite
}

// readYAML reads a suite in the form the community keeps it in. SPF records are
// TXT records at names that have no others.
func readYAML(t testing.TB, path string) []scenario {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var suite []scenario
	dec := yaml.NewDecoder(file)
	for {
		var raw struct {
			Description string
			Tests       map[string]struct {
				Helo, Host, MailFrom string
				Result               any
				Explanation          string
			}
			ZoneData map[string][]any
		}
		if err := dec.Decode(&raw); err != nil {
			break // io.EOF; what was read is counted by the test
		}
		s := scenario{Description: raw.Description, zone: zone{}}
		for name, records := range raw.ZoneData {
			for _, record := range records {
				if err := s.zone.addYAML(name, record); err != nil {
					t.Fatal(name, err)
				}
			}
		}
		for id, v := range raw.Tests {
			s.tests = append(s.tests, vector{
				id: id, helo: v.Helo, mailFrom: v.MailFrom, host: v.Host,
				results: texts(v.Result), explanation: v.Explanation,
			})
		}
		suite = append(suite, s)
	}
	return suite
}

func (z zone) addYAML(name string, record any) error {
	fields, ok := record.(map[string]any)
	if !ok {
		return z.add(name, fmt.Sprint(record), "") // a bare TIMEOUT
	}
	for kind, value := range fields {
		switch kind {
		case "SPF", "TXT":
			kind, value = "TXT", strings.Join(texts(value), "")
		case "MX":
			value = strings.Join(texts(value), " ")
		}
		for _, v := range texts(value) {
			if err := z.add(name, kind, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// texts returns a scalar, or the scalars of a list, as text.
func texts(v any) []string {
	list, ok := v.([]any)
	if !ok {
		return []string{fmt.Sprint(v)}
	}
	var all []string
	for _, v := range list {
		all = append(all, fmt.Sprint(v))
	}
	return all
}

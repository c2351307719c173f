package dnszone

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// maxChain bounds the CNAMEs of one answer.
const maxChain = 16

// maxCounted bounds the questions that Asked counts.
const maxCounted = 10_000

// zone is the records of all zones.
type zone struct {
	records map[question][]dns.RR
	names   map[string]bool // that exist, those with nothing but names below them included
}

func parse(texts []string) (zone, error) {
	z := zone{records: map[question][]dns.RR{}, names: map[string]bool{}}
	for _, text := range texts {
		p := dns.NewZoneParser(strings.NewReader(trim(text)), ".", "zone")
		p.SetDefaultTTL(300)
		for rr, ok := p.Next(); ok; rr, ok = p.Next() {
			h := rr.Header()
			name := dns.CanonicalName(h.Name)
			q := question{name, h.Rrtype}
			z.records[q] = append(z.records[q], rr)
			for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
				z.names[name[off:]] = true
			}
		}
		if err := p.Err(); err != nil {
			return z, fmt.Errorf("dnszone: %w", err)
		}
	}
	return z, nil
}

// trim takes the tabs off each line that a zone in a Go test is indented by: a
// line that begins with white space belongs to the name before it.
func trim(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimLeft(l, "\t")
	}
	return strings.Join(lines, "\n")
}

// handle answers one packet through send, whose conn nil is the usual one.
func (s *Server) handle(packet []byte, udp bool, send func(conn *net.UDPConn, packet []byte)) {
	query := new(dns.Msg)
	if query.Unpack(packet) != nil || query.Response || len(query.Question) != 1 {
		return
	}
	name := dns.CanonicalName(query.Question[0].Name)
	s.mu.Lock()
	s.total++
	if q := (question{name, query.Question[0].Qtype}); len(s.asked) < maxCounted || s.asked[q] > 0 {
		s.asked[q]++
	}
	z, fault, delay := s.zone, closest(s.faults, name), closest(s.delays, name)
	s.mu.Unlock()

	reply := z.answer(query)
	act := func() {
		for _, p := range fault.packets(query, reply, udp) {
			if p.elsewhere {
				send(s.other, p.octets)
			} else {
				send(nil, p.octets)
			}
		}
	}
	if delay > 0 {
		time.AfterFunc(delay, act)
		return
	}
	act()
}

// closest returns what m says of name or the closest name above it.
func closest[V any](m map[string]V, name string) (v V) {
	if len(m) == 0 {
		return v
	}
	for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
		if v, ok := m[name[off:]]; ok {
			return v
		}
	}
	return m["."]
}

func (z zone) answer(query *dns.Msg) *dns.Msg {
	reply := new(dns.Msg).SetReply(query)
	reply.Authoritative, reply.RecursionAvailable, reply.Compress = true, true, true
	name, typ := dns.CanonicalName(query.Question[0].Name), query.Question[0].Qtype
	owner := query.Question[0].Name // as it was written, which some clients compare
	for range maxChain {
		records, exists := z.at(name, typ)
		if len(records) == 0 && typ != dns.TypeCNAME {
			if alias, _ := z.at(name, dns.TypeCNAME); len(alias) == 1 {
				reply.Answer = append(reply.Answer, owned(alias[0], owner))
				owner = alias[0].(*dns.CNAME).Target
				name = dns.CanonicalName(owner)
				continue
			}
		}
		for _, rr := range records {
			reply.Answer = append(reply.Answer, owned(rr, owner))
		}
		if len(records) == 0 {
			if !exists {
				reply.Rcode = dns.RcodeNameError
			}
			reply.Ns = z.soa(name)
		}
		break
	}
	if opt := query.IsEdns0(); opt != nil {
		reply.SetEdns0(1232, false)
	}
	return reply
}

// at returns the records of a type at name, a wildcard's where there is no such
// name, and whether there is one.
func (z zone) at(name string, typ uint16) ([]dns.RR, bool) {
	if z.names[name] {
		return z.records[question{name, typ}], true
	}
	for off, end := dns.NextLabel(name, 0); !end; off, end = dns.NextLabel(name, off) {
		wild := "*." + name[off:]
		if z.names[wild] {
			return z.records[question{wild, typ}], true
		}
		if z.names[name[off:]] { // the closest encloser: what is further up does not count
			break
		}
	}
	return nil, false
}

func (z zone) soa(name string) []dns.RR {
	for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
		if rr := z.records[question{name[off:], dns.TypeSOA}]; len(rr) > 0 {
			return rr[:1]
		}
	}
	return nil
}

// owned returns rr with owner for its name, as an answer has it.
func owned(rr dns.RR, owner string) dns.RR {
	if rr.Header().Name == owner {
		return rr
	}
	rr = dns.Copy(rr)
	rr.Header().Name = owner
	return rr
}

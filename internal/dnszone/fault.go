package dnszone

import (
	"encoding/binary"
	"net"

	"github.com/miekg/dns"
)

// Fault is a way to misbehave. The zero Fault is None.
type Fault int

const (
	None          Fault = iota
	Never               // no answer at all
	Truncated           // UDP answers are cut to nothing, with TC set; TCP ones are whole
	WrongID             // another id than the query's
	WrongQuestion       // the right id, and another name in the question and its answer
	WrongSource         // the answer comes from another port, by UDP
	Forged              // wrong ids, another question and another source come first, all with 203.0.113.66 for an answer; then the right answer
	Loop                // a compression pointer in the answer that points to itself
	Many                // 4,096 answers of type A or TXT, more than a thousand of them at the root; UDP says TC
	Servfail
	Refused
	Formerr // to queries with EDNS (RFC 6891, section 7), else the right answer
	Garbage // octets that are no DNS message
	Empty   // the right question and nothing else: neither records nor an SOA
	Poison  // the right answer, and records of victim.example, which nobody asked for, in each section
)

// packet is one to send, elsewhere from another port.
type packet struct {
	octets    []byte
	elsewhere bool
}

// packets returns what is sent for reply.
func (f Fault) packets(query, reply *dns.Msg, udp bool) []packet {
	switch f {
	case Never:
		return nil
	case Truncated:
		if udp {
			reply.Answer, reply.Ns, reply.Truncated = nil, nil, true
		}
	case WrongID:
		reply.Id++
	case WrongQuestion:
		lie(reply)
	case WrongSource:
		return []packet{{pack(reply, query, udp), udp}}
	case Forged:
		wrong, other, source := reply.Copy(), reply.Copy(), reply.Copy()
		wrong.Answer, source.Answer = forged(reply), forged(reply)
		wrong.Id ^= 0x5555
		lie(other)
		return []packet{
			{pack(wrong, query, udp), false}, {pack(other, query, udp), false},
			{pack(source, query, udp), udp}, {pack(reply, query, udp), false},
		}
	case Loop:
		return []packet{{loop(reply), false}}
	case Many:
		return []packet{{many(reply, query, udp), false}}
	case Servfail, Refused:
		reply.Answer, reply.Ns, reply.Rcode = nil, nil, dns.RcodeServerFailure
		if f == Refused {
			reply.Rcode = dns.RcodeRefused
		}
	case Formerr:
		if query.IsEdns0() != nil {
			reply = new(dns.Msg).SetRcodeFormatError(query)
		}
	case Garbage:
		return []packet{{[]byte("this is not a DNS message"), false}}
	case Empty:
		reply.Answer, reply.Ns, reply.Rcode = nil, nil, dns.RcodeSuccess
	case Poison:
		victim := address("victim.example.")
		reply.Answer = append([]dns.RR{victim}, reply.Answer...)
		reply.Ns = append(reply.Ns, &dns.NS{Hdr: header("example.", dns.TypeNS), Ns: "ns.attacker.example."})
		reply.Extra = append(reply.Extra, victim)
	}
	return []packet{{pack(reply, query, udp), false}}
}

// pack cuts UDP answers to what the query has room for.
func pack(reply, query *dns.Msg, udp bool) []byte {
	if udp {
		size := dns.MinMsgSize
		if opt := query.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
		reply.Truncate(size)
	}
	octets, err := reply.Pack()
	if err != nil {
		return nil
	}
	return octets
}

func header(name string, typ uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: typ, Class: dns.ClassINET, Ttl: 86_400}
}

func address(name string) dns.RR {
	return &dns.A{Hdr: header(name, dns.TypeA), A: net.IPv4(203, 0, 113, 66)}
}

func forged(reply *dns.Msg) []dns.RR { return []dns.RR{address(reply.Question[0].Name)} }

// lie makes reply one to another question.
func lie(reply *dns.Msg) {
	reply.Question = []dns.Question{reply.Question[0]}
	reply.Question[0].Name = "other.example."
	reply.Answer, reply.Ns, reply.Rcode = forged(reply), nil, dns.RcodeSuccess
}

// loop has one answer, whose name is a pointer to itself (RFC 1035, section
// 4.1.4).
func loop(reply *dns.Msg) []byte {
	reply.Answer, reply.Ns, reply.Extra, reply.Rcode = nil, nil, nil, dns.RcodeSuccess
	octets := pack(reply, reply, false)
	binary.BigEndian.PutUint16(octets[6:], 1)
	octets = binary.BigEndian.AppendUint16(octets, 0xc000|uint16(len(octets)))
	return append(octets, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 127, 0, 0, 2)
}

// many is built by hand: 3,000 records at the name and 1,096 at the root, or it
// would not fit in 65,535 octets.
func many(reply, query *dns.Msg, udp bool) []byte {
	reply.Answer, reply.Ns, reply.Extra, reply.Rcode = nil, nil, nil, dns.RcodeSuccess
	reply.Truncated = udp
	octets := pack(reply, query, false)
	if udp {
		return octets
	}
	const all, root = 4096, 1096
	binary.BigEndian.PutUint16(octets[6:], all)
	for i := range all {
		if i < all-root {
			octets = append(octets, 0xc0, 12)
		} else {
			octets = append(octets, 0)
		}
		if reply.Question[0].Qtype == dns.TypeTXT {
			octets = append(octets, 0, 16, 0, 1, 0, 0, 1, 44, 0, 1, 0)
		} else {
			octets = append(octets, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 127, 1, byte(i>>8), byte(i))
		}
	}
	return octets
}

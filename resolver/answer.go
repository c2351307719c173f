package resolver

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// answer is what is known of a question. It is never changed.
type answer struct {
	data      string // of records: see collect; of a failure: which server and, behind a NUL, why
	ttl       uint32 // seconds
	kind      kind
	authentic bool
}

// found is an answer for a caller.
type found struct {
	answer
	left  time.Duration // of its time; not above zero: it is not kept
	stale bool
}

// Answer is records of one type, and what is known of them.
type Answer struct {
	Name      string // asked, in normal form: lower case, A-labels, no trailing dot
	Canonical string // where the records are: the end of the chain of CNAMEs, Name where there is none
	Type      uint16

	TTL       time.Duration // what is left of it; of a negative answer too
	Authentic bool          // a trusted server has validated it by DNSSEC, or that there is no such thing
	Stale     bool          // its time is over, and the servers fail

	data string
}

// collect returns the records of q's type at name, with their least TTL: the
// name where it is not q's, and each record's data, all with their length in two
// octets before them. Data is as on the wire, uncompressed, but for the names of
// NS, PTR, CNAME, MX and SRV, which are text.
func collect(msg []byte, records []record, q question, name string, ttl uint32) (string, uint32, error) {
	var room [512]byte
	b := room[:2]
	if name != q.name {
		b = append(binary.BigEndian.AppendUint16(room[:0], uint16(len(name))), name...)
	}
	head := len(b)
	for _, rec := range records {
		if rec.typ != q.typ || rec.owner != name {
			continue
		}
		start := len(b)
		b = append(b, 0, 0)
		var err error
		if b, err = appendData(b, msg, rec); err != nil {
			return "", 0, err
		}
		binary.BigEndian.PutUint16(b[start:], uint16(len(b)-start-2))
		ttl = min(ttl, rec.ttl)
	}
	if len(b) == head {
		return "", ttl, nil
	}
	return string(b), ttl, nil
}

// appendData appends the data of rec to b.
func appendData(b, msg []byte, rec record) ([]byte, error) {
	rdata := msg[rec.off:rec.end]
	fixed := 0
	switch rec.typ {
	case dns.TypeA:
		if len(rdata) != 4 {
			return nil, errMessage
		}
		return append(b, rdata...), nil
	case dns.TypeAAAA:
		if len(rdata) != 16 {
			return nil, errMessage
		}
		return append(b, rdata...), nil
	case dns.TypeTXT:
		for off := 0; off < len(rdata) || off == 0; off += 1 + int(rdata[off]) {
			if off >= len(rdata) || off+1+int(rdata[off]) > len(rdata) {
				return nil, errMessage
			}
		}
		return append(b, rdata...), nil
	case dns.TypeMX:
		fixed = 2
	case dns.TypeSRV:
		fixed = 6
	case dns.TypeNS, dns.TypePTR, dns.TypeCNAME:
	default:
		return appendOther(b, msg, rec)
	}
	if len(rdata) < fixed {
		return nil, errMessage
	}
	name, end, err := dns.UnpackDomainName(msg[:rec.end], rec.off+fixed)
	if err != nil || end != rec.end {
		return nil, errMessage
	}
	return append(append(b, rdata[:fixed]...), name...), nil
}

// appendOther appends data of any type, whose names may be compressed (RFC 3597,
// section 4).
func appendOther(b, msg []byte, rec record) ([]byte, error) {
	h := dns.RR_Header{Name: ".", Rrtype: rec.typ, Class: dns.ClassINET, Rdlength: uint16(rec.end - rec.off)}
	rr, end, err := dns.UnpackRRWithHeader(h, msg[:rec.end], rec.off)
	if err != nil || end != rec.end {
		return nil, errMessage
	}
	out := make([]byte, dns.MaxMsgSize)
	n, err := dns.PackRR(rr, out, 0, nil, false)
	if err != nil || n < 11 {
		return nil, errMessage
	}
	return append(b, out[11:n]...), nil
}

// length is the number at the start of s.
func length(s string) int { return int(s[0])<<8 | int(s[1]) }

// canonical splits off where the records are, "" for at the name asked for.
func canonical(s string) (name, records string) {
	n := length(s)
	return s[2 : 2+n], s[2+n:]
}

// next splits off the first record's data.
func next(records string) (rdata, rest string) {
	n := length(records)
	return records[2 : 2+n], records[2+n:]
}

// each splits the records, and says how many there are.
func (a answer) records() (records string, n int) {
	if a.kind != data {
		return "", 0
	}
	_, records = canonical(a.data)
	for rest := records; rest != ""; n++ {
		_, rest = next(rest)
	}
	return records, n
}

func (a answer) texts() []string {
	records, n := a.records()
	texts := make([]string, 0, n)
	for records != "" {
		var rdata string
		rdata, records = next(records)
		if first := int(rdata[0]); first == len(rdata)-1 {
			texts = append(texts, rdata[1:])
			continue
		}
		joined := make([]byte, 0, len(rdata))
		for rdata != "" {
			end := 1 + int(rdata[0])
			joined = append(joined, rdata[1:end]...)
			rdata = rdata[end:]
		}
		texts = append(texts, string(joined))
	}
	return texts
}

// appendAddrs appends the addresses, IPv4 ones unmapped.
func (a answer) appendAddrs(addrs []netip.Addr) []netip.Addr {
	records, n := a.records()
	if cap(addrs) == 0 {
		addrs = make([]netip.Addr, 0, n)
	}
	for records != "" {
		var rdata string
		rdata, records = next(records)
		if len(rdata) == 4 {
			addrs = append(addrs, netip.AddrFrom4([4]byte([]byte(rdata))))
		} else {
			addrs = append(addrs, netip.AddrFrom16([16]byte([]byte(rdata))).Unmap())
		}
	}
	return addrs
}

// names calls use with the fixed part of each record's data and the name behind
// it. It reports whether all were names to hand on; use is not called for others.
func (a answer) names(fixed int, use func(fixed, name string)) bool {
	records, _ := a.records()
	all := true
	for records != "" {
		var rdata string
		rdata, records = next(records)
		if name := rdata[fixed:]; hostName(name) {
			use(rdata[:fixed], name)
		} else {
			all = false
		}
	}
	return all
}

// Texts returns the texts of an answer of type TXT, each record's strings joined.
func (a Answer) Texts() []string {
	if a.Type != dns.TypeTXT {
		return nil
	}
	return a.answer().texts()
}

// Addrs returns the addresses of an answer of type A or AAAA.
func (a Answer) Addrs() []netip.Addr {
	if a.Type != dns.TypeA && a.Type != dns.TypeAAAA {
		return nil
	}
	return a.answer().appendAddrs(nil)
}

// MX returns the hosts of an answer of type MX as [Resolver.LookupMX] does.
// Names that are none are left out.
func (a Answer) MX() []*net.MX {
	if a.Type != dns.TypeMX {
		return nil
	}
	hosts, _ := a.answer().mx()
	return hosts
}

// Data returns each record's data as on the wire, with names uncompressed: of
// TLSA the usage, selector, matching type and the rest (RFC 6698, section 2.1).
func (a Answer) Data() [][]byte {
	records, n := a.answer().records()
	list := make([][]byte, 0, n)
	for records != "" {
		var rdata string
		rdata, records = next(records)
		fixed := 0
		switch a.Type {
		case dns.TypeMX:
			fixed = 2
		case dns.TypeSRV:
			fixed = 6
		case dns.TypeNS, dns.TypePTR, dns.TypeCNAME:
		default:
			list = append(list, []byte(rdata))
			continue
		}
		out := make([]byte, fixed+maxName+2)
		copy(out, rdata[:fixed])
		if end, err := dns.PackDomainName(rdata[fixed:], out, fixed, nil, false); err == nil {
			list = append(list, out[:end])
		}
	}
	return list
}

func (a Answer) answer() answer {
	if a.data == "" {
		return answer{}
	}
	return answer{kind: data, data: a.data}
}

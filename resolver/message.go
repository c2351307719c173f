package resolver

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/miekg/dns"
)

const (
	headerLen = 12

	// payload is the UDP size that we offer (RFC 6891): what passes without
	// fragments.
	payload = 1232

	// maxRecords bounds the records of an answer, CNAMEs included, maxChain the
	// latter.
	maxRecords = 512
	maxChain   = 12
)

var (
	errMessage = errors.New("malformed message")
	errChain   = errors.New("chain of CNAMEs too long")
	errRecords = errors.New("too many records")
)

// appendQuery appends a query for q, whose name is in normal form.
func appendQuery(b []byte, id uint16, q question, edns, ad bool) []byte {
	flags := uint16(1 << 8) // recursion desired
	if ad {
		flags |= 1 << 5 // we understand it in answers
	}
	additional := byte(0)
	if edns {
		additional = 1
	}
	b = binary.BigEndian.AppendUint16(b, id)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = append(b, 0, 1, 0, 0, 0, 0, 0, additional)
	for rest := q.name; rest != ""; {
		var label string
		label, rest, _ = strings.Cut(rest, ".")
		b = append(append(b, byte(len(label))), label...)
	}
	b = append(b, 0, byte(q.typ>>8), byte(q.typ), 0, dns.ClassINET)
	if edns {
		b = append(b, 0, 0, byte(dns.TypeOPT), payload>>8, payload&0xff, 0, 0, 0, 0, 0, 0)
	}
	return b
}

// responds reports whether msg is a response to q under id.
func responds(msg []byte, id uint16, q question) bool {
	if len(msg) < headerLen || binary.BigEndian.Uint16(msg) != id || msg[2]&0xf8 != 0x80 {
		return false
	}
	switch binary.BigEndian.Uint16(msg[4:]) {
	case 0: // a server that knows no EDNS may not have read the question
		return rcode(msg) == dns.RcodeFormatError
	case 1:
	default:
		return false
	}
	off := headerLen
	for rest := q.name; rest != ""; {
		var label string
		label, rest, _ = strings.Cut(rest, ".")
		if off+1+len(label) > len(msg) || int(msg[off]) != len(label) {
			return false
		}
		for i := range len(label) {
			c := msg[off+1+i]
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			if c != label[i] {
				return false
			}
		}
		off += 1 + len(label)
	}
	return off+5 <= len(msg) && msg[off] == 0 &&
		binary.BigEndian.Uint16(msg[off+1:]) == q.typ && binary.BigEndian.Uint16(msg[off+3:]) == dns.ClassINET
}

func rcode(msg []byte) int         { return int(msg[3] & 15) }
func truncated(msg []byte) bool    { return msg[2]&2 != 0 }
func authenticated(m []byte) bool  { return m[3]&0x20 != 0 }
func questionEnd(q question) int   { return headerLen + len(q.name) + 2 + 4 }
func count(msg []byte, at int) int { return int(binary.BigEndian.Uint16(msg[at:])) }

// record is one of a message, its data still there.
type record struct {
	owner    string // in normal form
	typ      uint16
	ttl      uint32
	off, end int // of its data
}

// parse reads what msg, which responds to q, says. ttl is in seconds and as the
// server has it; hasTTL is false for a negative answer without an SOA.
func parse(msg []byte, q question) (a answer, hasTTL bool, err error) {
	switch rcode(msg) {
	case dns.RcodeSuccess:
		a.kind = noData
	case dns.RcodeNameError:
		a.kind = noName
	case dns.RcodeServerFailure:
		return answer{kind: servfail}, false, nil
	case dns.RcodeRefused:
		return answer{kind: refused}, false, nil
	default:
		return answer{kind: broken}, false, nil
	}
	a.authentic = authenticated(msg)
	answers := count(msg, 6)
	if answers > maxRecords {
		return a, false, errRecords
	}
	var room [16]record
	records, off := room[:0], questionEnd(q)
	for range answers {
		var rec record
		var class uint16
		if rec, class, off, err = readRecord(msg, off, q.name); err != nil {
			return a, false, err
		}
		if class == dns.ClassINET && (rec.typ == q.typ || rec.typ == dns.TypeCNAME) {
			records = append(records, rec)
		}
	}
	name, ttl, err := follow(msg, records, q)
	if err != nil {
		return a, false, err
	}
	a.ttl = ttl
	if a.kind == noData {
		if a.data, a.ttl, err = collect(msg, records, q, name, ttl); err != nil {
			return a, false, err
		}
		if a.data != "" {
			a.kind = data
			return a, true, nil
		}
	}
	least, ok, err := negativeTTL(msg, off, name)
	if err != nil {
		return a, false, err
	}
	if a.ttl = ttl; ok {
		a.ttl = min(ttl, least)
	}
	return a, ok, nil
}

// readRecord reads the record at off; asked is the name of the question, which
// most records point to.
func readRecord(msg []byte, off int, asked string) (rec record, class uint16, next int, err error) {
	if off+2 <= len(msg) && msg[off] == 0xc0 && msg[off+1] == headerLen {
		rec.owner, off = asked, off+2
	} else {
		var name string
		if name, off, err = dns.UnpackDomainName(msg, off); err != nil {
			return rec, 0, 0, errMessage
		}
		rec.owner = ownerName(name)
	}
	if off+10 > len(msg) {
		return rec, 0, 0, errMessage
	}
	rec.typ, class = binary.BigEndian.Uint16(msg[off:]), binary.BigEndian.Uint16(msg[off+2:])
	if rec.ttl = binary.BigEndian.Uint32(msg[off+4:]); rec.ttl > 1<<31-1 {
		rec.ttl = 0 // RFC 2181, section 8
	}
	rec.off = off + 10
	rec.end = rec.off + count(msg, off+8)
	if rec.end > len(msg) {
		return rec, 0, 0, errMessage
	}
	return rec, class, rec.end, nil
}

// ownerName is the normal form of a name that a server sent.
func ownerName(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }

// follow goes along the CNAMEs from q's name, and returns where they end and the
// least TTL on the way. Records that are not on it are not looked at.
func follow(msg []byte, records []record, q question) (name string, ttl uint32, err error) {
	name, ttl = q.name, 1<<31-1
	if q.typ == dns.TypeCNAME {
		return name, ttl, nil
	}
	for range maxChain {
		found := false
		for _, rec := range records {
			if rec.owner != name {
				continue
			}
			if rec.typ == q.typ {
				return name, ttl, nil
			}
			target, end, err := dns.UnpackDomainName(msg, rec.off)
			if err != nil || end != rec.end {
				return "", 0, errMessage
			}
			name, ttl, found = ownerName(target), min(ttl, rec.ttl), true
			break
		}
		if !found {
			return name, ttl, nil
		}
	}
	return "", 0, errChain
}

// negativeTTL finds the SOA among the authority records from off on: how long
// name, which may be anywhere below it, is known not to be (RFC 2308, section
// 5). One of elsewhere is ignored.
func negativeTTL(msg []byte, off int, name string) (ttl uint32, ok bool, err error) {
	authority := count(msg, 8)
	if authority > maxRecords {
		return 0, false, errRecords
	}
	for range authority {
		var rec record
		var class uint16
		if rec, class, off, err = readRecord(msg, off, name); err != nil {
			return 0, false, err
		}
		if rec.typ != dns.TypeSOA || class != dns.ClassINET || !below(name, rec.owner) {
			continue
		}
		end := rec.off
		for range 2 { // the names of a server and of a mailbox
			if end, err = skipName(msg, end); err != nil {
				return 0, false, err
			}
		}
		if end+20 != rec.end {
			return 0, false, errMessage
		}
		return min(rec.ttl, binary.BigEndian.Uint32(msg[end+16:])), true, nil
	}
	return 0, false, nil
}

// below reports whether name is zone or below it.
func below(name, zone string) bool {
	return zone == "" || strings.HasSuffix(name, zone) && (len(name) == len(zone) || name[len(name)-len(zone)-1] == '.')
}

// skipName returns where the name at off ends.
func skipName(msg []byte, off int) (int, error) {
	for off < len(msg) {
		switch n := int(msg[off]); {
		case n == 0:
			return off + 1, nil
		case n >= 0xc0:
			return off + 2, nil
		case n > maxLabel:
			return 0, errMessage
		default:
			off += 1 + n
		}
	}
	return 0, errMessage
}

package dnsbl

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/smtpguard/smtpguard/internal/bogon"
	"github.com/smtpguard/smtpguard/internal/dnslist"
	"github.com/smtpguard/smtpguard/internal/domain"
)

// Addr looks addr up in all zones that list addresses of its kind, side by
// side. One of no public meaning is not asked about, and not listed.
func (l *Lists) Addr(ctx context.Context, addr netip.Addr) Result {
	var q questions
	q.addr(l.zones, 0, addr)
	return l.ask(ctx, &q, 0, true)
}

// Domain looks a domain up in all zones that list domains, side by side. It is
// asked about as it is, without what it is below. What is no domain name is not
// listed.
func (l *Lists) Domain(ctx context.Context, name string) Result {
	var q questions
	q.domain(l.zones, 0, name)
	return l.ask(ctx, &q, 0, true)
}

// maxQuestions bounds what is asked at one stage of one session.
const maxQuestions = 512

// question is one name to ask for.
type question struct {
	zone       *zone
	subject    int // in questions.subjects
	start, end int // of the name, in questions.text
}

// subject is what is looked up.
type subject struct {
	position Position
	addr     netip.Addr // of which name is made once it is needed
	name     string
	asked    int // zones
}

func (s *subject) String() string {
	if s.name == "" && s.addr.IsValid() {
		s.name = s.addr.String()
	}
	return s.name
}

// questions are all that is asked at one stage. The room in it saves the
// allocations of most sessions.
type questions struct {
	known    bool // only zones that want known clients too
	list     []question
	subjects []subject
	text     []byte
	listRoom [16]question
	subjRoom [4]subject
	textRoom [640]byte
	hostRoom [16]string
}

func (q *questions) begin(s subject) int {
	if q.list == nil {
		q.list, q.subjects, q.text = q.listRoom[:0], q.subjRoom[:0], q.textRoom[:0]
	}
	q.subjects = append(q.subjects, s)
	return len(q.subjects) - 1
}

// addr adds the questions about an address in those of zones that list its kind
// and are not set aside.
func (q *questions) addr(zones []*zone, p Position, addr netip.Addr) {
	addr = addr.Unmap().WithZone("")
	if bogon.Is(addr) {
		return
	}
	kind := IPv4
	if addr.Is6() {
		kind = IPv6
	}
	var room [72]byte
	q.add(zones, kind, subject{position: p, addr: addr}, dnslist.AppendAddr(room[:0], addr))
}

// domain adds the questions about a domain.
func (q *questions) domain(zones []*zone, p Position, name string) {
	if len(zones) == 0 {
		return
	}
	name, err := domain.Normal(name)
	if err != nil {
		return
	}
	q.add(zones, Domains, subject{position: p, name: name}, []byte(name))
}

func (q *questions) add(zones []*zone, kind Kind, s subject, prefix []byte) {
	i := q.begin(s)
	for _, z := range zones {
		if z.Lists&kind == 0 || q.known && !z.Known || len(prefix)+len(z.list.Suffix) > 254 || len(q.list) == maxQuestions {
			continue
		}
		if z.list.Aside() {
			z.state.skipped.Add(1)
			continue
		}
		start := len(q.text)
		q.text = append(append(q.text, prefix...), z.list.Suffix...)
		q.list = append(q.list, question{z, i, start, len(q.text)})
		q.subjects[i].asked++
	}
}

// answer is what came of a question.
type answer struct {
	i     int // in questions.list
	set   dnslist.Set
	addrs []netip.Addr
	err   error
	took  time.Duration
}

// ask asks all questions side by side and tallies the answers. It returns once
// all are there, the outcome is clear, or ctx or Config.Timeout ends. prior is
// what counts towards Config.Limits already.
func (l *Lists) ask(ctx context.Context, q *questions, prior float64, hurry bool) (res Result) {
	if len(q.list) == 0 {
		return res
	}
	text := string(q.text)
	hosts := q.hostRoom[:0]
	for i := range q.list {
		hosts = append(hosts, text[q.list[i].start:q.list[i].end])
	}
	r := reckoning{lists: l, q: q, prior: prior, hurry: hurry && !l.cfg.Complete, start: time.Now()}
	missing := l.asker.Each(ctx, hosts, r.answer)
	for i := range q.list {
		z := q.list[i].zone
		if missing == dnslist.ErrBusy {
			z.state.busy.Add(1)
			res.Failures = append(res.Failures, Failure{z.Name, q.subjects[q.list[i].subject].String(), ErrBusy})
		} else {
			z.state.asked.Add(1)
		}
	}
	if missing == dnslist.ErrBusy {
		return res
	}
	if r.got < len(q.list) && !r.clear {
		r.abandon(ours(missing))
	}
	return r.finish()
}

// answer takes what a resolver returned for the question i. It reports whether
// more is wanted.
func (r *reckoning) answer(i int, addrs []netip.Addr, err error) bool {
	if i < 0 || i >= len(r.q.list) || r.has(i) {
		return true
	}
	a := answer{i: i, addrs: addrs}
	a.set, a.err = r.q.list[i].zone.list.Read(addrs, ours(err))
	a.took = time.Since(r.start)
	r.take(&a)
	return !r.clear
}

// ours is an error of package dnslist by the name of this one.
func ours(err error) error {
	if err == dnslist.ErrPanicked || err == dnslist.ErrExited {
		return fmt.Errorf("dnsbl: %w", err)
	}
	return err
}

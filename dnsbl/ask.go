package dnsbl

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
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
		if z.Lists&kind == 0 || q.known && !z.Known || len(prefix)+len(z.suffix) > 254 || len(q.list) == maxQuestions {
			continue
		}
		if z.state.isAside() {
			z.state.skipped.Add(1)
			continue
		}
		start := len(q.text)
		q.text = append(append(q.text, prefix...), z.suffix...)
		q.list = append(q.list, question{z, i, start, len(q.text)})
		q.subjects[i].asked++
	}
}

// pending counts questions under way.
type pending struct{ n atomic.Int64 }

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
	n := int64(len(q.list))
	if l.busy.n.Add(n) > int64(l.cfg.Pending) {
		l.busy.n.Add(-n)
		for i := range q.list {
			z := q.list[i].zone
			z.state.busy.Add(1)
			res.Failures = append(res.Failures, Failure{z.Name, q.subjects[q.list[i].subject].String(), ErrBusy})
		}
		return res
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	r := reckoning{lists: l, q: q, prior: prior, hurry: hurry && !l.cfg.Complete, start: time.Now()}
	for i := range q.list {
		q.list[i].zone.state.asked.Add(1)
	}
	if l.each != nil {
		r.together(ctx, l.each)
	} else {
		r.apart(ctx)
	}
	return r.finish()
}

// together has the resolver ask everything at once.
func (r *reckoning) together(ctx context.Context, resolver EachResolver) {
	q := r.q
	defer r.lists.busy.n.Add(-int64(len(q.list)))
	text := string(q.text)
	hosts := q.hostRoom[:0]
	for i := range q.list {
		hosts = append(hosts, text[q.list[i].start:q.list[i].end])
	}
	missing := errExited
	func() {
		defer func() {
			if recover() != nil {
				missing = errPanicked
			}
		}()
		resolver.LookupEach(ctx, hosts, func(i int, addrs []netip.Addr, err error) bool {
			if i < 0 || i >= len(q.list) || r.has(i) {
				return true
			}
			a := answer{i: i, addrs: addrs}
			a.set, a.err = q.list[i].zone.read(addrs, err)
			a.took = time.Since(r.start)
			r.take(&a)
			return !r.clear
		})
	}()
	if r.clear {
		return
	}
	if err := ctx.Err(); err != nil {
		missing = err
	}
	r.abandon(missing)
}

// apart asks each question in a goroutine of its own.
func (r *reckoning) apart(ctx context.Context) {
	l, q := r.lists, r.q
	text, start := string(q.text), r.start
	answers := make(chan answer, len(q.list)) // room for those that nobody awaits
	for i := range q.list {
		z, name := q.list[i].zone, text[q.list[i].start:q.list[i].end]
		go func() {
			a := answer{i: i, err: errExited} // should the resolver leave by runtime.Goexit
			defer func() {
				l.busy.n.Add(-1)
				if recover() != nil {
					a.err = errPanicked
				}
				a.took = time.Since(start)
				answers <- a
			}()
			a.addrs, a.err = l.cfg.Resolver.LookupNetIP(ctx, "ip4", name)
			a.set, a.err = z.read(a.addrs, a.err)
		}()
	}
	for range q.list {
		select {
		case a := <-answers:
			if r.take(&a); r.clear {
				return
			}
		case <-ctx.Done():
			for len(answers) > 0 { // what is there counts
				a := <-answers
				r.take(&a)
			}
			r.abandon(ctx.Err())
			return
		}
	}
}

var (
	errPanicked = errors.New("dnsbl: the resolver panicked")
	errExited   = errors.New("dnsbl: the resolver did not return")
)

// read makes codes of what the resolver returned. A name that does not exist is
// no code and no error.
func (z *zone) read(addrs []netip.Addr, err error) (dnslist.Set, error) {
	if err == nil {
		return z.codes.Read(addrs)
	}
	if dns, ok := err.(*net.DNSError); ok && dns.IsNotFound { // as both resolvers return it
		return 0, nil
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return 0, nil
	}
	return 0, z.hidden(err)
}

package dnslist

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Resolver is what lists are asked through.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// EachResolver is what a Resolver may be besides: one that asks for the IPv4
// addresses of many names side by side. LookupEach calls answer with the place
// of each host, in any order but never from two goroutines at once, and returns
// when all are answered, when answer returns false, or when ctx ends.
type EachResolver interface {
	LookupEach(ctx context.Context, hosts []string, answer func(i int, addrs []netip.Addr, err error) bool)
}

// Asker asks lists side by side, bounds what is under way, and leaves alone for
// a while those that refuse or fail. Its fields must be set and not changed
// after first use.
type Asker struct {
	Resolver Resolver      // an EachResolver is used as such
	Timeout  time.Duration // of one Ask
	Pending  int           // questions under way, beyond which none is asked
	Errors   int           // failures in a row until a list is set aside
	Retry    time.Duration // how long it is
	Every    time.Duration // between two tests by Run; 0 or less: none

	// Told hears of a list set aside, and with "" of one taken back.
	Told func(l *List, why string)

	busy atomic.Int64
}

// List is a list that is asked, and what is known of its health. Do not copy it.
type List struct {
	Name   string
	Suffix string // behind what is asked for: ".multi.surbl.org."
	Secret string // in Suffix, kept out of errors
	Codes  Codes

	Listed   string   // name without Suffix that is always listed, "" for none
	Unlisted []string // names that never are

	until atomic.Int64 // Unix nanoseconds up to which it is set aside
	fails atomic.Int64 // in a row

	mu    sync.Mutex
	aside bool // and not taken back
}

// Question is one name to ask one list about.
type Question struct {
	List *List
	Name string // without the list's Suffix
}

// Answer is what came of a Question: the codes, none for what is not listed, or
// an error.
type Answer struct {
	Set   Set
	Addrs []netip.Addr
	Err   error
}

var (
	// ErrAside is the error of a list that is not asked for a while.
	ErrAside = errors.New("set aside")

	// ErrBusy is the error of a question for which too many others were under way.
	ErrBusy = errors.New("too many questions under way")

	errPanicked = errors.New("the resolver panicked")
	errExited   = errors.New("the resolver did not answer")
)

// Ask asks all questions at once. It returns when all are answered, or when ctx
// or Timeout ends, after which what is missing is an error.
func (a *Asker) Ask(ctx context.Context, questions []Question) []Answer {
	answers := make([]Answer, len(questions))
	var asked []int
	now := time.Now().UnixNano()
	for i, q := range questions {
		if q.List.until.Load() > now {
			answers[i].Err = ErrAside
			continue
		}
		asked = append(asked, i)
	}
	n := int64(len(asked))
	if n == 0 {
		return answers
	}
	if a.busy.Add(n) > int64(a.Pending) {
		a.busy.Add(-n)
		for _, i := range asked {
			answers[i].Err = ErrBusy
		}
		return answers
	}
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	hosts := make([]string, n)
	for k, i := range asked {
		hosts[k] = questions[i].Name + questions[i].List.Suffix
	}
	heard := make([]bool, n)
	take := func(k int, addrs []netip.Addr, err error) {
		heard[k] = true
		i := asked[k]
		answers[i] = questions[i].List.read(addrs, err)
		a.judge(questions[i].List, answers[i].Err)
	}
	a.lookup(ctx, hosts, take)
	for k := range heard {
		if !heard[k] {
			err := ctx.Err()
			if err == nil {
				err = errExited
			}
			take(k, nil, err)
		}
	}
	return answers
}

// lookup asks for all hosts, and tells of each that was answered while it ran,
// once and one at a time.
func (a *Asker) lookup(ctx context.Context, hosts []string, take func(k int, addrs []netip.Addr, err error)) {
	n := int64(len(hosts))
	if each, ok := a.Resolver.(EachResolver); ok {
		heard := make([]bool, n)
		defer a.busy.Add(-n)
		defer func() { _ = recover() }() // what is missing is an error of its own
		each.LookupEach(ctx, hosts, func(k int, addrs []netip.Addr, err error) bool {
			if k >= 0 && k < len(hosts) && !heard[k] {
				heard[k] = true
				take(k, addrs, err)
			}
			return true
		})
		return
	}
	type result struct {
		k     int
		addrs []netip.Addr
		err   error
	}
	results := make(chan result, n) // room for those that nobody awaits
	for k, host := range hosts {
		go func() {
			r := result{k: k, err: errExited} // should the resolver leave by runtime.Goexit
			defer func() {
				a.busy.Add(-1)
				if recover() != nil {
					r.err = errPanicked
				}
				results <- r
			}()
			r.addrs, r.err = a.Resolver.LookupNetIP(ctx, "ip4", host)
		}()
	}
	for range hosts {
		select {
		case r := <-results:
			take(r.k, r.addrs, r.err)
		case <-ctx.Done():
			for len(results) > 0 { // what is there counts
				r := <-results
				take(r.k, r.addrs, r.err)
			}
			return
		}
	}
}

// read makes an answer of what a resolver returned. A name that does not exist
// is not listed.
func (l *List) read(addrs []netip.Addr, err error) (a Answer) {
	var dns *net.DNSError
	switch {
	case err == nil:
		a.Addrs = addrs
		a.Set, a.Err = l.Codes.Read(addrs)
	case errors.As(err, &dns) && dns.IsNotFound:
	case errors.Is(err, context.Canceled):
		a.Err = context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		a.Err = context.DeadlineExceeded
	case errors.As(err, &dns): // whose text may have the secret in it
		a.Err = &net.DNSError{Err: Hide(dns.Err, l.Secret), Name: l.Name, IsTimeout: dns.IsTimeout, IsTemporary: dns.IsTemporary}
	case l.Secret != "":
		a.Err = errors.New(Hide(err.Error(), l.Secret))
	default:
		a.Err = err
	}
	return a
}

// judge takes note of how a list answered.
func (a *Asker) judge(l *List, err error) {
	var answer *AnswerError
	switch {
	case errors.Is(err, context.Canceled): // the client's doing, not the list's
	case err == nil, errors.As(err, &answer) && answer.Trouble == Unnamed:
		if l.fails.Load() != 0 {
			l.fails.Store(0)
		}
		if until := l.until.Load(); until != 0 && until <= time.Now().UnixNano() {
			a.takeBack(l)
		}
	case answer != nil && answer.Trouble != Endless: // refused, or rewritten
		a.setAside(l, answer.Error(), a.Retry)
	default:
		if l.fails.Add(1) >= int64(a.Errors) {
			a.setAside(l, err.Error(), a.Retry)
		}
	}
}

func (a *Asker) setAside(l *List, why string, d time.Duration) {
	l.mu.Lock()
	news := !l.aside
	l.aside = true
	l.fails.Store(0)
	l.until.Store(max(l.until.Load(), time.Now().Add(d).UnixNano()))
	l.mu.Unlock()
	if news && a.Told != nil {
		a.Told(l, why)
	}
}

func (a *Asker) takeBack(l *List) {
	l.mu.Lock()
	news := l.aside
	l.aside = false
	l.until.Store(0)
	l.mu.Unlock()
	if news && a.Told != nil {
		a.Told(l, "")
	}
}

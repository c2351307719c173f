package dnslist

import (
	"context"
	"errors"
	"net/netip"
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
	Timeout  time.Duration // of one Ask or Each
	Pending  int           // questions under way, beyond which none is asked
	Errors   int           // failures in a row until a list is set aside
	Retry    time.Duration // how long it is, at first
	Every    time.Duration // between two tests by Run; 0 or less: none

	// Told hears of a list that stands otherwise than before.
	Told func(Change)

	busy atomic.Int64
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

	// ErrPanicked and ErrExited are the errors of a resolver that ended without an
	// answer.
	ErrPanicked = errors.New("the resolver panicked")
	ErrExited   = errors.New("the resolver did not return")
)

// Ask asks all questions at once. It returns when all are answered, or when ctx
// or Timeout ends, after which what is missing is an error.
func (a *Asker) Ask(ctx context.Context, questions []Question) []Answer {
	answers := make([]Answer, len(questions))
	var asked []int
	var hosts []string
	for i, q := range questions {
		if q.List.Aside() {
			answers[i].Err = ErrAside
			continue
		}
		asked = append(asked, i)
		hosts = append(hosts, q.Name+q.List.Suffix)
	}
	heard := make([]bool, len(asked))
	take := func(k int, addrs []netip.Addr, err error) bool {
		if k < 0 || k >= len(heard) || heard[k] {
			return true
		}
		heard[k] = true
		got, l := &answers[asked[k]], questions[asked[k]].List
		if got.Set, got.Err = l.Read(addrs, err); err == nil {
			got.Addrs = addrs
		}
		a.Judge(l, got.Err)
		return true
	}
	missing := a.Each(ctx, hosts, take)
	for k, i := range asked {
		switch {
		case missing == ErrBusy:
			answers[i].Err = ErrBusy
		case !heard[k]:
			take(k, nil, missing)
		}
	}
	return answers
}

// Each asks for the addresses of all hosts at once. It calls answer with the place
// of each, as EachResolver does, until that returns false; a place that is none, or
// was answered, is the fault of the resolver. Hosts it did not answer are the
// caller's to know, and have the error that Each returns: ErrBusy, with
// which none was asked for, an error of ctx or of Timeout, ErrPanicked or ErrExited.
func (a *Asker) Each(ctx context.Context, hosts []string, answer func(i int, addrs []netip.Addr, err error) bool) error {
	n := int64(len(hosts))
	if n == 0 {
		return nil
	}
	if a.busy.Add(n) > int64(a.Pending) {
		a.busy.Add(-n)
		return ErrBusy
	}
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	if each, ok := a.Resolver.(EachResolver); ok {
		defer a.busy.Add(-n)
		return together(ctx, each, hosts, answer)
	}
	return a.apart(ctx, hosts, answer)
}

// together has the resolver ask for everything at once.
func together(ctx context.Context, resolver EachResolver, hosts []string, answer func(i int, addrs []netip.Addr, err error) bool) (missing error) {
	missing = ErrExited
	defer func() {
		if recover() != nil {
			missing = ErrPanicked
		}
		if err := ctx.Err(); err != nil {
			missing = err
		}
	}()
	resolver.LookupEach(ctx, hosts, answer)
	return missing
}

// apart asks for each host in a goroutine of its own.
func (a *Asker) apart(ctx context.Context, hosts []string, answer func(i int, addrs []netip.Addr, err error) bool) error {
	type result struct {
		i     int
		addrs []netip.Addr
		err   error
	}
	results := make(chan result, len(hosts)) // room for those that nobody awaits
	for i, host := range hosts {
		go func() {
			r := result{i: i, err: ErrExited} // should the resolver leave by runtime.Goexit
			defer func() {
				a.busy.Add(-1)
				if recover() != nil {
					r.err = ErrPanicked
				}
				results <- r
			}()
			r.addrs, r.err = a.Resolver.LookupNetIP(ctx, "ip4", host)
		}()
	}
	for range hosts {
		select {
		case r := <-results:
			if !answer(r.i, r.addrs, r.err) {
				return nil
			}
		case <-ctx.Done():
			for len(results) > 0 { // what is there counts
				if r := <-results; !answer(r.i, r.addrs, r.err) {
					return nil
				}
			}
			return ctx.Err()
		}
	}
	return nil
}

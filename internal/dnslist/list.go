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

// List is a list that is asked, and what is known of its health. Do not copy it
// after first use.
type List struct {
	Name   string
	Suffix string // behind what is asked for: ".multi.surbl.org."
	Secret string // in Suffix, kept out of errors
	Codes  Codes

	Listed   string   // name without Suffix that is always listed, "" for none
	Unlisted []string // names that never are

	until atomic.Int64 // Unix nanoseconds up to which it is set aside; 0: it is not
	fails atomic.Int64 // lookups that failed in a row

	once  sync.Once
	doubt chan struct{} // has one when a test is due at once

	telling sync.Mutex // held while a change is told, so that they come in order

	mu    sync.Mutex
	now   Standing
	why   string
	since time.Time
}

// Standing is what is known of a list's health.
type Standing int

const (
	Well      Standing = iota // nothing is known to be wrong
	Away                      // it does not answer, or its servers fail
	Refuses                   // its operator does not answer us
	Empty                     // it does not list what is always listed: it is dead
	World                     // it lists what is never listed
	Rewritten                 // it answers outside 127.0.0.0/8: it is parked, or somebody on the way answers for names that do not exist
)

// Change is a list that stands otherwise from now on.
type Change struct {
	List  *List
	Now   Standing
	Why   string    // it is not Well, as others may have written it, without the Secret
	At    time.Time // since when
	Since time.Time // when the standing before began; the zero Time for none
}

// Read makes codes of what a resolver returned. A name that does not exist is no
// code and no error; other errors are without the Secret.
func (l *List) Read(addrs []netip.Addr, err error) (Set, error) {
	if err == nil {
		return l.Codes.Read(addrs)
	}
	if dns, ok := err.(*net.DNSError); ok && dns.IsNotFound { // as resolvers return it
		return 0, nil
	}
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return 0, nil
	case errors.Is(err, context.Canceled):
		return 0, context.Canceled
	case dns != nil:
		copied := *dns
		copied.UnwrapErr = nil // it may have the name once more
		copied.Name, copied.Err = l.Name, Hide(dns.Err, l.Secret)
		return 0, &copied
	case errors.Is(err, context.DeadlineExceeded), l.Secret == "":
		return 0, err
	}
	return 0, errors.New(Hide(err.Error(), l.Secret))
}

// Standing is how l stands, why, and since when it does; the zero Time where it
// never stood otherwise.
func (l *List) Standing() (now Standing, why string, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now, l.why, l.since
}

// Aside reports whether l is not to be asked. One whose time is over is asked
// again, although it is not taken back: where nobody runs tests, that is how it is
// found to be well.
func (l *List) Aside() bool {
	until := l.until.Load()
	return until != 0 && time.Now().UnixNano() < until
}

// doubts has one when a test is due at once.
func (l *List) doubts() chan struct{} {
	l.once.Do(func() { l.doubt = make(chan struct{}, 1) })
	return l.doubt
}

// suspect has a test made soon.
func (l *List) suspect() {
	select {
	case l.doubts() <- struct{}{}:
	default:
	}
}

package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
)

// The errors of lookups are *net.DNSError. Each wraps one of these, the error of
// the context, or none where an answer had names that are none (see
// [Resolver.LookupMX]).
var (
	ErrNoName      = errors.New("no such name")                             // NXDOMAIN; IsNotFound
	ErrNoData      = errors.New("no such records")                          // the name exists; IsNotFound
	ErrName        = errors.New("not a name to ask for")                    // nothing was asked; IsNotFound
	ErrTimeout     = errors.New("no answer in time")                        // IsTimeout and IsTemporary
	ErrServfail    = errors.New("server failed")                            // SERVFAIL, a DNSSEC failure too; IsTemporary, as all below
	ErrRefused     = errors.New("server refused")                           // REFUSED: it does not serve us
	ErrUnreachable = errors.New("server unreachable")                       // no route, nobody at its port, or no TLS with it
	ErrBroken      = errors.New("server gave no answer that could be read") // malformed, oversized or another response code
	ErrBudget      = errors.New("budget for DNS spent")                     // see Budget
)

// errBusy is for who waited for a socket in vain.
var errBusy = fmt.Errorf("%w: no socket was free", ErrTimeout)

// kind is what an answer comes to. The zero kind has not been found out.
type kind uint8

const (
	unknown kind = iota
	data         // there are records
	noData
	noName
	timedOut // from here on servers have failed
	servfail
	refused
	unreachable
	broken
)

func (k kind) failure() bool  { return k >= timedOut }
func (k kind) negative() bool { return k == noData || k == noName }

func (k kind) err() error {
	switch k {
	case noData:
		return ErrNoData
	case noName:
		return ErrNoName
	case timedOut:
		return ErrTimeout
	case servfail:
		return ErrServfail
	case refused:
		return ErrRefused
	case unreachable:
		return ErrUnreachable
	}
	return ErrBroken
}

// dnsError is the error of an answer without records, nil for one with.
func dnsError(name string, a answer) error {
	if a.kind == data {
		return nil
	}
	e := new(net.DNSError)
	describe(e, name, a)
	return e
}

// describe makes e the error of an answer without records.
func describe(e *net.DNSError, name string, a answer) {
	err := a.kind.err()
	e.UnwrapErr, e.Err, e.Name = err, err.Error(), name
	if a.kind.negative() {
		e.IsNotFound = true
		return
	}
	server, why, ok := strings.Cut(a.data, "\x00")
	if e.Server = server; ok {
		e.Err += ": " + why
	}
	e.IsTemporary, e.IsTimeout = true, a.kind == timedOut
}

// nameError refuses a name.
func nameError(name string, why error) error {
	err := fmt.Errorf("%w: %w", ErrName, why)
	return &net.DNSError{UnwrapErr: err, Err: err.Error(), Name: fmt.Sprintf("%.300q", name), IsNotFound: true}
}

// ownError is the error of a lookup that its caller's context or budget ended.
func ownError(name string, err error) error {
	timeout := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrTimeout)
	return &net.DNSError{UnwrapErr: err, Err: err.Error(), Name: name, IsTimeout: timeout, IsTemporary: true}
}

// namesError says that an answer had names that are none.
func namesError(name string) error {
	return &net.DNSError{Err: "answer has names that are no host's", Name: name}
}

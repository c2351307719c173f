package mailsig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/smtpguard/smtpguard/internal/lookup"
)

// Resolver is how keys are found: *net.Resolver is one.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// maxRecords bounds how many TXT records of a name are looked at: there should
// be one.
const maxRecords = 8

// Keys finds public keys in DNS. Records are asked for each time, because the
// resolver knows how long they are good; what a text says is remembered.
type Keys struct {
	Resolver Resolver
	Timeout  time.Duration // of a lookup
	Entries  int           // texts that are remembered

	mu     sync.Mutex
	parsed map[string]parsed
}

// parsed is what a text says.
type parsed struct {
	record *Record
	err    error
}

var (
	// ErrNoKey is of a name without a record.
	ErrNoKey = errors.New("no key for signature")

	// ErrKeySyntax is of a name that only has records that are none.
	ErrKeySyntax = errors.New("key syntax error")

	// ErrUnavailable is of a lookup that failed, and may not the next time.
	ErrUnavailable = errors.New("key unavailable")
)

// Key is a lookup under way.
type Key struct {
	name    string
	ctx     context.Context
	done    chan struct{} // nil for what was at hand
	records []*Record
	err     error
}

// lookups are those of a run.
type lookups struct {
	atHand context.Context // under which nothing is waited for
	missed func() bool     // of atHand

	ctx    context.Context
	cancel context.CancelFunc
	keys   []*Key
	slots  chan struct{}
}

// Key begins to look a name up, which others of the run may have done already.
// What the resolver has at hand is there when it returns: neither goroutine nor
// timer is needed for it.
func (r *Run) Key(ctx context.Context, name string) *Key {
	l := &r.lookups
	for _, k := range l.keys {
		if k.name == name {
			return k
		}
	}
	k := &Key{name: name}
	l.keys = append(l.keys, k)
	keys := r.Engine.Keys
	if l.missed == nil || l.missed() { // once it has, it has for good
		l.atHand, l.missed, _ = lookup.AtHand(ctx, keys.Resolver)
	}
	if l.missed != nil {
		if k.records, k.err = keys.lookup(l.atHand, name); !l.missed() {
			return k
		}
	}
	if l.ctx == nil {
		l.ctx, l.cancel = context.WithTimeout(ctx, r.Engine.Keys.Timeout)
		l.slots = make(chan struct{}, r.Engine.Limits.Lookups)
	}
	k.ctx, k.done = l.ctx, make(chan struct{})
	go k.run(l.slots, keys)
	return k
}

func (k *Key) run(slots chan struct{}, keys *Keys) {
	select {
	case slots <- struct{}{}:
		k.records, k.err = keys.lookup(k.ctx, k.name)
		<-slots
		close(k.done)
	case <-k.ctx.Done():
	}
}

// Wait returns the records of the name, at least one; or an error that is
// ErrNoKey, ErrKeySyntax or ErrUnavailable. It waits for no resolver that
// ignores the end of its time.
func (k *Key) Wait() ([]*Record, error) {
	if k.done == nil {
		return k.records, k.err
	}
	select {
	case <-k.done:
		return k.records, k.err
	case <-k.ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(k.ctx))
	}
}

// lookup asks for the records of name. A panic of the resolver's is a failure.
func (k *Keys) lookup(ctx context.Context, name string) (records []*Record, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: resolver: panic: %v", ErrUnavailable, p)
		}
	}()
	texts, err := k.Resolver.LookupTXT(ctx, name)
	if err != nil {
		var dns *net.DNSError
		if errors.As(err, &dns) && dns.IsNotFound {
			return nil, ErrNoKey
		}
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	err = ErrNoKey
	for _, text := range texts[:min(len(texts), maxRecords)] {
		record, bad := k.parse(text)
		if bad == nil {
			records = append(records, record)
		} else if len(records) == 0 {
			err = fmt.Errorf("%w: %w", ErrKeySyntax, bad)
		}
	}
	if len(records) > 0 {
		err = nil
	}
	return records, err
}

// parse reads a record, or remembers what it says. When there are too many to
// remember, any one is forgotten.
func (k *Keys) parse(text string) (*Record, error) {
	if len(text) > maxRecord {
		return ParseRecord(text)
	}
	k.mu.Lock()
	p, ok := k.parsed[text]
	k.mu.Unlock()
	if ok {
		return p.record, p.err
	}
	p.record, p.err = ParseRecord(text)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.parsed == nil {
		k.parsed = make(map[string]parsed)
	}
	if len(k.parsed) >= k.Entries {
		for old := range k.parsed {
			delete(k.parsed, old)
			break
		}
	}
	if k.Entries > 0 {
		k.parsed[text] = p
	}
	return p.record, p.err
}

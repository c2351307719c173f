package limiter

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// LeaseConfig says how much is taken in advance. The zero value of a field
// means its default.
type LeaseConfig struct {
	Share   int           // units of a key taken at a time; 100
	Idle    time.Duration // after so long unused, what is left of a share is given back; 5 s
	MaxKeys int           // keys with a share at one time; 10,000. Others are asked for one by one
	Timeout time.Duration // of giving back what is left; 5 s
}

// Lease is a Store in front of another, slower one, such as Redis: it takes a
// share of a key's units at a time, and decides about single units of it by
// itself, in a fraction of a microsecond. It is safe for concurrent use.
//
// What is spent locally was taken from the store before, so all machines
// together never get more units out of a limit than it has. But they may have
// them later: in any window a key can have, beyond its limit, what was left of the
// shares at its beginning, at most Share for each machine. And units in a share
// that nobody uses are missing elsewhere until they are given back, after Idle; a
// process that is killed gives nothing back, and the limit regains it with time.
//
// Only single asks of a few units of limits with a Burst of four shares and more
// are decided so. What is asked for together, forced, given back, or of a limit
// that is nearly used up goes to the store as it is.
type Lease struct {
	store Store
	cfg   LeaseConfig

	mu     sync.Mutex
	shares map[leased]*share
	stop   chan struct{}
	done   chan struct{}
	once   sync.Once
}

var _ Store = (*Lease)(nil)

// leased is what a share is of.
type leased struct {
	key   string
	limit Limit
}

// share is what is left of what was taken. turn is held while it is looked at
// or another one is taken.
type share struct {
	turn   chan struct{}
	left   int
	after  State     // how the key stood when the share was taken
	scarce time.Time // until then the store has no whole share
	used   time.Time
	gone   bool // given back: no longer in the map
}

// NewLease returns a Lease of store. Close gives back what it has.
func NewLease(store Store, cfg LeaseConfig) (*Lease, error) {
	var errs []error
	if store == nil {
		errs = append(errs, errors.New("limiter: NewLease: store is nil"))
	}
	def := func(field string, v *int, d int) {
		if *v == 0 {
			*v = d
		}
		if *v < 1 {
			errs = append(errs, fmt.Errorf("limiter: LeaseConfig.%s: must be positive", field))
		}
	}
	def("Share", &cfg.Share, 100)
	def("MaxKeys", &cfg.MaxKeys, 10_000)
	for _, f := range []struct {
		name string
		v    *time.Duration
	}{{"Idle", &cfg.Idle}, {"Timeout", &cfg.Timeout}} {
		if *f.v == 0 {
			*f.v = 5 * time.Second
		}
		if *f.v < 0 {
			errs = append(errs, fmt.Errorf("limiter: LeaseConfig.%s: must not be negative", f.name))
		}
	}
	if cfg.Share > math.MaxInt/4 {
		errs = append(errs, errors.New("limiter: LeaseConfig.Share: is too large"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	l := &Lease{
		store: store, cfg: cfg, shares: make(map[leased]*share),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go l.sweep()
	return l, nil
}

// Close gives back what is left of all shares. Its error is the store's, and
// then what it was not told is regained with time. Asks go on, to the store.
func (l *Lease) Close() error {
	l.once.Do(func() { close(l.stop) })
	<-l.done
	return l.giveBack(func(*share) bool { return true })
}

// Take is as [Store] says, with the bound that Lease states. Of what is decided
// here, Left counts the share and what the store had when it was taken.
func (l *Lease) Take(ctx context.Context, asks []Ask) ([]State, error) {
	if len(asks) != 1 {
		return l.store.Take(ctx, asks)
	}
	st, err := l.TakeOne(ctx, asks[0])
	if err != nil {
		return nil, err
	}
	return []State{st}, nil
}

// TakeOne decides about one ask. Where a share has room it allocates nothing.
func (l *Lease) TakeOne(ctx context.Context, ask Ask) (State, error) {
	if ask.Force || ask.N < 0 || ask.N > l.cfg.Share/2 || ask.Limit.N <= 0 || ask.Limit.burst()/4 < l.cfg.Share || ask.Validate() != nil {
		return l.pass(ctx, ask)
	}
	s := l.share(leased{ask.Key, ask.Limit}, ask.N > 0)
	if s == nil {
		return l.pass(ctx, ask)
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return State{}, ctx.Err()
	}
	defer func() { <-s.turn }()
	if ask.N == 0 {
		st, err := l.pass(ctx, ask)
		st.Left = plus(st.Left, s.left)
		if s.left > 0 {
			st.OK, st.Retry = true, 0
		}
		return st, err
	}
	now := time.Now()
	s.used = now
	if s.left < ask.N && !s.gone && now.After(s.scarce) {
		if err := l.take(ctx, ask, s, now); err != nil {
			return State{}, err
		}
	}
	if s.left < ask.N {
		return l.pass(ctx, ask)
	}
	s.left -= ask.N
	return State{OK: true, Left: plus(s.left, s.after.Left), Full: s.after.Full}, nil
}

// take takes another share, if the store has a whole one.
func (l *Lease) take(ctx context.Context, ask Ask, s *share, now time.Time) error {
	ask.N = l.cfg.Share
	st, err := l.pass(ctx, ask)
	switch {
	case err != nil:
		return err
	case st.OK:
		s.left += ask.N
		s.after = st
	default:
		s.scarce = now.Add(st.Retry)
	}
	return nil
}

// pass asks the store.
func (l *Lease) pass(ctx context.Context, ask Ask) (State, error) {
	states, err := l.store.Take(ctx, []Ask{ask})
	if err != nil {
		return State{}, err
	}
	return states[0], nil
}

// share is that of k; nil when there is none, and none can be made.
func (l *Lease) share(k leased, must bool) *share {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.shares[k]
	if ok || !must || len(l.shares) >= l.cfg.MaxKeys {
		return s
	}
	select {
	case <-l.stop:
		return nil
	default:
	}
	s = &share{turn: make(chan struct{}, 1), used: time.Now()}
	l.shares[k] = s
	return s
}

// sweep gives back what nobody uses.
func (l *Lease) sweep() {
	defer close(l.done)
	tick := time.NewTicker(max(l.cfg.Idle/2, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case now := <-tick.C:
			// The store's own failures are for those who ask it.
			_ = l.giveBack(func(s *share) bool { return now.Sub(s.used) >= l.cfg.Idle })
		}
	}
}

// giveBack gives back the shares that over says are not used any more, many at
// a time.
func (l *Lease) giveBack(over func(*share) bool) error {
	var asks []Ask
	l.mu.Lock()
	for k, s := range l.shares {
		select {
		case s.turn <- struct{}{}:
		default:
			continue // in use
		}
		if over(s) {
			s.gone = true
			if s.left > 0 {
				asks = append(asks, Ask{Key: k.key, Limit: k.limit, N: -s.left})
			}
			s.left = 0
			delete(l.shares, k)
		}
		<-s.turn
	}
	l.mu.Unlock()
	var errs []error
	for len(asks) > 0 {
		n := min(len(asks), MaxAsks)
		ctx, cancel := context.WithTimeout(context.Background(), l.cfg.Timeout)
		_, err := l.store.Take(ctx, asks[:n])
		cancel()
		if err != nil {
			errs = append(errs, fmt.Errorf("limiter: giving back shares: %w", err))
		}
		asks = asks[n:]
	}
	return errors.Join(errs...)
}

// plus is a+b, where neither is negative and the sum may be too large.
func plus(a, b int) int {
	if a > math.MaxInt-b {
		return math.MaxInt
	}
	return a + b
}

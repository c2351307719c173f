package limiter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// LeaseConfig configures a [Lease]. The zero value of a field means its default.
type LeaseConfig struct {
	// Share is how many units of a key are held in advance, at most: 100, and
	// never more than a tenth of the limit's Burst: of limits below 20 none.
	Share int

	// Idle is after how long without an ask a key's units are given back: 10
	// seconds. It must be at least 10 milliseconds.
	Idle time.Duration

	// Keys is of how many keys units may be held at a time: 65,536. A key longer
	// than 512 octets never has any.
	Keys int
}

// Lease is a Store in front of a slower one, a server that several machines
// share. Of keys that are asked for often it takes a share in advance, spends
// that without asking, and has the next one fetched before it is used up. Near
// the limit shares become smaller, and at last every ask goes to the store.
//
// What is decided here are asks for units at hand and looks at keys that have
// some, if all asks of a Take are such. All else goes to the store, less what is
// at hand. States are the store's with what is at hand; of what is decided here,
// they are as the store last described them.
//
// Units at hand are spent in the store's books, and it regains them meanwhile.
// So in any time all machines together admit no more than the limit does, and
// Share units for each machine; and as much may be missing at a machine while
// others hold it, until they give it back. On a crash what is held is spent.
//
// The zero Lease decides nothing: use [NewLease].
type Lease struct {
	store Store
	cfg   LeaseConfig
	base  time.Time
	stop  chan struct{} // closed by Close
	calls sync.WaitGroup

	mu     sync.Mutex
	held   map[leaseKey]*holding
	turn   uint64 // counts asks to the store and answers
	closed bool
}

type leaseKey struct {
	key   string
	limit Limit
}

// holding is what is known of one key, and held of it.
type holding struct {
	ask      Ask           // the last one
	left     int           // units at hand
	lent     int           // asks under way that may bring some back
	heard    bool          // the store has answered
	full     int64         // when its bucket will be full again, as it said last
	turn     uint64        // Lease.turn when it did
	used     int64         // when the key was last asked for
	fetching chan struct{} // closed when that has ended; nil when nothing is being fetched
}

const (
	maxLeaseKey  = 512             // octets
	leaseTimeout = 5 * time.Second // of what is done in nobody's name
)

// NewLease returns a lease on store. It has to be closed.
func NewLease(store Store, cfg LeaseConfig) (*Lease, error) {
	if store == nil {
		return nil, errors.New("limiter: NewLease: no store")
	}
	if cfg.Share == 0 {
		cfg.Share = 100
	}
	if cfg.Idle == 0 {
		cfg.Idle = 10 * time.Second
	}
	if cfg.Keys == 0 {
		cfg.Keys = 1 << 16
	}
	var errs []error
	if cfg.Share < 0 {
		errs = append(errs, errors.New("limiter: Share: must not be negative"))
	}
	if cfg.Idle < 10*time.Millisecond {
		errs = append(errs, fmt.Errorf("limiter: Idle: %v is less than 10 ms", cfg.Idle))
	}
	if cfg.Keys < 0 {
		errs = append(errs, errors.New("limiter: Keys: must not be negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	l := &Lease{store: store, cfg: cfg, base: time.Now(), stop: make(chan struct{}), held: make(map[leaseKey]*holding)}
	l.calls.Go(l.sweep)
	return l, nil
}

func (l *Lease) now() int64 { return int64(time.Since(l.base)) }

// Take decides by what is at hand, or has the store decide.
func (l *Lease) Take(ctx context.Context, asks []Ask) ([]State, error) {
	if l.store == nil {
		return nil, errors.New("limiter: a Lease that NewLease has not made")
	}
	for range 2 { // what was fetched may go to others
		states, wait := l.local(asks)
		if states != nil {
			return states, nil
		}
		if len(wait) == 0 {
			break
		}
		for _, fetched := range wait {
			select {
			case <-fetched:
			case <-ctx.Done():
				return nil, fmt.Errorf("limiter: waiting for a share: %w", ctx.Err())
			}
		}
	}
	return l.pass(ctx, asks)
}

// local decides by what is at hand. Where that is too little states is nil, and
// it may be enough when all that wait lists has ended.
func (l *Lease) local(asks []Ask) (states []State, wait []<-chan struct{}) {
	if len(asks) > MaxAsks {
		return nil, nil
	}
	var few [8]*holding
	hs := few[:0]
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for i := range asks {
		h, ok := l.lease(&asks[i], now)
		if !ok {
			return nil, nil
		}
		hs = append(hs, h)
	}
	enough := true
	for i, h := range hs {
		if h != nil {
			enough = enough && h.left >= max(asks[i].N, 1)
			h.left -= asks[i].N
		}
	}
	if !enough {
		for i, h := range hs {
			if h != nil {
				h.left += asks[i].N
			}
		}
		for i, h := range hs {
			if h != nil && h.left < max(asks[i].N, 1) {
				if !l.fetch(h, asks[i].N, now) {
					return nil, nil
				}
				wait = append(wait, h.fetching)
			}
		}
		return nil, wait
	}
	states = make([]State, len(asks))
	for i, h := range hs {
		if h == nil {
			states[i] = asks[i].Limit.boundless()
			continue
		}
		states[i] = h.stand(&asks[i], now, true)
		if h.left < l.share(&asks[i].Limit)/4 {
			l.fetch(h, asks[i].N, now)
		}
	}
	return states, nil
}

// share is how many units of a limit are held at most.
func (l *Lease) share(limit *Limit) int { return min(l.cfg.Share, limit.burst()/10) }

// lease returns what is held for a. ok is false where units are not to be held;
// under the zero Limit nothing is, and nothing need be. Callers of this and of
// what follows hold l.mu.
func (l *Lease) lease(a *Ask, now int64) (h *holding, ok bool) {
	if a.Limit.N == 0 && a.Validate() == nil {
		return nil, true
	}
	if l.closed || a.N < 0 || len(a.Key) > maxLeaseKey || l.share(&a.Limit) < 2*a.N || l.share(&a.Limit) < 2 || a.Validate() != nil {
		return nil, false
	}
	key := leaseKey{a.Key, a.Limit}
	h = l.held[key]
	if h == nil {
		if len(l.held) >= l.cfg.Keys && !l.drop() {
			return nil, false
		}
		h = &holding{}
		l.held[key] = h
	}
	h.ask, h.used = *a, now
	return h, true
}

// drop forgets some key of which nothing is held, if it soon finds one.
func (l *Lease) drop() bool {
	tries := 8
	for key, h := range l.held {
		if h.left == 0 && h.idle() {
			delete(l.held, key)
			return true
		}
		if tries--; tries == 0 {
			break
		}
	}
	return false
}

// idle reports whether nobody is about to change h.
func (h *holding) idle() bool { return h.lent == 0 && h.fetching == nil }

// hear notes how the store, asked in the given turn, says that the key stands. Of
// two answers that were under way together nobody knows which was given first: the
// one that leaves less counts.
func (l *Lease) hear(h *holding, st *State, asked uint64, now int64) {
	full := now + int64(st.Full)
	if h.turn > asked {
		full = max(full, h.full)
	}
	l.turn++
	h.heard, h.full, h.turn = true, full, l.turn
}

// stand is how the key of a stands, to the store and here.
func (h *holding) stand(a *Ask, now int64, ok bool) State {
	var r rule
	r.of(a)
	tat := r.bound(now, h.full) - a.Limit.cost(uint64(h.left))
	return r.stand(now, r.bound(now, tat), ok)
}

// fetch has a share fetched where n units are asked for, and reports whether
// one is on its way: not while the store has little left, or has not said yet.
// So keys that come but once cost nothing in advance.
func (l *Lease) fetch(h *holding, n int, now int64) bool {
	if h.fetching != nil {
		return true
	}
	var r rule
	if l.closed || !h.heard || !r.of(&h.ask) {
		return false
	}
	there := r.stand(now, r.bound(now, h.full), true).Left
	share := l.share(&h.ask.Limit)
	want := min(share-h.left, there/4)
	if want < max(n, share/8, 1) {
		return false
	}
	a := h.ask
	a.N, a.Force = want, false
	h.fetching = make(chan struct{})
	l.turn++
	asked := l.turn
	l.calls.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), leaseTimeout)
		defer cancel()
		states, err := l.store.Take(ctx, []Ask{a})
		l.mu.Lock()
		defer l.mu.Unlock()
		h.heard = false
		if err == nil && len(states) == 1 {
			l.hear(h, &states[0], asked, l.now())
			if states[0].OK {
				h.left += want
			}
		}
		close(h.fetching)
		h.fetching = nil
	})
	return true
}

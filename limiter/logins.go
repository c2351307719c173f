package limiter

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/smtpguard/smtpguard"
)

// Logins counts failed logins, so that who guesses is shut out and who owns the
// account is not, as long as she comes from a network that it was proven from
// before. It knows no accounts: a login that exists costs what any other does.
// Where the store forgets, nobody is at home until the next success. It is safe
// for concurrent use.
type Logins struct {
	cfg       LoginsConfig
	store     Store
	exchanges smtpguard.Key[*exchange]
	strikes   Limit

	mu     sync.Mutex // of what follows: how many lockouts were told of
	tat    int64
	missed int
}

// NewLogins compiles cfg. It reports everything that is wrong with it, by field.
func NewLogins(store Store, cfg LoginsConfig) (*Logins, error) {
	if store == nil {
		return nil, errors.New("limiter: NewLogins: store is nil")
	}
	cfg = cfg.filled()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	l := &Logins{cfg: cfg, store: store, strikes: Limit{N: 1, Per: cfg.Backoff.Forget}}
	for d := cfg.Backoff.First; d < cfg.Backoff.Max; d *= 2 { // as many as doubling takes
		l.strikes.N++
	}
	return l, nil
}

// who is a login and a client network, as keys have them.
type who struct {
	client netip.Prefix
	login  string // the digest of its folded form, "" when it is not known
	wide   string
	home   string
}

func (l *Logins) who(addr netip.Addr, login string) who {
	w := who{client: l.cfg.Bits.of(addr), wide: network(wide(addr)), home: network(l.cfg.HomeBits.of(addr))}
	if login != "" {
		w.login = digest(l.cfg.Fold(login))
	}
	return w
}

// ask is one unit of a counter.
func (l *Logins) ask(c Counter, w who) Ask {
	a := Ask{N: 1, Debt: l.cfg.Backoff.Max}
	client := network(w.client)
	switch c {
	case PairFailures:
		a.Limit, a.Key, a.Overflow = l.cfg.Pair, w.login+"/"+client, client
	case HomeFailures:
		a.Limit, a.Key, a.Overflow = l.cfg.Home, w.login+"/"+client, w.home
	case LoginFailures:
		a.Limit, a.Key = l.cfg.Login, w.login
	default:
		a.Limit, a.Key, a.Overflow = l.cfg.Client, client, w.wide
	}
	a.Key = "logins/" + string(c) + "/" + a.Key
	if a.Overflow != "" {
		a.Overflow = "logins/" + string(c) + "/many/" + a.Overflow
	}
	return a
}

// strike is one lockout of what a counts.
func (l *Logins) strike(a Ask) Ask {
	return Ask{Key: a.Key + "/strikes", Limit: l.strikes, N: 1, Force: true}
}

// atHome is the memory of a success, which lasts as long as its bucket takes to
// fill. In a full store whoever shares the network shares it.
func (l *Logins) atHome(w who) Ask {
	return Ask{
		Key: "logins/at/" + w.login + "/" + w.home, Overflow: "logins/at/many/" + w.home,
		Limit: Limit{N: 1, Per: l.cfg.HomeFor}, Force: true,
	}
}

// all is more than ever was spent of a.
func (l *Logins) all(a Ask) Ask {
	a.N, a.Force = math.MinInt32, false
	return a
}

// Attempt is one login between the claim and the end of its proof. One of
// Succeeded, Failed and Abandoned has to follow, unless it is refused; what
// comes after the first of them does nothing.
type Attempt struct {
	l     *Logins
	who   who
	login string // as claimed, bounded
	block Standing

	mu      sync.Mutex
	over    bool
	charged []charge
}

// charge is a failure counted in advance, so that attempts side by side find no
// more room than attempts in a row.
type charge struct {
	counter Counter
	ask     Ask
	last    bool // of those that are free
	strike  int
}

// maxLogin bounds the claimed login in what operators read.
const maxLogin = 255

// Begin counts an attempt as failed, before its proof is judged. login is as the
// client claims it, of any length; "" where the mechanism names none. It is for
// SMTP what Check does, and for other ways to log in (IMAP, a web page) on the same
// store. An error means that nothing was decided.
func (l *Logins) Begin(ctx context.Context, addr netip.Addr, login string) (*Attempt, error) {
	a := &Attempt{l: l, who: l.who(addr, login), login: login[:min(len(login), maxLogin)]}
	charges, err := l.charges(ctx, a.who, within(l.cfg.Shared, addr))
	if err != nil {
		return nil, err
	}
	asks := make([]Ask, len(charges))
	for i, c := range charges {
		asks[i] = c.ask
	}
	states, err := take(ctx, l.store, asks)
	if err != nil {
		return nil, err
	}
	for i, st := range states {
		if !st.OK {
			a.block, a.over = Standing{Counter: charges[i].counter, Locked: true, Retry: st.Retry}, true
			return a, nil
		}
		charges[i].last = st.Left < charges[i].ask.N
	}
	a.charged = charges
	return a, nil
}

// charges is what one attempt of w costs: one failure for each counter, and
// twice as much for each lockout that is not forgiven, up to all that there ever
// is. So whoever waits until a bucket has filled again after a lockout finds fewer
// attempts in it.
func (l *Logins) charges(ctx context.Context, w who, shared bool) (cs []charge, err error) {
	counters := []Counter{UnnamedFailures}
	if w.login != "" {
		counters = []Counter{PairFailures, LoginFailures, ClientFailures, HomeFailures}
	}
	var looks []Ask
	for _, c := range counters {
		ask := l.ask(c, w)
		cs = append(cs, charge{counter: c, ask: ask})
		strikes := l.strike(ask)
		strikes.N, ask.N = 0, 0
		looks = append(looks, strikes, ask)
	}
	home := l.atHome(w)
	home.N = 0
	states, err := take(ctx, l.store, append(looks, home))
	if err != nil {
		return nil, err
	}
	for i := range cs {
		c := &cs[i]
		c.ask.N = cost(&c.ask.Limit, l.strikes.N-states[2*i].Left)
		if c.counter == ClientFailures && states[1].Full > 0 { // the network has failed on this login: no other one is counted
			c.ask.N = 0
		}
	}
	atHome := w.login != "" && !states[len(looks)].OK
	return slices.DeleteFunc(cs, func(c charge) bool {
		switch c.counter {
		case HomeFailures:
			return !atHome
		case ClientFailures, UnnamedFailures:
			return atHome || shared
		}
		return atHome
	}), nil
}

// Refused reports whether the attempt must not be judged, and why. Whoever asks
// must be told the same as anybody else.
func (a *Attempt) Refused() (Standing, bool) { return a.block, a.block.Locked }

// end takes what was charged. first is false when the attempt has ended already.
func (a *Attempt) end() (charged []charge, first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	charged, first = a.charged, !a.over
	a.charged, a.over = nil, true
	return charged, first
}

// Abandoned gives back the attempt: its proof was not judged, for a reason that
// is not the client's.
func (a *Attempt) Abandoned(ctx context.Context) error {
	charged, _ := a.end()
	_, err := take(ctx, a.l.store, giveBack(charged))
	return err
}

// Succeeded gives back the attempt, forgives the failures of this network on this
// login, and remembers the network as one of its homes. What the network failed
// on other logins, and other networks on this one, stays.
func (a *Attempt) Succeeded(ctx context.Context) error {
	charged, first := a.end()
	if !first {
		return nil
	}
	asks := giveBack(charged)
	if a.who.login != "" {
		for _, c := range []Counter{PairFailures, HomeFailures} {
			ask := a.l.ask(c, a.who)
			asks = append(asks, a.l.all(ask), a.l.all(a.l.strike(ask)))
		}
		home := a.l.atHome(a.who)
		home.N = 1
		asks = append(asks, home)
	}
	_, err := take(ctx, a.l.store, asks)
	return err
}

// cost is what an attempt costs after so many lockouts.
func cost(l *Limit, strikes int) int { return min(1<<min(strikes, 30), max(l.burst(), 1)) }

func giveBack(charged []charge) (asks []Ask) {
	for _, c := range charged {
		if c.ask.N > 0 {
			c.ask.N = -c.ask.N
			asks = append(asks, c.ask)
		}
	}
	return asks
}

// Failed leaves the attempt counted. Where it was the last that was free, the
// lockout begins.
func (a *Attempt) Failed(ctx context.Context) error {
	l := a.l
	charged, _ := a.end()
	last := slices.DeleteFunc(charged, func(c charge) bool { return !c.last })
	asks := make([]Ask, len(last))
	for i, c := range last {
		asks[i] = l.strike(c.ask)
	}
	states, err := take(ctx, l.store, asks)
	if err != nil {
		return err
	}
	asks = asks[:0]
	for i, c := range last {
		strike := max(l.strikes.N-states[i].Left, 1)
		wait := min(l.cfg.Backoff.First<<(strike-1), l.cfg.Backoff.Max)
		unit := c.ask.Limit.Cost(1)
		penalty, look := c.ask, c.ask
		penalty.N, penalty.Force, look.N = int(min((wait+unit-1)/unit, math.MaxInt32)), true, 0
		asks = append(asks, penalty, look)
		last[i].strike = strike
	}
	if states, err = take(ctx, l.store, asks); err != nil {
		return err
	}
	for i, c := range last {
		l.locked(Lockout{Counter: c.counter, Client: a.who.client, Login: a.login, Strike: c.strike, For: states[2*i+1].Retry})
	}
	return nil
}

// locked tells of o, not too often.
func (l *Logins) locked(o Lockout) {
	if l.cfg.Locked == nil {
		return
	}
	l.mu.Lock()
	ask := Ask{Limit: l.cfg.LockedRate, N: 1}
	next, st := ask.Spend(time.Now().UnixNano(), l.tat)
	l.tat = next
	if !st.OK {
		l.missed++
		l.mu.Unlock()
		return
	}
	o.Missed, l.missed = l.missed, 0
	l.mu.Unlock()
	l.cfg.Locked(o)
}

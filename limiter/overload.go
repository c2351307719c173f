package limiter

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smtpguard/smtpguard"
)

// Overload sees when the process has more to do than it can, and then gives
// clients less time and lets fewer newcomers in. It is safe for concurrent use.
type Overload struct {
	cfg   OverloadConfig
	level atomic.Int32
	read  func() (goroutines, memory int64)

	slots smtpguard.Key[*overloadSlot]

	mu         sync.Mutex
	conns      map[*smtpguard.Conn]struct{}
	goroutines figure
	memory     figure
	connected  figure
	sampled    time.Time
	watching   bool // a timer looks again: there is no traffic to wait for when the level is to fall
	refused    float64
	calm       chan struct{} // closed while not Calm
	good       goodNetworks
	changes    []Change // not told yet

	telling sync.Mutex
}

// overloadSlot says what has become of one connection. The Overload's mutex
// guards it.
type overloadSlot struct{ gone bool }

// figure is one that has marks.
type figure struct {
	marks Marks
	value int64
	level Level
}

// NewOverload compiles cfg. It reports everything that is wrong with it, by
// field.
func NewOverload(cfg OverloadConfig) (*Overload, error) {
	cfg = cfg.filled()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Overload{
		cfg:        cfg,
		read:       readRuntime,
		conns:      make(map[*smtpguard.Conn]struct{}),
		connected:  figure{marks: cfg.Conns},
		goroutines: figure{marks: cfg.Goroutines},
		memory:     figure{marks: cfg.Memory},
		calm:       make(chan struct{}),
		good:       goodNetworks{keep: cfg.GoodFor, max: cfg.MaxGood},
	}, nil
}

// Level is how much the process has to do.
func (o *Overload) Level() Level { return Level(o.level.Load()) }

// Check returns o as a check. A client that is not let in gets 421 4.3.2 instead
// of the banner.
func (o *Overload) Check() smtpguard.Check {
	return smtpguard.Check{
		Name:   "overload",
		Always: true,
		Connect: func(_ context.Context, conn *smtpguard.Conn) (smtpguard.Verdict, error) {
			return o.connect(conn, time.Now()), nil
		},
		Mail: func(context.Context, *smtpguard.Transaction) (smtpguard.Verdict, error) {
			o.look(time.Now())
			return smtpguard.Verdict{}, nil
		},
		Done: func(_ context.Context, tx *smtpguard.Transaction, out smtpguard.Outcome) {
			if out.Delivered && len(tx.Quarantined()) == 0 {
				o.delivered(tx.Conn().Addr(), time.Now())
			}
		},
		Close: func(conn *smtpguard.Conn) { o.close(conn, time.Now()) },
	}
}

func (o *Overload) slot(conn *smtpguard.Conn) *overloadSlot {
	return o.slots.Update(conn, func(s *overloadSlot) *overloadSlot {
		if s == nil {
			s = new(overloadSlot)
		}
		return s
	})
}

func (o *Overload) connect(conn *smtpguard.Conn, now time.Time) smtpguard.Verdict {
	s := o.slot(conn)
	defer o.tell()
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.gone {
		return smtpguard.Verdict{}
	}
	addr := conn.Addr()
	known := within(o.cfg.Friends, addr) || o.good.has(o.cfg.Bits.of(addr), now)
	o.sample(now, o.cfg.Every)
	if !known && o.refuses() {
		return smtpguard.Verdict{
			Action: smtpguard.Defer,
			Reply:  reply(421, 4, 3, 2, "Too busy, try again later"),
			Reason: "overload: no newcomers",
			Facts:  map[string]string{"level": o.Level().String()},
		}
	}
	o.conns[conn] = struct{}{}
	if p := o.patience(); p > 0 {
		conn.SetPatience(p)
	}
	o.settle(now)
	return smtpguard.Verdict{}
}

// refuses decides about one newcomer: of those that come while the figures are
// between their marks, a part is refused that grows from none to all. Callers
// hold o.mu.
func (o *Overload) refuses() bool {
	if o.Level() == Calm {
		return false
	}
	if o.Level() == Full {
		return true
	}
	o.refused += max(o.connected.pressure(), o.goroutines.pressure(), o.memory.pressure())
	if o.refused < 1 {
		return false
	}
	o.refused--
	return true
}

// delivered remembers that good mail came from addr.
func (o *Overload) delivered(addr netip.Addr, now time.Time) {
	if !addr.IsValid() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.good.add(o.cfg.Bits.of(addr), now)
}

func (o *Overload) close(conn *smtpguard.Conn, now time.Time) {
	s := o.slot(conn)
	defer o.tell()
	o.mu.Lock()
	defer o.mu.Unlock()
	s.gone = true
	delete(o.conns, conn)
	o.settle(now)
}

// patience is what clients have at this level, 0 for what is configured.
func (o *Overload) patience() time.Duration {
	switch o.Level() {
	case Busy:
		return o.cfg.BusyPatience
	case Full:
		return o.cfg.FullPatience
	}
	return 0
}

// pressed returns a channel that is closed while the level is not Calm.
func (o *Overload) pressed() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.calm
}

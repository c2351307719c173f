package limiter

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestLimitValidate(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit Limit
		want  string // in the error; "" for none
	}{
		{"zero", Limit{}, ""},
		{"no limit, with a window", Limit{Per: time.Hour, Burst: 3}, ""},
		{"usual", Limit{N: 10, Per: time.Hour}, ""},
		{"smooth", Limit{N: 3600, Per: time.Hour, Burst: 1}, ""},
		{"a year", Limit{N: 1, Per: MaxWindow}, ""},
		{"one a nanosecond", Limit{N: 1000, Per: 1000}, ""},
		{"negative N", Limit{N: -1, Per: time.Hour}, "N"},
		{"negative Per", Limit{N: 1, Per: -time.Hour}, "Per"},
		{"no Per", Limit{N: 1}, "Per"},
		{"more than a year", Limit{N: 1, Per: MaxWindow + 1}, "Per"},
		{"negative Burst", Limit{N: 1, Per: time.Hour, Burst: -1}, "Burst"},
		{"negative Burst without limit", Limit{Burst: -1}, "Burst"},
		{"more than one a nanosecond", Limit{N: 1001, Per: 1000}, "N"},
		{"a burst of years", Limit{N: 1, Per: time.Hour, Burst: 9000}, "Burst"},
		{"a burst that overflows", Limit{N: 1, Per: time.Hour, Burst: math.MaxInt}, "Burst"},
		{"all of it", Limit{N: math.MaxInt, Per: math.MaxInt64, Burst: math.MaxInt}, "Per"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.limit.Validate()
			if err == nil != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if err := (&Ask{Debt: -1}).Validate(); err == nil || !strings.Contains(err.Error(), "Debt") {
		t.Errorf("a negative Debt: %v", err)
	}
	if err := (&Ask{Limit: Limit{N: -1}}).Validate(); err == nil || !strings.Contains(err.Error(), "a Limit with negative N") {
		t.Errorf("a negative N: %v", err)
	}
}

func TestCost(t *testing.T) {
	for _, tt := range []struct {
		limit Limit
		n     int
		want  time.Duration
	}{
		{Limit{}, 5, 0},
		{Limit{N: -1, Per: time.Hour}, 5, 0},
		{Limit{N: 10, Per: time.Second}, 1, time.Second / 10},
		{Limit{N: 10, Per: time.Second}, 0, 0},
		{Limit{N: 10, Per: time.Second}, -3, -3 * time.Second / 10},
		{Limit{N: 3, Per: time.Second}, 1, 333333333},
		{Limit{N: 3, Per: time.Second}, 3, time.Second},
		{Limit{N: 7e8, Per: time.Hour}, 7e8, time.Hour},             // not 7e8 times 5142 ns
		{Limit{N: 7e8, Per: time.Hour}, 21e8, 3 * time.Hour},        // more than 64 bits on the way
		{Limit{N: 1, Per: MaxWindow}, math.MaxInt, maxCost},         // saturates
		{Limit{N: 1, Per: MaxWindow}, math.MinInt, -maxCost},        // and this way
		{Limit{N: 1 << 29, Per: MaxWindow}, 1 << 30, 2 * MaxWindow}, // does not, on the way
	} {
		if got := tt.limit.Cost(tt.n); got != tt.want {
			t.Errorf("%d of %v: got %d, want %d", tt.n, tt.limit, got, tt.want)
		}
	}
}

// model is a token bucket with exact numbers: level units have been spent and
// not regained at the moment at.
type model struct {
	limit Limit
	level *big.Rat
	at    int64
}

func rat(n int64) *big.Rat { return new(big.Rat).SetInt64(n) }

// rate is units a nanosecond.
func (m *model) rate() *big.Rat { return big.NewRat(int64(m.limit.N), int64(m.limit.Per)) }

func (m *model) leak(now int64) {
	m.level.Sub(m.level, new(big.Rat).Mul(rat(now-m.at), m.rate()))
	if m.level.Sign() < 0 {
		m.level.SetInt64(0)
	}
	m.at = now
}

// spend is what Ask.Spend does. It reports whether there was room.
func (m *model) spend(now int64, a *Ask) bool {
	m.leak(now)
	burst := rat(int64(m.limit.burst()))
	sum := new(big.Rat).Add(m.level, rat(int64(a.N)))
	switch {
	case a.N == 0:
		return new(big.Rat).Add(m.level, rat(1)).Cmp(burst) <= 0
	case sum.Cmp(burst) <= 0 || a.N < 0:
		m.level = sum
		if m.level.Sign() < 0 {
			m.level.SetInt64(0)
		}
		return true
	case a.Force:
		most := new(big.Rat).Mul(rat(int64(a.Debt)), m.rate())
		if most.Add(most, burst); sum.Cmp(most) > 0 {
			sum = most
		}
		m.level = sum
	}
	return false
}

// nanoseconds is how much of the clock the level is ahead.
func (m *model) nanoseconds() float64 {
	f, _ := new(big.Rat).Quo(m.level, m.rate()).Float64()
	return f
}

// TestSpendIsATokenBucket compares with the model over random histories. What is
// rounded is less than a nanosecond an ask, so the two may only part where the
// model is that near to the edge; there the model follows.
func TestSpendIsATokenBucket(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	parted := 0
	const histories, asks = 200, 200
	for range histories {
		l := Limit{N: 1 + r.IntN([]int{5, 1000, 1e6}[r.IntN(3)]), Per: []time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour}[r.IntN(4)]}
		if r.IntN(2) == 0 {
			l.Burst = 1 + r.IntN(2*l.N)
		}
		debt := time.Duration(r.Int64N(int64(l.Per)))
		var now, tat int64 = 1, 0
		m := &model{limit: l, level: rat(0), at: now}
		for i := range asks {
			now += r.Int64N(max(2, 2*int64(l.Cost(l.burst()))/int64(1+r.IntN(asks))))
			a := &Ask{Limit: l, N: r.IntN(l.burst()+l.burst()/4+2) / (1 + r.IntN(8)), Force: r.IntN(8) == 0, Debt: debt}
			if r.IntN(8) == 0 {
				a.N = -a.N
			}
			before := m.nanoseconds()
			m.leak(now)
			level := new(big.Rat).Set(m.level)
			looked := a.Look(now, tat)
			next, st := a.Spend(now, tat)
			if looked.OK != st.OK {
				t.Fatalf("%v, ask %d: Look says %v, Spend %v", l, i, looked.OK, st.OK)
			}
			if ok := m.spend(now, a); ok != st.OK {
				parted++
				edge, _ := new(big.Rat).Quo(new(big.Rat).Sub(new(big.Rat).Add(level, rat(int64(max(a.N, 1)))), rat(int64(l.burst()))), m.rate()).Float64()
				if math.Abs(edge) > float64(i+1) {
					t.Fatalf("%v, ask %d of %d units: got %v, want %v, %g ns from the edge (level %g)", l, i, a.N, st.OK, ok, edge, before)
				}
				m.level = new(big.Rat).Mul(rat(next-now), m.rate())
			}
			tat = next
			if diff := float64(tat-now) - m.nanoseconds(); math.Abs(diff) > float64(i+1) {
				t.Fatalf("%v, after %d asks: %g ns from the model", l, i+1, diff)
			}
			check(t, a, now, tat, st)
		}
	}
	if parted > histories*asks/1000 {
		t.Errorf("parted from the model %d times", parted)
	}
}

// check tests that a state says of tat what the clock will show.
func check(t *testing.T, a *Ask, now, tat int64, st State) {
	t.Helper()
	ask := func(n int, at int64) bool {
		_, st := (&Ask{Limit: a.Limit, N: n, Debt: a.Debt}).Spend(at, tat)
		return st.OK
	}
	if st.Left < 0 || st.Left > 0 && !ask(st.Left, now) || ask(st.Left+1, now) {
		t.Fatalf("%+v at %d, tat %d: Left %d is not what is left", a, now, tat, st.Left)
	}
	if want := max(tat-now, 0); int64(st.Full) != want {
		t.Fatalf("%+v at %d, tat %d: full in %d, want %d", a, now, tat, st.Full, want)
	}
	switch wish := max(a.N, 1); {
	case st.Retry == Never:
		if wish <= a.Limit.burst() || ask(wish, tat) {
			t.Fatalf("%+v: never, but it fits", a)
		}
	case !ask(wish, now+int64(st.Retry)), st.Retry > 0 && ask(wish, now+int64(st.Retry)-1), st.Retry < 0:
		t.Fatalf("%+v at %d, tat %d: Retry %d is not the moment", a, now, tat, st.Retry)
	}
}

// TestBurstIsExact asks for a burst unit by unit, where a unit is no whole
// number of nanoseconds.
func TestBurstIsExact(t *testing.T) {
	for _, l := range []Limit{
		{N: 3, Per: time.Second}, {N: 7, Per: time.Hour}, {N: 1, Per: 7, Burst: 3}, {N: 999, Per: time.Second, Burst: 10007},
		{N: 1e9, Per: time.Second, Burst: 1000}, {N: 86399, Per: 24 * time.Hour}, {N: 1, Per: MaxWindow},
	} {
		tat, n := int64(0), 0
		for {
			next, st := (&Ask{Limit: l, N: 1}).Spend(12345, tat)
			if !st.OK {
				break
			}
			tat = next
			n++
			if st.Left != l.burst()-n {
				t.Fatalf("%v: %d left after %d", l, st.Left, n)
			}
		}
		if n != l.burst() {
			t.Errorf("%v: %d units at once", l, n)
		}
	}
}

// TestSpendOutOfBounds: what no store should hand over or ask does no harm.
func TestSpendOutOfBounds(t *testing.T) {
	hour := Limit{N: 10, Per: time.Hour}
	t.Run("a tat from a clock since set back", func(t *testing.T) {
		for _, a := range []Ask{{Limit: hour, N: 1}, {Limit: hour, N: 1, Debt: time.Minute}, {Limit: hour}, {Limit: hour, N: 1, Force: true}} {
			const now = 1000
			next, st := a.Spend(now, math.MaxInt64)
			if most := time.Hour + a.Debt; st.OK || st.Full != most || next != now+int64(most) || st.Retry > 6*time.Minute+a.Debt {
				t.Errorf("%+v: %+v", a, st)
			}
		}
	})
	t.Run("more than Burst", func(t *testing.T) {
		a := Ask{Limit: hour, N: 11}
		if next, st := a.Spend(1000, 0); st.OK || st.Retry != Never || st.Left != 10 || next != 1000 {
			t.Errorf("%+v", st)
		}
		a.Force, a.Debt = true, time.Minute
		if _, st := a.Spend(1000, 0); st.OK || st.Retry != Never || st.Left != 0 || st.Full != time.Hour+time.Minute {
			t.Errorf("forced: %+v", st)
		}
	})
	t.Run("not valid", func(t *testing.T) {
		for _, l := range []Limit{{N: -1, Per: time.Hour}, {N: 1}, {N: 1, Per: -1}} {
			a := Ask{Limit: l, N: 1}
			if _, st := a.Spend(1000, 0); st.OK || st.Retry != Never {
				t.Errorf("%+v: %+v", l, st)
			}
			if st := a.Look(1000, 0); st.OK {
				t.Errorf("%+v, looking: %+v", l, st)
			}
		}
	})
}

func FuzzSpend(f *testing.F) {
	f.Add(10, int64(time.Hour), 0, 1, false, int64(0), int64(1000), int64(0))
	f.Add(3, int64(time.Second), 7, -2, true, int64(time.Minute), int64(1)<<61, int64(1)<<61)
	f.Add(math.MaxInt, int64(math.MaxInt64), math.MaxInt, math.MinInt, true, int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, n int, per int64, burst, units int, force bool, debt, now, tat int64) {
		a := &Ask{Limit: Limit{n, time.Duration(per), burst}, N: units, Force: force, Debt: time.Duration(debt)}
		next, st := a.Spend(now, tat)
		looked := a.Look(now, tat)
		if a.Validate() != nil || n == 0 || now > maxNow {
			return // nothing but that it returned
		}
		window := int64(a.Limit.Cost(a.Limit.burst()))
		if next < now || next > now+window+debt {
			t.Errorf("%+v at %d: tat %d became %d", a, now, tat, next)
		}
		if looked.OK != st.OK {
			t.Errorf("%+v: Look says %v, Spend %v", a, looked.OK, st.OK)
		}
		if !st.OK && !force && tat <= now+window+debt && next != max(tat, now) {
			t.Errorf("%+v: refused, and spent", a)
		}
		if st.Left > a.Limit.burst() {
			t.Errorf("%+v: %d left", a, st.Left)
		}
		check(t, a, now, next, st)
	})
}

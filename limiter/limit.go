package limiter

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"time"
)

// Limit is a token bucket, kept as GCRA: N units each Per, Burst of them at
// once. The zero Limit limits nothing.
type Limit struct {
	N     int           // units each Per, at most one a nanosecond; 0 means no limit
	Per   time.Duration // the window: a minute, an hour, a day; at most MaxWindow
	Burst int           // units at once; 0 means N
}

const (
	// MaxWindow bounds Limit.Per, the time in which a used-up bucket fills, and
	// Ask.Debt.
	MaxWindow = 366 * 24 * time.Hour

	// Never is the Retry of an ask for more than the limit's Burst.
	Never time.Duration = math.MaxInt64
)

// Validate reports what is wrong with l, naming the field, for the caller to
// say where l stands: "negative N".
func (l Limit) Validate() error {
	switch {
	case l.N < 0:
		return errors.New("negative N")
	case l.Burst < 0:
		return errors.New("negative Burst")
	case l.N == 0:
		return nil
	case l.Per <= 0:
		return errors.New("a Per that is not positive")
	case l.Per > MaxWindow:
		return fmt.Errorf("a Per of %v, more than %v", l.Per, MaxWindow)
	case int64(l.N) > int64(l.Per):
		return errors.New("an N of more than one unit a nanosecond")
	case l.window() > int64(MaxWindow):
		return fmt.Errorf("a Burst that takes more than %v to fill", MaxWindow)
	}
	return nil
}

// Cost is how long the limit takes to regain n units, rounded down to whole
// nanoseconds; a negative n costs what it would give back. It is computed in
// one piece, so that n units cost what n*Per/N says and not n times a rounded
// unit. Without a limit units cost nothing.
func (l Limit) Cost(n int) time.Duration {
	if l.N <= 0 || l.Per <= 0 {
		return 0
	}
	if n < 0 {
		return -time.Duration(l.cost(-uint64(n)))
	}
	return time.Duration(l.cost(uint64(n)))
}

// cost is Cost of a valid limit. What no clock holds is maxCost.
func (l *Limit) cost(n uint64) int64 {
	if n == 1 {
		return int64(l.Per) / int64(l.N)
	}
	return muldiv(n, uint64(l.Per), uint64(l.N))
}

// window is how long the bucket takes to fill: the cost of Burst.
func (l *Limit) window() int64 {
	if l.Burst == 0 || l.Burst == l.N {
		return int64(l.Per)
	}
	return l.cost(uint64(l.Burst))
}

// burst is Burst, or what it means.
func (l *Limit) burst() int {
	if l.Burst == 0 {
		return l.N
	}
	return l.Burst
}

// maxCost is longer than any window, and far from what overflows when added to
// the clock.
const maxCost = 1 << 62

// muldiv is a*b/c, at most maxCost; c is not 0.
func muldiv(a, b, c uint64) int64 {
	hi, lo := bits.Mul64(a, b)
	if hi == 0 {
		return int64(min(lo/c, maxCost))
	}
	if hi >= c {
		return maxCost
	}
	q, _ := bits.Div64(hi, lo, c)
	return int64(min(q, maxCost))
}

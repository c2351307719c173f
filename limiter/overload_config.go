package limiter

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"runtime/debug"
	"time"
)

// OverloadConfig says when there is too much to do, and what then. The zero
// value of a field means its default.
type OverloadConfig struct {
	Conns      Marks // connections that the Check has seen; 5,000 and 10,000
	Goroutines Marks // of the process; 50,000 and 100,000
	Memory     Marks // octets that the process has from the system; 80% and 95% of GOMEMLIMIT, no marks without one

	Recover float64       // the part of a mark that a figure has to fall below before it counts as left; 0.9
	Every   time.Duration // goroutines and memory are looked at this often at most; 1 s

	// How long a client may take over its next command or piece of content.
	BusyPatience time.Duration // 30 s
	FullPatience time.Duration // 10 s

	// Friends are let in at any level, and so are the clients of networks from
	// which mail was delivered not long ago, quarantined mail aside.
	Friends []netip.Prefix
	Bits    Bits          // what is one network
	GoodFor time.Duration // after so long it is forgotten, after half of it at the earliest; 24 h
	MaxGood int           // networks remembered; 10,000

	// Changed hears of each change of level, in order. It may be nil and must not
	// block; a panic in it is dropped.
	Changed func(Change)
}

// Marks are the figures from which on the process is Busy, and Full. The zero
// Marks is the default of its field; negative numbers are no marks.
type Marks struct{ Busy, Full int64 }

// Level is how much the process has to do.
type Level int

const (
	Calm Level = iota
	Busy       // shorter patience; newcomers are let in the less the nearer Full is
	Full       // shorter yet; no newcomers
)

// String returns the level's name in lower case.
func (l Level) String() string {
	switch l {
	case Calm:
		return "calm"
	case Busy:
		return "busy"
	case Full:
		return "full"
	}
	return "invalid"
}

// Change is a change of level, and the figures it rests on.
type Change struct {
	From, To                  Level
	Conns, Goroutines, Memory int64
}

func (cfg OverloadConfig) filled() OverloadConfig {
	def := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	marks := func(m *Marks, d Marks) {
		if *m == (Marks{}) {
			*m = d
		}
	}
	marks(&cfg.Conns, Marks{5_000, 10_000})
	marks(&cfg.Goroutines, Marks{50_000, 100_000})
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 { // -1 only reads it
		marks(&cfg.Memory, Marks{limit / 100 * 80, limit / 100 * 95})
	} else {
		marks(&cfg.Memory, Marks{-1, -1})
	}
	if cfg.Recover == 0 {
		cfg.Recover = 0.9
	}
	def(&cfg.Every, time.Second)
	def(&cfg.BusyPatience, 30*time.Second)
	def(&cfg.FullPatience, 10*time.Second)
	def(&cfg.GoodFor, 24*time.Hour)
	if cfg.MaxGood == 0 {
		cfg.MaxGood = 10_000
	}
	return cfg
}

// validate says what is wrong with a filled cfg, naming the field.
func (cfg *OverloadConfig) validate() error {
	var errs []error
	bad := func(field, why string) {
		errs = append(errs, errors.New("limiter: OverloadConfig."+field+": "+why))
	}
	for _, f := range []struct {
		name string
		m    Marks
	}{{"Conns", cfg.Conns}, {"Goroutines", cfg.Goroutines}, {"Memory", cfg.Memory}} {
		if none := f.m.Busy < 0 && f.m.Full < 0; !none && (f.m.Busy <= 0 || f.m.Full < f.m.Busy) {
			bad(f.name, "Busy must be positive and Full not less than it, or both negative")
		}
	}
	if !(cfg.Recover > 0 && cfg.Recover <= 1) {
		bad("Recover", "must be more than 0 and not more than 1")
	}
	for _, f := range []struct {
		name string
		d    time.Duration
	}{{"Every", cfg.Every}, {"BusyPatience", cfg.BusyPatience}, {"FullPatience", cfg.FullPatience}, {"GoodFor", cfg.GoodFor}} {
		if f.d < 0 {
			bad(f.name, "must not be negative")
		}
	}
	if cfg.FullPatience > cfg.BusyPatience {
		bad("FullPatience", "must not be more than BusyPatience")
	}
	if cfg.MaxGood < 0 {
		bad("MaxGood", "must not be negative")
	}
	if err := cfg.Bits.validate(); err != nil {
		errs = append(errs, fmt.Errorf("limiter: OverloadConfig.Bits.%w", err))
	}
	if err := networks(cfg.Friends); err != nil {
		bad("Friends", err.Error())
	}
	return errors.Join(errs...)
}

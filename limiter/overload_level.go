package limiter

import (
	"runtime/metrics"
	"time"
)

// next is the level of a figure that is at v: up at once, down when v is well
// below the mark.
func (f *figure) next(v int64, recover float64) {
	f.value = v
	if f.marks.Busy < 0 {
		return
	}
	at := func(mark int64, was bool) bool {
		return v >= mark || was && float64(v) >= recover*float64(mark)
	}
	switch {
	case at(f.marks.Full, f.level == Full):
		f.level = Full
	case at(f.marks.Busy, f.level >= Busy):
		f.level = Busy
	default:
		f.level = Calm
	}
}

// pressure is where between its marks the figure is, from 0 to 1.
func (f *figure) pressure() float64 {
	if f.marks.Busy < 0 || f.value <= f.marks.Busy {
		return 0
	}
	if f.value >= f.marks.Full {
		return 1
	}
	return float64(f.value-f.marks.Busy) / float64(f.marks.Full-f.marks.Busy)
}

// look settles the level.
func (o *Overload) look(now time.Time) {
	defer o.tell()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sample(now, o.cfg.Every)
}

// sample reads goroutines and memory where the last reading is as old as age,
// and settles the level. Callers hold o.mu.
func (o *Overload) sample(now time.Time, age time.Duration) {
	if now.Sub(o.sampled) >= age {
		o.sampled = now
		goroutines, memory := o.read()
		o.goroutines.next(goroutines, o.cfg.Recover)
		o.memory.next(memory, o.cfg.Recover)
	}
	o.settle(now)
}

// settle makes the level what the figures say. Callers hold o.mu.
func (o *Overload) settle(now time.Time) {
	o.connected.next(int64(len(o.conns)), o.cfg.Recover)
	was, is := o.Level(), max(o.connected.level, o.goroutines.level, o.memory.level)
	if is != was {
		o.level.Store(int32(is))
		for conn := range o.conns {
			conn.SetPatience(o.patience())
		}
		switch Calm {
		case was:
			close(o.calm)
		case is:
			o.calm = make(chan struct{})
			o.refused = 0
		}
		o.changes = append(o.changes, Change{was, is, o.connected.value, o.goroutines.value, o.memory.value})
	}
	if is != Calm && !o.watching {
		o.watching = true
		time.AfterFunc(o.cfg.Every, o.watch)
	}
}

// watch looks again, until the level is Calm.
func (o *Overload) watch() {
	defer o.tell()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.watching = false
	o.sample(time.Now(), 0)
}

// tell reports the changes that nobody has heard of, in order.
func (o *Overload) tell() {
	o.telling.Lock()
	defer o.telling.Unlock()
	o.mu.Lock()
	changes := o.changes
	o.changes = nil
	o.mu.Unlock()
	if o.cfg.Changed == nil {
		return
	}
	for _, c := range changes {
		func() {
			defer func() { _ = recover() }() // a timer's goroutine would end the process
			o.cfg.Changed(c)
		}()
	}
}

// readRuntime asks the runtime, which takes some microseconds.
func readRuntime() (goroutines, memory int64) {
	s := []metrics.Sample{
		{Name: "/sched/goroutines:goroutines"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(s)
	value := func(i int) int64 {
		if s[i].Value.Kind() != metrics.KindUint64 { // no longer known to the runtime
			return 0
		}
		return int64(s[i].Value.Uint64())
	}
	return value(0), value(1) - value(2)
}

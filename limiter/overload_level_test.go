package limiter

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestFigure(t *testing.T) {
	f := figure{marks: Marks{Busy: 100, Full: 200}}
	for _, step := range []struct {
		value int64
		level Level
	}{{0, Calm}, {99, Calm}, {100, Busy}, {95, Busy}, {90, Busy}, {89, Calm}, {200, Full}, {181, Full}, {179, Busy}, {95, Busy}, {300, Full}, {10, Calm}} {
		if f.next(step.value, 0.9); f.level != step.level {
			t.Errorf("at %d: %v, want %v", step.value, f.level, step.level)
		}
	}
	for value, want := range map[int64]float64{0: 0, 100: 0, 150: 0.5, 200: 1, 500: 1} {
		if f.next(value, 0.9); f.pressure() != want {
			t.Errorf("at %d: pressure %v, want %v", value, f.pressure(), want)
		}
	}
	none := figure{marks: Marks{-1, -1}}
	if none.next(1<<62, 0.9); none.level != Calm || none.pressure() != 0 {
		t.Error("a figure without marks has a level")
	}
}

// Memory is read from the runtime, and its marks act as the others do.
func TestOverloadMemory(t *testing.T) {
	o, err := NewOverload(OverloadConfig{Memory: Marks{Busy: 1000, Full: 2000}, Every: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if g, m := readRuntime(); g < 1 || m < 1<<20 {
		t.Errorf("the runtime has %d goroutines and %d octets", g, m)
	}
	reads, used := 0, int64(1500)
	o.read = func() (int64, int64) { reads++; return 1, used }
	now := time.Now()
	for range 10 {
		o.look(now)
	}
	if reads != 1 || o.Level() != Busy {
		t.Errorf("%v after %d readings, want busy after 1", o.Level(), reads)
	}
	used = 100
	o.watch() // what the timer does
	if o.Level() != Calm {
		t.Errorf("%v with memory free again", o.Level())
	}
}

func TestGoodNetworks(t *testing.T) {
	p := func(i int) netip.Prefix { return netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/32", i)) }
	g := goodNetworks{keep: time.Hour, max: 10}
	start := time.Now()
	g.add(p(0), start)
	if !g.has(p(0), start.Add(29*time.Minute)) || g.has(p(1), start) {
		t.Error("what was added is not there, or what was not is")
	}
	if g.has(p(0), start.Add(2*time.Hour)) {
		t.Error("there for longer than it is kept")
	}
	now := start.Add(3 * time.Hour)
	for i := range 200 {
		g.add(p(i), now)
		g.add(p(200), now) // seen all the time
	}
	if n := len(g.young) + len(g.old); n > 10 {
		t.Errorf("%d kept, want 10 at most", n)
	}
	if !g.has(p(200), now) || !g.has(p(199), now) || g.has(p(5), now) {
		t.Error("the latest are not there, or the oldest are")
	}
}

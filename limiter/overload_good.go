package limiter

import (
	"net/netip"
	"time"
)

// goodNetworks remembers networks for a time, in two generations: a network of
// the old one that is seen again moves to the young one, and the old one is
// forgotten as a whole. So nothing is searched for what has expired, and memory
// is bounded.
type goodNetworks struct {
	keep time.Duration // at least half of it, at most all
	max  int

	young, old map[netip.Prefix]struct{}
	began      time.Time // the young generation
}

func (g *goodNetworks) add(p netip.Prefix, now time.Time) {
	g.age(now)
	if _, ok := g.young[p]; ok {
		return
	}
	if len(g.young) >= (g.max+1)/2 {
		g.turn(now)
	}
	g.young[p] = struct{}{}
}

func (g *goodNetworks) has(p netip.Prefix, now time.Time) bool {
	g.age(now)
	_, young := g.young[p]
	_, old := g.old[p]
	return young || old
}

// age forgets what is too old.
func (g *goodNetworks) age(now time.Time) {
	if now.Sub(g.began) >= g.keep { // both generations are
		g.young = nil
	}
	if now.Sub(g.began) >= g.keep/2 {
		g.turn(now)
	}
}

// turn begins a generation.
func (g *goodNetworks) turn(now time.Time) {
	g.old, g.young, g.began = g.young, make(map[netip.Prefix]struct{}), now
}

package dnsbl

import (
	"sync/atomic"
	"time"
)

// ZoneStats is what a zone did since New.
type ZoneStats struct {
	Zone string `json:"zone"`

	Standing Standing  `json:"standing"`
	Why      string    `json:"why,omitempty"` // it is not Well
	Since    time.Time `json:"since,omitzero"`

	Asked   uint64  `json:"asked"`
	Listed  uint64  `json:"listed"`
	Errors  uint64  `json:"errors"`
	Busy    uint64  `json:"busy"`    // not asked, for Config.Pending
	Skipped uint64  `json:"skipped"` // not asked, being set aside
	Tests   uint64  `json:"tests"`   // that Run made
	Latency Latency `json:"latency"`

	// Unique counts listings that no other zone had although another was asked,
	// Overlap those that the zone of that name had too. Both only count where all
	// zones were waited for: Config.Complete has that always so.
	Unique  uint64            `json:"unique"`
	Overlap map[string]uint64 `json:"overlap,omitempty"`
}

// Latency is how long answers took, errors included.
type Latency struct {
	Answers uint64        `json:"answers"`
	Total   time.Duration `json:"total_ns"`

	// Within counts the answers that took no longer than the bound of the same
	// place in LatencyBounds; the last one counts the others.
	Within [len(latencyBounds) + 1]uint64 `json:"within"`
}

var latencyBounds = [...]time.Duration{
	time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, time.Second, 3 * time.Second,
}

// LatencyBounds are the bounds of Latency.Within.
func LatencyBounds() []time.Duration { return append([]time.Duration(nil), latencyBounds[:]...) }

// Mean is the mean of all answers.
func (l *Latency) Mean() time.Duration {
	if l.Answers == 0 {
		return 0
	}
	return l.Total / time.Duration(l.Answers)
}

// counters are what a zone did so far.
type counters struct {
	asked, listed, errors, busy, skipped, tests atomic.Uint64
	latency                                     latency
}

// latency counts.
type latency struct {
	total  atomic.Int64
	within [len(latencyBounds) + 1]atomic.Uint64
}

func (l *latency) add(d time.Duration) {
	l.total.Add(int64(d))
	i := 0
	for i < len(latencyBounds) && d > latencyBounds[i] {
		i++
	}
	l.within[i].Add(1)
}

// stats counts what zones have in common.
type stats struct {
	zones   int
	unique  []atomic.Uint64
	overlap []atomic.Uint64 // zones by zones
}

func (s *stats) init(zones int) {
	s.zones = zones
	s.unique = make([]atomic.Uint64, zones)
	s.overlap = make([]atomic.Uint64, zones*zones)
}

// compare counts which zones listed the same.
func (s *stats) compare(r *reckoning) {
	for i := range r.listings {
		a := &r.q.list[r.listings[i].i]
		alone := r.q.subjects[a.subject].asked > 1
		for j := range r.listings {
			b := &r.q.list[r.listings[j].i]
			if i == j || a.subject != b.subject {
				continue
			}
			alone = false
			s.overlap[a.zone.index*s.zones+b.zone.index].Add(1)
		}
		if alone {
			s.unique[a.zone.index].Add(1)
		}
	}
}

// Stats are the counters of all zones, in the order of Config.Zones.
func (l *Lists) Stats() []ZoneStats {
	out := make([]ZoneStats, len(l.zones))
	for i, z := range l.zones {
		s := &z.state
		now, why, since := z.list.Standing()
		o := ZoneStats{Zone: z.Name, Standing: Standing(now), Why: clean(why, maxText), Since: since}
		o.Asked, o.Listed, o.Errors, o.Busy, o.Skipped = s.asked.Load(), s.listed.Load(), s.errors.Load(), s.busy.Load(), s.skipped.Load()
		o.Tests = s.tests.Load()
		o.Latency.Total = time.Duration(s.latency.total.Load())
		for j := range s.latency.within {
			o.Latency.Within[j] = s.latency.within[j].Load()
			o.Latency.Answers += o.Latency.Within[j]
		}
		o.Unique = l.stats.unique[i].Load()
		for j, other := range l.zones {
			if n := l.stats.overlap[i*l.stats.zones+j].Load(); n > 0 {
				if o.Overlap == nil {
					o.Overlap = make(map[string]uint64)
				}
				o.Overlap[other.Name] = n
			}
		}
		out[i] = o
	}
	return out
}

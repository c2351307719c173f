package blocklist

// Lists are several sources as one: the most specific entry of all counts,
// Allow before Block where both are as specific, and the earlier list where they
// say the same. Nil sources are passed over; no Lists at all list nobody.
type Lists []Source

var _ Source = Lists(nil)

// Find returns the entry that counts for q.
func (l Lists) Find(q Query) (m Match, ok bool) {
	for _, s := range l {
		if s == nil {
			continue
		}
		if found, hit := s.Find(q); hit && (!ok || found.better(m)) {
			m, ok = found, true
		}
	}
	return m, ok
}

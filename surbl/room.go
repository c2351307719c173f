package surbl

// place is what is known of a URI that is kept, beside what it is.
type place struct {
	key   uint64 // in collector.byKey
	order uint32 // in the message, of those that are kept
	kept  *int32 // URIs of its domain that are
	head  bool   // among the first, which do not give way to what is equal
	dull  bool   // of a domain that nobody asks about
	apart bool   // looked up for more than its domain
}

// maxLooked bounds the places that are looked at for one that gives way: all of
// them with the default of Extraction.URIs.
const maxLooked = 128

// rank orders URIs by what is lost with them, the least last: those of domains
// that nobody asks about, those that repeat a domain, and then as telling does.
func rank(kind Kind, hidden Hidden, repeated, dull bool) int {
	n := (&URI{Kind: kind, Hidden: hidden}).telling()
	if repeated {
		n += 1000
	}
	if dull {
		n += 2000
	}
	return n
}

// giveWay frees a place for a URI of the given rank. It returns which, or -1
// where all are worth as much. What only repeats a domain takes the place of
// nothing that is equal.
func (c *collector) giveWay(least int) int {
	found, worst := -1, least
	for range min(maxLooked, len(c.places)) {
		i := c.next
		if c.next++; c.next >= len(c.places) {
			c.next = 0
		}
		p, u := &c.places[i], &c.found.URIs[i]
		if i == c.pinned {
			continue
		}
		r := rank(u.Kind, u.Hidden, *p.kept > 1, p.dull)
		switch {
		case r > worst:
		case r < worst || found >= 0 && p.order > c.places[found].order:
			continue
		case r == least && (p.head || r >= 1000):
			continue
		}
		found, worst = i, r
	}
	if found < 0 {
		return -1
	}
	p, u := &c.places[found], &c.found.URIs[found]
	c.found.More += u.Times
	if *p.kept--; *p.kept == 0 {
		domain := u.Domain
		if u.Addr.IsValid() {
			domain = u.Addr.String()
		}
		delete(c.domains, domain)
	}
	if *p.kept == 0 && !p.dull || p.apart {
		c.found.Unseen += u.Times
	}
	delete(c.byKey, p.key)
	c.stored -= len(u.Text)
	return found
}

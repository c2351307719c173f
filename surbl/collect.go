package surbl

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
)

const (
	maxText    = 2048 // octets of one URI that are looked at
	maxPerHost = 8    // URIs of one host that are kept: one that repeats itself must not push out others
	maxStored  = 128  // octets of text for each URI that may be kept; who needs more leaves less to the others
	minStored  = 64   // octets of text that one is sure of
)

// collector is what one extraction has found so far.
type collector struct {
	x     *Extractor
	found Links

	part   int
	base   int64 // offset of the text at hand in the part
	kind   Kind  // of what text at hand holds, where that is neither Plain, Bare nor Mail
	strict bool  // only what has a scheme is a URI: scripts

	byKey  map[uint64]int32 // by a hash that nobody outside can aim at
	seed   maphash.Seed
	byHost map[string]*named // by host as written
	stored int
	key    []byte
	gaps   []gap // of text that HTML shows

	places  []place
	domains map[string]*int32 // URIs that are kept, by registered domain, or by address
	count   uint32            // URIs that were kept so far, those that gave way included
	next    int               // the place that is looked at next for one that gives way
	pinned  int               // the place of the link whose text is being read, -1 for none
}

// named is what a host as written stands for.
type named struct {
	host
	kept int
	data redirector
}

func newCollector(x *Extractor) *collector {
	return &collector{x: x, byKey: make(map[uint64]int32, 32), seed: maphash.MakeSeed(), byHost: make(map[string]*named, 16),
		domains: make(map[string]*int32, 16), pinned: -1}
}

// pieces are the parts of a URI as written.
type pieces struct {
	text   []byte // all of it
	scheme []byte
	local  []byte // of a mail address
	host   []byte
	port   []byte
	path   []byte
	hidden Hidden
	kind   Kind
	via    string
	off    int64
}

// maxHosts bounds the spellings of hosts that are remembered at a time.
const maxHosts = 64

// lookup makes a host of what was written, or remembers it. Nil is one that is
// no host.
func (c *collector) lookup(written []byte) *named {
	if len(written) == 0 || len(written) > maxText {
		return nil
	}
	if n, ok := c.byHost[string(written)]; ok {
		return n
	}
	var n *named
	if h, ok := c.x.host(written); ok {
		n = &named{host: h, data: c.x.redirector(&h)}
	}
	if len(c.byHost) >= maxHosts {
		clear(c.byHost)
	}
	c.byHost[string(written)] = n
	return n
}

// add takes one URI. It returns its place in found.URIs, or -1 where it is none
// or counted only. depth is of URIs inside URIs.
func (c *collector) add(p *pieces, depth int) int {
	n := c.lookup(p.host)
	if n == nil {
		return -1
	}
	if len(p.local) == 0 {
		c.inner(p, n, depth)
	}
	return c.keep(p, n)
}

func (c *collector) keep(p *pieces, n *named) int {
	hidden := p.hidden | n.hidden | n.data.hidden
	c.key = append(c.key[:0], n.text()...)
	if len(p.local) > 0 {
		c.key = append(append(append(c.key, '@'), p.local...), '\n')
	} else {
		c.key = append(append(c.key, p.port...), bytes.TrimSuffix(p.path, slash)...)
	}
	key := maphash.Bytes(c.seed, c.key)
	if i, ok := c.byKey[key]; ok {
		u := &c.found.URIs[i]
		u.Times++
		u.Hidden |= hidden
		if p.kind < u.Kind {
			u.Kind = p.kind
		}
		return int(i)
	}
	whole := n.domain
	if n.addr.IsValid() {
		whole = n.text()
	}
	kept, dull := c.domains[whole], c.x.dull(whole)
	apart := c.x.paths && n.data.hidden&Shortened != 0 || c.x.mailboxes && len(p.local) > 0
	i := len(c.found.URIs)
	switch {
	case n.kept >= maxPerHost && kept != nil && !apart:
		c.found.More++
		return -1
	case i >= c.x.cfg.URIs:
		if i = c.giveWay(rank(p.kind, hidden, kept != nil, dull)); i < 0 {
			c.found.More++
			if kept == nil && !dull || apart {
				c.found.Unseen++
			}
			return -1
		}
		kept = c.domains[whole] // the last of its domain may have given way
	}
	if kept == nil {
		kept = new(int32)
		c.domains[whole] = kept
	}
	*kept++
	n.kept++
	c.byKey[key] = int32(i)
	if room := max(minStored, maxStored*c.x.cfg.URIs-c.stored); len(p.text) > room {
		if from := len(p.text) - len(p.path); bytes.HasSuffix(p.text, p.path) {
			p.path = p.path[:max(0, room-from)]
		} else {
			p.path = p.path[:min(len(p.path), room)]
		}
		p.text = p.text[:room]
	}
	c.stored += len(p.text)
	text := string(p.text)
	u := URI{
		Text: text, Scheme: lowerString(p.scheme), Host: n.name, Addr: n.addr, Domain: n.domain,
		Port: string(p.port), Kind: p.kind, Hidden: hidden, Via: p.via,
		Part: c.part, Offset: p.off, Times: 1,
	}
	if len(p.local) > 0 {
		u.Mailbox = string(p.local) + "@" + n.text()
	} else if rest := len(p.path); rest > 0 && bytes.HasSuffix(p.text, p.path) {
		u.Path = text[len(text)-rest:] // shares the memory of Text
	} else {
		u.Path = string(p.path)
	}
	at := place{key: key, order: c.count, kept: kept, head: i == len(c.found.URIs) && i < c.x.cfg.URIs/2, dull: dull, apart: apart}
	c.count++
	if i == len(c.found.URIs) {
		c.found.URIs, c.places = append(c.found.URIs, u), append(c.places, at)
	} else {
		c.found.URIs[i], c.places[i] = u, at
	}
	return i
}

var slash = []byte("/")

// finish orders what was found, and leaves c as new.
func (c *collector) finish() Links {
	found := c.found
	order := make([]int, len(found.URIs))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(found.URIs[a].telling(), found.URIs[b].telling()), cmp.Compare(c.places[a].order, c.places[b].order))
	})
	found.URIs = nil
	if len(order) > 0 {
		found.URIs = make([]URI, len(order))
	}
	for i, at := range order {
		found.URIs[i] = c.found.URIs[at]
	}
	clear(c.found.URIs)
	clear(c.places)
	clear(c.byKey)
	clear(c.byHost)
	clear(c.domains)
	*c = collector{x: c.x, found: Links{URIs: c.found.URIs[:0]}, byKey: c.byKey, byHost: c.byHost, seed: c.seed, key: c.key[:0],
		places: c.places[:0], domains: c.domains, pinned: -1}
	return found
}

// lowerString is b in lower case; it allocates nothing for the usual schemes.
func lowerString(b []byte) string {
	switch string(b) {
	case "":
		return ""
	case "http":
		return "http"
	case "https":
		return "https"
	case "mailto":
		return "mailto"
	}
	return string(bytes.ToLower(b))
}

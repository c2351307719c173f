package surbl

import (
	"context"
	"encoding/hex"
	"io"
	"math"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/bogon"
	"github.com/smtpguard/smtpguard/internal/dnslist"
	"github.com/smtpguard/smtpguard/internal/domain"
)

// Result is what the lists say of the URIs of a message. The zero Result is that
// nothing is listed.
type Result struct {
	Links    Links
	Listings []Listing // in the order of the URIs, Config.Local first
	Failures []Failure // zones that did not answer, or not to be believed; those set aside are not here

	Action smtpguard.Action // what the listings do together
	Score  float64          // the sum of weights

	Unasked int // questions that Config.Lookups left no room for

	// Unseen counts what may be listed and was not looked up: Links.Unseen and
	// Unasked, and 1 for Links.Cut.
	Unseen int
}

// Listing is one list's word on one URI, wallet or file.
type Listing struct {
	Zone    string  // its Name, or that of a Local
	URI     *URI    // in Result.Links; nil for a wallet or a file
	Wallet  *Wallet // likewise; nil for others
	File    *File   // likewise
	Subject string  // what is listed: the domain, host or address, the wallet, or the sum of a file
	Answers []netip.Addr
	Codes   []Code // that the answers have
}

// Failure is a zone that could not be asked, or whose answer is no answer.
type Failure struct {
	Zone    string
	Subject string
	Err     error
}

// Message extracts the URIs of a message and looks them up in all lists. An
// error is one of message.
func (l *Lists) Message(ctx context.Context, message io.ReadSeeker) (*Result, error) {
	links, err := l.extract.Extract(message)
	if err != nil {
		return nil, err
	}
	return l.Links(ctx, links), nil
}

// SetSuffixes is that of the Extractor of l.
func (l *Lists) SetSuffixes(s *Suffixes) { l.extract.SetSuffixes(s) }

// Links looks the URIs of links up in all lists, side by side.
func (l *Lists) Links(ctx context.Context, links Links) *Result {
	res := &Result{Links: links}
	for i := range res.Links.URIs {
		u := &res.Links.URIs[i]
		for j := range l.cfg.Local {
			lo := &l.cfg.Local[j]
			if means, ok := lo.Find(u); ok {
				res.Listings = append(res.Listings, Listing{Zone: lo.Name, URI: u, Subject: subjectOf(u),
					Codes: []Code{{Means: clean(means), Weight: lo.Weight, Action: lo.Action, Reply: lo.Reply}}})
			}
		}
	}
	q := questions{lists: l, seen: make(map[asked]struct{})}
	q.hashed(&res.Links)
	for _, i := range order(res.Links.URIs) {
		q.uri(&res.Links.URIs[i])
	}
	q.resolve(ctx)
	res.Unasked = q.unasked
	res.Unseen = res.Links.Unseen + q.unasked
	if res.Links.Cut {
		res.Unseen++
	}
	if len(q.list) > 0 {
		local := len(res.Listings)
		answers := l.asker.Ask(ctx, q.list)
		for i := range answers {
			a, about := &answers[i], &q.about[i]
			switch {
			case a.Err == dnslist.ErrAside:
			case a.Err != nil:
				res.Failures = append(res.Failures, Failure{about.zone.Name, about.Subject, a.Err})
			case a.Set != 0:
				li := about.Listing
				li.Zone, li.Answers, li.Codes = about.zone.Name, a.Addrs, about.zone.coded(a.Set)
				res.Listings = append(res.Listings, li)
			}
		}
		place := func(li *Listing) int { // asked in another order, and told in that of the URIs
			if li.URI == nil {
				return -1
			}
			for i := range res.Links.URIs {
				if li.URI == &res.Links.URIs[i] {
					return i
				}
			}
			return -1
		}
		slices.SortStableFunc(res.Listings[local:], func(a, b Listing) int { return place(&a) - place(&b) })
	}
	res.Action, res.Score, _ = l.tally(res)
	return res
}

// subjectOf is what a list of one's own is thought to have listed.
func subjectOf(u *URI) string {
	switch {
	case u.Mailbox != "":
		return u.Mailbox
	case u.Addr.IsValid():
		return u.Addr.String()
	}
	return u.Host
}

func (z *zone) coded(set dnslist.Set) (codes []Code) {
	for i := range z.Codes {
		if set.Has(i) {
			codes = append(codes, z.Codes[i])
		}
	}
	return codes
}

// asked is what was asked already.
type asked struct {
	zone *zone
	name string
}

// about is what a question is about.
type about struct {
	zone *zone
	Listing
}

// questions are all that is asked about one message.
type questions struct {
	lists   *Lists
	list    []dnslist.Question
	about   []about
	seen    map[asked]struct{}
	unasked int
	hosts   []*URI // whose addresses are looked up first
}

// hashed adds the questions about wallets and files.
func (q *questions) hashed(links *Links) {
	for _, z := range q.lists.zones {
		if z.Lists&Crypto != 0 {
			for i := range links.Wallets {
				w := &links.Wallets[i]
				q.add(z, Listing{Wallet: w, Subject: w.Text}, z.Hash.of(w.Text))
			}
		}
		if z.Lists&Attached != 0 {
			for i := range links.Files {
				f := &links.Files[i]
				if sum := f.Sum(z.Hash.Sum); sum != nil {
					q.add(z, Listing{File: f, Subject: hex.EncodeToString(sum)}, z.Hash.label(sum))
				}
			}
		}
	}
}

// order is the order in which URIs, the most telling first, are looked up: see
// Config.Lookups.
func order(uris []URI) []int {
	first, rest := make([]int, 0, len(uris)), []int(nil)
	seen := make(map[string]struct{}, len(uris))
	for i := range uris {
		name := uris[i].Domain
		if uris[i].Addr.IsValid() {
			name = uris[i].Addr.String()
		}
		if _, ok := seen[name]; ok {
			rest = append(rest, i)
			continue
		}
		seen[name] = struct{}{}
		first = append(first, i)
	}
	out := make([]int, 0, len(uris))
	for len(first) > 0 {
		n := 1
		for n < len(first) && uris[first[n]].telling() == uris[first[0]].telling() {
			n++
		}
		for i := range n {
			if i%2 == 0 {
				out = append(out, first[i/2])
			} else {
				out = append(out, first[n-1-i/2])
			}
		}
		first = first[n:]
	}
	return append(out, rest...)
}

// uri adds the questions about u.
func (q *questions) uri(u *URI) {
	_, exempt := q.lists.exempt[u.Domain]
	for _, z := range q.lists.zones {
		if u.Mailbox != "" && z.Lists&Address != 0 {
			q.add(z, Listing{URI: u, Subject: u.Mailbox}, z.Hash.mailbox(u.Mailbox))
		}
		if u.Addr.IsValid() {
			if z.Lists&Literal != 0 {
				q.addr(z, u, u.Addr, u.Addr.String())
			}
			continue
		}
		if !dotted(u.Host) {
			continue
		}
		if z.Lists&URL != 0 {
			for _, label := range z.Hash.urls(u) {
				q.add(z, Listing{URI: u, Subject: u.Host + u.Path}, label)
			}
		}
		if exempt {
			continue
		}
		if z.Lists&Domain != 0 {
			q.add(z, Listing{URI: u, Subject: u.Domain}, u.Domain)
		}
		if z.Lists&Host != 0 {
			q.add(z, Listing{URI: u, Subject: u.Host}, u.Host)
		}
		if z.Lists&(Hosted|Served) != 0 && u.Mailbox == "" {
			q.host(u)
		}
	}
}

// host has the addresses of u looked up, once.
func (q *questions) host(u *URI) {
	switch {
	case slices.Contains(q.hosts, u):
	case len(q.hosts) == maxHosted:
		q.unasked++
	default:
		q.hosts = append(q.hosts, u)
	}
}

// dotted reports whether a name is of more labels than one: others are local.
func dotted(name string) bool {
	for i := range len(name) {
		if name[i] == '.' {
			return true
		}
	}
	return false
}

func (q *questions) addr(z *zone, u *URI, addr netip.Addr, subject string) {
	if !bogon.Is(addr) {
		q.add(z, Listing{URI: u, Subject: subject}, string(dnslist.AppendAddr(nil, addr.Unmap())))
	}
}

func (q *questions) add(z *zone, of Listing, name string) {
	key := asked{z, name}
	if _, ok := q.seen[key]; ok || len(name)+len(z.list.Suffix) > 254 {
		return
	}
	if len(q.list) >= q.lists.cfg.Lookups {
		q.unasked++
		return
	}
	q.seen[key] = struct{}{}
	q.list = append(q.list, dnslist.Question{List: &z.list, Name: name})
	q.about = append(q.about, about{z, of})
}

const (
	maxHosted  = 20 // hosts of one message whose addresses are looked up
	maxServers = 4  // name servers of one domain
	maxAddrs   = 8  // addresses of one host
)

// resolve looks up the addresses of hosts and of their name servers, and adds
// the questions about those. What cannot be found is not asked about.
func (q *questions) resolve(ctx context.Context) {
	if len(q.hosts) == 0 {
		return
	}
	l := q.lists
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	var hosted, served Subject
	for _, z := range l.zones {
		hosted |= z.Lists & Hosted
		served |= z.Lists & Served
	}
	type found struct{ hosted, served []netip.Addr }
	all := make([]found, len(q.hosts))
	var group sync.WaitGroup
	for i, u := range q.hosts {
		group.Go(func() {
			defer func() { _ = recover() }() // what the resolver panicked at is not asked about
			if hosted != 0 {
				all[i].hosted = l.addresses(ctx, u.Host)
			}
			if served != 0 {
				servers, _ := l.servers.LookupNS(ctx, u.Domain+".")
				for _, ns := range servers[:min(len(servers), maxServers)] {
					if name, err := domain.Normal(ns.Host); err == nil {
						all[i].served = append(all[i].served, l.addresses(ctx, name)...)
					}
				}
			}
		})
	}
	group.Wait()
	for i, u := range q.hosts {
		for _, z := range l.zones {
			if z.Lists&Hosted != 0 {
				for _, addr := range all[i].hosted {
					q.addr(z, u, addr, addr.String()+" of "+u.Host)
				}
			}
			if z.Lists&Served != 0 {
				for _, addr := range all[i].served {
					q.addr(z, u, addr, addr.String()+" that serves "+u.Domain)
				}
			}
		}
	}
}

func (l *Lists) addresses(ctx context.Context, host string) []netip.Addr {
	addrs, err := l.cfg.Resolver.LookupNetIP(ctx, "ip4", host+".")
	if err != nil {
		return nil
	}
	return addrs[:min(len(addrs), maxAddrs)]
}

var _ NameServers = (*net.Resolver)(nil)

// tally is what the listings do together, and the one that counts most: each
// code of each zone once, however many URIs have it. There is none where what was
// not looked up counts most.
func (l *Lists) tally(res *Result) (action smtpguard.Action, score float64, decider *Listing) {
	type once struct{ zone, answer, means string }
	seen := make(map[once]bool)
	var most *Code
	for i := range res.Listings {
		li := &res.Listings[i]
		for j := range li.Codes {
			c := &li.Codes[j]
			if key := (once{li.Zone, c.Answer, c.Means}); !seen[key] {
				seen[key] = true
				score += c.Weight
			}
			if most == nil || c.Action > most.Action || c.Action == most.Action && c.Weight > most.Weight {
				most, decider = c, li
			}
			action = max(action, c.Action)
		}
	}
	if res.Unseen > 0 {
		score += l.cfg.Unseen.Weight
		if l.cfg.Unseen.Action > action {
			action, decider = l.cfg.Unseen.Action, nil
		}
	}
	score = math.Round(score*1e6) / 1e6 // without what binary fractions add
	limits := &l.cfg.Limits
	switch {
	case len(res.Listings) == 0 && res.Unseen == 0:
	case limits.Reject != 0 && score >= limits.Reject:
		action = max(action, smtpguard.Reject)
	case limits.Defer != 0 && score >= limits.Defer:
		action = max(action, smtpguard.Defer)
	case limits.Quarantine != 0 && score >= limits.Quarantine:
		action = max(action, smtpguard.Quarantine)
	}
	return action, score, decider
}

package surbl

import (
	"context"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/smtpguard/smtpguard/internal/bogon"
	"github.com/smtpguard/smtpguard/internal/dnslist"
	"github.com/smtpguard/smtpguard/internal/domain"
)

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

// sender adds the questions about a reverse-path, as a mail address alone: its
// domain is other lists' to know.
func (q *questions) sender(from string) {
	at := strings.LastIndexByte(from, '@')
	if at <= 0 || q.lists.lists&Address == 0 {
		return
	}
	host, err := domain.Normal(from[at+1:])
	if err != nil {
		return
	}
	u := &URI{Text: from, Host: host, Mailbox: from[:at+1] + host, Kind: Mail, Part: -1, Times: 1}
	u.Domain, _ = q.lists.extract.suffixes.Load().Registered(host)
	for _, z := range q.lists.zones {
		if z.Lists&Address != 0 {
			q.add(z, Listing{URI: u, Subject: u.Mailbox}, z.Hash.mailbox(u.Mailbox))
		}
	}
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

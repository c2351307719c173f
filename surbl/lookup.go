package surbl

import (
	"context"
	"io"
	"math"
	"net/netip"
	"slices"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/dnslist"
)

// Result is what the lists say of the URIs of a message. The zero Result is that
// nothing is listed.
type Result struct {
	Links    Links
	Listings []Listing // in the order of the URIs, Config.Local first
	Failures []Failure // zones that did not answer, or not to be believed; those set aside are not here

	Action smtpguard.Action // what the listings do together
	Score  float64          // the sum of weights

	// Unseen counts what may be listed and was not looked up: Links.Unseen and
	// Unasked, and 1 for Links.Cut.
	Unseen int

	Unasked int // questions that Config.Lookups left no room for

	Followed   int          // URIs of Links that are not in the message: others lead there
	Unfollowed []Unfollowed // URIs that were to be followed
}

// Listing is one list's word on one URI, wallet or file.
type Listing struct {
	Zone    string  // its Name, or that of a Local
	URI     *URI    // in Result.Links, but for a reverse-path; nil for a wallet or a file
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
func (l *Lists) Links(ctx context.Context, links Links) *Result { return l.look(ctx, links, "") }

// look is Links, and looks up the reverse-path from, "" for none, where mail
// addresses are.
func (l *Lists) look(ctx context.Context, links Links, from string) *Result {
	res := &Result{Links: links}
	l.follow(ctx, res)
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
	q.sender(from)
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

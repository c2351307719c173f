package dnsbl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/bogon"
	"github.com/smtpguard/smtpguard/internal/dnslist"
	"github.com/smtpguard/smtpguard/internal/domain"
)

// WatchConfig says what of our own is looked up.
type WatchConfig struct {
	Lists *Lists // required; their zones' At and Known do not matter

	Addrs   []netip.Addr // ours, that send mail
	Domains []string     // ours, that are in mail

	Every time.Duration // less or more a fifth; 1 hour

	// Observe hears of each listing, and of its end. It must not block; what
	// smtpguard.Config.Observe has will do.
	Observe func(smtpguard.Event)
}

// Watch looks for our own addresses and domains on lists. It is safe for
// concurrent use.
type Watch struct {
	cfg   WatchConfig
	round sync.Mutex // held by who looks

	mu     sync.Mutex
	listed map[watched]Listing
}

// watched is something of ours in one zone.
type watched struct{ zone, subject string }

// NewWatch checks cfg. It asks nothing.
func NewWatch(cfg WatchConfig) (*Watch, error) {
	cfg.Addrs, cfg.Domains = slices.Clone(cfg.Addrs), slices.Clone(cfg.Domains)
	var errs []error
	if cfg.Lists == nil {
		errs = append(errs, errors.New("dnsbl: WatchConfig.Lists is missing"))
	}
	if len(cfg.Addrs)+len(cfg.Domains) == 0 {
		errs = append(errs, errors.New("dnsbl: WatchConfig.Addrs and Domains are empty"))
	}
	for i, a := range cfg.Addrs {
		if bogon.Is(a) {
			errs = append(errs, fmt.Errorf("dnsbl: WatchConfig.Addrs[%d] is %v, which no list has", i, a))
		}
	}
	for i, d := range cfg.Domains {
		if _, err := domain.Normal(d); err != nil {
			errs = append(errs, fmt.Errorf("dnsbl: WatchConfig.Domains[%d] %q is no domain name", i, d))
		}
	}
	if cfg.Every < 0 {
		errs = append(errs, errors.New("dnsbl: WatchConfig.Every must not be negative"))
	} else if cfg.Every == 0 {
		cfg.Every = time.Hour
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Watch{cfg: cfg, listed: make(map[watched]Listing)}, nil
}

// Run looks at once and then as WatchConfig.Every has it, until ctx ends. It
// returns ctx's error.
func (w *Watch) Run(ctx context.Context) error {
	for {
		w.Look(ctx)
		if !dnslist.Pause(ctx, dnslist.Jitter(w.cfg.Every), nil) {
			return ctx.Err()
		}
	}
}

// Look looks everything up once, one after the other, and tells what changed.
// What a zone does not answer stays as it was; so does what it said before it
// was set aside. A listing in an allow list is one too.
func (w *Watch) Look(ctx context.Context) {
	w.round.Lock()
	defer w.round.Unlock()
	for _, a := range w.cfg.Addrs {
		var q questions
		q.addr(w.cfg.Lists.zones, 0, a)
		w.compare(ctx, &q)
	}
	for _, d := range w.cfg.Domains {
		var q questions
		q.domain(w.cfg.Lists.zones, 0, d)
		w.compare(ctx, &q)
	}
}

// Listed are the listings as of the last look, by subject and zone.
func (w *Watch) Listed() []Listing {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]Listing, 0, len(w.listed))
	for _, l := range w.listed {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b Listing) int {
		return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Zone, b.Zone))
	})
	return out
}

// compare asks, and tells what is new and what is gone.
func (w *Watch) compare(ctx context.Context, q *questions) {
	res := w.cfg.Lists.ask(ctx, q, 0, false)
	if ctx.Err() != nil {
		return
	}
	now := make(map[watched]*Listing)
	for i := range res.Listings {
		l := &res.Listings[i]
		now[watched{l.Zone, l.Subject}] = l
	}
	failed := make(map[string]bool)
	for _, f := range res.Failures {
		failed[f.Zone] = true
	}
	for i := range q.list {
		z, subject := q.list[i].zone, q.subjects[q.list[i].subject].String()
		if failed[z.Name] {
			continue
		}
		k := watched{z.Name, subject}
		w.mu.Lock()
		_, was := w.listed[k]
		l, is := now[k]
		if is {
			w.listed[k] = *l
		} else {
			delete(w.listed, k)
		}
		w.mu.Unlock()
		switch {
		case is && !was:
			reason := l.String()
			if text := w.cfg.Lists.text(ctx, l); text != "" {
				reason += ": " + text
			}
			w.tell(smtpguard.KindWarning, "listed", k, "ours: "+reason)
		case was && !is:
			w.tell(smtpguard.KindNote, "delisted", k, fmt.Sprintf("ours: %s is no longer listed by %s", subject, z.Name))
		}
	}
}

func (w *Watch) tell(kind smtpguard.Kind, event string, k watched, reason string) {
	tell(w.cfg.Observe, smtpguard.Event{
		Time: time.Now(), Kind: kind, Check: w.cfg.Lists.cfg.Name, Reason: reason,
		Facts: map[string]string{"event": event, "zone": k.zone, "subject": k.subject},
	})
}

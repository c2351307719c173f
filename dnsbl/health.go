package dnsbl

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/smtpguard/smtpguard/internal/dnslist"
)

// minRetest is how soon after a test doubts have another one made.
const minRetest = 10 * time.Second

// Run tests every zone, at once and then as Config.Health has it, until ctx
// ends. A test asks for what is always listed, for what never is, and for an
// unpredictable name, which no list has; all of it past what zones list. A zone
// that fails is set aside until it passes again. Run returns ctx's error.
//
// Without Run only what lookups show sets a zone aside, for Health.Retry at a
// time: refusals, and failures in a row.
func (l *Lists) Run(ctx context.Context) error {
	if l.cfg.Health.Every > 0 {
		var group sync.WaitGroup
		for _, z := range l.zones {
			group.Go(func() { l.watch(ctx, z) })
		}
		group.Wait()
	}
	<-ctx.Done()
	return ctx.Err()
}

// watch tests z until ctx ends.
func (l *Lists) watch(ctx context.Context, z *zone) {
	retry := l.cfg.Health.Retry
	for {
		wait := jitter(l.cfg.Health.Every)
		if now, why := l.test(ctx, z); ctx.Err() != nil {
			return
		} else if now == Well {
			retry = l.cfg.Health.Retry
			l.takeBack(z)
		} else {
			wait = jitter(retry)
			retry = min(2*retry, max(l.cfg.Health.Every, l.cfg.Health.Retry))
			l.setAside(z, now, why, 2*wait+4*l.cfg.Timeout) // past the next test, whatever it takes
		}
		z.state.tests.Add(1)
		if !z.sleep(ctx, wait) {
			return
		}
	}
}

// sleep waits for d, or for a doubt. It reports false when ctx has ended.
func (z *zone) sleep(ctx context.Context, d time.Duration) bool {
	select { // doubts that came up before or in the test are settled
	case <-z.state.doubt:
	default:
	}
	first := min(d, minRetest)
	if !pause(ctx, first, nil) {
		return false
	}
	return d == first || pause(ctx, d-first, z.state.doubt)
}

// pause waits for d, or for early. It reports false when ctx has ended.
func pause(ctx context.Context, d time.Duration, early <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-early:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// jitter is d, less or more a fifth, so that not all zones, and not everybody's,
// are asked at once.
func jitter(d time.Duration) time.Duration { return d - d/5 + mathrand.N(2*d/5+1) }

// test asks z what it must list and what it must not, side by side.
func (l *Lists) test(ctx context.Context, z *zone) (Standing, string) {
	type point struct {
		name string
		look func(addrs []netip.Addr, err error) (Standing, string)
	}
	all := []point{{strings.ToLower(rand.Text()) + z.suffix, z.mustNot("a name that nobody could know")}}
	for _, name := range z.tests.unlisted {
		all = append(all, point{name, z.mustNot(strings.TrimSuffix(name, z.suffix))})
	}
	if z.tests.listed != "" {
		all = append(all, point{z.tests.listed, z.must})
	}
	found := make([]Standing, len(all))
	why := make([]string, len(all))
	var group sync.WaitGroup
	for i, p := range all {
		group.Go(func() { found[i], why[i] = p.look(l.twice(ctx, p.name)) })
	}
	group.Wait()
	worst := 0
	for i := range found {
		if found[i] > found[worst] {
			worst = i
		}
	}
	return found[worst], why[worst]
}

// twice asks for a name, and asks again where that failed: one lost packet is
// no reason to set a zone aside.
func (l *Lists) twice(ctx context.Context, name string) (addrs []netip.Addr, err error) {
	for range 2 {
		func() {
			err = errPanicked
			defer func() { _ = recover() }()
			ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
			defer cancel()
			addrs, err = l.cfg.Resolver.LookupNetIP(ctx, "ip4", name)
		}()
		var dns *net.DNSError
		if err == nil || errors.As(err, &dns) && dns.IsNotFound || ctx.Err() != nil {
			break
		}
	}
	return addrs, err
}

// must judges the answer for what is always listed.
func (z *zone) must(addrs []netip.Addr, err error) (Standing, string) {
	set, err := z.read(addrs, err)
	var answer *dnslist.AnswerError
	switch {
	case errors.As(err, &answer) && answer.Trouble == dnslist.Unnamed:
		return Well, "" // as good as a listing: codes of a test need not be ours
	case err != nil:
		return ill(err)
	case set == 0:
		return Empty, "does not list what is always listed: it is dead, or not answering us"
	}
	return Well, ""
}

// mustNot judges the answer for something that is never listed.
func (z *zone) mustNot(what string) func(addrs []netip.Addr, err error) (Standing, string) {
	return func(addrs []netip.Addr, err error) (Standing, string) {
		set, err := z.read(addrs, err)
		var answer *dnslist.AnswerError
		switch {
		case set != 0, errors.As(err, &answer) && answer.Trouble == dnslist.Unnamed:
			return World, fmt.Sprintf("lists the world: %s among it", what)
		case err != nil:
			return ill(err)
		}
		return Well, ""
	}
}

// ill is what an error says of a zone.
func ill(err error) (Standing, string) {
	var answer *dnslist.AnswerError
	if !errors.As(err, &answer) {
		return Away, because(err)
	}
	if answer.Trouble == dnslist.Refused {
		return Refuses, answer.Error()
	}
	return Rewritten, answer.Error()
}

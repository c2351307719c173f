package dnslist

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
)

// minRetest is how soon after a test doubts have another one made.
const minRetest = 10 * time.Second

// Run tests every list, at once and then every a.Every, less or more a fifth,
// until ctx ends. A test asks for what is always listed, for what never is, and for
// an unpredictable name, which no list has. A list that fails is set aside until it
// passes again. tested, which may be nil, hears of each test. Run returns ctx's
// error.
func (a *Asker) Run(ctx context.Context, lists []*List, tested func(i int)) error {
	if a.Every > 0 {
		var group sync.WaitGroup
		for i, l := range lists {
			group.Go(func() {
				a.watch(ctx, l, func() {
					if tested != nil {
						tested(i)
					}
				})
			})
		}
		group.Wait()
	}
	<-ctx.Done()
	return ctx.Err()
}

// watch tests l until ctx ends.
func (a *Asker) watch(ctx context.Context, l *List, tested func()) {
	retry := a.Retry
	for {
		wait := Jitter(a.Every)
		if now, why := a.test(ctx, l); ctx.Err() != nil {
			return
		} else if now == Well {
			retry = a.Retry
			a.stand(l, Well, "", 0)
		} else {
			wait = Jitter(retry)
			retry = min(2*retry, max(a.Every, a.Retry))
			a.stand(l, now, why, 2*wait+4*a.Timeout) // past the next test, whatever it takes
		}
		tested()
		if !l.sleep(ctx, wait) {
			return
		}
	}
}

// sleep waits for d, or for a doubt. It reports false when ctx has ended.
func (l *List) sleep(ctx context.Context, d time.Duration) bool {
	select { // doubts that came up before or in the test are settled
	case <-l.doubts():
	default:
	}
	first := min(d, minRetest)
	if !Pause(ctx, first, nil) {
		return false
	}
	return d == first || Pause(ctx, d-first, l.doubts())
}

// Pause waits for d, or for early. It reports false when ctx has ended.
func Pause(ctx context.Context, d time.Duration, early <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-early:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// Jitter is d, less or more a fifth, so that not all lists, and not everybody's,
// are asked at once.
func Jitter(d time.Duration) time.Duration { return d - d/5 + mathrand.N(2*d/5+1) }

// test asks l what it must list and what it must not, side by side. It returns
// the worst that is found, and why.
func (a *Asker) test(ctx context.Context, l *List) (Standing, string) {
	type point struct {
		name, what string // what is never listed, "" for what always is
	}
	secret := strings.ToLower(rand.Text())
	all := []point{{secret, "a name that nobody could know"}}
	for _, name := range l.Unlisted {
		all = append(all, point{name, name})
	}
	if l.Listed != "" {
		all = append(all, point{l.Listed, ""})
	}
	found := make([]Standing, len(all))
	why := make([]string, len(all))
	var group sync.WaitGroup
	for i, p := range all {
		group.Go(func() {
			set, err := l.Read(a.twice(ctx, p.name+l.Suffix))
			var answer *AnswerError
			unnamed := errors.As(err, &answer) && answer.Trouble == Unnamed // as good as a listing: codes of a test need not be ours
			switch lists := set != 0 || unnamed; {
			case err != nil && !unnamed:
				found[i], why[i] = ill(err)
			case lists && p.what != "":
				found[i], why[i] = World, fmt.Sprintf("lists the world: %s among it", p.what)
			case !lists && p.what == "":
				found[i], why[i] = Empty, "does not list what is always listed: it is dead, or not answering us"
			}
		})
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
// no reason to set a list aside.
func (a *Asker) twice(ctx context.Context, name string) (addrs []netip.Addr, err error) {
	for range 2 {
		func() {
			err = ErrPanicked
			defer func() { _ = recover() }()
			ctx, cancel := context.WithTimeout(ctx, a.Timeout)
			defer cancel()
			addrs, err = a.Resolver.LookupNetIP(ctx, "ip4", name)
		}()
		var dns *net.DNSError
		if err == nil || errors.As(err, &dns) && dns.IsNotFound || ctx.Err() != nil {
			break
		}
	}
	return addrs, err
}

// ill is what an error says of a list.
func ill(err error) (Standing, string) {
	var answer *AnswerError
	if !errors.As(err, &answer) {
		return Away, because(err)
	}
	if answer.Trouble == Refused {
		return Refuses, answer.Error()
	}
	return Rewritten, answer.Error()
}

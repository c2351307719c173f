package resolver

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Budget bounds what lookups under one context may cost together: all those for
// one message, say. The zero value of a bound is no bound; the zero Budget only
// counts. Answers from the cache cost nothing, and those that another caller asked
// for only time. It is safe for concurrent use, and not to be copied.
//
//	budget := &resolver.Budget{Queries: 200, Time: 20 * time.Second}
//	ctx = resolver.WithBudget(ctx, budget)
//	r.LookupTXT(resolver.WithCheck(ctx, "spf"), "example.org")
//	budget.Spent() // [{spf 1 1.2ms 130}]
type Budget struct {
	Queries int           // sent: repeated ones and those by TCP count too
	Time    time.Duration // in which at least one lookup waited
	Octets  int64         // of messages sent and received; what arrives last may exceed it

	mu      sync.Mutex
	total   Spending
	checks  []Spending
	waiting int       // lookups
	since   time.Time // the first of them began
}

// Spending is what one check has cost.
type Spending struct {
	Check   string // as [WithCheck] named it
	Queries int
	Time    time.Duration // it waited; side by side with others, or itself, each counts
	Octets  int64
}

type budgetKey struct{}
type checkKey struct{}

// WithBudget has the lookups under ctx draw on b.
func WithBudget(ctx context.Context, b *Budget) context.Context {
	return context.WithValue(ctx, budgetKey{}, b)
}

// WithCheck says on whose behalf lookups under ctx are.
func WithCheck(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, checkKey{}, name)
}

// Spent returns what each check has cost so far, in order of their names.
func (b *Budget) Spent() []Spending {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := slices.Clone(b.checks)
	slices.SortFunc(list, func(x, y Spending) int { return strings.Compare(x.Check, y.Check) })
	return list
}

// Total returns what all have cost so far. Its Time counts what was waited side
// by side once.
func (b *Budget) Total() Spending {
	b.mu.Lock()
	defer b.mu.Unlock()
	total := b.total
	total.Time = b.waited(time.Now())
	return total
}

func (b *Budget) waited(now time.Time) time.Duration {
	if b.waiting == 0 {
		return b.total.Time
	}
	return b.total.Time + now.Sub(b.since)
}

func (b *Budget) check(name string) *Spending {
	i := slices.IndexFunc(b.checks, func(s Spending) bool { return s.Check == name })
	if i < 0 {
		i = len(b.checks)
		b.checks = append(b.checks, Spending{Check: name})
	}
	return &b.checks[i]
}

// account is what one lookup draws on. One without a Budget has no bounds.
type account struct {
	*Budget
	name  string
	start time.Time
}

// open begins a lookup that will wait. until is when the time is spent, zero for
// never.
func open(ctx context.Context) (a account, until time.Time) {
	a.Budget, _ = ctx.Value(budgetKey{}).(*Budget)
	if a.Budget == nil {
		return a, until
	}
	a.name, _ = ctx.Value(checkKey{}).(string)
	a.start = time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.Time > 0 {
		until = a.start.Add(a.Time - a.waited(a.start))
	}
	if a.waiting == 0 {
		a.since = a.start
	}
	a.waiting++
	return a, until
}

func (a account) close() {
	if a.Budget == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	a.check(a.name).Time += now.Sub(a.start)
	if a.waiting--; a.waiting == 0 {
		a.total.Time += now.Sub(a.since)
	}
}

// send pays for a query of so many octets, or says what is spent.
func (a account) send(octets int) error {
	if a.Budget == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.Queries > 0 && a.total.Queries >= a.Queries:
		return a.spent(fmt.Sprintf("%d queries", a.Queries), func(s Spending) string { return fmt.Sprint(s.Queries) })
	case a.Octets > 0 && a.total.Octets+int64(octets) > a.Octets:
		return a.spent(fmt.Sprintf("%d octets", a.Octets), func(s Spending) string { return fmt.Sprint(s.Octets) })
	}
	a.total.Queries++
	a.total.Octets += int64(octets)
	s := a.check(a.name)
	s.Queries++
	s.Octets += int64(octets)
	return nil
}

// receive pays for what came.
func (a account) receive(octets int) {
	if a.Budget == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total.Octets += int64(octets)
	a.check(a.name).Octets += int64(octets)
}

// late is the error when the time is spent.
func (a account) late() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.spent(a.Time.String(), func(s Spending) string { return s.Time.Round(time.Millisecond).String() })
}

// spent names the bound that is reached, and who has spent how much.
func (a account) spent(bound string, of func(Spending) string) error {
	var who []string
	for _, s := range a.checks {
		name := s.Check
		if name == "" {
			name = "unnamed"
		}
		who = append(who, name+" "+of(s))
	}
	slices.Sort(who)
	return fmt.Errorf("%w: %s (%s)", ErrBudget, bound, strings.Join(who, ", "))
}

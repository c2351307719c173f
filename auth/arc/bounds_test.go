package arc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// counting is a zone that counts what it is asked for.
type counting struct {
	zone
	mu              sync.Mutex
	asked, now, top int
}

func (c *counting) LookupTXT(ctx context.Context, name string) ([]string, error) {
	c.mu.Lock()
	c.asked, c.now = c.asked+1, c.now+1
	c.top = max(c.top, c.now)
	c.mu.Unlock()
	runtime.Gosched()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.now--
	}()
	return c.zone.LookupTXT(ctx, name)
}

// hosts are n keys of as many domains.
func hosts(t *testing.T, z zone, n int) (keys []Key) {
	t.Helper()
	for i := range n {
		keys = append(keys, key(t, z, fmt.Sprintf("h%d.example", i), "ed25519"))
	}
	return keys
}

// A chain asks for two keys a set at most, a few at a time, and for none where its
// structure is wrong or it has too many sets.
func TestLookups(t *testing.T) {
	z := zone{}
	keys := hosts(t, z, 50)
	chain := pass(t, message, keys...)
	for _, tt := range []struct {
		name    string
		cfg     Config
		message string
		want    Status
		asked   int
	}{
		{"all", Config{}, chain, Pass, 50},
		{"one at a time", Config{Limits: Limits{Lookups: 1}}, chain, Pass, 50},
		{"fewer than there are", Config{Limits: Limits{Sets: 49}}, chain, Fail, 0},
		{"one more", Config{}, hop{key: keys[0]}.on(t, chain), Fail, 0},
		{"a set that is not whole", Config{}, strings.Replace(chain, "ARC-Message-Signature: i=7;", "X: i=7;", 1), Fail, 0},
		{"a field twice", Config{}, "ARC-Seal: i=50\r\n" + chain, Fail, 0},
		{"failed before", Config{}, strings.Replace(chain, "cv=pass", "cv=fail", 1), Fail, 0},
		{"fields too long", Config{Limits: Limits{FieldBytes: 100}}, pass(t, message, keys[0]), Fail, 0},
		{"names of no fields", Config{Limits: Limits{SignedFields: 3}}, chain, Fail, 0},
	} {
		dns := &counting{zone: z}
		tt.cfg.Resolver = dns
		v, err := New(tt.cfg)
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.Validate(t.Context(), strings.NewReader(tt.message))
		if err != nil {
			t.Fatal(err)
		}
		most := tt.cfg.Limits.Lookups
		if most == 0 {
			most = 8
		}
		if got.Status != tt.want || dns.asked != tt.asked || dns.top > most {
			t.Errorf("%s: %s (%s), asked %d times, %d at once", tt.name, got.Status, got.Reason, dns.asked, dns.top)
		}
	}
}

// endless is a body that has no end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	clear(p)
	e.read += len(p)
	if e.read > 8<<20 {
		return 0, errors.New("read on")
	}
	return len(p), nil
}

// A body is not read for the sake of a chain that can not validate.
func TestBodyUnread(t *testing.T) {
	z := zone{}
	k := key(t, z, "one.example", "ed25519")
	v := validator(t, z)
	for name, m := range map[string]string{
		"no chain":      message,
		"not whole":     "ARC-Seal: i=1; cv=none\r\n" + message,
		"failed before": hop{key: k, cv: "fail"}.on(t, message),
	} {
		body := &endless{}
		if _, err := v.Validate(t.Context(), io.MultiReader(strings.NewReader(m), body)); err != nil || body.read > 256<<10 {
			t.Errorf("%s: %d octets, %v", name, body.read, err)
		}
	}
	if _, err := v.Validate(t.Context(), io.MultiReader(strings.NewReader(pass(t, message, k)), &endless{})); err == nil {
		t.Error("a chain of which the body was not read")
	}
	for name, m := range map[string]string{
		"fields": strings.Repeat("ARC-Filter: x\r\n", 4001) + message,
		"octets": "ARC-Seal: i=1;" + strings.Repeat(" x=y;", 1<<18) + "\r\n" + message,
	} {
		if _, err := v.Validate(t.Context(), strings.NewReader(m)); !errors.Is(err, ErrHeader) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// allocated is how many octets f allocates, in the best of some tries.
func allocated(f func()) uint64 {
	f()
	best := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		best = min(best, after.TotalAlloc-before.TotalAlloc)
	}
	return best
}

// What a chain costs grows as its sets do, and what makes it long or wide in other
// ways costs a few times its own length, and what 4,000 fields cost.
func TestAllocation(t *testing.T) {
	z := zone{}
	keys := slices.Repeat(hosts(t, z, 1), 50)
	cost := func(m string, want Status) uint64 {
		t.Helper()
		v := validator(t, z)
		return allocated(func() {
			chain, err := v.Validate(t.Context(), strings.NewReader(m))
			if err != nil || chain.Status != want {
				t.Fatalf("%+v, %v", chain, err)
			}
		})
	}
	short, long := pass(t, message, keys[:25]...), pass(t, message, keys...)
	a, b := cost(short, Pass), cost(long, Pass)
	t.Logf("%d and %d octets for chains of 25 and 50 sets of %d and %d", a, b, len(short), len(long))
	if b > 3*a || b > 32*uint64(len(long)) {
		t.Errorf("%d octets for %d sets, %d for %d", a, 25, b, 50)
	}
	names := "from" + strings.Repeat(":x", 255)
	for name, m := range map[string]struct {
		message string
		want    Status
	}{
		"many fields":           {pass(t, strings.Repeat("X: y\r\n", 3900)+message, keys[:3]...), Pass},
		"fields twice":          {strings.Repeat("ARC-Seal: i=1; cv=none\r\n", 3900) + message, Fail},
		"a wide h=":             {hop{key: keys[0], h: names}.on(t, strings.Repeat("X: y\r\n", 3900)+message), Pass},
		"wide everywhere":       {hop{key: keys[0], h: names}.on(t, hop{key: keys[0], h: names}.on(t, strings.Repeat("X:"+strings.Repeat(" y\r\n", 50), 300)+message)), Pass},
		"results of blanks":     {hop{key: keys[0], results: "a; none" + strings.Repeat("\r\n \t", 4000)}.on(t, message), Pass},
		"results of comments":   {hop{key: keys[0], instance: "1" + strings.Repeat("(", 5000) + strings.Repeat(")", 5000)}.on(t, message), Pass},
		"comments without end":  {"ARC-Authentication-Results:" + strings.Repeat("(", 1<<19) + "\r\n" + message, Fail},
		"tags without number":   {"ARC-Seal: i=1;" + strings.Repeat(" a=b;", 1<<17) + "\r\n" + message, Fail},
		"a signature too long":  {"ARC-Message-Signature: i=1; b=" + strings.Repeat("a", 1<<19) + "\r\n" + message, Fail},
		"a million blank lines": {pass(t, message+strings.Repeat("\r\n", 1<<20), keys[:2]...), Pass},
	} {
		if got := cost(m.message, m.want); got > 16*uint64(len(m.message))+1<<20 {
			t.Errorf("%s: %d octets for a message of %d", name, got, len(m.message))
		}
	}
}

package failure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/dmarc/report"
)

// outbox is what was sent, as "minutes address incidents", and what was told of
// failures.
type outbox struct {
	zone   records
	refuse func(ctx context.Context, to string) error

	start  time.Time
	mu     sync.Mutex
	list   []string
	failed []string
}

func (o *outbox) send(ctx context.Context, m Mail, to dmarc.URI) error {
	if o.refuse != nil {
		if err := o.refuse(ctx, to.Address); err != nil {
			return err
		}
	}
	r, err := Read(bytes.NewReader(m.Content), Limits{})
	if err != nil || r.Incidents != m.Incidents || m.To != to.Address {
		return fmt.Errorf("%+v, %v of %+v", r, err, m)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, fmt.Sprintf("%d %s %d", int(time.Since(o.start).Minutes()), to.Address, m.Incidents))
	return nil
}

func (o *outbox) tell(policyDomain string, err error, givenUp bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed = append(o.failed, fmt.Sprint(policyDomain, " ", givenUp, " ", err))
}

// run starts a Reporter, which ends with the test.
func (o *outbox) run(t *testing.T, r *Reporter) {
	t.Helper()
	c, err := dmarc.New(dmarc.Config{Resolver: o.zone})
	if err != nil {
		t.Fatal(err)
	}
	o.start = time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx, Delivery{Checker: c, Resolver: o.zone, Send: o.send, Failed: o.tell}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
}

// sorted is what was sent since the last call.
func (o *outbox) sorted() []string {
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	list := o.list
	o.list = nil
	slices.Sort(list)
	return list
}

// forged is a message in the name of a domain with that record.
func forged(t testing.TB, name, record string, source int) Message {
	t.Helper()
	c, err := dmarc.New(dmarc.Config{Resolver: records{"_dmarc." + name + ".": {record}}})
	if err != nil {
		t.Fatal(err)
	}
	from := []byte("From: <ann@" + name + ">\r\n")
	return Message{
		Outcome: c.Check(t.Context(), dmarc.Message{Header: from, SPF: dmarc.SPF{Domain: "attack.example", Result: "pass"}}),
		Header:  from, Source: netip.AddrFrom4([4]byte{10, byte(source >> 16), byte(source >> 8), byte(source)}), MailFrom: "x@attack.example",
	}
}

func add(t testing.TB, r *Reporter, m Message) {
	t.Helper()
	if err := r.Add(m); err != nil {
		t.Fatal(err)
	}
}

// TestRun has failures that are alike, and others, over some hours.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, o := reporter(t, Config{}), &outbox{zone: records{
			"example.org._report._dmarc.takes.example.": {"v=DMARC1"},
			"example.org._report._dmarc.other.example.": {"v=DMARC1; rua=mailto:a@other.example; ruf=mailto:new@other.example"},
		}}
		o.run(t, r)
		record := rejects + ",mailto:t@takes.example,mailto:n@nobody.example,mailto:o@other.example,https://example.org/"
		m := forged(t, "example.org", record, 1)
		for range 5 {
			add(t, r, m)
			synctest.Wait() // the first is under way
		}
		if got, want := o.sorted(), []string{"0 f@example.org 1", "0 new@other.example 1", "0 t@takes.example 1"}; !slices.Equal(got, want) {
			t.Errorf("at once %q, want %q", got, want)
		}
		time.Sleep(30 * time.Minute)
		add(t, r, forged(t, "example.org", record, 2)) // of another client
		if got, want := o.sorted(), []string{"30 f@example.org 1", "30 new@other.example 1", "30 t@takes.example 1"}; !slices.Equal(got, want) {
			t.Errorf("then %q, want %q", got, want)
		}
		time.Sleep(40 * time.Minute)
		if got, want := o.sorted(), []string{"60 f@example.org 4", "60 new@other.example 4", "60 t@takes.example 4"}; !slices.Equal(got, want) {
			t.Errorf("after an hour %q, want %q", got, want)
		}
		time.Sleep(3 * time.Hour)
		if got := o.sorted(); got != nil {
			t.Errorf("of nothing more %q", got)
		}
		if r.mu.Lock(); len(r.entries) != 0 {
			t.Errorf("%d are kept", len(r.entries))
		}
		r.mu.Unlock()
		if o.failed != nil {
			t.Errorf("failed %q", o.failed)
		}
	})
}

// TestRunRefused has one that refuses for good, one for a while, and one that
// takes the report, beside each other.
func TestRunRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full, tries := 2, 0
		r, o := reporter(t, Config{}), &outbox{}
		o.refuse = func(_ context.Context, to string) error {
			switch {
			case to == "never@example.org":
				tries++
				return fmt.Errorf("%w: 550 no such user", report.ErrRefused)
			case to == "later@example.org" && full > 0:
				full--
				return errors.New("452 mailbox full")
			case to == "full@example.org":
				return errors.New("452 mailbox full")
			case to == "panic@example.org":
				panic("at the disco")
			}
			return nil
		}
		o.run(t, r)
		m := forged(t, "example.org", "v=DMARC1; p=none; ruf=mailto:never@example.org,mailto:later@example.org,mailto:full@example.org,mailto:panic@example.org,mailto:f@example.org", 1)
		add(t, r, m)
		time.Sleep(59 * time.Minute)
		add(t, r, m)
		time.Sleep(3 * time.Hour)
		want := []string{"0 f@example.org 1", "20 later@example.org 1", "60 f@example.org 1", "60 later@example.org 1"}
		if got := o.sorted(); !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
		if tries != 2 {
			t.Errorf("%d tries at who refuses for good, of two reports", tries)
		}
		given := 0
		for _, text := range o.failed {
			if strings.HasPrefix(text, "example.org true ") {
				given++
			}
		}
		if given != 6 { // three of each hour
			t.Errorf("%d given up of %q", given, o.failed)
		}
	})
}

// TestRunTooLarge has a size in the address, as RFC 7489 allowed.
func TestRunTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, o := reporter(t, Config{}), &outbox{}
		o.run(t, r)
		add(t, r, forged(t, "example.org", "v=DMARC1; p=none; ruf=mailto:small@example.org!100,mailto:large@example.org!1m", 1))
		if got := o.sorted(); !slices.Equal(got, []string{"0 large@example.org 1"}) {
			t.Errorf("sent %q", got)
		}
		if len(o.failed) != 1 || !strings.Contains(o.failed[0], "true report: too large: to small@example.org") {
			t.Errorf("failed %q", o.failed)
		}
	})
}

// TestBounds has an attacker make as many reports as it can.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, o := reporter(t, Config{PerDomain: 3, PerDestination: 8, Total: 20}), &outbox{zone: records{"_dmarc.example.org.": {rejects}}}
		o.run(t, r)
		limited := 0
		forge := func(name, record string, source int) {
			t.Helper()
			switch err := r.Add(forged(t, name, record, source)); {
			case errors.Is(err, ErrLimited):
				limited++
			case err != nil:
				t.Error(err)
			}
			synctest.Wait()
		}
		// One domain, from everywhere, and by names below it.
		for i := range 50 {
			forge("example.org", rejects, i)
			forge(fmt.Sprintf("%d.example.org", i), "v=DMARC1; p=none; ruf=mailto:f@example.org", i)
		}
		if got := o.sorted(); len(got) != 3 || limited != 97 {
			t.Errorf("sent %q, %d limited", got, limited)
		}
		// Many domains that all report to one that takes all.
		for i := range 10 {
			name := fmt.Sprintf("d%d.example", i)
			o.zone[name+"._report._dmarc.victim.example."] = []string{"v=DMARC1"}
			forge(name, "v=DMARC1; p=none; ruf=mailto:a@victim.example,mailto:b@victim.example", 1)
		}
		if got := o.sorted(); len(got) != 8 {
			t.Errorf("sent %q to one", got)
		}
		if n := len(o.failed); n != 12 || !strings.HasPrefix(o.failed[0], "d4.example true failure: too many reports in an hour: to ") {
			t.Errorf("%d failed: %q", n, o.failed)
		}
		// Many domains of their own.
		limited = 0
		for i := range 100 {
			forge(fmt.Sprintf("e%d.example", i), fmt.Sprintf("v=DMARC1; p=none; ruf=mailto:f@e%d.example,mailto:g@e%d.example", i, i), 1)
		}
		if got := o.sorted(); len(got) != 9 || limited != 93 { // 20 mails in all, 20 reports kept
			t.Errorf("sent %d in all, %d limited", len(got), limited)
		}
		// An hour later all may again.
		time.Sleep(61 * time.Minute)
		limited = 0
		forge("example.org", rejects, 1)
		if got := o.sorted(); len(got) != 1 || limited != 0 {
			t.Errorf("sent %q an hour later", got)
		}
	})
}

// TestSlow has domains whose DNS, and whose mail server, do not answer: they do
// not hold up others.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, o := reporter(t, Config{}), &outbox{zone: records{"slow.example._report._dmarc.elsewhere.example.": {"hang"}}}
		o.refuse = func(ctx context.Context, to string) error {
			if to == "f@tarpit.example" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		o.run(t, r)
		for i := range 10 {
			add(t, r, forged(t, "slow.example", "v=DMARC1; p=none; ruf=mailto:f@elsewhere.example", i))
			add(t, r, forged(t, "tarpit.example", "v=DMARC1; p=none; ruf=mailto:f@tarpit.example", i))
		}
		add(t, r, forged(t, "example.org", rejects, 1))
		if got := o.sorted(); !slices.Equal(got, []string{"0 f@example.org 1"}) {
			t.Errorf("sent %q", got)
		}
		if r.mu.Lock(); len(r.busy) != 2 {
			t.Errorf("busy with %v", r.busy)
		}
		r.mu.Unlock()
		time.Sleep(20 * time.Minute)
		o.mu.Lock()
		if len(o.failed) < 20 {
			t.Errorf("%d failed", len(o.failed))
		}
		o.mu.Unlock()
	})
}

// TestFresh has the second report tell of a message that the first did not count.
func TestFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, o := reporter(t, Config{}), &outbox{}
		var ids []string
		o.run(t, r)
		m := forged(t, "example.org", rejects, 1)
		for _, id := range []string{"one", "two", "three"} {
			m.EnvelopeID = id
			add(t, r, m)
			synctest.Wait()
			if r.mu.Lock(); len(r.entries) != 1 {
				t.Error("not alike")
			}
			for _, e := range r.entries {
				ids = append(ids, fmt.Sprint(strings.Contains(e.next.fields, "Original-Envelope-Id: two"), e.counted))
			}
			r.mu.Unlock()
		}
		if want := []string{"false 0", "true 1", "true 2"}; !slices.Equal(ids, want) {
			t.Errorf("%q, want %q", ids, want)
		}
	})
}

// TestStopped is that nothing is made of what nobody sends, whatever comes.
func TestStopped(t *testing.T) {
	r := reporter(t, Config{})
	limited := 0
	for i := range 3000 {
		if err := r.Add(forged(t, fmt.Sprintf("d%d.example", i), "v=DMARC1; p=none; ruf=mailto:f@example.org", i)); errors.Is(err, ErrLimited) {
			limited++
		}
	}
	if len(r.entries) != 240 || limited != 3000-240 {
		t.Errorf("%d kept, %d limited", len(r.entries), limited)
	}
}

func TestTogether(t *testing.T) {
	r, o := reporter(t, Config{Total: 100}), &outbox{}
	o.run(t, r)
	var messages []Message
	for i := range 20 {
		messages = append(messages, forged(t, fmt.Sprintf("d%d.example", i%7), fmt.Sprintf("v=DMARC1; p=none; ruf=mailto:f@d%d.example", i%7), i))
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				if err := r.Add(messages[i%len(messages)]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.entries) != len(messages) {
		t.Errorf("%d entries", len(r.entries))
	}
}

func TestDeliveryIncomplete(t *testing.T) {
	err := reporter(t, Config{}).Run(t.Context(), Delivery{Retry: -1})
	for _, field := range []string{"Checker", "Resolver", "Send", "Retry"} {
		if err == nil || !strings.Contains(err.Error(), "failure: Delivery."+field+": ") {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}

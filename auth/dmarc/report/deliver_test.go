package report

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpguard/smtpguard/auth/dmarc"
)

var sendZone = records{
	"_dmarc.example.com.":                       {"v=DMARC1; p=reject; rua=mailto:a@example.com,mailto:b@takes.example,mailto:c@nobody.example,mailto:d@slow.example"},
	"example.com._report._dmarc.takes.example.": {"v=DMARC1"},
	"example.com._report._dmarc.slow.example.":  {"fail"},
}

// delivered is what was sent, as "address hours-since-start".
type delivered struct {
	list   []string
	start  time.Time
	refuse func(to string) error
}

func (d *delivered) send(_ context.Context, a Attachment, to dmarc.URI) error {
	if d.refuse != nil {
		if err := d.refuse(to.Address); err != nil {
			return err
		}
	}
	if a.Rows == 0 || len(a.Content) == 0 {
		return errors.New("nothing to send")
	}
	d.list = append(d.list, fmt.Sprintf("%s %d", to.Address, int(time.Since(d.start).Hours())))
	return nil
}

// deliverFor runs for some hours from a noon, with a message at its start, and
// returns what was told of failures.
func deliverFor(t *testing.T, c *Collector, zone records, d *delivered, hours int) (failed []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(hours)*time.Hour)
	defer cancel()
	checker := checker(t, zone, dmarc.TreeWalk)
	err := c.Run(ctx, Delivery{
		Checker: checker, Resolver: zone, Send: d.send, Jitter: time.Minute,
		Failed: func(b Batch, err error, givenUp bool) { failed = append(failed, fmt.Sprint(givenUp, " ", err)) },
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run: %v", err)
	}
	return failed
}

func addOne(t *testing.T, c *Collector, zone records) {
	t.Helper()
	out := checker(t, zone, dmarc.TreeWalk).Check(t.Context(), dmarc.Message{Header: []byte("From: <ann@example.com>\r\n")})
	if out.Result != dmarc.Fail {
		t.Fatalf("%+v", out)
	}
	if err := c.Add(t.Context(), Message{Outcome: out}); err != nil {
		t.Fatal(err)
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(12 * time.Hour) // the bubble begins at midnight, UTC
		c := collector(t, Config{})
		zone := make(records)
		for name, texts := range sendZone {
			zone[name] = texts
		}
		addOne(t, c, zone)
		d := &delivered{start: time.Now()}
		failed := deliverFor(t, c, zone, d, 20)
		// At midnight to who consented, then not again, while one that does not
		// answer is asked each hour.
		if want := []string{"a@example.com 12", "b@takes.example 12"}; !slices.Equal(d.list, want) {
			t.Errorf("sent %q, want %q", d.list, want)
		}
		if len(failed) < 7 || strings.HasPrefix(failed[0], "true") {
			t.Errorf("failed %q", failed)
		}
		// It does at last: only that one gets the report, and all is forgotten.
		zone["example.com._report._dmarc.slow.example."] = []string{"v=DMARC1"}
		d.list = nil
		if failed := deliverFor(t, c, zone, d, 20); failed != nil {
			t.Errorf("failed %q", failed)
		}
		if want := []string{"d@slow.example 20"}; !slices.Equal(d.list, want) {
			t.Errorf("sent %q, want %q", d.list, want)
		}
		for range c.Due(t.Context(), time.Now().Add(72*time.Hour)) {
			t.Error("something is left")
		}
	})
}

func TestRunRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(12 * time.Hour)
		zone := records{"_dmarc.example.com.": {"v=DMARC1; p=reject; rua=mailto:a@example.com,mailto:b@example.com"}}
		c := collector(t, Config{})
		addOne(t, c, zone)
		full := 3
		d := &delivered{start: time.Now(), refuse: func(to string) error {
			if strings.HasPrefix(to, "a@") && full > 0 {
				full--
				return errors.New("452 mailbox full")
			}
			return nil
		}}
		failed := deliverFor(t, c, zone, d, 30)
		if want := []string{"b@example.com 12", "a@example.com 15"}; !slices.Equal(d.list, want) || len(failed) != 3 {
			t.Errorf("sent %q, want %q; failed %q", d.list, want, failed)
		}
		// Who never takes it is given up.
		addOne(t, c, zone)
		d = &delivered{start: time.Now(), refuse: func(string) error { return errors.New("550 no") }}
		failed = deliverFor(t, c, zone, d, 24*7)
		if n := len(failed); n < 70 || n > 75 || !strings.HasPrefix(failed[n-1], "true ") || strings.HasPrefix(failed[n-2], "true ") {
			t.Errorf("%d failures, the last %q", n, failed[max(0, len(failed)-1):])
		}
		for range c.Due(t.Context(), time.Now()) {
			t.Error("something is left")
		}
	})
}

// TestRunPanicked has Send panic in the middle: nobody gets the report twice, and
// the process goes on.
func TestRunPanicked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(12 * time.Hour)
		zone := records{"_dmarc.example.com.": {"v=DMARC1; p=reject; rua=mailto:a@example.com,mailto:b@example.com,mailto:c@example.com"}}
		c := collector(t, Config{})
		addOne(t, c, zone)
		d := &delivered{start: time.Now(), refuse: func(to string) error {
			if to == "b@example.com" {
				panic("at the disco")
			}
			return nil
		}}
		failed := deliverFor(t, c, zone, d, 30)
		if want := []string{"a@example.com 12", "c@example.com 12"}; !slices.Equal(d.list, want) {
			t.Errorf("sent %q, want %q", d.list, want)
		}
		if len(failed) != 1 || !strings.HasPrefix(failed[0], "true report: to b@example.com: report: refused for good: Send panicked: at the disco") {
			t.Errorf("failed %q", failed)
		}
	})
}

// TestRunMixed has one that refuses for good, one for a while, one that is full
// for ever, one with too small a size, and one that takes the report.
func TestRunMixed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(12 * time.Hour)
		zone := records{"_dmarc.example.com.": {"v=DMARC1; p=reject; rua=mailto:never@example.com,mailto:later@example.com,mailto:full@example.com,mailto:small@example.com!100,mailto:a@example.com"}}
		c := collector(t, Config{})
		addOne(t, c, zone)
		tries := make(map[string]int)
		d := &delivered{start: time.Now(), refuse: func(to string) error {
			switch tries[to]++; {
			case to == "never@example.com":
				return fmt.Errorf("%w: 550 no such user", ErrRefused)
			case to == "later@example.com" && tries[to] < 3, to == "full@example.com":
				return errors.New("452 mailbox full")
			}
			return nil
		}}
		failed := deliverFor(t, c, zone, d, 24*7)
		if want := []string{"a@example.com 12", "later@example.com 14"}; !slices.Equal(d.list, want) {
			t.Errorf("sent %q, want %q", d.list, want)
		}
		if tries["never@example.com"] != 1 || tries["small@example.com"] != 0 || tries["full@example.com"] < 70 {
			t.Errorf("tries %v", tries)
		}
		if n := len(failed); n < 70 || strings.HasPrefix(failed[0], "true") || !strings.Contains(failed[0], "550 no such user") || !strings.Contains(failed[0], "small@example.com: it takes 100 octets") ||
			strings.Contains(failed[1], "550") || !strings.HasPrefix(failed[n-1], "true ") {
			t.Errorf("%d failures, %q … %q", n, failed[:min(n, 2)], failed[max(0, n-1):])
		}
		// Where all refuse for good, nothing is left to try.
		zone["_dmarc.example.com."] = []string{"v=DMARC1; p=reject; rua=mailto:never@example.com"}
		addOne(t, c, zone)
		failed = deliverFor(t, c, zone, d, 24*7)
		if len(failed) != 1 || !strings.HasPrefix(failed[0], "true ") || tries["never@example.com"] != 2 {
			t.Errorf("failed %q, tries %v", failed, tries)
		}
		for range c.Due(t.Context(), time.Now()) {
			t.Error("something is left")
		}
	})
}

// TestRunSlow has somebody publish destinations that never answer, under many
// names: that holds up nobody else.
func TestRunSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(12 * time.Hour)
		zone := records{"_dmarc.example.com.": {"v=DMARC1; p=reject; rua=mailto:a@example.com"}}
		c := collector(t, Config{})
		addOne(t, c, zone)
		for i := range 100 {
			name := fmt.Sprintf("%d.attack.example", i)
			zone["_dmarc."+name+"."] = []string{"v=DMARC1; p=none; rua=mailto:a@slow.example"}
			zone[name+"._report._dmarc.slow.example."] = []string{"hang"}
			out := checker(t, zone, dmarc.TreeWalk).Check(t.Context(), dmarc.Message{Header: []byte("From: <ann@" + name + ">\r\n")})
			if err := c.Add(t.Context(), Message{Outcome: out}); err != nil {
				t.Fatal(err)
			}
		}
		d := &delivered{start: time.Now()}
		failed := deliverFor(t, c, zone, d, 14)
		if want := []string{"a@example.com 12"}; !slices.Equal(d.list, want) {
			t.Errorf("sent %q, want %q", d.list, want)
		}
		if n := len(failed); n < 10 || n > 30 { // a turn of ten minutes, twice
			t.Errorf("%d failures", n)
		}
	})
}

func TestDeliveryIncomplete(t *testing.T) {
	c := collector(t, Config{})
	err := c.Run(t.Context(), Delivery{Retry: -1, Keep: -1})
	for _, field := range []string{"Checker", "Resolver", "Send", "Retry", "Keep"} {
		if err == nil || !strings.Contains(err.Error(), "report: Delivery."+field+": ") {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}

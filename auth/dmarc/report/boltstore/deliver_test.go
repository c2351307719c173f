package boltstore_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/dmarc/report"
	"github.com/smtpguard/smtpguard/auth/dmarc/report/boltstore"
)

// sender is set for a process that sends reports until it is killed.
const sender = "SMTPGUARD_DMARC_BOLTSTORE_SENDER"

// policy answers for example.com as DNS would.
type policy struct{}

func (policy) LookupTXT(_ context.Context, name string) ([]string, error) {
	if name == "_dmarc.example.com." {
		return []string{"v=DMARC1; p=reject; rua=mailto:a@example.com,mailto:b@example.com,mailto:c@example.com"}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func collector(s report.Store) (*report.Collector, *dmarc.Checker, error) {
	checker, err := dmarc.New(dmarc.Config{Resolver: policy{}})
	if err != nil {
		return nil, nil, err
	}
	c, err := report.New(report.Config{Store: s, Period: time.Second, Reporter: report.Reporter{
		Organization: "Receiver", Email: "dmarc@receiver.example", Domain: "mx.receiver.example",
	}})
	return c, checker, err
}

// deliver sends what is due, and tells of each mail before it is sent. Then it
// answers to nothing: whoever started it kills it in the middle of a report.
func deliver(path string) {
	s, err := boltstore.Open(path, boltstore.Config{})
	if err == nil {
		c, checker, bad := collector(s)
		if err = bad; err == nil {
			err = c.Run(context.Background(), report.Delivery{
				Checker: checker, Resolver: policy{}, Jitter: -1,
				Send: func(_ context.Context, a report.Attachment, to dmarc.URI) error {
					fmt.Println(a.ID, to.Address)
					if to.Address == "b@example.com" {
						select {} // in the middle of sending
					}
					return nil
				},
			})
		}
	}
	fmt.Println("failed:", err)
	os.Exit(1)
}

// TestKilledSending kills a process in the middle of a report: who got it, or may
// have, does not get it again, and who did not, does.
func TestKilledSending(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dmarc.db")
	s := open(t, path, boltstore.Config{})
	c, checker, err := collector(s)
	if err != nil {
		t.Fatal(err)
	}
	out := checker.Check(t.Context(), dmarc.Message{Header: []byte("From: <ann@example.com>\r\n")})
	if err := c.Add(t.Context(), report.Message{Outcome: out}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), sender+"="+path)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var sent []string
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if sent = append(sent, lines.Text()); strings.HasSuffix(lines.Text(), " b@example.com") {
			break
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if len(sent) != 2 {
		t.Fatalf("the child said %q", sent)
	}

	s = open(t, path, boltstore.Config{Aside: func(_ string, err error) { t.Errorf("damaged: %v", err) }})
	defer s.Close()
	if c, checker, err = collector(s); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var left atomic.Bool
	left.Store(true)
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { // until nothing is left
		for ctx.Err() == nil && left.Load() {
			time.Sleep(10 * time.Millisecond)
			some := false
			for range s.Batches(ctx) {
				some = true
			}
			left.Store(some)
		}
		cancel()
	})
	err = c.Run(ctx, report.Delivery{
		Checker: checker, Resolver: policy{}, Jitter: -1,
		Send: func(_ context.Context, a report.Attachment, to dmarc.URI) error {
			sent = append(sent, a.ID+" "+to.Address)
			return nil
		},
	})
	if left.Load() {
		t.Errorf("something is left; Run: %v", err)
	}
	id, _, _ := strings.Cut(sent[0], " ")
	if want := []string{id + " a@example.com", id + " b@example.com", id + " c@example.com"}; !slices.Equal(sent, want) {
		t.Errorf("sent %q, want %q", sent, want)
	}
}

// TestDamagedRow has a row in the file that is none: the report is made without
// it, and says so.
func TestDamagedRow(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "dmarc.db"), boltstore.Config{})
	defer s.Close()
	c, checker, err := collector(s)
	if err != nil {
		t.Fatal(err)
	}
	out := checker.Check(t.Context(), dmarc.Message{Header: []byte("From: <ann@example.com>\r\n")})
	if err := c.Add(t.Context(), report.Message{Outcome: out}); err != nil {
		t.Fatal(err)
	}
	for batch := range held(t, s) {
		if err := s.Add(t.Context(), batch, `{"source":"192.0.2.`, 6); err != nil {
			t.Fatal(err)
		}
	}
	for b, err := range c.Due(t.Context(), time.Now().Add(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		var buf bytes.Buffer
		if rows, err := c.Write(t.Context(), &buf, b); rows != 1 || err != nil {
			t.Fatalf("%d rows, %v", rows, err)
		}
		f, err := report.Read(&buf, report.Limits{})
		if err != nil || len(f.Rows) != 1 || !strings.HasPrefix(f.Error, "6 messages are not in this report") {
			t.Errorf("%+v, %v", f, err)
		}
	}
}

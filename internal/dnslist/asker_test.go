package dnslist

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// names is a resolver that knows a few.
type names map[string]string

func (n names) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	switch answer := n[host]; answer {
	case "":
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	case "hang":
		<-ctx.Done()
		return nil, ctx.Err()
	case "panic":
		panic("resolver")
	case "exit":
		runtime.Goexit()
		return nil, nil
	case "fail":
		return nil, errors.New("cannot ask for KEY.example")
	default:
		return []netip.Addr{netip.MustParseAddr(answer)}, nil
	}
}

func list(t *testing.T, name string) *List {
	t.Helper()
	p, err := ParsePattern("127.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	codes, err := NewCodes([]Pattern{p}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &List{Name: name, Suffix: "." + name + ".", Secret: "key", Codes: codes}
}

func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &Asker{Resolver: names{"listed.l.": "127.0.0.2", "code.l.": "127.0.0.9", "hang.l.": "hang", "panic.l.": "panic", "exit.l.": "exit",
			"fail.l.": "fail", "again.l.": "127.0.0.2"}, Timeout: time.Second, Pending: 10, Errors: 100, Retry: time.Minute}
		l := list(t, "l")
		var questions []Question
		for _, name := range []string{"listed", "none", "code", "hang", "panic", "exit", "fail"} {
			questions = append(questions, Question{l, name})
		}
		got := a.Ask(t.Context(), questions)
		for i, want := range []string{"", "", "no code names it", "deadline", "panicked", "did not return", "cannot ask for ***"} {
			if err := got[i].Err; (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %q", questions[i].Name, err, want)
			}
			if (got[i].Set != 0) != (i == 0) {
				t.Errorf("%s: set %b", questions[i].Name, got[i].Set)
			}
		}
		synctest.Wait()
		if n := a.busy.Load(); n != 0 {
			t.Errorf("%d questions still under way", n)
		}
	})
}

func TestBusy(t *testing.T) {
	a := &Asker{Resolver: names{}, Timeout: time.Second, Pending: 1, Errors: 100}
	l := list(t, "l")
	for _, got := range a.Ask(t.Context(), []Question{{l, "a"}, {l, "b"}}) {
		if got.Err != ErrBusy {
			t.Errorf("error %v", got.Err)
		}
	}
	if got := a.Ask(t.Context(), []Question{{l, "a"}}); got[0].Err != nil {
		t.Errorf("error %v", got[0].Err)
	}
}

// A list that fails is left alone for Retry, and is taken back by an answer.
func TestAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told []string
		r := names{"fail.l.": "fail", "ok.l.": "127.0.0.2", "parked.l.": "198.51.100.1", "refused.l.": "127.255.255.254"}
		a := &Asker{Resolver: r, Timeout: time.Second, Pending: 10, Errors: 2, Retry: time.Minute,
			Told: func(c Change) { mu.Lock(); defer mu.Unlock(); told = append(told, c.Why) }}
		l := list(t, "l")
		ask := func(name string) error { return a.Ask(t.Context(), []Question{{l, name}})[0].Err }
		ask("fail")
		if err := ask("ok"); err != nil {
			t.Error("one failure sets a list aside")
		}
		ask("fail")
		ask("fail")
		if err := ask("ok"); err != ErrAside {
			t.Errorf("after two failures: %v", err)
		}
		time.Sleep(time.Minute)
		if err := ask("ok"); err != nil {
			t.Errorf("after Retry: %v", err)
		}
		ask("refused")
		if err := ask("ok"); err != ErrAside {
			t.Errorf("refused: %v", err)
		}
		if len(told) != 3 || told[0] != "cannot ask for ***.example" || told[1] != "" || !strings.Contains(told[2], "public resolver") {
			t.Errorf("told %q", told)
		}
		time.Sleep(time.Minute)
		for range 5 {
			ask("parked") // is for a test to judge
		}
		if err := ask("ok"); err != nil || len(l.doubts()) != 1 {
			t.Errorf("parked: %v, %d doubts", err, len(l.doubts()))
		}
	})
}

// What a client cancels is no fault of the list.
func TestCancelled(t *testing.T) {
	a := &Asker{Resolver: names{"hang.l.": "hang"}, Timeout: time.Second, Pending: 10, Errors: 1, Retry: time.Minute}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := list(t, "l")
	if got := a.Ask(ctx, []Question{{l, "hang"}}); !errors.Is(got[0].Err, context.Canceled) {
		t.Errorf("error %v", got[0].Err)
	}
	if l.Aside() {
		t.Error("set aside")
	}
}

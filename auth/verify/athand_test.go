package verify_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/verify"
)

// memory is DNS behind a cache that holds some names.
type memory struct {
	*world
	holds func(name string) bool
}

type memoryKey struct{}

func (m memory) AtHand(ctx context.Context) (context.Context, func() bool) {
	missed := new(atomic.Bool)
	return context.WithValue(ctx, memoryKey{}, missed), missed.Load
}

func (m memory) may(ctx context.Context, name string) error {
	if missed, ok := ctx.Value(memoryKey{}).(*atomic.Bool); ok && !m.holds(strings.TrimSuffix(name, ".")) {
		missed.Store(true)
		return errors.New("not at hand")
	}
	return nil
}

func (m memory) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if err := m.may(ctx, name); err != nil {
		return nil, err
	}
	return m.world.LookupTXT(ctx, name)
}

func (m memory) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	if err := m.may(ctx, addr); err != nil {
		return nil, err
	}
	return []string{"mail.example.com."}, nil
}

func (m memory) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	if err := m.may(ctx, host); err != nil {
		return nil, err
	}
	return []netip.Addr{netip.MustParseAddr("192.0.2.7")}, nil
}

// Whatever is remembered and whatever has to be asked, the result is the same.
func TestAtHand(t *testing.T) {
	w := &world{txt: map[string]string{
		"example.com": "v=spf1 ptr -all", "_dmarc.example.com": "v=DMARC1; p=reject",
		"example.net": "v=spf1 -all exp=why.example.net", "why.example.net": "because",
	}}
	message := signed(t, letter, w.key(t, "example.com"), w.key(t, "news.example.com"))
	received := time.Now()
	result := func(holds func(string) bool, from string) string {
		v, err := verify.New(verify.Config{ID: "mx.example.org", Resolver: memory{w, holds}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := v.Verify(t.Context(), verify.Envelope{
			Client: netip.MustParseAddr("192.0.2.7"), Hello: "mail.example.com", From: from, Received: received,
		}, strings.NewReader(message))
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, from := range []string{"ann@example.com", "bob@example.net"} {
		w.asked = nil
		want := result(func(string) bool { return false }, from)
		if strings.Count(want, `"Result":"pass"`) < 2 || strings.Contains(want, "temperror") {
			t.Fatal(want)
		}
		names := []string{"192.0.2.7", "mail.example.com"}
		for name := range w.asked {
			names = append(names, name)
		}
		for _, name := range names {
			if got := result(func(n string) bool { return n == name }, from); got != want {
				t.Errorf("with %s at hand:\n%s\nnot\n%s", name, got, want)
			}
			if got := result(func(n string) bool { return n != name }, from); got != want {
				t.Errorf("with all but %s at hand:\n%s\nnot\n%s", name, got, want)
			}
		}
		if got := result(func(string) bool { return true }, from); got != want {
			t.Errorf("with all at hand:\n%s\nnot\n%s", got, want)
		}
	}
}

// hosts is a world in which names have mail hosts.
type hosts struct{ *world }

func (hosts) LookupMX(context.Context, string) ([]*net.MX, error) {
	return []*net.MX{{Host: "mx.example.com."}}, nil
}

// A domain without TXT records is there where it has mail hosts: np= is not for it.
func TestExists(t *testing.T) {
	w := &world{txt: map[string]string{"_dmarc.example.com": "v=DMARC1; p=none; np=reject"}}
	for want, dns := range map[dmarc.Policy]verify.Resolver{dmarc.Reject: w, dmarc.NoPolicy: hosts{w}} {
		v, err := verify.New(verify.Config{ID: "mx.example.org", Resolver: dns})
		if err != nil {
			t.Fatal(err)
		}
		r, err := v.Verify(t.Context(), verify.Envelope{Client: netip.MustParseAddr("192.0.2.7"), From: "ann@other.example"},
			strings.NewReader("From: ann@below.example.com\r\n\r\ntext\r\n"))
		if err != nil || r.DMARC.Result != dmarc.Fail || r.DMARC.Disposition != want {
			t.Errorf("%v: %+v, want %s", err, r.DMARC, want)
		}
	}
}

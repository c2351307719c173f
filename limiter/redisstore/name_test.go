package redisstore

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/limiter"
)

func TestStateKey(t *testing.T) {
	s := mustNew(t, Config{})
	other := mustNew(t, Config{Prefix: "limits/"})
	for _, tt := range []struct {
		s     *Store
		key   string
		limit limiter.Limit
		want  string
	}{
		{s, "mail/addr/192.0.2.1", limiter.Limit{N: 100, Per: time.Hour, Burst: 20}, "smtpguard:{mail/addr/192.0.2.1}100/1h0m0s/20"},
		{s, "mail/addr/2001:db8::1", hourly(5), "smtpguard:{mail/addr/2001:db8::1}5/1h0m0s/5"},
		{other, "ann@example.org", hourly(5), "limits/{ann@example.org}5/1h0m0s/5"},
		{s, "", hourly(5), "smtpguard:{#e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855}5/1h0m0s/5"},
		{s, "a b", hourly(5), "smtpguard:{#c8687a08aa5d6ed2044328fa6a697ab8e96dc34291e8c2034ae8c38e6fcc6d65}5/1h0m0s/5"},
	} {
		if got := tt.s.stateKey(tt.key, tt.limit); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.key, got, tt.want)
		}
	}
	if got := beside("smtpguard:{a}5/1h0m0s/5", "probe"); got != "smtpguard:{a}probe" {
		t.Errorf("beside = %s", got)
	}
}

// Names are of bounded length and harmless octets, and no key can be chosen that
// has another's.
func FuzzName(f *testing.F) {
	hash := "#e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, key := range []string{"", "a", "#", hash, hash + "x", "mail/addr/192.0.2.1", "}{", "{a}", "a\x00", "a\r\nb", "é", strings.Repeat("x", maxName), strings.Repeat("x", maxName+1)} {
		f.Add(key, key+"x")
	}
	good := regexp.MustCompile(`^[!-z|~]{1,128}$`)
	hashed := regexp.MustCompile(`^#[0-9a-f]{64}$`)
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, key := range []string{a, b} {
			n := name(key)
			if !good.MatchString(n) {
				t.Errorf("%q is called %q", key, n)
			}
			if n != key && !hashed.MatchString(n) {
				t.Errorf("%q is called %q, neither itself nor its hash", key, n)
			}
			if n == key && hashed.MatchString(n) {
				t.Errorf("%q passes for a hash", key)
			}
		}
		if a != b && name(a) == name(b) {
			t.Errorf("%q and %q are both called %q", a, b, name(a))
		}
	})
}

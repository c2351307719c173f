package oauth

import (
	"fmt"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/auth"
)

func TestCache(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	c := newCache(auth.Cache{For: time.Minute, Entries: 100})
	c.put(c.key("a"), result{login: "ann"}, now)
	c.put(c.key("b"), result{login: "bob", until: now.Add(time.Second)}, now)
	for _, tt := range []struct {
		token string
		after time.Duration
		login string
	}{
		{"a", 59 * time.Second, "ann"},
		{"a", time.Minute, ""},
		{"a", 0, ""}, // forgotten
		{"b", 999 * time.Millisecond, "bob"},
		{"b", time.Second, ""},
		{"c", 0, ""},
	} {
		if r, ok := c.get(c.key(tt.token), now.Add(tt.after)); r.login != tt.login && ok || ok != (tt.login != "") {
			t.Errorf("%s after %v: %+v, %t", tt.token, tt.after, r, ok)
		}
	}
	for i := range 1000 {
		c.put(c.key(fmt.Sprint(i)), result{login: "x"}, now)
	}
	if len(c.entries) > 100 {
		t.Errorf("%d entries", len(c.entries))
	}
	off := newCache(auth.Cache{For: -1})
	off.put(off.key("a"), result{login: "ann"}, now)
	if len(off.entries) != 0 {
		t.Error("something is remembered")
	}
	if c.key("a") == off.key("a") {
		t.Error("two caches have one key")
	}
}

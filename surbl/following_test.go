package surbl_test

import (
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

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/surbl"
	"github.com/smtpguard/smtpguard/surbl/follow"
)

// leads is a Follower that knows where a few URIs lead to.
type leads struct {
	to map[string]string // or "error", "panic", "hang"

	mu    sync.Mutex
	asked []string
}

func (l *leads) Next(ctx context.Context, uri string) (string, error) {
	l.mu.Lock()
	l.asked = append(l.asked, uri)
	l.mu.Unlock()
	switch to := l.to[uri]; to {
	case "error":
		return "", errors.New("no\nanswer")
	case "panic":
		panic("follower")
	case "hang":
		<-ctx.Done()
		return "", ctx.Err()
	default:
		return to, nil
	}
}

// following are lists that know evil.com, and follow what cfg says.
func following(t *testing.T, cfg surbl.Following) *surbl.Lists {
	t.Helper()
	w := &world{a: map[string]string{"evil.com.multi.example": "127.0.0.8"}}
	multi := surbl.SURBL()
	multi.Domain = "multi.example"
	return newLists(t, surbl.Config{Resolver: w, Zones: []surbl.Zone{multi}, Follow: cfg, Extract: surbl.Extraction{URIs: 30}})
}

func TestFollow(t *testing.T) {
	to := map[string]string{
		"http://bit.ly/a":         "http://www.evil.com/x",
		"https://bit.ly/b?c=%20":  "https://t.co/d",
		"https://t.co/d":          "http://www.evil.com/x",
		"http://bit.ly/loop":      "http://t.co/loop",
		"http://t.co/loop":        "http://bit.ly/loop",
		"http://bit.ly/error":     "error",
		"http://bit.ly/panic":     "panic",
		"http://bit.ly/inner":     "https://www.google.com/url?q=http%3A%2F%2Fevil.com%2F",
		"http://bit.ly/mail":      "mailto:a@evil.com",
		"http://bit.ly/long":      "http://evil.com/" + strings.Repeat("x", 4000),
		"http://bit.ly/app":       "app:evil.com",
		"http://bit.ly/known":     "http://good.com/",
		"http://bit.ly/number":    "http://0x7f.1/",
		"http://good.com/":        "http://evil.com/",
		"http://[2001:db8::1]/":   "http://evil.com/",
		"http://bit.ly/1%C3%BC/x": "http://evil.com/",
	}
	for i := range 9 {
		to[fmt.Sprintf("http://t.co/%d", i)] = fmt.Sprintf("http://t.co/%d", i+1)
	}
	all := func(u *surbl.URI) bool { return true }
	for _, tt := range []struct {
		text, want, unfollowed string
		cfg                    surbl.Following
	}{
		{"see http://bit.ly/a", "plain bit.ly (shortener); inner www.evil.com (redirector) via bit.ly", "", surbl.Following{}},
		{"see bit.ly/a#x", "inner www.evil.com (redirector) via bit.ly; bare bit.ly (shortener)", "", surbl.Following{}},
		{"see https://u@bit.ly/b?c=%20", "plain bit.ly (userinfo, shortener); inner t.co (redirector, shortener) via bit.ly; inner www.evil.com (redirector) via t.co", "", surbl.Following{}},
		{"see http://bit.ly/1ü\\x", "plain bit.ly (shortener); inner evil.com (redirector) via bit.ly", "", surbl.Following{}},
		{"see http://bit.ly/nowhere", "plain bit.ly (shortener)", "", surbl.Following{}},
		{"see http://good.com/", "plain good.com", "", surbl.Following{}},
		{"see http://good.com/", "plain good.com; inner evil.com (redirector) via good.com", "", surbl.Following{Which: all}},
		{"see http://[2001:db8::1]/", "plain 2001:db8::1; inner evil.com (redirector) via 2001:db8::1", "", surbl.Following{Which: all}},
		{"see ftp://good.com/ and a@good.com", "plain good.com; mail a@good.com", "", surbl.Following{Which: all}},
		{"see http://bit.ly/known and http://good.com/", "plain bit.ly (shortener); plain good.com (redirector)", "", surbl.Following{}},
		{"see http://bit.ly/number", "inner 127.0.0.1 (number, redirector) via bit.ly; plain bit.ly (shortener)", "", surbl.Following{}},
		{"see http://bit.ly/inner", "plain bit.ly (shortener); inner evil.com (redirector) via www.google.com; inner www.google.com (redirector) via bit.ly", "", surbl.Following{}},
		{"see http://bit.ly/mail and http://bit.ly/long and http://bit.ly/app", "plain bit.ly (shortener); plain bit.ly (shortener); plain bit.ly (shortener); inner a@evil.com (redirector) via bit.ly", "", surbl.Following{}},
		{"see http://bit.ly/loop", "plain bit.ly (redirector, shortener); inner t.co (redirector, shortener) via bit.ly", "hxxp://bit[.]ly/loop: surbl: redirects in a circle", surbl.Following{}},
		{"see http://t.co/0", "plain t.co (shortener); inner t.co (redirector, shortener) via t.co; inner t.co (redirector, shortener) via t.co", "hxxp://t[.]co/0: surbl: over Following.Hops", surbl.Following{Hops: 2}},
		{"see http://bit.ly/error", "plain bit.ly (shortener)", "hxxp://bit[.]ly/error: no?answer", surbl.Following{}},
		{"see http://bit.ly/panic", "plain bit.ly (shortener)", "hxxp://bit[.]ly/panic: surbl: follower panicked: follower", surbl.Following{}},
		{"see http://bit.ly/a http://bit.ly/x", "plain bit.ly (shortener); plain bit.ly (shortener); inner www.evil.com (redirector) via bit.ly", "hxxp://bit[.]ly/x: surbl: over Following.URIs", surbl.Following{URIs: 1}},
	} {
		tt.cfg.Follower = &leads{to: to}
		res := look(t, following(t, tt.cfg), tt.text)
		if got := briefs(res.Links); got != tt.want {
			t.Errorf("%s:\n got  %s\n want %s", tt.text, got, tt.want)
		}
		var unfollowed []string
		for _, u := range res.Unfollowed {
			unfollowed = append(unfollowed, u.String())
		}
		if got := strings.Join(unfollowed, "; "); got != tt.unfollowed {
			t.Errorf("%s: not followed %q, want %q", tt.text, got, tt.unfollowed)
		}
		if (res.Action == smtpguard.Reject) != strings.Contains(tt.want, "evil.com") {
			t.Errorf("%s: %v", tt.text, res.Action)
		}
		if n := strings.Count(tt.want, " via "); !strings.Contains(tt.text, "google") && res.Followed != n {
			t.Errorf("%s: followed %d, want %d", tt.text, res.Followed, n)
		}
	}
	// Without a Follower nobody is asked, and each is asked once.
	f := &leads{to: to}
	if res := look(t, following(t, surbl.Following{}), "http://bit.ly/a"); res.Followed != 0 || res.Action != smtpguard.Continue {
		t.Errorf("followed %d, %v", res.Followed, res.Action)
	}
	look(t, following(t, surbl.Following{Follower: f}), "http://bit.ly/a bit.ly/a http://good.com/ a@bit.ly")
	if !slices.Equal(f.asked, []string{"http://bit.ly/a"}) {
		t.Errorf("asked for %q", f.asked)
	}
	for want, cfg := range map[string]surbl.Following{"URIs": {URIs: -1}, "Hops": {Hops: 1001}, "Timeout": {Timeout: -1}} {
		_, err := surbl.New(surbl.Config{Resolver: &world{}, Zones: []surbl.Zone{surbl.SURBL()}, Follow: cfg})
		if err == nil || !strings.Contains(err.Error(), "surbl: Config.Follow."+want+" ") {
			t.Errorf("%s: error %v", want, err)
		}
	}
}

// TestFollowTimeout has one bound for all that is followed.
func TestFollowTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &leads{to: map[string]string{"http://bit.ly/a": "hang", "http://bit.ly/b": "hang", "http://bit.ly/c": "http://evil.com/"}}
		l := following(t, surbl.Following{Follower: f, Timeout: 3 * time.Second})
		start := time.Now()
		res := look(t, l, "http://bit.ly/a http://bit.ly/b http://bit.ly/c")
		if took := time.Since(start); took != 3*time.Second || len(res.Unfollowed) != 2 || res.Action != smtpguard.Reject {
			t.Errorf("%v, %v, %v", took, res.Unfollowed, res.Action)
		}
	})
}

// inward is a resolver for which all hosts are this machine.
type inward struct{}

func (inward) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::ffff:169.254.169.254")}, nil
}

// TestFollowCheck has mail refused for what a shortener leads to, and no request
// made to where nobody from outside should get one.
func TestFollowCheck(t *testing.T) {
	message := sent("Subject: x" + crlf + crlf + "see http://bit.ly/a" + crlf)
	f := &leads{to: map[string]string{"http://bit.ly/a": "http://www.evil.com/x"}}
	s := newSite(t, following(t, surbl.Following{Follower: f}).Check())
	s.play(message + "S: 550 5.7.1 Message links to hxxp://www[.]evil[.]com/x, listed by multi.example: phishing")
	if got, want := s.verdict("surbl").Reason, "hxxp://www[.]evil[.]com/x (inner, redirector): evil.com is listed by multi.example (phishing)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	real, err := follow.New(follow.Config{Resolver: inward{}})
	if err != nil {
		t.Fatal(err)
	}
	s = newSite(t, following(t, surbl.Following{Follower: real}).Check())
	s.play(message + "S: 250")
	if got, want := s.verdict("surbl").Facts["unfollowed"], "hxxp://bit[.]ly/a: follow: no public address"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

package surbl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Follower says where a URI leads to. Package surbl/follow has one that asks
// over HTTP. It must be safe for concurrent use.
type Follower interface {
	// Next returns where uri, of http or https, redirects to, as a URI with a
	// scheme, or "" where it does not redirect.
	Next(ctx context.Context, uri string) (target string, err error)
}

// Following says what is followed over the network. The zero Following follows
// nothing.
type Following struct {
	Follower Follower

	// Which says what is followed, and where a redirect leads to again. Nil is
	// known shorteners alone, which have Shortened. Who follows a link tells its
	// owner that the mail has come, and may have ordered, confirmed or cancelled
	// something by it.
	Which func(u *URI) bool

	URIs    int           // of a message, the most telling first; 10
	Hops    int           // of each; 5
	Timeout time.Duration // of all of them; 10 s
}

// Unfollowed is a URI that was to be followed, and was not to its end.
type Unfollowed struct {
	URI URI
	Err error
}

// String is "hxxp://bit[.]ly/x: timeout", in printable ASCII.
func (u Unfollowed) String() string { return u.URI.Defang() + ": " + clean(u.Err.Error()) }

// Errors of Unfollowed, besides those of the Follower.
var (
	ErrURIs = errors.New("surbl: over Following.URIs")
	ErrHops = errors.New("surbl: over Following.Hops")
	ErrLoop = errors.New("surbl: redirects in a circle")
)

func (f *Following) defaults(bad func(field, why string)) {
	for _, n := range []struct {
		name     string
		value    *int
		fallback int
	}{{"URIs", &f.URIs, 10}, {"Hops", &f.Hops, 5}} {
		if *n.value < 0 || *n.value > 1000 {
			bad("Follow."+n.name, "must be between 0 and 1,000")
		} else if *n.value == 0 {
			*n.value = n.fallback
		}
	}
	if f.Timeout < 0 {
		bad("Follow.Timeout", "must not be negative")
	} else if f.Timeout == 0 {
		f.Timeout = 10 * time.Second
	}
	if f.Which == nil {
		f.Which = func(u *URI) bool { return u.Hidden&Shortened != 0 }
	}
}

// trail is what one URI led to.
type trail struct {
	from *URI
	uris []URI // all that were met, the last where it ends
	err  error
}

// follow adds to the URIs of a message what they lead to.
func (l *Lists) follow(ctx context.Context, res *Result) {
	f := &l.cfg.Follow
	if f.Follower == nil {
		return
	}
	var trails []trail
	for i := range res.Links.URIs {
		u := &res.Links.URIs[i]
		if u.address() == "" || !f.Which(u) {
			continue
		}
		if len(trails) == f.URIs {
			res.Unfollowed = append(res.Unfollowed, Unfollowed{*u, ErrURIs})
			continue
		}
		trails = append(trails, trail{from: u})
	}
	if len(trails) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	var group sync.WaitGroup
	for i := range trails {
		group.Go(func() { l.walk(ctx, &trails[i]) })
	}
	group.Wait()
	uris := slices.Clone(res.Links.URIs)
	for i := range trails {
		t := &trails[i]
		if t.err != nil {
			res.Unfollowed = append(res.Unfollowed, Unfollowed{*t.from, t.err})
		}
		for _, u := range t.uris {
			if n := slices.IndexFunc(uris, func(o URI) bool { return o.same(&u) }); n >= 0 {
				uris[n].Hidden |= Redirected
				uris[n].Times++
			} else if len(uris) < 2*l.extract.cfg.URIs {
				uris = append(uris, u)
				res.Followed++
			} else {
				res.Links.More++
			}
		}
	}
	slices.SortStableFunc(uris, func(a, b URI) int { return cmp.Compare(a.telling(), b.telling()) })
	res.Links.URIs = uris
}

// walk follows t.from to its end.
func (l *Lists) walk(ctx context.Context, t *trail) {
	defer func() {
		if v := recover(); v != nil {
			t.err = fmt.Errorf("surbl: follower panicked: %v", v)
		}
	}()
	f := &l.cfg.Follow
	at := *t.from
	var been []string
	for {
		uri := at.address()
		if slices.Contains(been, uri) {
			t.err = ErrLoop
			return
		}
		if len(been) == f.Hops {
			t.err = ErrHops
			return
		}
		been = append(been, uri)
		target, err := f.Follower.Next(ctx, uri)
		if err != nil {
			t.err = err
			return
		}
		if target == "" {
			return
		}
		next := -1
		for _, u := range l.extract.reference(target) {
			if u.Via == "" {
				u.Via = cmp.Or(at.Host, at.Addr.String())
				next = len(t.uris)
			}
			u.Kind, u.Part, u.Offset = Inner, t.from.Part, t.from.Offset
			u.Hidden |= Redirected
			t.uris = append(t.uris, u)
		}
		if next < 0 {
			return // a mail address, or what is no host
		}
		if at = t.uris[next]; at.address() == "" || !f.Which(&at) {
			return
		}
	}
}

// reference returns the URI that a reference is, and those inside it.
func (x *Extractor) reference(text string) []URI {
	if len(text) > maxText {
		return nil
	}
	w := x.windows.Get().(*window)
	newReader(w.c, w).follow([]byte(text), Inner, 0)
	links := w.c.finish()
	x.windows.Put(w)
	return links.URIs
}

// same reports whether two URIs are counted as one.
func (u *URI) same(o *URI) bool {
	return u.Host == o.Host && u.Addr == o.Addr && u.Port == o.Port && u.Mailbox == o.Mailbox && strings.TrimSuffix(u.Path, "/") == strings.TrimSuffix(o.Path, "/")
}

// address is u as it is asked for over HTTP, without user information and
// fragment, in ASCII; "" for what is not asked for so.
func (u *URI) address() string {
	if u.Mailbox != "" || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	var b strings.Builder
	b.WriteString(cmp.Or(u.Scheme, "http") + "://")
	switch {
	case u.Addr.Is6():
		b.WriteString("[" + u.Addr.String() + "]")
	case u.Addr.IsValid():
		b.WriteString(u.Addr.String())
	default:
		b.WriteString(u.Host)
	}
	if u.Port != "" {
		b.WriteString(":" + u.Port)
	}
	path, _, _ := strings.Cut(u.Path, "#")
	if path == "" || path[0] == '?' {
		b.WriteByte('/')
	}
	query := false
	for i := range len(path) {
		switch c := path[i]; {
		case c == '\\' && !query:
			b.WriteByte('/')
		case c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0:
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			query = query || c == '?'
			b.WriteByte(c)
		}
	}
	return b.String()
}

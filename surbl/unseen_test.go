package surbl_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/surbl"
)

// crowd is n links of as many domains, with what is in among at its places.
func crowd(n int, among map[int]string) string {
	var b strings.Builder
	for i := range n {
		if text, ok := among[i]; ok {
			b.WriteString(text + "\r\n")
		}
		fmt.Fprintf(&b, "http://clean%d.com/\r\n", i)
	}
	b.WriteString(among[n] + "\r\n")
	return b.String()
}

// A listed link among 10,000 clean ones is found where it stands out, at either
// end, or where the others repeat themselves. Where it is not, the result says so.
func TestCrowd(t *testing.T) {
	const n = 10000
	plain := func(link string, at int) string { return "\r\n" + crowd(n, map[int]string{at: link}) }
	html := func(link string, at int) string {
		return "Content-Type: text/html\r\n\r\n" + markup(n, link, at)
	}
	var repeats strings.Builder
	for i := range n {
		fmt.Fprintf(&repeats, "http://host%d.clean%d.com/%d\r\n", i%50, i%20, i)
		if i == n/2 {
			repeats.WriteString("http://evil.com/\r\n")
		}
	}
	var exempt strings.Builder
	for i := range n {
		fmt.Fprintf(&exempt, "http://x%d.clean%d.com/\r\n", i, i%200)
		if i == n/3 {
			exempt.WriteString("http://evil.com/\r\n")
		}
	}
	var dull []string
	for i := range 200 {
		dull = append(dull, fmt.Sprintf("clean%d.com", i))
	}
	w := &world{a: map[string]string{"evil.com.l.example": "127.0.0.2", "9.9.9.9.l.example": "127.0.0.2"}}
	for _, tt := range []struct {
		name, message string
		exempt        []string
		listed        bool
	}{
		{"first", plain("http://evil.com/", 0), nil, true},
		{"among the first", plain("http://evil.com/", 49), nil, true},
		{"among the last", plain("http://evil.com/", n-40), nil, true},
		{"last", plain("http://evil.com/", n), nil, true},
		{"in the middle", plain("http://evil.com/", n/2), nil, false},
		{"in the middle, without a scheme", plain("evil.com", n/2), nil, false},
		{"in the middle, with userinfo", plain("http://bank.com@evil.com/", n/2), nil, true},
		{"in the middle, of letters of several scripts", plain("http://evіl.com/ http://x@evil.com", n/2), nil, true},
		{"in the middle, with letters that are compatible", plain("http://ｅｖｉｌ.com/", n/2), nil, true},
		{"in the middle, a number", plain("http://0x09090909/", n/2), nil, true},
		{"a link that shows another host", html(`<a href="http://evil.com/">www.bank.com</a>`, n/2), nil, true},
		{"a link among images", html(`<a href="http://evil.com/">here</a>`, n/2), nil, true},
		{"a form among images", html(`<form action="//evil.com/"></form>`, n/2), nil, true},
		{"an image among images", html(`<img src="http://evil.com/">`, n/2), nil, false},
		{"among what repeats itself", "\r\n" + repeats.String(), nil, true},
		{"among what is exempt", "\r\n" + exempt.String(), dull, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLists(t, surbl.Config{Resolver: w, Zones: []surbl.Zone{{Domain: "l.example", Lists: surbl.Domain | surbl.Literal}}, Exempt: append(tt.exempt, "exempt.example"),
				Unseen: surbl.Unseen{Action: smtpguard.Reject}})
			res, err := l.Message(t.Context(), strings.NewReader("Subject: x\r\n"+tt.message))
			if err != nil {
				t.Fatal(err)
			}
			if got := listed(res) != ""; got != tt.listed {
				t.Errorf("listed: %v; %d URIs, %d more, %d unseen", got, len(res.Links.URIs), res.Links.More, res.Unseen)
			}
			// What is hidden is told, and what repeats itself hides nothing.
			if hides := !strings.Contains(tt.name, "repeats") && !strings.Contains(tt.name, "exempt"); hides != (res.Unseen > 0) {
				t.Errorf("%d unseen, %d more", res.Unseen, res.Links.More)
			}
			if res.Action != smtpguard.Reject {
				t.Errorf("action %v", res.Action)
			}
			if res.Links.More == 0 || len(res.Links.URIs) > 100 || len(w.questions(".")) > 200*16 {
				t.Errorf("%d URIs and %d more", len(res.Links.URIs), res.Links.More)
			}
		})
	}
}

// markup is a document of n images, with link before one of them.
func markup(n int, link string, at int) string {
	var b strings.Builder
	for i := range n {
		if i == at {
			b.WriteString(link + "\r\n")
		}
		fmt.Fprintf(&b, "<img src=\"http://clean%d.com/x.png\">\r\n", i)
	}
	return b.String()
}

// Questions there is no room for are those of the least telling, and the second
// ones of a domain.
func TestOrder(t *testing.T) {
	w := &world{a: map[string]string{}}
	l := newLists(t, surbl.Config{Resolver: w, Lookups: 6, Zones: []surbl.Zone{{Domain: "h.example", Lists: surbl.Host}}})
	res := look(t, l, "http://a.one.com/ http://b.one.com/ http://a.two.com http://a.three.com http://a.four.com http://a.five.com http://x@a.six.com http://a.seven.com")
	want := "a.six.com.h.example a.one.com.h.example a.seven.com.h.example a.two.com.h.example a.five.com.h.example a.three.com.h.example"
	got := w.questions(".")
	seen := make(map[string]bool)
	for _, q := range got {
		seen[q] = true
	}
	for name := range strings.FieldsSeq(want) {
		if !seen[name] {
			t.Errorf("not asked for %s, but %q", name, got)
		}
	}
	if len(got) != 6 || res.Unasked != 2 || res.Unseen != 2 {
		t.Errorf("%d asked, %d not, %d unseen", len(got), res.Unasked, res.Unseen)
	}
}

// What is not looked up does what Config.Unseen says, in a session as well.
func TestUnseenPolicy(t *testing.T) {
	w := &world{a: map[string]string{"grey.com.l.example": "127.0.0.2"}}
	zone := surbl.Zone{Domain: "l.example", Lists: surbl.Domain, Codes: []surbl.Code{{Answer: "127.0.0.2", Weight: 1}}}
	var body strings.Builder
	for i := range 120 {
		fmt.Fprintf(&body, "C: http://clean%d.com/\n", i)
	}
	for _, tt := range []struct {
		name   string
		unseen surbl.Unseen
		limits surbl.Limits
		extra  string
		reply  string
		reason string
	}{
		{"nothing", surbl.Unseen{}, surbl.Limits{}, "", "250", "links not looked up: 20"},
		{"rejects", surbl.Unseen{Action: smtpguard.Reject}, surbl.Limits{}, "", "550 5.7.1 Message has more links than are looked up", "links not looked up: 20"},
		{"defers", surbl.Unseen{Action: smtpguard.Defer, Reply: "Later"}, surbl.Limits{}, "", "451 4.7.1 Later", "links not looked up: 20"},
		{"scores", surbl.Unseen{Weight: 2}, surbl.Limits{Reject: 2}, "", "550 5.7.1 Message has more links than are looked up", "links not looked up: 20"},
		{"scores with what is listed", surbl.Unseen{Weight: 2}, surbl.Limits{Reject: 3}, "C: http://grey.com/\n",
			"550 5.7.1 Message links to hxxp://grey[.]com/, listed by l.example", "links not looked up: 21; hxxp://grey[.]com/ (plain): grey.com is listed by l.example"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLists(t, surbl.Config{Resolver: w, Zones: []surbl.Zone{zone}, Unseen: tt.unseen, Limits: tt.limits})
			s := newSite(t, l.Check())
			s.play(open + "C: Subject: x\nC: \n" + body.String() + tt.extra + "C: .\nS: " + tt.reply)
			v := s.verdict("surbl")
			if v.Reason != tt.reason || v.Facts["unseen"] == "" {
				t.Errorf("verdict %+v", v)
			}
		})
	}
}

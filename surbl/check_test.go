package surbl_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/dnsd"
	"github.com/smtpguard/smtpguard/internal/require"
	"github.com/smtpguard/smtpguard/surbl"
)

const open = "HELLO\nC: MAIL FROM:<a@example.com>\nS: 250\nC: RCPT TO:<user@example.org>\nS: 250\nC: DATA\nS: 354\n"

func TestCheck(t *testing.T) {
	w := &world{a: map[string]string{"evil.com.multi.example": "127.0.0.8", "grey.com.multi.example": "127.0.0.4", "away.com.multi.example": "servfail"}}
	multi := surbl.SURBL()
	multi.Domain = "multi.example"
	for _, tt := range []struct {
		name, script, reason string
		fails                bool
	}{
		{"listed", open + "C: Subject: x\nC: \nC: see http://www.evil.com/x\nC: .\nS: 550 5.7.1 Message links to hxxp://www[.]evil[.]com/x, listed by multi.example: phishing",
			"hxxp://www[.]evil[.]com/x (plain): evil.com is listed by multi.example (phishing)", false},
		{"clean", open + "C: Subject: x\nC: \nC: see http://www.good.com/x\nC: .\nS: 250", "", false},
		{"scores", open + "C: Subject: x\nC: \nC: see http://grey.com/\nC: .\nS: 250", "hxxp://grey[.]com/ (plain): grey.com is listed by multi.example (disposable mail)", false},
		{"a list that is away", open + "C: Subject: x\nC: \nC: see http://away.com/\nC: .\nS: 250", "questions not answered: 1", true},
		{"a login", "HELLO\nAUTH\n" + strings.TrimPrefix(open, "HELLO\n") + "C: Subject: x\nC: \nC: see http://www.evil.com/x\nC: .\nS: 250", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLists(t, surbl.Config{Resolver: w, Zones: []surbl.Zone{multi}})
			left := make(chan int, 1)
			s := newSite(t, l.Check(), smtpguard.Check{Name: "after", Done: func(_ context.Context, tx *smtpguard.Transaction, _ smtpguard.Outcome) {
				n := 0
				if res := l.ResultOf(tx); res != nil {
					n = len(res.Listings)
				}
				left <- n
			}})
			s.play(tt.script)
			if n := <-left; (n > 0) != (tt.reason != "" && !tt.fails) {
				t.Errorf("%d listings left for others", n)
			}
			v := s.verdict("surbl")
			if v.Reason != tt.reason || v.Error != "" || tt.fails != strings.Contains(v.Facts["multi.example"], "failed: ") {
				t.Errorf("verdict %+v", v)
			}
			if want := strings.Count(tt.script, "S: 550"); s.deliveries() != 1-want {
				t.Errorf("%d deliveries", s.deliveries())
			}
		})
	}
}

// What a message has too much of is told: it may hide behind the rest.
func TestUnseen(t *testing.T) {
	l := newLists(t, surbl.Config{Resolver: &world{}, Lookups: 2, Zones: []surbl.Zone{surbl.SURBL()}})
	s := newSite(t, l.Check())
	s.play(open + "C: Subject: x\nC: \nC: a.com b.com c.com d.com\nC: .\nS: 250")
	if got, want := s.verdict("surbl").Facts["unseen"], "2 URIs or questions more than there is room for, 2 of what may be listed; content left unread: false"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOutbound(t *testing.T) {
	w := &world{a: map[string]string{"evil.com.multi.example": "127.0.0.8"}}
	multi := surbl.SURBL()
	multi.Domain = "multi.example"
	var mu sync.Mutex
	var told []smtpguard.Event
	l := newLists(t, surbl.Config{Resolver: w, Zones: []surbl.Zone{multi}, Observe: func(ev smtpguard.Event) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, ev)
		panic("nobody's mail's fault")
	}})
	s := newSite(t, l.Outbound())
	const mail = "C: Subject: x\nC: \nC: see http://www.evil.com/x\nC: .\nS: "
	s.play(open + mail + "250")
	if len(told) != 0 || s.deliveries() != 1 {
		t.Errorf("without a login: %+v", told)
	}
	s.play("HELLO\nAUTH\n" + strings.TrimPrefix(open, "HELLO\n") + mail + "550 5.7.1 Message links to hxxp://www[.]evil[.]com/x, listed by multi.example: phishing")
	if len(told) != 1 || told[0].Login != "ann" || told[0].Kind != smtpguard.KindWarning || !strings.Contains(told[0].Reason, "evil.com is listed by multi.example") {
		t.Errorf("told %+v", told)
	}
	if s.deliveries() != 1 {
		t.Errorf("%d deliveries", s.deliveries())
	}
}

// zones serves lists as operators do.
func zones(t *testing.T) (l *surbl.Lists) {
	t.Helper()
	r := dnsd.Resolver(dnsd.Rbldnsd(t, map[string]string{
		"multi.example:dnset":  "surbl-org-permanent-test-point.com :127.0.0.254:test point\nevil.com :127.0.0.8:phish\nxn--bcher-kva.example.de :127.0.0.64:x\nxn--e1afmkfd.com :127.0.0.64:x",
		"multi.example:ip4set": "5.6.7.8 :127.0.0.16:malware",
		"dbl.example:dnset":    "dbltest.com :127.0.1.2:test point\n.bad.host.com :127.0.1.4:phish",
	}))
	multi, dbl := surbl.SURBL(), surbl.SpamhausDBL()
	multi.Domain, dbl.Domain = "multi.example", "dbl.example"
	l = newLists(t, surbl.Config{Resolver: r, Zones: []surbl.Zone{multi, dbl}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { _ = l.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return l
}

// mails are ways to hide one link, as swaks sends them.
var mails = []struct{ name, headers, body, zone string }{
	{"plain text", "", "see http://www.evil.com/", "multi.example"},
	{"base64 HTML", "Content-Type: text/html\nContent-Transfer-Encoding: base64", "PGEgaHJlZj0iaHR0cDovL2V2aWwu\nY29tLyI+eDwvYT4=", "multi.example"},
	{"quoted-printable", "Content-Transfer-Encoding: quoted-printable", "http://ev=\nil=2Ecom/", "multi.example"},
	{"redirector", "", "https://www.google.com/url?q=http%3A%2F%2Fevil.com%2F", "multi.example"},
	{"IDN", "Content-Type: text/plain; charset=utf-8", "http://пример.com/", "multi.example"},
	{"decimal IP", "", "http://84281096/", "multi.example"},
	{"attached message", "Content-Type: multipart/mixed; boundary=b", "--b\nContent-Type: message/rfc822\n\nSubject: x\n\nhttp://evil.com\n--b--", "multi.example"},
	{"whole host", "", "http://bad.host.com/", "dbl.example"},
	{"test point of SURBL", "", "http://surbl-org-permanent-test-point.com/", "multi.example"},
	{"test point of DBL", "", "http://dbltest.com/", "dbl.example"},
	{"clean", "", "http://good.com/ http://host.com/", ""},
}

func TestRbldnsd(t *testing.T) {
	l := zones(t)
	for _, m := range mails {
		text := m.headers
		if text != "" {
			text += "\n"
		}
		res, err := l.Message(t.Context(), strings.NewReader(strings.ReplaceAll(text+"\n"+m.body+"\n", "\n", "\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		var zone string
		for _, li := range res.Listings {
			zone = li.Zone
		}
		if zone != m.zone || len(res.Failures) > 0 {
			t.Errorf("%s: listed by %q, want %q; failures %v", m.name, zone, m.zone, res.Failures)
		}
	}
}

func TestSwaks(t *testing.T) {
	swaks := require.Program(t, "swaks")
	l := zones(t)
	s := newSite(t, l.Check())
	addr := s.listen()
	clean := 0
	for _, m := range mails {
		file := filepath.Join(t.TempDir(), "mail")
		headers := "From: a@example.com\nTo: user@example.org\nSubject: x\n" + m.headers
		if err := os.WriteFile(file, []byte(strings.TrimSuffix(headers, "\n")+"\n\n"+m.body+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		out, err := exec.CommandContext(ctx, swaks, "--server", addr, "--from", "a@example.com", "--to", "user@example.org", "--data", "@"+file, "--timeout", "20s").CombinedOutput()
		cancel()
		refused := strings.Contains(string(out), "<** 550 5.7.1 Message links to ") && strings.Contains(string(out), "listed by "+m.zone)
		if m.zone == "" {
			clean++
			if err != nil || s.deliveries() != clean {
				t.Errorf("%s: not delivered:\n%s", m.name, out)
			}
			continue
		}
		if err == nil || !refused || !strings.Contains(s.verdict("surbl").Reason, "listed by "+m.zone) {
			t.Errorf("%s: not refused:\n%s", m.name, out)
		}
	}
}

func Example() {
	lists, err := surbl.New(surbl.Config{
		Local: []surbl.Local{{Name: "our phish list", Find: func(u *surbl.URI) (string, bool) { return "phishing", u.Domain == "evil.example" }}},
	})
	if err != nil {
		panic(err)
	}
	message := strings.NewReader("Subject: your account\r\n\r\nPlease log in at http://www.bank.example@login.evil.example/\r\n")
	res, err := lists.Message(context.Background(), message)
	if err != nil {
		panic(err)
	}
	for _, listing := range res.Listings {
		fmt.Println(res.Action, listing.String())
	}
	// Output: reject hxxp://login[.]evil[.]example/ (plain, userinfo): login.evil.example is listed by our phish list (phishing)
}

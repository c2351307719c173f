package blocklist_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/blocklist"
	"github.com/smtpguard/smtpguard/blocklist/storetest"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

func TestTrapConfig(t *testing.T) {
	for _, tt := range []struct {
		spoil func(*blocklist.TrapConfig)
		field string
	}{
		{func(c *blocklist.TrapConfig) { c.Traps = nil }, "Traps"},
		{func(c *blocklist.TrapConfig) { c.Blocks = nil }, "Blocks"},
		{func(c *blocklist.TrapConfig) { c.At = smtpguard.StageMail }, "At"},
		{func(c *blocklist.TrapConfig) { c.Action = 9 }, "Action"},
		{func(c *blocklist.TrapConfig) { c.Hits = -1 }, "Hits"},
		{func(c *blocklist.TrapConfig) { c.Clients = -1 }, "Clients"},
		{func(c *blocklist.TrapConfig) { c.Window = -1 }, "Window"},
		{func(c *blocklist.TrapConfig) { c.TTL = -1 }, "TTL"},
		{func(c *blocklist.TrapConfig) { c.Own = []netip.Prefix{{}} }, "Own[0]"},
	} {
		cfg := blocklist.TrapConfig{Traps: set(t), Blocks: dynamic(t, blocklist.DynamicConfig{})}
		tt.spoil(&cfg)
		if _, err := blocklist.NewTraps(cfg); err == nil || !strings.Contains(err.Error(), "blocklist: TrapConfig."+tt.field+" ") {
			t.Errorf("error %v does not name %s", err, tt.field)
		}
	}
}

// trapSite is a site with traps at trap@example.org and below old.example, and
// the list that they block in.
type trapSite struct {
	*site
	d      *blocklist.Dynamic
	events chan blocklist.TrapEvent
}

func newTrapSite(t *testing.T, cfg blocklist.TrapConfig, before ...smtpguard.Check) *trapSite {
	t.Helper()
	s := &trapSite{
		d:      dynamic(t, blocklist.DynamicConfig{Protect: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}),
		events: make(chan blocklist.TrapEvent, 100),
	}
	cfg.Traps = set(t, "block mailbox trap@example.org", "block domain .old.example", "allow mailbox ann@old.example")
	cfg.Blocks = s.d
	cfg.Report = func(ev blocklist.TrapEvent) { s.events <- ev }
	traps, err := blocklist.NewTraps(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.site = newSite(t, append(before, newCheck(t, blocklist.CheckConfig{List: s.d}), traps.Check())...)
	return s
}

// event is the next one.
func (s *trapSite) event() blocklist.TrapEvent {
	s.t.Helper()
	select {
	case ev := <-s.events:
		return ev
	case <-time.After(5 * time.Second):
		s.t.Fatal("no event")
		return blocklist.TrapEvent{}
	}
}

// quiet wants no event. What the transcripts end with comes after whatever there
// was to account for.
func (s *trapSite) quiet() {
	s.t.Helper()
	select {
	case ev := <-s.events:
		s.t.Errorf("event %+v", ev)
	default:
	}
	if s.d.Len() != 0 {
		s.t.Errorf("listed: %v", values(s.d))
	}
}

// mail is a transaction to forward-paths that are all accepted, and the reply to
// its content.
func mail(from, reply string, to ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "C: MAIL FROM:<%s>\nS: 250\n", from)
	for _, rcpt := range to {
		fmt.Fprintf(&b, "C: RCPT TO:<%s>\nS: 250\n", rcpt)
	}
	fmt.Fprintf(&b, "C: DATA\nS: 354\nC: Subject: offer\nC:\nC: Buy.\nC: .\nS: %s\n", reply)
	return b.String()
}

// Who sends mail to a trap is blocked for an hour; the mail is delivered.
func TestTrap(t *testing.T) {
	for client, blocked := range map[string]string{
		"198.51.100.1":    "198.51.100.1/32",
		"2001:db8:1:2::3": "2001:db8:1:2::/64",
	} {
		s := newTrapSite(t, blocklist.TrapConfig{})
		s.play(client, "HELLO\n"+mail("x@spam.example", "250", "user@example.org", "Trap@EXAMPLE.org", "bob@a.old.example")+`
			C: MAIL FROM:<x@spam.example>
			S: 554 5.7.1 Your address is blocked here
			CONNECT
			S: 554 5.7.1 Your address is blocked here
			S: EOF`)
		ev := s.event()
		if ev.Blocked.String() != blocked || ev.Spared != "" || ev.Err != nil || ev.From != "x@spam.example" || ev.Hello != "client.example" ||
			ev.Client.String() != client || fmt.Sprint(ev.Traps) != "[Trap@EXAMPLE.org bob@a.old.example]" || ev.Until.Sub(ev.Time) != time.Hour {
			t.Errorf("%+v", ev)
		}
		items := s.d.List()
		if len(items) != 1 || !items[0].Auto || items[0].Source != "traps" || !items[0].Expires.Equal(ev.Until) ||
			items[0].Reason != "mail to Trap@EXAMPLE.org and 1 more in "+ev.Transaction {
			t.Errorf("%+v", items)
		}
		if got := s.delivered(); len(got) != 1 || len(got[0].To) != 3 {
			t.Errorf("delivered %v", got)
		}
	}
}

// What is no mail to a trap does not count.
func TestTrapProbes(t *testing.T) {
	s := newTrapSite(t, blocklist.TrapConfig{})
	s.play("198.51.100.1", `
		HELLO
		C: MAIL FROM:<x@spam.example>
		S: 250
		C: RCPT TO:<trap@example.org>
		S: 250
		C: RSET
		S: 250
		C: MAIL FROM:<x@spam.example>
		S: 250
		C: RCPT TO:<trap@example.org>
		S: 250
		C: RCPT TO:<`+strings.Repeat("x", 300)+`@example.org>
		S: 501
		CONNECT
		HELLO
		`+mail("x@spam.example", "250", "user@example.org", "ann@old.example")+`
		C: MAIL FROM:<x@spam.example>
		S: 250`)
	s.quiet()

	// Unless it is to count.
	s = newTrapSite(t, blocklist.TrapConfig{At: smtpguard.StageRcpt, Action: smtpguard.Reject})
	s.play("198.51.100.1", `
		HELLO
		C: MAIL FROM:<x@spam.example>
		S: 250
		C: RCPT TO:<user@example.org>
		S: 250
		C: RCPT TO:<trap@example.org>
		S: 550 5.1.1 No such recipient here
		C: RSET
		S: 250
		C: MAIL FROM:<x@spam.example>
		S: 554 5.7.1 *`)
	if ev := s.event(); ev.Blocked.String() != "198.51.100.1/32" {
		t.Errorf("%+v", ev)
	}
	if !strings.Contains(s.said(), "rcpt: forward-path is a trap") {
		t.Error(s.said())
	}
}

// A trap that another check refuses gets no mail.
func TestTrapRefusedElsewhere(t *testing.T) {
	refuse := smtpguard.Check{Name: "recipients", Rcpt: func(_ context.Context, _ *smtpguard.Transaction, r *smtpguard.Recipient) (smtpguard.Verdict, error) {
		if strings.HasPrefix(r.Addr, "trap@") {
			return smtpguard.Verdict{Action: smtpguard.Reject}, nil
		}
		return smtpguard.Verdict{}, nil
	}}
	for _, at := range []smtpguard.Stage{smtpguard.StageData, smtpguard.StageRcpt} {
		s := newTrapSite(t, blocklist.TrapConfig{At: at}, refuse)
		s.play("198.51.100.1", `
			HELLO
			C: MAIL FROM:<x@spam.example>
			S: 250
			C: RCPT TO:<trap@example.org>
			S: 550
			C: RCPT TO:<user@example.org>
			S: 250
			C: DATA
			S: 354
			C: .
			S: 250
			C: MAIL FROM:<x@spam.example>
			S: 250`)
		s.quiet()
	}
}

// Content that a later check refuses counts; content that breaks off does not.
func TestTrapContent(t *testing.T) {
	s := newTrapSite(t, blocklist.TrapConfig{}, smtpguard.Check{Name: "content", Data: func(context.Context, *smtpguard.Transaction, *smtpguard.Message) (smtpguard.Verdict, error) {
		return smtpguard.Verdict{Action: smtpguard.Reject}, nil
	}})
	s.play("198.51.100.1", "HELLO\n"+mail("x@spam.example", "554", "trap@example.org"))
	if ev := s.event(); ev.Blocked.String() != "198.51.100.1/32" {
		t.Errorf("%+v", ev)
	}

	s = newTrapSite(t, blocklist.TrapConfig{})
	s.play("198.51.100.1", `
		HELLO
		C: MAIL FROM:<x@spam.example>
		S: 250
		C: RCPT TO:<trap@example.org>
		S: 250
		C: DATA
		S: 354
		C: Subject: broken
		HALFCLOSE
		S: 421
		CONNECT
		HELLO
		C: MAIL FROM:<x@spam.example>
		S: 250`)
	s.quiet()
}

func TestTrapAction(t *testing.T) {
	s := newTrapSite(t, blocklist.TrapConfig{Action: smtpguard.Reject})
	s.play("198.51.100.1", "HELLO\n"+mail("x@spam.example", "250", "user@example.org")+
		mail("x@spam.example", "554 5.7.1 Message refused", "user@example.org", "trap@example.org"))
	if ev := s.event(); ev.Blocked.String() != "198.51.100.1/32" {
		t.Errorf("%+v", ev)
	}
	if got := s.delivered(); len(got) != 1 {
		t.Errorf("delivered %v", got)
	}

	s = newTrapSite(t, blocklist.TrapConfig{Action: smtpguard.Quarantine})
	s.play("198.51.100.1", "HELLO\n"+mail("x@spam.example", "250", "user@example.org", "trap@example.org"))
	s.event()
	if got := s.delivered(); len(got) != 1 || !strings.Contains(string(got[0].Data), "traps") {
		t.Errorf("delivered %v", got)
	}
}

// Who is never blocked.
func TestTrapSpares(t *testing.T) {
	friend := smtpguard.Check{Name: "friend", Mail: func(_ context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
		if tx.From() == "friend@example.com" {
			return smtpguard.Verdict{Accept: smtpguard.ScopeTransaction}, nil
		}
		return smtpguard.Verdict{}, nil
	}}
	login := "STARTTLS\nAUTH\n"
	for _, tt := range []struct {
		name, addr, before, from string
		want                     blocklist.Spared
		login                    string
	}{
		{"login", "198.51.100.1", login, "ann@example.org", blocklist.SparedLogin, "ann"},
		{"login at home", "192.0.2.1", login, "ann@example.org", blocklist.SparedLogin, "ann"},
		{"own network", "192.0.2.1", "", "x@example.org", blocklist.SparedOwn, ""},
		{"provider", "198.51.100.77", "", "x@example.com", blocklist.SparedExempt, ""},
		{"accepted", "198.51.100.1", "", "friend@example.com", blocklist.SparedAccepted, ""},
		{"own and accepted", "192.0.2.1", "", "friend@example.com", blocklist.SparedOwn, ""},
		{"bounce", "198.51.100.1", "", "", blocklist.SparedBounce, ""},
		{"protected", "203.0.113.1", "", "x@example.com", blocklist.SparedProtected, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newTrapSite(t, blocklist.TrapConfig{
				Own:    []netip.Prefix{netip.MustParsePrefix("::ffff:192.0.2.0/120")},
				Exempt: set(t, "allow addr 198.51.100.64/26", "block addr 198.51.100.0/24"),
			}, friend)
			s.play(tt.addr, "HELLO\n"+tt.before+mail(tt.from, "250", "user@example.org", "trap@example.org")+"C: MAIL FROM:<x@example.com>\nS: 250")
			ev := s.event()
			if ev.Spared != tt.want || ev.Login != tt.login || ev.Blocked.IsValid() || fmt.Sprint(ev.Traps) != "[trap@example.org]" {
				t.Errorf("%+v, want %q", ev, tt.want)
			}
			if (tt.want == blocklist.SparedProtected) != errors.Is(ev.Err, blocklist.ErrProtected) {
				t.Errorf("error %v", ev.Err)
			}
			s.quiet()
		})
	}
	t.Run("bounces that count", func(t *testing.T) {
		s := newTrapSite(t, blocklist.TrapConfig{NullSender: true})
		s.play("198.51.100.1", "HELLO\n"+mail("", "250", "trap@example.org"))
		if ev := s.event(); !ev.Blocked.IsValid() {
			t.Errorf("%+v", ev)
		}
	})
	// Refusing is for those who are to be blocked.
	t.Run("not refused", func(t *testing.T) {
		for _, at := range []smtpguard.Stage{smtpguard.StageRcpt, smtpguard.StageData} {
			s := newTrapSite(t, blocklist.TrapConfig{At: at, Action: smtpguard.Reject})
			smtpguardtest.Play(t, s.from("198.51.100.1", "submission"), "HELLO\n"+login+mail("ann@example.org", "250", "trap@example.org"))
			if ev := s.event(); ev.Spared != blocklist.SparedLogin {
				t.Errorf("%+v", ev)
			}
		}
	})
}

// Some hits in a while are needed, of one client.
func TestTrapHits(t *testing.T) {
	s := newTrapSite(t, blocklist.TrapConfig{Hits: 3})
	one := mail("x@spam.example", "250", "trap@example.org", "Trap@example.org")
	s.play("198.51.100.1", "HELLO\n"+one+one)
	s.play("198.51.100.2", "HELLO\n"+one)
	for range 3 {
		if ev := s.event(); ev.Spared != blocklist.SparedHits {
			t.Errorf("%+v", ev)
		}
	}
	s.quiet()
	s.play("198.51.100.1", "HELLO\n"+one)
	if ev := s.event(); ev.Blocked.String() != "198.51.100.1/32" {
		t.Errorf("%+v", ev)
	}
	s.play("198.51.100.2", "HELLO\n"+mail("x@spam.example", "250", "trap@example.org", "bob@old.example"))
	if ev := s.event(); ev.Blocked.String() != "198.51.100.2/32" {
		t.Errorf("%+v", ev)
	}
}

// A store that is away does not keep a client from being blocked here.
func TestTrapStoreAway(t *testing.T) {
	store := &storetest.Memory{Fail: func(op string) error {
		if op == "apply" {
			return errors.New("store away")
		}
		return nil
	}}
	d := dynamic(t, blocklist.DynamicConfig{Store: store})
	events := make(chan blocklist.TrapEvent, 1)
	traps, err := blocklist.NewTraps(blocklist.TrapConfig{
		Traps: set(t, "block mailbox trap@"), Blocks: d, Report: func(ev blocklist.TrapEvent) { events <- ev },
	})
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, newCheck(t, blocklist.CheckConfig{List: d}), traps.Check())
	s.play("198.51.100.1", "HELLO\n"+mail("x@spam.example", "250", "trap@example.org")+"C: MAIL FROM:<x@spam.example>\nS: 554")
	if ev := <-events; !ev.Blocked.IsValid() || !errors.Is(ev.Err, blocklist.ErrNotKept) {
		t.Errorf("%+v", ev)
	}
}

// The list fills up: that is an error, and blocks nobody.
func TestTrapListFull(t *testing.T) {
	d := dynamic(t, blocklist.DynamicConfig{Entries: 1, AutoEntries: 1})
	if err := d.AddAuto(t.Context(), block("192.0.2.1")); err != nil {
		t.Fatal(err)
	}
	events := make(chan blocklist.TrapEvent, 1)
	traps, err := blocklist.NewTraps(blocklist.TrapConfig{
		Traps: set(t, "block mailbox trap@"), Blocks: d, Report: func(ev blocklist.TrapEvent) { events <- ev },
	})
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, traps.Check())
	s.play("198.51.100.1", "HELLO\n"+mail("x@spam.example", "250", "trap@example.org"))
	if ev := <-events; ev.Blocked.IsValid() || ev.Spared != "" || !errors.Is(ev.Err, blocklist.ErrFull) {
		t.Errorf("%+v", ev)
	}
}

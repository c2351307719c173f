package blocklist_test

import (
	"net/netip"
	"testing"

	"github.com/smtpguard/smtpguard/blocklist"
)

func TestLists(t *testing.T) {
	blocks := set(t, "block addr 192.0.2.0/24", "block addr 198.51.100.1", "block domain example.org", "block mailbox @example.org", "block addr 203.0.113.0/24")
	allows := set(t, "allow addr 192.0.2.0/24", "allow addr 198.51.100.0/24", "allow domain .example.org", "allow mailbox ann@example.org", "allow addr 203.0.113.128/25")
	both := blocklist.Lists{blocks, nil, allows}
	other := blocklist.Lists{allows, blocklist.Lists{blocks}}
	for addr, want := range map[string]string{
		"192.0.2.1":     "allow 192.0.2.0/24", // as specific: Allow
		"198.51.100.1":  "block 198.51.100.1", // more specific
		"198.51.100.2":  "allow 198.51.100.0/24",
		"203.0.113.1":   "block 203.0.113.0/24",
		"203.0.113.129": "allow 203.0.113.128/25",
		"233.252.0.1":   "-",
	} {
		if a, b := asks(both, addr), asks(other, addr); a != want || b != want {
			t.Errorf("%s: %s and %s, want %s", addr, a, b, want)
		}
	}
	for q, want := range map[blocklist.Query]string{
		{Kind: blocklist.Domain, Value: "example.org"}:      "block example.org",
		{Kind: blocklist.Domain, Value: "mail.example.org"}: "allow .example.org",
		{Kind: blocklist.Mailbox, Value: "ann@example.org"}: "allow ann@example.org",
		{Kind: blocklist.Mailbox, Value: "bob@example.org"}: "block @example.org",
	} {
		m, _ := both.Find(q)
		if got := m.Entry.Word.String() + " " + m.Entry.Value; got != want {
			t.Errorf("%+v: %s, want %s", q, got, want)
		}
	}
	if _, ok := (blocklist.Lists{}).Find(blocklist.Query{Kind: blocklist.Domain, Value: "example.org"}); ok {
		t.Error("no list lists something")
	}
	// Of lists that say the same, the first one is named.
	a, b := set(t, "block addr 192.0.2.1"), set(t, "block addr 192.0.2.1")
	d := dynamic(t, blocklist.DynamicConfig{})
	e := block("192.0.2.1")
	e.Source = "first"
	if err := d.Add(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if m, _ := (blocklist.Lists{d, a, b}).Find(blocklist.Query{Kind: blocklist.Addr, Addr: netip.MustParseAddr("192.0.2.1")}); m.Entry.Source != "first" {
		t.Errorf("%+v", m)
	}
}

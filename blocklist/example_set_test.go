package blocklist_test

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/smtpguard/smtpguard/blocklist"
)

func ExampleSet() {
	set, err := blocklist.NewSet(
		blocklist.Entry{Kind: blocklist.Addr, Value: "192.0.2.0/24", Word: blocklist.Block, Reason: "sends spam"},
		blocklist.Entry{Kind: blocklist.Addr, Value: "192.0.2.7", Word: blocklist.Allow, Reason: "a partner"},
		blocklist.Entry{Kind: blocklist.Domain, Value: "*.dyn.example", Word: blocklist.Block},
		blocklist.Entry{Kind: blocklist.Mailbox, Value: "@bücher.example", Word: blocklist.Block},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, q := range []blocklist.Query{
		{Kind: blocklist.Addr, Addr: netip.MustParseAddr("192.0.2.1")},
		{Kind: blocklist.Addr, Addr: netip.MustParseAddr("::ffff:192.0.2.7")},
		{Kind: blocklist.Addr, Addr: netip.MustParseAddr("2001:db8::1")},
		{Kind: blocklist.Domain, Value: "host-7.Dyn.example."},
		{Kind: blocklist.Domain, Value: "dyn.example"},
		{Kind: blocklist.Mailbox, Value: "Ann@xn--bcher-kva.example"},
	} {
		m, listed := set.Find(q)
		fmt.Printf("%v %v %q %q\n", listed, m.Entry.Word, m.Entry.Value, m.Entry.Reason)
	}
	// Output:
	// true block "192.0.2.0/24" "sends spam"
	// true allow "192.0.2.7" "a partner"
	// false none "" ""
	// true block "*.dyn.example" ""
	// false none "" ""
	// true block "@xn--bcher-kva.example" ""
}

func ExampleParse() {
	const file = `# who may not send here
192.0.2.0/24  # sends spam
allow 192.0.2.7
hello ylmf-pc expires=2099-12-31
exam ple.org
`
	var b blocklist.Builder
	report, err := blocklist.Parse(strings.NewReader(file), blocklist.ParseConfig{Name: "ours", Source: "ours"}, b.Add)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, bad := range report.Lines {
		fmt.Println(bad)
	}
	set := b.Set()
	m, listed := set.Find(blocklist.Query{Kind: blocklist.Hello, Value: "YLMF-PC"})
	fmt.Println(set.Len(), "entries;", listed, m.Entry.Value, m.Entry.Expires)
	// Output:
	// blocklist: ours:5: "ple.org" is no option
	// 3 entries; true ylmf-pc 2099-12-31 00:00:00 +0000 UTC
}

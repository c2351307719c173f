package relay_test

import (
	"fmt"
	"net/netip"

	"github.com/smtpguard/smtpguard/relay"
)

func Example() {
	r, err := relay.New(relay.Rules{
		Local:   []string{"example.org", "*.example.org"},
		Relayed: []string{"example.net"},
		Grants: []relay.Grant{
			{Name: "staff", Logins: []string{"*"}, To: []string{"*"}},
			{Name: "scanner", Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}, To: []string{"archive.example"}},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	stranger := relay.Client{Addr: netip.MustParseAddr("198.51.100.1")}
	scanner := relay.Client{Addr: netip.MustParseAddr("192.0.2.7")}
	ann := relay.Client{Addr: netip.MustParseAddr("198.51.100.1"), Login: "ann", LoggedIn: true}
	for _, try := range []struct {
		client    relay.Client
		recipient string
	}{
		{stranger, "info@Mail.Example.ORG."},
		{stranger, "info@example.net"},
		{stranger, "info@example.com"},
		{stranger, "info%example.com@example.org"},
		{scanner, "scans@archive.example"},
		{ann, "info@example.com"},
	} {
		d := r.Decide(try.client, try.recipient)
		fmt.Printf("%s: %v %s%s\n", try.recipient, d.Kind, d.Rule, d.Reason)
	}
	// Output:
	// info@Mail.Example.ORG.: local *.example.org
	// info@example.net: relayed example.net
	// info@example.com: refused example.com is not ours, and no grant lets the client send there
	// info%example.com@example.org: refused local part with '%', which may be a route to elsewhere
	// scans@archive.example: outbound scanner
	// info@example.com: outbound staff
}

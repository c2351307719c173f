package verify_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/smtpguard/smtpguard/auth/verify"
)

// A message at rest: who is behind it?
func ExampleVerifier_Verify() {
	dns := &world{txt: map[string]string{
		"example.com":        "v=spf1 ip4:192.0.2.7 -all",
		"_dmarc.example.com": "v=DMARC1; p=reject",
	}}
	v, err := verify.New(verify.Config{ID: "mx.example.org", Resolver: dns})
	if err != nil {
		fmt.Println(err)
		return
	}
	message := "From: Ann <ann@example.com>\r\nSubject: hello\r\n\r\nhello\r\n"
	for _, client := range []string{"192.0.2.7", "198.51.100.66"} {
		r, err := v.Verify(context.Background(), verify.Envelope{
			Client: netip.MustParseAddr(client), Hello: "mail.example.com", From: "ann@example.com",
		}, strings.NewReader(message))
		if err != nil {
			fmt.Println(err)
			return
		}
		author, ok := r.Author()
		fmt.Println(r.String(), "|", author, ok, "|", r.DMARC.Disposition)
	}
	// Output:
	// spf=pass, dmarc=pass | example.com true | none
	// spf=fail, dmarc=fail | example.com false | reject
}

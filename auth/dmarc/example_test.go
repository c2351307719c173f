package dmarc_test

import (
	"context"
	"fmt"
	"net"

	"github.com/smtpguard/smtpguard/auth/dmarc"
)

// records answers as DNS would.
type records map[string]string

func (r records) LookupTXT(_ context.Context, name string) ([]string, error) {
	if text, ok := r[name]; ok {
		return []string{text}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func Example() {
	checker, err := dmarc.New(dmarc.Config{Resolver: records{
		"_dmarc.example.org.": "v=DMARC1; p=reject; rua=mailto:dmarc@example.org",
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range []dmarc.Message{
		{
			Header: []byte("From: Ann <ann@news.example.org>\r\nSubject: Hello\r\n"),
			SPF:    dmarc.SPF{Domain: "bounces.example.net", Result: "pass"},
			DKIM:   []dmarc.DKIM{{Domain: "example.org", Selector: "s1", Result: "pass"}},
		},
		{
			Header: []byte("From: Ann <ann@example.org>\r\nSubject: Your invoice\r\n"),
			SPF:    dmarc.SPF{Domain: "attack.example", Result: "pass"},
		},
		{
			Header: []byte("From: <eve@attack.example>\r\nFrom : Ann <ann@example.org>\r\n"),
			SPF:    dmarc.SPF{Domain: "attack.example", Result: "pass"},
		},
	} {
		found := checker.Check(context.Background(), m)
		fmt.Printf("%s, so %s: %q\n", found.Result, found.Disposition, found.Reason)
	}
	// Output:
	// pass, so none: ""
	// fail, so reject: "nothing that is authenticated is aligned"
	// permerror, so reject: "a From field that some readers see and others do not"
}

func ExampleLint() {
	for _, finding := range dmarc.Lint("v=DMARC1; p=reject; pct=50; rua=dmarc@example.org") {
		fmt.Println(finding)
	}
	// Output:
	// outworn: pct: gone from RFC 9989: receivers apply the policy to all mail, or as RFC 7489 says; t=y takes its place
	// broken: rua: "dmarc@example.org" lacks its "mailto:"
}

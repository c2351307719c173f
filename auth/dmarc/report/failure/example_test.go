package failure_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/dmarc/report/failure"
)

// names answers as DNS would.
type names map[string]string

func (n names) LookupTXT(_ context.Context, name string) ([]string, error) {
	if text, ok := n[name]; ok {
		return []string{text}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func Example() {
	resolver := names{"_dmarc.example.org.": "v=DMARC1; p=reject; ruf=mailto:failures@example.org; fo=1"}
	checker, err := dmarc.New(dmarc.Config{Resolver: resolver})
	if err != nil {
		fmt.Println(err)
		return
	}
	reporter, err := failure.New(failure.Config{From: "dmarc@example.net", Host: "mx.example.net"})
	if err != nil {
		fmt.Println(err)
		return
	}

	header := []byte("From: \"Ann Lee\" <ann@example.org>\r\nTo: <bob@example.net>\r\nSubject: Our secret\r\n")
	found := checker.Check(context.Background(), dmarc.Message{
		Header: header,
		SPF:    dmarc.SPF{Domain: "attack.example", Result: "pass"},
	})
	err = reporter.Add(failure.Message{
		Outcome: found, Header: header, Source: netip.MustParseAddr("192.0.2.1"), MailFrom: "x@attack.example", Delivery: failure.Rejected,
	})
	if err != nil {
		fmt.Println(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	_ = reporter.Run(ctx, failure.Delivery{
		Checker: checker, Resolver: resolver,
		Send: func(_ context.Context, m failure.Mail, _ dmarc.URI) error {
			defer cancel()
			fmt.Println("MAIL FROM:<>")
			fmt.Printf("RCPT TO:<%s>\n", m.To)
			r, err := failure.Read(bytes.NewReader(m.Content), failure.Limits{})
			if err != nil {
				return err
			}
			fmt.Println(r.Domain, r.Failure, r.Source, r.Unaligned, r.Delivery)
			fmt.Print(string(bytes.ReplaceAll(r.Header, []byte("\r"), nil)))
			return nil
		},
	})
	// Output:
	// MAIL FROM:<>
	// RCPT TO:<failures@example.org>
	// example.org dmarc 192.0.2.1 [dkim spf] reject
	// From: <redacted@example.org>
	// To: <redacted@example.net>
	// Subject: (removed)
}

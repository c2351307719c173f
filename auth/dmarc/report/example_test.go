package report_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/dmarc/report"
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
	ctx := context.Background()
	resolver := names{
		"_dmarc.example.org.":                             "v=DMARC1; p=reject; rua=mailto:d@example.org,mailto:d@reports.example.net",
		"example.org._report._dmarc.reports.example.net.": "v=DMARC1",
	}
	checker, err := dmarc.New(dmarc.Config{Resolver: resolver})
	if err != nil {
		fmt.Println(err)
		return
	}
	collector, err := report.New(report.Config{
		Reporter: report.Reporter{Organization: "Example", Email: "dmarc@example.net", Domain: "mx.example.net"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	found := checker.Check(ctx, dmarc.Message{
		Header: []byte("From: Ann <ann@example.org>\r\n"),
		SPF:    dmarc.SPF{Domain: "attack.example", Result: "pass"},
	})
	err = collector.Add(ctx, report.Message{Outcome: found, Source: netip.MustParseAddr("192.0.2.1"), EnvelopeFrom: "attack.example"})
	if err != nil {
		fmt.Println(err)
	}

	tomorrow := time.Now().Add(24 * time.Hour)
	for batch, err := range collector.Due(ctx, tomorrow) {
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, to := range report.Destinations(ctx, checker, resolver, batch.Policy.Domain, batch.URIs) {
			fmt.Printf("to %s%s\n", to.URI.Address, to.Refused)
		}
		file, err := collector.Attachment(ctx, batch)
		if err != nil {
			fmt.Println(err)
			return
		}
		read, err := report.Read(bytes.NewReader(file.Content), report.Limits{})
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, row := range read.Rows {
			fmt.Println(row.Source, row.Count, row.HeaderFrom, row.Disposition)
		}
		if err := collector.Done(ctx, batch); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// to d@example.org
	// to d@reports.example.net
	// 192.0.2.1 1 example.org reject
}

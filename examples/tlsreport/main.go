// Command tlsreport says what a server negotiates, held against a level:
//
//	go run ./examples/tlsreport -starttls mx.example.org:25
//	go run ./examples/tlsreport -protocol imap -level strict -json imap.example.org:993
//
// It exits with 1 where something is below the level, and with 2 where nothing
// can be said.
package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/smtpguard/smtpguard/tlsconf"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit status.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	var level tlsconf.Level
	var a tlsconf.Address
	flags := flag.NewFlagSet("tlsreport", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.TextVar(&level, "level", tlsconf.Submission, "submission, mx or strict")
	flags.TextVar(&a.Protocol, "protocol", tlsconf.SMTP, "smtp, imap, pop3 or https")
	flags.BoolVar(&a.StartTLS, "starttls", false, "begin in clear text")
	flags.StringVar(&a.ServerName, "name", "", "the server's `name`, where it is not the address's")
	roots := flags.String("roots", "", "`file` of the CAs to believe, in PEM; the system's by default")
	inJSON := flags.Bool("json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	a.Address = flags.Arg(0)
	f, err := report(ctx, level, a, *roots)
	if err != nil {
		fmt.Fprintln(errs, err)
		return 2
	}
	if *inJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		err = enc.Encode(f)
	} else {
		_, err = io.WriteString(out, f.String())
	}
	switch {
	case err != nil:
		fmt.Fprintln(errs, err)
		return 2
	case len(f.Problems) > 0:
		return 1
	}
	return 0
}

func report(ctx context.Context, level tlsconf.Level, a tlsconf.Address, roots string) (tlsconf.Finding, error) {
	if roots != "" {
		text, err := os.ReadFile(roots)
		if err != nil {
			return tlsconf.Finding{}, err
		}
		a.RootCAs = x509.NewCertPool()
		if !a.RootCAs.AppendCertsFromPEM(text) {
			return tlsconf.Finding{}, errors.New(roots + " has no certificate")
		}
	}
	return tlsconf.ReportAddress(ctx, level, a)
}

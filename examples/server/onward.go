package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/relay"
	"github.com/smtpguard/smtpguard/tlsconf"
)

// How long the next host may take: less than our client's patience with us
// (RFC 5321, section 4.5.3.2).
const (
	dialTimeout    = 30 * time.Second
	commandTimeout = time.Minute
	dataTimeout    = 5 * time.Minute
	quitTimeout    = 5 * time.Second
)

// onward is a transaction with the next host, as part of one of ours.
type onward struct {
	route  Route
	client *smtp.Client
	taken  int // recipients
	done   bool
}

// routeOf is where mail for the recipient of d goes.
func (cfg *Config) routeOf(d relay.Decision) Route {
	if d.Kind == relay.Relayed {
		for _, r := range cfg.Relayed {
			if r.Domain == d.Rule {
				return r.Route
			}
		}
	}
	return cfg.Route
}

// handOn begins a transaction with the next host.
func (cfg *Config) handOn(tx *smtpguard.Transaction, route Route) (*onward, error) {
	client, err := dial(tx.Context(), route, cfg.Hostname)
	if err != nil {
		return nil, err
	}
	opts := &smtp.MailOptions{UTF8: tx.Opts().UTF8, RequireTLS: tx.Opts().RequireTLS}
	if ok, _ := client.Extension("SMTPUTF8"); opts.UTF8 && !ok {
		err = reply(553, 5, 6, 7, "no SMTPUTF8") // RFC 6531, section 3.5
	} else if ok, _ := client.Extension("8BITMIME"); tx.Opts().Body == smtp.Body8BitMIME && !ok {
		err = reply(554, 5, 6, 3, "no 8BITMIME") // RFC 6152, section 3
	} else if opts.RequireTLS && !takesRequireTLS(client) {
		err = reply(550, 5, 7, 30, "no REQUIRETLS") // RFC 8689, section 5
	} else {
		err = client.Mail(quoted(tx.From()), opts)
	}
	if err != nil {
		client.Close()
		return nil, err
	}
	return &onward{route: route, client: client}, nil
}

// takesRequireTLS reports whether a next host takes mail that wants TLS: an
// offer in clear text is worth nothing (RFC 8689, section 4.2.1).
func takesRequireTLS(client *smtp.Client) bool {
	_, secure := client.TLSConnectionState()
	offered, _ := client.Extension("REQUIRETLS")
	return secure && offered
}

// dial connects to route, and says EHLO.
func dial(ctx context.Context, route Route, hostname string) (*smtp.Client, error) {
	host, _, err := net.SplitHostPort(route.Address)
	if err != nil {
		return nil, err
	}
	tc, err := tlsconf.Client(tlsconf.MX, tlsconf.ClientConfig{ServerName: host})
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: dialTimeout}
	nc, err := d.DialContext(ctx, "tcp", route.Address)
	if err != nil {
		return nil, err
	}
	var client *smtp.Client
	switch route.TLS {
	case noTLS:
		client = smtp.NewClient(nc)
	case implicit:
		client = smtp.NewClient(tls.Client(nc, tc))
	default:
		nc.SetDeadline(time.Now().Add(commandTimeout)) // the greeting's own timeout is 5 minutes
		if client, err = smtp.NewClientStartTLS(nc, tc); err != nil {
			return nil, err
		}
	}
	client.CommandTimeout, client.SubmissionTimeout = commandTimeout, dataTimeout
	if err := client.Hello(hostname); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

func (o *onward) rcpt(addr string) error {
	err := o.client.Rcpt(quoted(addr), nil)
	if err == nil {
		o.taken++
	}
	return err
}

// data hands the content on. It returns nil when the next host has taken it.
func (o *onward) data(r io.Reader) error {
	w, err := o.client.Data()
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		return err // close, without a dot: the next host discards what it has
	}
	if err := w.Close(); err != nil {
		return err
	}
	o.done = true
	return nil
}

// close ends the connection; nobody waits for it.
func (o *onward) close() {
	if !o.done {
		o.client.Close()
		return
	}
	o.client.CommandTimeout = quitTimeout
	go func() {
		if o.client.Quit() != nil {
			o.client.Close()
		}
	}()
}

// replyOf is what our client reads of the next host's refusal: its code, where
// that is one for mail, and none of its text. When there was no answer, the
// client shall try again.
func replyOf(err error) *smtp.SMTPError {
	var theirs *smtp.SMTPError
	if !errors.As(err, &theirs) {
		return reply(451, 4, 4, 1, "No answer from the next host")
	}
	r := &smtp.SMTPError{Code: theirs.Code, EnhancedCode: theirs.EnhancedCode, Message: "Refused by the next host"}
	switch class, tens := r.Code/100, r.Code/10; {
	case tens == 45 || tens == 55:
	case class == 5:
		r.Code = 554
	default: // 421 would end our session
		r.Code = 451
	}
	if r.EnhancedCode[0] != r.Code/100 {
		r.EnhancedCode = smtp.EnhancedCode{r.Code / 100, 0, 0}
	}
	return r
}

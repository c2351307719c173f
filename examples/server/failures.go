package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/dmarc/report"
	"github.com/smtpguard/smtpguard/auth/dmarc/report/failure"
	"github.com/smtpguard/smtpguard/auth/spf"
	"github.com/smtpguard/smtpguard/auth/verify"
)

// Failures says whether domain owners are told of single messages too.
type Failures struct {
	On        bool     `yaml:"on"`
	Fields    []string `yaml:"fields"`
	PerDomain count    `yaml:"per-domain"`
	Total     count    `yaml:"total"`
}

func (f *Failures) config(cfg *Config) failure.Config {
	return failure.Config{From: cfg.Reports.Email, Host: cfg.Hostname, Fields: f.Fields, PerDomain: int(f.PerDomain), Total: int(f.Total)}
}

func (f *Failures) problems(cfg *Config, bad func(string, ...any)) {
	if !f.On {
		return
	}
	if _, err := failure.New(f.config(cfg)); err != nil {
		bad(short(err), "reports", "failure")
	}
}

// failures are the failure reports of one configuration. Those that wait are lost
// with it.
type failures struct {
	verifier *verify.Verifier
	reporter *failure.Reporter
	delivery failure.Delivery
	log      *slog.Logger

	ctx  context.Context
	stop context.CancelFunc
	done sync.WaitGroup
}

// newFailures is nil where no failure is reported.
func newFailures(cfg *Config, r *reports, m *mailer) (*failures, error) {
	if r == nil || !cfg.Reports.Failure.On {
		return nil, nil
	}
	f := &failures{verifier: r.verifier, log: r.log}
	var err error
	if f.reporter, err = failure.New(cfg.Reports.Failure.config(cfg)); err != nil {
		return nil, err
	}
	f.ctx, f.stop = context.WithCancel(context.Background())
	f.delivery = failure.Delivery{
		Checker: r.delivery.Checker, Resolver: r.delivery.Resolver,
		Send: func(ctx context.Context, a failure.Mail, to dmarc.URI) error {
			where, err := m.send(ctx, outgoing{to: to.Address, name: a.ID, content: a.Content})
			if err == nil {
				f.log.Info("failure report sent", "report", a.ID, "domain", a.Domain, "to", to.Address, "by", where, "incidents", a.Incidents)
			}
			return refusedForGood(err)
		},
		Failed: func(domain string, err error, givenUp bool) {
			f.log.Warn("failure report not sent", "domain", domain, "error", err.Error(), "given up", givenUp)
		},
	}
	return f, nil
}

// refusedForGood makes of a 5yz reply to a report that it is not to be tried again.
func refusedForGood(err error) error {
	if reply, ok := errors.AsType[*smtp.SMTPError](err); ok && reply.Code/100 == 5 {
		return errors.Join(report.ErrRefused, err)
	}
	return err
}

// check reports what failed, when it is known what has become of it.
func (f *failures) check() smtpguard.Check {
	return smtpguard.Check{Name: "dmarc-failure", Done: func(_ context.Context, tx *smtpguard.Transaction, o smtpguard.Outcome) {
		found, ok := f.verifier.ResultOf(tx)
		if !ok || !found.Client.IsValid() || !o.Delivered && (o.Reply == nil || o.Reply.Code/100 != 5) {
			return
		}
		msg := failure.Message{
			Outcome: found.DMARC, Source: found.Client, MailFrom: tx.From(), EnvelopeID: tx.ID(), Delivery: failure.Delivered,
		}
		switch {
		case !o.Delivered:
			msg.Delivery = failure.Rejected
		case len(tx.Quarantined()) > 0:
			msg.Delivery = failure.Spam
		}
		for i := range found.DKIM.Signatures {
			msg.Identities = append(msg.Identities, found.DKIM.Signatures[i].Identity)
		}
		for _, step := range found.SPF.Trace {
			if step.Note == spf.Found {
				msg.SPF = append(msg.SPF, failure.Policy{Domain: strings.TrimSuffix(step.Domain, "."), Record: step.Term})
			}
		}
		var err error
		if m := tx.Message(); m != nil {
			msg.Header, err = io.ReadAll(io.NewSectionReader(m, 0, min(m.BodyOffset(), maxTold)))
		}
		if err == nil {
			err = f.reporter.Add(msg)
		}
		if err != nil && !errors.Is(err, failure.ErrLimited) {
			f.log.Error("reports: a failure is not told", "transaction", tx.ID(), "error", err.Error())
		}
	}}
}

// maxTold is how much of a header section a failure report is made of.
const maxTold = 64 << 10

func (f *failures) begin() {
	if f != nil {
		f.done.Go(func() { _ = f.reporter.Run(f.ctx, f.delivery) }) // it ends with ctx
	}
}

// close breaks off what is being sent.
func (f *failures) close() {
	if f != nil {
		f.stop()
		f.done.Wait()
	}
}

package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/dmarc/report"
	"github.com/smtpguard/smtpguard/auth/dmarc/report/boltstore"
	"github.com/smtpguard/smtpguard/auth/verify"
)

// Reports says who reports to domain owners about mail in their name. Without an
// address nobody does.
type Reports struct {
	Email        string    `yaml:"email"`
	Organization string    `yaml:"organization"`
	Contact      string    `yaml:"contact"`
	Folder       string    `yaml:"folder"`
	Aggregate    Aggregate `yaml:"aggregate"`
}

// Aggregate says how often aggregate reports are sent, and in which form.
type Aggregate struct {
	Period duration `yaml:"period"`
	Jitter duration `yaml:"jitter"`
	Legacy bool     `yaml:"legacy"`
}

func (r *Reports) problems(cfg *Config, bad func(string, ...any)) {
	if r.Email == "" {
		if r.Organization != "" || r.Contact != "" || r.Folder != "" {
			bad("is empty: whom would reports be from?", "reports", "email")
		}
		return
	}
	if addr, err := mail.ParseAddress(r.Email); err != nil || addr.Address != r.Email {
		bad(fmt.Sprintf("%q is no mail address", r.Email), "reports", "email")
	}
	for key, text := range map[string]string{"organization": r.Organization, "contact": r.Contact} {
		if strings.ContainsFunc(text, unicode.IsControl) || len(text) > 200 {
			bad(fmt.Sprintf("%.50q has control characters, or over 200 octets", text), "reports", key)
		}
	}
	rc := r.config(cfg, nil)
	rc.Reporter = report.Reporter{Organization: "x", Email: "x@example.org", Domain: "example.org"}
	if _, err := report.New(rc); err != nil {
		bad(short(err), "reports", "aggregate", "period")
	}
	if cfg.Inbound.Mode == unlooked {
		bad("nothing is found that could be reported: authentication.mode is none", "reports")
	}
}

func (r *Reports) config(cfg *Config, store report.Store) report.Config {
	return report.Config{
		Store: store,
		Reporter: report.Reporter{
			Organization: cmp.Or(r.Organization, cfg.Hostname), Email: r.Email, Contact: r.Contact,
			Domain: cfg.Hostname, Generator: "smtpguard",
		},
		Period: time.Duration(r.Aggregate.Period),
		Legacy: r.Aggregate.Legacy,
	}
}

// folder is where reports are kept: what they count until they are sent, and those
// that there is no route for.
func (r *Reports) folder(dir string) string { return cmp.Or(r.Folder, filepath.Join(dir, "reports")) }

// counts are what reports are made of. They outlive a reload: each file is opened
// once, for it is locked. The zero counts are empty.
type counts struct {
	dry bool // nothing is opened: the configuration is looked at, no more

	mu    sync.Mutex
	files map[string]*countFile
}

// countFile is an open file. Who sends what is in it holds turn.
type countFile struct {
	report.Store
	close func() error
	turn  chan struct{}
}

// open returns the file in folder, which is made where there is none.
func (c *counts) open(folder string, log *slog.Logger) (*countFile, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.files[folder]
	if f != nil {
		return f, nil
	}
	f = &countFile{turn: make(chan struct{}, 1)}
	if c.dry {
		f.Store = new(report.Memory)
		return f, nil
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("reports.folder: %w", err)
	}
	store, err := boltstore.Open(filepath.Join(folder, "aggregate.db"), boltstore.Config{Aside: func(name string, err error) {
		if name != "" {
			log.Error("reports: the file was damaged, and is set aside", "file", name, "error", err.Error())
		} else {
			log.Error("reports: counts cannot be written now", "error", err.Error())
		}
	}})
	if err != nil {
		return nil, fmt.Errorf("reports.folder: %w", err)
	}
	f.Store, f.close = store, store.Close
	if c.files == nil {
		c.files = make(map[string]*countFile)
	}
	c.files[folder] = f
	return f, nil
}

func (c *counts) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.files {
		_ = f.close() // what it says is a second's counts
	}
	c.files = nil
}

// reports are the aggregate reports of one configuration. Failure reports would be
// made beside them, of the same results, and go out by the same mailer.
type reports struct {
	in        *Inbound
	verifier  *verify.Verifier
	collector *report.Collector
	delivery  report.Delivery
	file      *countFile
	log       *slog.Logger

	ctx, sending  context.Context // no more is begun; what is being sent is broken off
	stop, breakUp context.CancelFunc
	done          sync.WaitGroup
}

// newReports opens what cfg collects in; nil where it wants no reports.
func newReports(cfg *Config, in *incoming, dns verify.Resolver, m *mailer, kept *counts, dir string, log *slog.Logger) (*reports, error) {
	if cfg.Reports.Email == "" {
		return nil, nil
	}
	checker, err := dmarc.New(dmarc.Config{Resolver: dns, Exists: exists(dns)})
	if err != nil {
		return nil, err
	}
	r := &reports{in: &cfg.Inbound, verifier: in.verifier, log: log}
	if r.file, err = kept.open(cfg.Reports.folder(dir), log); err != nil {
		return nil, err
	}
	if r.collector, err = report.New(cfg.Reports.config(cfg, r.file)); err != nil {
		return nil, err
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	r.sending, r.breakUp = context.WithCancel(context.Background())
	r.delivery = report.Delivery{
		Checker: checker, Resolver: dns, Jitter: time.Duration(cfg.Reports.Aggregate.Jitter),
		Send: func(ctx context.Context, a report.Attachment, to dmarc.URI) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			where, err := m.send(r.sending, aggregateMail(cfg, a, to.Address, time.Now()))
			if err == nil {
				log.Info("report sent", "report", a.ID, "to", to.Address, "by", where, "rows", a.Rows)
			}
			return err
		},
		Failed: func(b report.Batch, err error, givenUp bool) {
			log.Warn("report not sent", "domain", b.Policy.Domain, "error", err.Error(), "given up", givenUp)
		},
	}
	if r.delivery.Jitter == 0 { // which means the default there
		r.delivery.Jitter = -1
	}
	return r, nil
}

// check counts mail when it is known what has become of it: what was deferred, or
// broke off, comes again.
func (r *reports) check() smtpguard.Check {
	return smtpguard.Check{Name: "dmarc-report", Done: func(ctx context.Context, tx *smtpguard.Transaction, o smtpguard.Outcome) {
		found, ok := r.verifier.ResultOf(tx)
		if !ok || !found.Client.IsValid() || !o.Delivered && (o.Reply == nil || o.Reply.Code/100 != 5) {
			return
		}
		from := tx.From()
		err := r.collector.Add(ctx, report.Message{
			Outcome: r.in.applied(found.DMARC), Source: found.Client, EnvelopeFrom: from[strings.LastIndexByte(from, '@')+1:],
		})
		if err != nil {
			r.log.Error("reports: a message is not counted", "transaction", tx.ID(), "error", err.Error())
		}
	}}
}

// applied is o with the disposition that we gave it, which is what a report tells (RFC
// 9990, section 3.1.1.9).
func (in *Inbound) applied(o dmarc.Outcome) dmarc.Outcome {
	why := ""
	switch {
	case o.Disposition == dmarc.NoPolicy || o.Disposition == "":
		return o
	case in.Mode == monitored:
		o.Disposition, why = dmarc.NoPolicy, "monitored"
	case o.Disposition == dmarc.Reject && smtpguard.Action(in.Most) == smtpguard.Quarantine:
		o.Disposition, why = dmarc.Quarantine, "nothing is rejected here"
	default:
		return o
	}
	o.Overrides = append(slices.Clone(o.Overrides), dmarc.Override{Type: dmarc.LocalPolicy, Comment: why, Disposition: o.Disposition})
	return o
}

// begin sends what is due, in a while, and whatever comes to be.
func (r *reports) begin() {
	if r == nil {
		return
	}
	r.done.Go(func() {
		select {
		case r.file.turn <- struct{}{}: // else what another configuration sends would be sent twice
			defer func() { <-r.file.turn }()
		case <-r.ctx.Done():
			return
		}
		if err := r.collector.Run(r.ctx, r.delivery); r.ctx.Err() == nil {
			r.log.Error("reports are not sent", "error", err.Error())
		}
	})
}

// retire lets nothing more be sent than is being sent.
func (r *reports) retire() {
	if r != nil {
		r.stop()
	}
}

// shutdown waits for what is being sent, until force ends.
func (r *reports) shutdown(force context.Context) {
	if r == nil {
		return
	}
	r.stop()
	defer context.AfterFunc(force, r.breakUp)()
	r.done.Wait()
	r.breakUp()
}

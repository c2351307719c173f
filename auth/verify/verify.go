package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/smtpguard/smtpguard/auth/arc"
	"github.com/smtpguard/smtpguard/auth/authres"
	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/spf"
	"github.com/smtpguard/smtpguard/internal/domain"
	"github.com/smtpguard/smtpguard/internal/mailsig"
)

// ErrHeader is of a message whose header section is over the limits of
// Config.DKIM.
var ErrHeader = errors.New("verify: header section too large")

// Envelope is how a message came.
type Envelope struct {
	Client   netip.Addr
	Hello    string    // what it said in EHLO
	From     string    // the reverse-path, without brackets
	Received time.Time // the zero time means now
}

// Verify finds out all there is about a message, which is read once, from its
// start to its end. It is the check without a session; Config.Gateways and Known
// do not matter.
//
// An error means that the message could not be read, that its header section is
// over the limits ([ErrHeader]), or that ctx has ended. All else is in the Result.
func (v *Verifier) Verify(ctx context.Context, e Envelope, message io.Reader) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	if e.Received.IsZero() {
		e.Received = time.Now()
	}
	found := make(chan spf.Outcome, 1)
	go func() { found <- v.spf.MailFrom(ctx, e.Client, e.Hello, e.From) }()
	return v.verify(ctx, message, e.Received, func() (netip.Addr, spf.Outcome, error) { return e.Client, <-found, nil })
}

// verify finds out all there is; sender waits for SPF.
func (v *Verifier) verify(ctx context.Context, message io.Reader, received time.Time, sender func() (netip.Addr, spf.Outcome, error)) (r Result, err error) {
	ctx = withAsked(ctx)
	run, err := v.engine.Start(message)
	if errors.Is(err, mailsig.ErrHeader) {
		return r, ErrHeader
	} else if err != nil {
		return r, fmt.Errorf("verify: message: %w", err)
	}
	defer run.Close()

	// Whatever DNS has to say of the author is on its way while the body is hashed.
	header := []byte(run.Header.Text())
	author, noAuthor := dmarc.AuthorDomain(header, v.cfg.DMARC.Mailboxes)
	if more := run.Behind(); noAuthor == nil && len(more) > 0 { // where others may see another author
		header = append(header, more...)
		author, noAuthor = dmarc.AuthorDomain(header, v.cfg.DMARC.Mailboxes)
	}
	if noAuthor == nil {
		warm := make(chan struct{})
		go func() {
			defer close(warm)
			_, _ = v.dmarc.Walk(ctx, author) // asked for what it asks, not for what it says
		}()
		defer func() { <-warm }()
	}
	signatures := v.dkim.Begin(ctx, run, received)
	chain := v.arc.Begin(ctx, run)
	if err := run.Body(ctx); err != nil {
		return r, fmt.Errorf("verify: message: %w", err)
	}
	if r.Client, r.SPF, err = sender(); err != nil {
		return r, err
	}
	r.DKIM, r.ARC = signatures(), chain()
	m := dmarc.Message{Header: header, SPF: dmarc.SPF{Domain: r.SPF.Domain, Result: string(r.SPF.Result)}}
	for i := range r.DKIM.Signatures {
		s := &r.DKIM.Signatures[i]
		m.DKIM = append(m.DKIM, dmarc.DKIM{Domain: s.Domain, Selector: s.Selector, Result: string(s.Result)})
	}
	m.ARC = reported(r.ARC)
	if set, ok := r.ARC.Trusted(v.cfg.Sealers...); ok && noAuthor == nil {
		m.ARC.Trusted, m.ARC.Passed = true, passed(set, author)
		r.forwarded = m.ARC.Passed
	}
	if within(v.cfg.Forwarders, r.Client) {
		r.forwarded = true
		m.Overrides = append(m.Overrides, dmarc.Override{Type: dmarc.TrustedForwarder, Comment: "client is a known forwarder"})
	}
	r.DMARC = v.dmarc.Check(ctx, m)
	return r, nil
}

// reported is what DMARC reports say of a chain.
func reported(c *arc.Chain) dmarc.ARC {
	a := dmarc.ARC{Result: string(c.Status)}
	if n := len(c.Sets); n > 0 {
		a.Instance, a.Domain, a.Selector = n, c.Sets[n-1].Domain, c.Sets[n-1].Selector
	}
	return a
}

// passed reports whether who made set found that author stood behind the message.
func passed(set *arc.Set, author string) bool {
	found, err := authres.Parse(set.Results)
	if err != nil {
		return false
	}
	for _, m := range found.Find("dmarc") {
		from, err := domain.Normal(m.Value("header", "from"))
		if m.Result == authres.Pass && err == nil && from == author {
			return true
		}
	}
	return false
}

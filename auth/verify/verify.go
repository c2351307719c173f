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
	"github.com/smtpguard/smtpguard/internal/lookup"
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
	d := lookup.Within(ctx, v.cfg.Timeout)
	defer d.End()
	if e.Received.IsZero() {
		e.Received = time.Now()
	}
	if out, ok := v.spfAtHand(d, e.Client, e.Hello, e.From); ok {
		return v.verify(d, message, e.Received, func() (netip.Addr, spf.Outcome, error) { return e.Client, out, nil })
	}
	found := make(chan spf.Outcome, 1)
	go func() { found <- v.spf.MailFrom(d, e.Client, e.Hello, e.From) }()
	return v.verify(d, message, e.Received, func() (netip.Addr, spf.Outcome, error) { return e.Client, <-found, nil })
}

// spfAtHand is SPF where all that it needs is remembered: it waits for nothing.
func (v *Verifier) spfAtHand(ctx context.Context, client netip.Addr, hello, from string) (out spf.Outcome, ok bool) {
	ctx, missed, ok := lookup.AtHand(ctx, v.cfg.SPF.Resolver)
	if !ok {
		return out, false
	}
	out = v.spf.MailFrom(ctx, client, hello, from)
	return out, !missed()
}

// verify finds out all there is; sender waits for SPF.
func (v *Verifier) verify(ctx context.Context, message io.Reader, received time.Time, sender func() (netip.Addr, spf.Outcome, error)) (r Result, err error) {
	run, err := v.engine.Start(message)
	if errors.Is(err, mailsig.ErrHeader) {
		return r, ErrHeader
	} else if err != nil {
		return r, fmt.Errorf("verify: message: %w", err)
	}
	defer run.Close()

	// Whatever DNS has to say is on its way while the body is hashed.
	author, policy := v.dmarc.Begin(ctx, run.Raw())
	signatures := v.dkim.Begin(ctx, run, received)
	chain := v.arc.Begin(ctx, run, received)
	if err := run.Body(ctx); err != nil {
		return r, fmt.Errorf("verify: message: %w", err)
	}
	if r.Client, r.SPF, err = sender(); err != nil {
		return r, err
	}
	r.DKIM, r.ARC = signatures(), chain()
	m := dmarc.Message{SPF: dmarc.SPF{Domain: r.SPF.Domain, Result: string(r.SPF.Result)}, DKIM: make([]dmarc.DKIM, len(r.DKIM.Signatures))}
	for i := range r.DKIM.Signatures {
		s := &r.DKIM.Signatures[i]
		m.DKIM[i] = dmarc.DKIM{Domain: s.Domain, Selector: s.Selector, Result: string(s.Result)}
	}
	m.ARC = reported(r.ARC)
	if set, ok := r.ARC.Trusted(v.cfg.Sealers...); ok && author != "" {
		m.ARC.Trusted, m.ARC.Passed = true, passed(r.ARC.Sets[set.Instance-1:], author)
	}
	r.passedOn = m.ARC.Passed
	if within(v.cfg.Forwarders, r.Client) {
		r.passedOn = true
		m.Overrides = append(m.Overrides, dmarc.Override{Type: dmarc.TrustedForwarder, Comment: "client is a known forwarder"})
	}
	r.DMARC = policy(&m)
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

// passed reports whether those who made sets, all of them trusted, found that author
// stood behind the message. The first who found anything by DMARC has the word: those
// behind him got the message from who is believed, whatever it was.
func passed(sets []arc.Set, author string) bool {
	for i := range sets {
		found, err := authres.Parse(sets[i].Results)
		if err != nil || found.Version > 1 {
			return false
		}
		judged := false
		for _, m := range found.Find("dmarc") {
			if m.Result == authres.None {
				continue
			}
			from, err := domain.Normal(m.Value("header", "from"))
			if m.Result != authres.Pass || err != nil || from != author {
				return false // whatever else he says: a field of the sender's may have got among his
			}
			judged = true
		}
		if judged {
			return true
		}
	}
	return false
}

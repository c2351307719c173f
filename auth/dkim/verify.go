package dkim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/internal/domain"
	"github.com/smtpguard/smtpguard/internal/mailsig"
)

// ErrHeader is of a message whose header section is over the limits.
var ErrHeader = fmt.Errorf("dkim: %w", mailsig.ErrHeader)

// Verify checks all signatures of a message, header section and body. The
// message is read once, from its start, and when there is nothing to verify not
// much further than the header section. Of a smtpguard.Message, give it Open().
//
// An error means that the message could not be read, that its header section is
// over the limits ([ErrHeader]), or that ctx has ended. All else is in the
// Report: a resolver that fails too.
func (v *Verifier) Verify(ctx context.Context, message io.Reader) (*Report, error) {
	return v.VerifyReceived(ctx, message, time.Now())
}

// VerifyReceived is [Verifier.Verify] for a message that was received a while
// ago: signatures are to be good for that time (RFC 6376, section 3.5, x=).
func (v *Verifier) VerifyReceived(ctx context.Context, message io.Reader, received time.Time) (*Report, error) {
	run, err := v.Start(message)
	if err != nil {
		return nil, err
	}
	defer run.Close()
	finish := v.Begin(ctx, run, received)
	if err := run.Body(ctx); err != nil {
		return nil, fmt.Errorf("dkim: message: %w", err)
	}
	return finish(), nil
}

// Start reads the header section of a message. It is for packages of this module
// that verify more than DKIM in one pass; so is Begin.
func (v *Verifier) Start(message io.Reader) (*mailsig.Run, error) {
	run, err := v.engine.Start(message)
	if err != nil {
		return nil, readError(err)
	}
	return run, nil
}

// Begin asks run for what it needs to verify signatures, and returns what to call
// when the body has been read, and before run is closed.
func (v *Verifier) Begin(ctx context.Context, run *mailsig.Run, received time.Time) (finish func() *Report) {
	report := &Report{}
	var pending []signature
	for i := range run.Header.Fields {
		f := &run.Header.Fields[i]
		if !strings.EqualFold(f.Name, "DKIM-Signature") {
			continue
		}
		if len(pending) == v.cfg.Limits.Signatures {
			report.Skipped++
			continue
		}
		pending = append(pending, signature{field: i})
	}
	report.Repeated = repeated(run.Header)
	report.Signatures = make([]Signature, len(pending))
	for i := range pending {
		p := &pending[i]
		p.Signature = &report.Signatures[i]
		if v.read(p, run, received); p.Result == "" {
			p.sum = run.Sum(p.sig.Body, p.sig.Length, p.sig.Algorithm.Hash())
			p.key = run.Key(ctx, p.sig.KeyName)
		}
	}
	return func() *Report {
		for i := range pending {
			if p := &pending[i]; p.Result == "" {
				v.judge(p, run)
			}
		}
		prefixes(pending)
		return report
	}
}

// signature is one under way.
type signature struct {
	*Signature
	field int // in the header section
	sig   *mailsig.Signature
	sum   *mailsig.Sum
	key   *mailsig.Key
}

func (p *signature) end(r Result, reason string) { p.Result, p.Reason = r, reason }

// read reads a field, and ends it if there is nothing to verify (RFC 6376,
// section 6.1.1).
func (v *Verifier) read(p *signature, run *mailsig.Run, now time.Time) {
	sig, err := mailsig.ParseSignature(run.Header.Fields[p.field].Value(), v.engine.Limits)
	if sig != nil {
		p.sig = sig
		p.describe()
	}
	if err != nil {
		p.end(Neutral, "signature: "+err.Error())
		return
	}
	version, _ := sig.Tags.Get("v")
	switch {
	case version.Value != "1" && !v.legacy:
		p.end(Neutral, "signature: v= is not 1")
	case p.identity() != nil:
		p.end(Neutral, "signature: i= is not of d=")
	case !sig.Signs("From"):
		p.end(PermError, "From field not signed")
	case run.Header.Count("From") == 0:
		p.end(PermError, "no From field")
	case sig.Algorithm == mailsig.RSASHA1 && !v.legacy:
		p.end(Policy, "rsa-sha1 is no proof") // RFC 8301, section 3.1
	case !sig.Expires.IsZero() && now.After(sig.Expires.Add(v.cfg.Skew)):
		p.end(Policy, "signature expired")
	case sig.Time.After(now.Add(v.cfg.Skew)):
		p.end(Policy, "signature from the future")
	}
}

// describe fills in what is as the sender says.
func (p *signature) describe() {
	s := p.sig
	a, _ := s.Tags.Get("a")
	p.Domain, p.Selector, p.Algorithm = s.Domain, s.Selector, a.Value
	p.Identity = "@" + s.Domain
	p.Header, p.Body = Canonicalization(s.Header.String()), Canonicalization(s.Body.String())
	p.Time, p.Expires = s.Time, s.Expires
	if s.Length >= 0 {
		p.Partial, p.Length = true, s.Length
	}
	p.Signed = s.SignedNames()
}

var errIdentity = errors.New("not an identity of the domain")

// identity reads i=, whose domain must be d= or below it.
func (p *signature) identity() error {
	i, ok := p.sig.Tags.Get("i")
	if !ok {
		return nil
	}
	text, err := mailsig.Unquote(i.Value)
	if err != nil {
		return err
	}
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return errIdentity
	}
	name, err := domain.Normal(text[at+1:])
	if err != nil || name != p.Domain && !strings.HasSuffix(name, "."+p.Domain) {
		return errIdentity
	}
	p.Identity = text[:at+1] + name
	return nil
}

// judge compares hashes and signature (RFC 6376, sections 6.1.2 and 6.1.3).
func (v *Verifier) judge(p *signature, run *mailsig.Run) {
	records, err := p.key.Wait()
	if err != nil {
		result := PermError
		p.Reason = err.Error()
		if errors.Is(err, mailsig.ErrUnavailable) {
			result, p.Reason, p.Err = TempError, mailsig.ErrUnavailable.Error(), err
		}
		p.Result = result
		return
	}
	record := v.choose(p, records)
	if record == nil {
		return
	}
	if p.Partial && p.sum.Missing() {
		p.end(Fail, "the body is shorter than l=")
		return
	}
	p.Beyond = p.sum.Beyond()
	if !p.sig.BodyHash(p.sum) {
		p.end(Fail, "body hash did not verify")
		return
	}
	digest, covered := run.HeaderHash(p.sig, p.field)
	if err := p.sig.Verify(record, digest); err != nil {
		p.end(Fail, err.Error())
		return
	}
	p.Unsigned = run.Header.Others(covered, p.field)
	switch {
	case has(p.Unsigned, "From"):
		// Of two From fields the reader may see the other (section 8.15).
		p.end(Policy, "there is a From field that is not signed")
	case p.Beyond > 0 && !v.cfg.Partial:
		p.end(Policy, "unsigned content behind l=")
	default:
		p.Result = Pass
	}
}

// choose returns the first record that will do. If there is none it ends p with
// what is wrong with the first.
func (v *Verifier) choose(p *signature, records []*mailsig.Record) *mailsig.Record {
	var first Result
	var reason string
	for _, r := range records {
		result, why := v.usable(p, r)
		if result == "" {
			p.Testing, p.KeyBits = r.Testing, r.Bits
			return r
		}
		if first == "" {
			first, reason = result, why
			p.Testing, p.KeyBits = r.Testing, r.Bits
		}
	}
	p.end(first, reason)
	return nil
}

// usable reports what is wrong with a key for a signature (RFC 6376, section
// 6.1.2).
func (v *Verifier) usable(p *signature, r *mailsig.Record) (Result, string) {
	alg := p.sig.Algorithm
	switch {
	case !r.Mail():
		return PermError, "the key is not for mail"
	case !r.Allows(alg.Hash()):
		return PermError, "inappropriate hash algorithm"
	case r.Revoked:
		return PermError, "key revoked"
	case r.Type != alg.KeyType():
		return PermError, "inappropriate key algorithm"
	case r.Strict && p.Identity[strings.LastIndexByte(p.Identity, '@')+1:] != p.Domain:
		return PermError, "the key is for no subdomain of d="
	case alg != mailsig.Ed25519SHA256 && r.Bits < v.cfg.KeyBits && !v.legacy:
		return Policy, fmt.Sprintf("an RSA key of %d bits is no proof", r.Bits)
	case alg != mailsig.Ed25519SHA256 && r.Bits > v.cfg.Limits.KeyBits:
		return Policy, fmt.Sprintf("an RSA key of %d bits is too much work", r.Bits)
	}
	return "", ""
}

// once are the fields that may occur once (RFC 5322, section 3.6; RFC 2045,
// section 3).
var once = [...]string{
	"From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Date", "Subject", "Message-ID", "In-Reply-To", "References",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-ID", "Content-Description",
}

func repeated(h *mailsig.Header) []string {
	var names []string
	for _, name := range once {
		if h.Count(name) > 1 {
			names = append(names, name)
		}
	}
	return names
}

func has(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// The beginnings of b= that tell signatures apart have 8 octets at least (RFC
// 6008, section 4). Signatures that are the same in 64 are the same.
const leastPrefix, mostPrefix = 8, 64

// prefixes gives every signature as much of its b= as tells it from all others.
func prefixes(all []signature) {
	for n := leastPrefix; n <= mostPrefix; n *= 2 {
		same := false
		for i := range all {
			p := &all[i]
			if p.sig == nil {
				continue
			}
			p.B = p.sig.Prefix(n)
			for j := range all[:i] {
				same = same || all[j].B == p.B
			}
		}
		if !same {
			return
		}
	}
}

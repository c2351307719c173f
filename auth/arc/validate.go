package arc

import (
	"context"
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/smtpguard/smtpguard/internal/mailsig"
)

// ErrHeader is of a message whose header section is over the limits.
var ErrHeader = fmt.Errorf("arc: %w", mailsig.ErrHeader)

// Validate checks the chain of a message, header section and body, which is read
// once, and no further than it is needed.
//
// An error means that the message could not be read, that its header section is
// over the limits ([ErrHeader]), or that ctx has ended. All else is in the Chain:
// a resolver that fails too, for such failures are permanent (RFC 8617, section
// 5.2.1).
func (v *Validator) Validate(ctx context.Context, message io.Reader) (*Chain, error) {
	run, err := v.engine.Start(message)
	if err != nil {
		return nil, readError(err)
	}
	defer run.Close()
	finish := v.Begin(ctx, run, time.Now())
	if err := run.Body(ctx); err != nil {
		return nil, readError(err)
	}
	return finish(), nil
}

func readError(err error) error {
	if errors.Is(err, mailsig.ErrHeader) {
		return ErrHeader
	}
	return fmt.Errorf("arc: message: %w", err)
}

// Begin is for packages of this module that verify more than ARC in one pass: it
// asks run for what it needs, and returns what to call when the body has been read.
// Signatures that had expired by the time received do not validate.
func (v *Validator) Begin(ctx context.Context, run *mailsig.Run, received time.Time) (finish func() *Chain) {
	chain := &Chain{Status: Fail, Oldest: -1}
	all, err := collect(run.Header, v.cfg.Limits.Sets, v.engine.Limits)
	switch {
	case err != nil:
		chain.Reason = err.Error()
		return func() *Chain { return chain }
	case len(all) == 0:
		chain.Status = None
		return func() *Chain { return chain }
	}
	for i := range all {
		s := &all[i]
		s.key = run.Key(ctx, s.seal.KeyName)
		if i == len(all)-1 || v.cfg.Oldest {
			s.sum = run.Sum(s.message.Body, -1, s.message.Algorithm.Hash())
			s.messageKey = run.Key(ctx, s.message.KeyName)
		}
		chain.Sets = append(chain.Sets, Set{
			Instance: i + 1, Domain: s.seal.Domain, Selector: s.seal.Selector, Time: s.seal.Time,
			Signer: s.message.Domain, Results: s.results,
		})
	}
	return func() *Chain {
		v.judge(chain, all, run, received)
		return chain
	}
}

// judge validates signatures and seals (RFC 8617, section 5.2, steps 4 to 7).
func (v *Validator) judge(chain *Chain, all []set, run *mailsig.Run, received time.Time) {
	last := len(all) - 1
	if err := v.signature(run, &all[last], received); err != nil {
		chain.fail("message signature", last, err)
		return
	}
	if v.cfg.Oldest {
		chain.Oldest = 0
		for i := last - 1; i >= 0; i-- {
			if v.signature(run, &all[i], received) != nil {
				chain.Oldest = i + 2
				break
			}
		}
	}
	digests, err := seals(run, all)
	if err != nil {
		chain.fail("seal", last, err)
		return
	}
	for i := last; i >= 0; i-- {
		s := &all[i]
		record, err := v.record(s.key, s.seal)
		if err == nil {
			err = s.seal.Verify(record, digests[i][:])
		}
		if err != nil {
			chain.fail("seal", i, err)
			return
		}
	}
	chain.Status = Pass
}

func (c *Chain) fail(what string, i int, err error) {
	c.Status, c.Reason = Fail, fmt.Sprintf("%s %d: %v", what, i+1, err)
	if errors.Is(err, mailsig.ErrUnavailable) {
		c.Reason, c.Err = fmt.Sprintf("%s %d: %v", what, i+1, mailsig.ErrUnavailable), err
	}
}

// signature validates an ARC-Message-Signature.
func (v *Validator) signature(run *mailsig.Run, s *set, received time.Time) error {
	if x := s.message.Expires; !x.IsZero() && received.After(x.Add(v.cfg.Skew)) {
		return errors.New("signature expired") // it means what it means for DKIM (RFC 8617, section 4.1.2)
	}
	record, err := v.record(s.messageKey, s.message)
	if err != nil {
		return err
	}
	if !s.message.BodyHash(s.sum) {
		return errors.New("body hash did not verify")
	}
	digest, _ := run.HeaderHash(s.message, s.fields[1])
	return s.message.Verify(record, digest)
}

// record returns the first key that will do, or what is wrong with the first.
func (v *Validator) record(key *mailsig.Key, sig *mailsig.Signature) (*mailsig.Record, error) {
	records, err := key.Wait()
	if err != nil {
		return nil, err
	}
	var first error
	for _, r := range records {
		err := v.usable(r, sig.Algorithm)
		if err == nil {
			return r, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func (v *Validator) usable(r *mailsig.Record, alg mailsig.Algorithm) error {
	switch {
	case !r.Mail():
		return errors.New("the key is not for mail")
	case !r.Allows(alg.Hash()):
		return errors.New("inappropriate hash algorithm")
	case r.Revoked:
		return errors.New("key revoked")
	case r.Type != alg.KeyType():
		return errors.New("inappropriate key algorithm")
	case alg == mailsig.RSASHA256 && r.Bits < v.cfg.KeyBits:
		return fmt.Errorf("an RSA key of %d bits is no proof", r.Bits)
	case alg == mailsig.RSASHA256 && r.Bits > v.cfg.Limits.KeyBits:
		return fmt.Errorf("an RSA key of %d bits is too much work", r.Bits)
	}
	return nil
}

// seals returns what each seal signs (RFC 8617, section 5.1.1): all sets before
// it, and its own. Every field is canonicalised and hashed twice at most, however
// many sets there are.
func seals(run *mailsig.Run, all []set) ([][sha256.Size]byte, error) {
	digests := make([][sha256.Size]byte, len(all))
	running, own := sha256.New(), sha256.New()
	var buf, state []byte
	for i := range all {
		s := &all[i]
		buf = buf[:0]
		for _, f := range s.fields[:2] {
			buf = mailsig.AppendField(buf, run.Header.Fields[f], mailsig.Relaxed)
		}
		running.Write(buf)
		var err error
		if state, err = running.(encoding.BinaryAppender).AppendBinary(state[:0]); err != nil {
			return nil, err
		}
		if err := own.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
			return nil, err
		}
		field := run.Header.Fields[s.fields[2]]
		buf = s.seal.AppendSelf(buf[:0], field)
		own.Write(buf)
		own.Sum(digests[i][:0])
		if i+1 < len(all) {
			buf = mailsig.AppendField(buf[:0], field, mailsig.Relaxed)
			running.Write(buf)
		}
	}
	return digests, nil
}

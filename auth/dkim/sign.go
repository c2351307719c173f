package dkim

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/smtpguard/smtpguard/internal/address"
	"github.com/smtpguard/smtpguard/internal/domain"
	"github.com/smtpguard/smtpguard/internal/mailsig"
)

const signatureField = "DKIM-Signature"

var (
	// ErrAuthor is of a message that is not to be signed, because it does not have
	// exactly one From field; or, where its domain is asked for, because that does
	// not have addresses that all read the same.
	ErrAuthor = errors.New("dkim: not one From field that all read the same")

	// ErrBareCR is of a message with a CR that no LF follows: nobody knows what
	// the next relay makes of it (RFC 6376, section 5.3).
	ErrBareCR = fmt.Errorf("dkim: message: %w", mailsig.ErrBareCR)
)

// Sign returns one DKIM-Signature field for each key, in their order, ready to be
// put on top of the message: folded, with a CRLF at the end. The message is read
// once, from its start to its end, and not kept.
//
// LF alone is signed as CRLF, which it has to be on the wire (RFC 6376, section
// 5.3); CR alone is [ErrBareCR].
func (s *Signer) Sign(ctx context.Context, message io.Reader, keys ...Key) ([]string, error) {
	return s.sign(ctx, message, given(keys...), time.Now())
}

func given(keys ...Key) func(*mailsig.Header) ([]Key, error) {
	return func(*mailsig.Header) ([]Key, error) { return keys, nil }
}

// Source has keys: [Folder] and [Rotation] are some.
type Source interface {
	// Keys returns the keys that sign for a domain in normal form now.
	Keys(domain string) []Key
}

// SignAuthor is [Signer.Sign] with the keys of the author domain, RFC5322.From's,
// or of the closest domain above it that has any: DMARC takes that for its own.
// Where there are none, it returns no fields and no error. With authors of several
// domains, the first counts.
func (s *Signer) SignAuthor(ctx context.Context, message io.Reader, keys Source) ([]string, error) {
	return s.sign(ctx, message, func(h *mailsig.Header) ([]Key, error) {
		host, err := authorDomain(h)
		for strings.Contains(host, ".") {
			if k := keys.Keys(host); len(k) > 0 {
				return k, nil
			}
			_, host, _ = strings.Cut(host, ".")
		}
		return nil, err
	}, time.Now())
}

func (s *Signer) sign(ctx context.Context, message io.Reader, choose func(*mailsig.Header) ([]Key, error), now time.Time) ([]string, error) {
	run, err := s.engine.Start(mailsig.CRLF(message))
	if err != nil {
		return nil, readError(err)
	}
	defer run.Close()
	if run.Header.Count("From") != 1 {
		return nil, ErrAuthor
	}
	keys, err := choose(run.Header)
	if err != nil {
		return nil, err
	}
	var jobs []*job
	for _, k := range keys {
		p, err := k.prepare()
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, &job{key: p})
	}
	if len(jobs) == 0 {
		return nil, nil
	}
	sum := run.Sum(s.body, -1, mailsig.SHA256)
	if err := run.Body(ctx); err != nil {
		return nil, readError(err)
	}
	list := s.list(run.Header)
	for _, j := range jobs {
		j.field = s.field(&j.key, list, sum.Digest(), now)
		last := mailsig.AppendNew(nil, signatureField, j.field, s.header)
		digest, _ := run.Hash(mailsig.SHA256, s.header, slices.Values(list), -1, last)
		j.digest = bytes.Clone(digest)
	}
	return finish(jobs)
}

func readError(err error) error {
	switch {
	case errors.Is(err, mailsig.ErrHeader):
		return ErrHeader
	case errors.Is(err, mailsig.ErrBareCR):
		return ErrBareCR
	}
	return fmt.Errorf("dkim: message: %w", err)
}

// authorDomain is the domain of the first author, in normal form.
func authorDomain(h *mailsig.Header) (string, error) {
	i := slices.IndexFunc(h.Fields, func(f mailsig.Field) bool { return strings.EqualFold(f.Name, "From") })
	list, err := address.List(h.Fields[i].Value())
	if err != nil {
		return "", ErrAuthor
	}
	host, err := domain.Normal(list[0].Domain)
	if err != nil {
		return "", ErrAuthor
	}
	return host, nil
}

// list is the h= of a message.
func (s *Signer) list(h *mailsig.Header) []string {
	list := make([]string, 0, 2*len(s.fields))
	for _, name := range s.fields {
		n := h.Count(name)
		if s.sealed(name, n) {
			n++
		}
		for range n {
			list = append(list, name)
		}
	}
	if s.cfg.Oversign == OversignAll {
		for _, name := range once {
			if !has(s.fields, name) {
				for range h.Count(name) + 1 {
					list = append(list, name)
				}
			}
		}
	}
	return list
}

// sealed reports whether nobody shall be able to add a field called name, of
// which there are n.
func (s *Signer) sealed(name string, n int) bool {
	switch {
	case s.cfg.Oversign == OversignNone || !has(once[:], name):
		return false
	case s.cfg.Oversign == OversignAll || n > 0:
		return true
	}
	return has(shown[:], name)
}

// shown are the fields that readers are shown, or answer to.
var shown = [...]string{"From", "Reply-To", "To", "Cc", "Subject"}

// field makes the value of a field, up to its b= tag, which is empty.
func (s *Signer) field(k *prepared, list []string, bodyHash []byte, now time.Time) string {
	f := mailsig.NewFolder(signatureField)
	f.Tag("v", "1")
	f.Tag("a", k.alg.String())
	f.Tag("c", s.header.String()+"/"+s.body.String())
	f.Tag("d", k.Domain)
	f.Tag("s", k.Selector)
	if k.Identity != "" {
		f.Tag("i", mailsig.Quote(k.Identity))
	}
	f.Tag("t", strconv.FormatInt(now.Unix(), 10))
	if s.cfg.Expire > 0 {
		f.Tag("x", strconv.FormatInt(now.Add(s.cfg.Expire).Unix(), 10))
	}
	f.List("h", list)
	f.Tag("bh", base64.StdEncoding.EncodeToString(bodyHash))
	f.Open("b")
	return f.String()
}

// job is one signature.
type job struct {
	key    prepared
	field  string // value of the field, up to b=
	digest []byte
	err    error
}

// finish has all signatures made, side by side where there are several: keys may
// be far away.
func finish(jobs []*job) ([]string, error) {
	var all sync.WaitGroup
	for _, j := range jobs[1:] {
		all.Go(j.sign)
	}
	jobs[0].sign()
	all.Wait()
	fields := make([]string, len(jobs))
	for i, j := range jobs {
		if j.err != nil {
			return nil, j.err
		}
		fields[i] = j.field
	}
	return fields, nil
}

// sign makes the signature and ends the field.
func (j *job) sign() {
	b, err := j.key.alg.Sign(j.key.Private, j.digest)
	if err != nil {
		j.err = fmt.Errorf("dkim: key %q of %q: %w", j.key.Selector, j.key.Domain, err)
		return
	}
	f := mailsig.Resume(signatureField, j.field)
	f.Data(base64.StdEncoding.EncodeToString(b))
	j.field = signatureField + ":" + f.String() + "\r\n"
}

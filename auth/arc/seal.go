package arc

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/internal/mailsig"
)

// Key is a private key and the names it is published under, as for DKIM.
type Key struct {
	Domain   string        // d=: the domain that seals
	Selector string        // s=
	Private  crypto.Signer // of RSA or Ed25519; where it lives does not matter
}

// SealConfig says how a Sealer seals. The zero SealConfig is ready for use.
type SealConfig struct {
	// Fields are the names of the fields to sign, every instance of them; nil means
	// those of RFC 6376, section 5.4.1, and DKIM-Signature. From always is. Those of
	// them that readers are shown are signed once more than there are, and so are
	// others of which there may be one and is: nobody can add another (section 5.4).
	Fields []string

	HeaderBytes int // of the header section; 1 MiB
}

// The fields that are signed by default.
var (
	shown = [...]string{"From", "Reply-To", "To", "Cc", "Subject"} // readers see them, or answer to them
	once  = [...]string{                                           // other fields that may occur once (RFC 5322, section 3.6; RFC 2045, section 3)
		"Sender", "Date", "Message-ID", "In-Reply-To", "References",
		"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-ID", "Content-Description",
	}
	often = [...]string{"List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Post", "DKIM-Signature"}
)

// Sealer makes ARC sets. It is safe for concurrent use.
type Sealer struct {
	fields []string
	engine *mailsig.Engine
}

// NewSealer returns a Sealer. It reports every field of cfg that is wrong.
func NewSealer(cfg SealConfig) (*Sealer, error) {
	s := &Sealer{fields: cfg.Fields}
	var errs []error
	if s.fields == nil {
		s.fields = slices.Concat(shown[:], once[:], often[:])
	}
	for i, name := range s.fields {
		switch {
		case !mailsig.IsFieldName(name):
			errs = append(errs, fmt.Errorf("arc: SealConfig.Fields[%d] %q is no field name", i, name))
		case kindOf(name) >= 0 || strings.EqualFold(name, "Authentication-Results"):
			errs = append(errs, fmt.Errorf("arc: SealConfig.Fields[%d]: %s is not signed (RFC 8617, section 4.1.2)", i, name))
		}
	}
	if !has(s.fields, "From") {
		s.fields = append([]string{"From"}, s.fields...)
	}
	if cfg.HeaderBytes < 0 {
		errs = append(errs, fmt.Errorf("arc: SealConfig.HeaderBytes is %d: must not be negative", cfg.HeaderBytes))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.engine = mailsig.New(mailsig.Limits{HeaderBytes: cfg.HeaderBytes}, nil)
	return s, nil
}

var (
	// ErrSealed is of a message that is not to be sealed any more: its chain had
	// failed before, which the last seal says, or it has 50 sets.
	ErrSealed = errors.New("arc: the chain has ended")

	// ErrChanged is of a message whose ARC fields are not those of the chain that
	// was validated.
	ErrChanged = errors.New("arc: the chain is not as it was validated")
)

// Seal returns the fields of a new ARC set, ready to be put on top of the message
// in their order: folded, each with a CRLF at its end. It comes last, after all
// changes to the message and all other signatures (RFC 8617, section 5.1).
//
// chain is what Validate made of the message as it came in. results are what was
// found out about it then, as they stand behind the colon of an
// Authentication-Results field: authserv-id and results, arc= among them.
//
// The message is read once, from its start to its end, and not kept. LF alone is
// sealed as CRLF; CR alone is an error.
func (s *Sealer) Seal(ctx context.Context, message io.Reader, chain *Chain, results string, key Key) ([]string, error) {
	return s.seal(ctx, message, chain, results, key, time.Now())
}

func (s *Sealer) seal(ctx context.Context, message io.Reader, chain *Chain, results string, key Key, now time.Time) ([]string, error) {
	d, sel, err := mailsig.KeyNames(key.Domain, key.Selector)
	if err != nil {
		return nil, fmt.Errorf("arc: key %q of %q: %w", key.Selector, key.Domain, err)
	}
	if key.Private == nil {
		return nil, fmt.Errorf("arc: key %q of %q: no private key", key.Selector, key.Domain)
	}
	alg, err := mailsig.AlgorithmOf(key.Private.Public())
	if err != nil {
		return nil, fmt.Errorf("arc: key %q of %q: %w", key.Selector, key.Domain, err)
	}
	key.Domain, key.Selector = d, sel
	if err := checkResults(results); err != nil {
		return nil, err
	}
	run, err := s.engine.Start(mailsig.CRLF(message))
	if err != nil {
		return nil, readError(err)
	}
	defer run.Close()
	before, n, err := s.before(run.Header, chain)
	if err != nil {
		return nil, err
	}
	sum := run.Sum(mailsig.Relaxed, -1, mailsig.SHA256)
	if err := run.Body(ctx); err != nil {
		return nil, readError(err)
	}
	w := &writer{key: key, alg: alg, instance: strconv.Itoa(n), time: strconv.FormatInt(now.Unix(), 10)}

	found := " i=" + w.instance + "; " + strings.TrimLeft(results, " \t")
	list := s.list(run.Header)
	signature, err := w.signature(run, list, sum.Digest())
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	var buf []byte
	for _, set := range before {
		for _, f := range set.fields {
			buf = mailsig.AppendField(buf[:0], run.Header.Fields[f], mailsig.Relaxed)
			h.Write(buf)
		}
	}
	for i, value := range []string{found, signature} {
		buf = mailsig.AppendNew(buf[:0], fieldNames[i], value, mailsig.Relaxed)
		h.Write(append(buf, "\r\n"...))
	}
	cv := chain.Status
	if n == 1 {
		cv = None
	}
	f := w.begin(fieldNames[2])
	f.Tag("cv", string(cv))
	f.Open("b")
	h.Write(mailsig.AppendNew(buf[:0], fieldNames[2], f.String(), mailsig.Relaxed))
	seal, err := w.end(fieldNames[2], f.String(), h.Sum(nil))
	if err != nil {
		return nil, err
	}
	return []string{
		fieldNames[2] + ":" + seal + "\r\n",
		fieldNames[1] + ":" + signature + "\r\n",
		fieldNames[0] + ":" + found + "\r\n",
	}, nil
}

// before returns the sets that the new seal covers, and its instance.
func (s *Sealer) before(h *mailsig.Header, chain *Chain) (sets []set, instance int, err error) {
	limits := s.engine.Limits
	switch chain.Status {
	case None, Pass:
		sets, err := collect(h, maxSets, limits)
		switch {
		case err != nil || len(sets) != len(chain.Sets):
			return nil, 0, ErrChanged
		case len(sets) == maxSets:
			return nil, 0, ErrSealed
		}
		return sets, len(sets) + 1, nil
	case Fail:
		last, ended := highest(h)
		if ended || last >= maxSets {
			return nil, 0, ErrSealed
		}
		return nil, last + 1, nil // this one alone (RFC 8617, section 5.1.2)
	}
	return nil, 0, fmt.Errorf("arc: a chain of status %q", chain.Status)
}

// highest is the highest instance of a chain that has failed, and whether its seal
// says so already.
func highest(h *mailsig.Header) (last int, ended bool) {
	for i := range h.Fields {
		kind := kindOf(h.Fields[i].Name)
		if kind < 0 {
			continue
		}
		n, tags, err := instance(value(h, i), kind, mailsig.Limits{FieldBytes: math.MaxInt})
		if err != nil || n < last {
			continue
		}
		if n > last {
			ended = false
		}
		last = n
		if kind == 2 {
			cv, _ := tags.Get("cv")
			ended = ended || cv.Value == string(Fail)
		}
	}
	return last, ended
}

var errResults = errors.New("arc: results are none, or not folded as a field is")

// checkResults reports whether results can stand in a field.
func checkResults(results string) error {
	id, _, ok := strings.Cut(results, ";")
	if !ok || strings.TrimSpace(id) == "" {
		return errResults
	}
	for i := 0; i < len(results); i++ {
		switch c := results[i]; {
		case c == '\r' && strings.HasPrefix(results[i:], "\r\n") && i+2 < len(results) && (results[i+2] == ' ' || results[i+2] == '\t'):
			i++
		case c < ' ' && c != '\t' || c == 0x7f:
			return errResults
		}
	}
	return nil
}

// has reports whether list has name, whatever its case.
func has(list []string, name string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
}

// list is the h= of a message: every field that is to be signed, some of them once
// more than there are.
func (s *Sealer) list(h *mailsig.Header) []string {
	var list []string
	for _, name := range s.fields {
		n := h.Count(name)
		if has(shown[:], name) || n > 0 && has(once[:], name) {
			n++
		}
		for range n {
			list = append(list, name)
		}
	}
	return list
}

// writer writes the fields of one set.
type writer struct {
	key            Key
	alg            mailsig.Algorithm
	instance, time string
}

func (w *writer) begin(name string) *mailsig.Folder {
	f := mailsig.NewFolder(name)
	f.Tag("i", w.instance)
	f.Tag("a", w.alg.String())
	f.Tag("d", w.key.Domain)
	f.Tag("s", w.key.Selector)
	f.Tag("t", w.time)
	return f
}

// signature makes the value of the ARC-Message-Signature.
func (w *writer) signature(run *mailsig.Run, list []string, bodyHash []byte) (string, error) {
	f := w.begin(fieldNames[1])
	f.Tag("c", "relaxed/relaxed")
	f.List("h", list)
	f.Tag("bh", base64.StdEncoding.EncodeToString(bodyHash))
	f.Open("b")
	last := mailsig.AppendNew(nil, fieldNames[1], f.String(), mailsig.Relaxed)
	digest, _ := run.Hash(mailsig.SHA256, mailsig.Relaxed, slices.Values(list), -1, last)
	return w.end(fieldNames[1], f.String(), digest)
}

// end signs digest and ends the field.
func (w *writer) end(name, value string, digest []byte) (string, error) {
	b, err := w.alg.Sign(w.key.Private, digest)
	if err != nil {
		return "", fmt.Errorf("arc: key %q of %q: %w", w.key.Selector, w.key.Domain, err)
	}
	f := mailsig.Resume(name, value)
	f.Data(base64.StdEncoding.EncodeToString(b))
	return f.String(), nil
}

package mailsig

import (
	"cmp"
	"errors"
	"fmt"
	"hash"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// Signature is what DKIM-Signature and ARC-Message-Signature fields have in
// common (RFC 6376, section 3.5; RFC 8617, section 4.1.2).
type Signature struct {
	Tags      Tags
	Algorithm Algorithm // 0 when it is not known; then a= tells
	Header    Canon
	Body      Canon
	Domain    string // d= in normal form
	Selector  string // s= in normal form
	KeyName   string // where the key is
	Length    int64  // l=, -1 when there is none
	Time      time.Time
	Expires   time.Time // zero when there is none, as Time

	signed    string // h=
	hash      []byte // bh=
	signature []byte // b=
	cutStart  int    // of the value of b=
	cutEnd    int
}

// errMethod is of a q= without dns/txt.
var errMethod = errors.New("no known way to get the key: q= has no dns/txt")

// ErrUnsupported is of what may be fine and is not known here: algorithms and
// ways to get a key.
var ErrUnsupported = errors.New("not supported")

// Limits bound the work before it is done. New fills in what is zero.
type Limits struct {
	HeaderBytes  int // of the header section
	HeaderFields int
	FieldBytes   int // of a field that holds a signature
	SignedFields int // entries of an h= tag
	Lookups      int // at once
	KeyBits      int // of an RSA key
}

// ParseSignature reads the value of a field. What DKIM and ARC have different
// meanings for (v=, i=) is in Tags.
func ParseSignature(value string, limits Limits) (*Signature, error) {
	tags, err := ParseField(value, limits)
	if err != nil {
		return nil, err
	}
	return NewSignature(tags, limits)
}

// ParseField reads the tags of a field that holds a signature or a seal.
func ParseField(value string, limits Limits) (Tags, error) {
	if len(value) > limits.FieldBytes {
		return nil, fmt.Errorf("over %d octets", limits.FieldBytes)
	}
	return ParseTags(value, make(Tags, 0, 12))
}

// NewSignature reads the tags of a field.
func NewSignature(tags Tags, limits Limits) (*Signature, error) {
	s := &Signature{Tags: tags, Length: -1}
	for _, name := range [...]string{"a", "b", "bh", "d", "h", "s"} {
		if t, ok := s.Tags.Get(name); !ok || t.Value == "" {
			return nil, fmt.Errorf("no %s= tag", name)
		}
	}
	if err := s.names(); err != nil {
		return nil, err
	}
	return s, cmp.Or(s.data(), s.fields(limits), s.times(), s.supported())
}

func (s *Signature) tag(name string) string {
	t, _ := s.Tags.Get(name)
	return t.Value
}

// names reads d= and s=, which together name the key.
func (s *Signature) names() error {
	const between = "._domainkey." // RFC 6376, section 3.6.2.1
	d, err := domain.Normal(s.tag("d"))
	if err != nil || strings.HasSuffix(s.tag("d"), ".") || strings.IndexByte(d, '.') < 0 {
		return errors.New("d= is not a domain name")
	}
	sel := s.tag("s")
	name, err := domain.Normal(sel + between + d) // not s= alone: it may be a number
	if err != nil || len(name) < len(between)+len(d)+1 {
		return errors.New("s= is not a selector")
	}
	s.Domain, s.KeyName = name[len(name)-len(d):], name
	s.Selector = name[:len(name)-len(d)-len(between)]
	return nil
}

// data reads a=, b= and bh=.
func (s *Signature) data() (err error) {
	s.Algorithm = ParseAlgorithm(s.tag("a"))
	b, _ := s.Tags.Get("b")
	s.cutStart, s.cutEnd = b.Start, b.End
	if s.signature, err = decode(b.Value); err != nil {
		return errors.New("b= is not base64")
	}
	if s.hash, err = decode(s.tag("bh")); err != nil {
		return errors.New("bh= is not base64")
	}
	return nil
}

// fields reads c=, h= and l=.
func (s *Signature) fields(limits Limits) error {
	if c, ok := s.Tags.Get("c"); ok {
		header, body, _ := strings.Cut(c.Value, "/")
		var known [2]bool
		s.Header, known[0] = parseCanon(header)
		if s.Body, known[1] = parseCanon(body); body == "" && !strings.HasSuffix(c.Value, "/") {
			known[1] = true
		}
		if !known[0] || !known[1] {
			return fmt.Errorf("c=: %w", ErrUnsupported)
		}
	}
	s.signed = s.tag("h")
	n := 0
	for name := range items(s.signed) {
		if n++; n > limits.SignedFields {
			return fmt.Errorf("over %d fields in h=", limits.SignedFields)
		}
		if !IsFieldName(name) {
			return errors.New("h= is not a list of field names")
		}
	}
	if l, ok := s.Tags.Get("l"); ok {
		length, err := number(l.Value, 76)
		if err != nil {
			return errors.New("l= is not a number")
		}
		s.Length = length
	}
	return nil
}

func parseCanon(s string) (c Canon, ok bool) {
	switch s {
	case "simple":
		return Simple, true
	case "relaxed":
		return Relaxed, true
	}
	return Simple, false
}

// IsFieldName reports whether s can be the name of a field (RFC 5322, section 3.6.8).
func IsFieldName(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == ':' || s[i] == ';' {
			return false
		}
	}
	return s != ""
}

// times reads t= and x=.
func (s *Signature) times() error {
	if err := cmp.Or(s.time("t", &s.Time), s.time("x", &s.Expires)); err != nil {
		return err
	}
	if !s.Time.IsZero() && !s.Expires.IsZero() && !s.Expires.After(s.Time) {
		return errors.New("x= is not after t=")
	}
	return nil
}

// time reads the tag called name, if there is one.
func (s *Signature) time(name string, at *time.Time) error {
	tag, ok := s.Tags.Get(name)
	if !ok {
		return nil
	}
	// Of more than twelve digits is as good as for ever (section 3.5).
	seconds, err := number(tag.Value, len(tag.Value))
	if err != nil {
		return fmt.Errorf("%s= is not a time", name)
	}
	*at = time.Unix(min(seconds, 999999999999), 0).UTC()
	return nil
}

// number reads an unsigned number. What is too large is the largest there is.
func number(s string, digits int) (int64, error) {
	if s == "" || len(s) > digits || strings.Trim(s, "0123456789") != "" {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return math.MaxInt64, nil
	}
	return n, nil
}

// supported reports whether a= and q= name what is known here.
func (s *Signature) supported() error {
	q, ok := s.Tags.Get("q")
	if ok && !has(q.Value, "dns/txt") {
		return errMethod
	}
	if s.Algorithm == 0 {
		return fmt.Errorf("a=: %w", ErrUnsupported)
	}
	return nil
}

// SignedFields yields the entries of h= as written.
func (s *Signature) SignedFields() iter.Seq[string] { return items(s.signed) }

// SignedNames are the entries of h= as written.
func (s *Signature) SignedNames() []string {
	names := strings.Split(s.signed, ":")
	for i := range names {
		names[i] = trim(names[i])
	}
	return names
}

// Signs reports whether h= has name, whatever its case.
func (s *Signature) Signs(name string) bool { return has(s.signed, name) }

// Prefix is the beginning of b=, n octets without white space, or all of it
// (RFC 6008).
func (s *Signature) Prefix(n int) string {
	b := s.tag("b")
	out := make([]byte, 0, n)
	for i := 0; i < len(b) && len(out) < n; i++ {
		if !isBlank(b[i]) {
			out = append(out, b[i])
		}
	}
	return string(out)
}

// BodyHash reports whether sum is what bh= says.
func (s *Signature) BodyHash(sum *Sum) bool { return string(s.hash) == string(sum.Digest()) }

// HeaderHash returns the hash of the fields that s signs, in the field at self
// (RFC 6376, section 3.7), and the indexes of those fields. Both are good until
// the next call.
func (r *Run) HeaderHash(s *Signature, self int) (digest []byte, covered []int32) {
	r.last = AppendSigned(r.last[:0], r.Header.Fields[self], s.Header, s.cutStart, s.cutEnd)
	h := r.open(s.Algorithm.Hash())
	for list, more := s.signed, true; more; {
		var name string
		name, list, more = strings.Cut(list, ":")
		r.cover(h, s.Header, trim(name), self)
	}
	return r.sum(h, r.last)
}

// Hash returns the hash of the fields called names, but for the one at self, and
// of last, which is canonical already; and the indexes of the fields. Both are
// good until the next call.
func (r *Run) Hash(alg Hash, c Canon, names iter.Seq[string], self int, last []byte) (digest []byte, covered []int32) {
	h := r.open(alg)
	for name := range names {
		r.cover(h, c, name, self)
	}
	return r.sum(h, last)
}

// gather is how many octets of fields are hashed at a time.
const gather = 4 << 10

// open begins a hash of fields.
func (r *Run) open(alg Hash) hash.Hash {
	r.covered, r.scratch = r.covered[:0], r.scratch[:0]
	r.Header.rewind()
	return r.hash(alg)
}

// cover adds the next field called name to h, if there is one.
func (r *Run) cover(h hash.Hash, c Canon, name string, self int) {
	i, ok := r.Header.pick(name, self)
	if !ok {
		return
	}
	r.covered = append(r.covered, int32(i))
	if r.scratch = AppendField(r.scratch, r.Header.Fields[i], c); len(r.scratch) > gather {
		h.Write(r.scratch)
		r.scratch = r.scratch[:0]
	}
}

// sum ends h with last.
func (r *Run) sum(h hash.Hash, last []byte) (digest []byte, covered []int32) {
	h.Write(r.scratch)
	h.Write(last)
	r.digest = h.Sum(r.digest[:0])
	r.idle = append(r.idle, h)
	return r.digest, r.covered
}

// Verify checks the signature over a digest of HeaderHash.
func (s *Signature) Verify(key *Record, digest []byte) error {
	return s.Algorithm.Verify(key.Public, digest, s.signature)
}

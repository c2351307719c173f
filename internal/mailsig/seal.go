package mailsig

import (
	"cmp"
	"errors"
	"fmt"
)

// NewSeal reads the tags of an ARC-Seal field (RFC 8617, section 4.1.3): a
// signature over header fields that no tag lists. What only ARC knows (i=, cv=) is
// in Tags.
func NewSeal(tags Tags) (*Signature, error) {
	s := &Signature{Tags: tags, Header: Relaxed, Length: -1}
	for _, name := range [...]string{"a", "b", "d", "s"} {
		if t, ok := s.Tags.Get(name); !ok || t.Value == "" {
			return nil, fmt.Errorf("no %s= tag", name)
		}
	}
	if _, ok := s.Tags.Get("h"); ok {
		return nil, errors.New("an h= tag")
	}
	if err := s.names(); err != nil {
		return nil, err
	}
	// x= is none of its tags: whatever it says is ignored.
	return s, cmp.Or(s.seal(), s.time("t", &s.Time))
}

// seal reads a= and b=.
func (s *Signature) seal() (err error) {
	if s.Algorithm = ParseAlgorithm(s.tag("a")); s.Algorithm == 0 {
		return fmt.Errorf("a=: %w", ErrUnsupported)
	}
	b, _ := s.Tags.Get("b")
	s.cutStart, s.cutEnd = b.Start, b.End
	if s.signature, err = decode(b.Value); err != nil {
		return errors.New("b= is not base64")
	}
	return nil
}

// AppendSelf appends the canonical form of the field f that holds s, as it is
// hashed itself.
func (s *Signature) AppendSelf(dst []byte, f Field) []byte {
	return AppendSigned(dst, f, s.Header, s.cutStart, s.cutEnd)
}

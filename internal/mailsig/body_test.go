package mailsig

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// plain canonicalises as RFC 6376, section 3.4 words it: rule by rule, over the
// whole body.
func plain(c Canon, body string) string {
	if c == Simple {
		for strings.HasSuffix(body, "\r\n") {
			body = strings.TrimSuffix(body, "\r\n")
		}
		return body + "\r\n"
	}
	lines := strings.Split(body, "\r\n")
	for i, line := range lines {
		line = strings.ReplaceAll(line, "\t", " ")
		for strings.Contains(line, "  ") {
			line = strings.ReplaceAll(line, "  ", " ")
		}
		lines[i] = strings.TrimSuffix(line, " ")
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\r\n") + "\r\n"
}

// recorder is a hash that keeps what it is given.
type recorder struct{ bytes.Buffer }

func (r *recorder) Sum(b []byte) []byte { return append(b, r.Bytes()...) }
func (r *recorder) Size() int           { return sha256.Size }
func (r *recorder) BlockSize() int      { return sha256.BlockSize }

// canonical runs body through a stream, cut at cuts.
func canonical(c Canon, body string, cuts ...int) string {
	var got recorder
	s := &stream{canon: c}
	s.sums = []*Sum{{length: -1, h: &got, s: s}}
	at := 0
	for _, cut := range append(cuts, len(body)) {
		if cut = min(cut, len(body)); cut > at {
			s.write([]byte(body[at:cut]))
			at = cut
		}
	}
	s.close()
	return got.String()
}

func TestBody(t *testing.T) {
	for _, tt := range []struct{ body, simple, relaxed string }{
		{"", "\r\n", ""},
		{"\r\n", "\r\n", ""},
		{"\r\n\r\n\r\n", "\r\n", ""},
		{" ", " \r\n", ""},
		{" \r\n\t", " \r\n\t\r\n", ""},
		{" C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n"}, // RFC 6376, section 3.4.5
		{"a", "a\r\n", "a\r\n"},
		{"a \r\n\r\n b", "a \r\n\r\n b\r\n", "a\r\n\r\n b\r\n"},
		{"\r\n\r\na", "\r\n\r\na\r\n", "\r\n\r\na\r\n"},
		// Bare CR and LF are octets.
		{"a\r", "a\r\r\n", "a\r\r\n"},
		{"a \rb", "a \rb\r\n", "a \rb\r\n"},
		{"a \r\r\n", "a \r\r\n", "a \r\r\n"},
		{"a \n", "a \n\r\n", "a \n\r\n"},
		{"a\n\n", "a\n\n\r\n", "a\n\n\r\n"},
		{"\r", "\r\r\n", "\r\r\n"},
		{"a\t", "a\t\r\n", "a\r\n"},
		{"a \x00 b\x80  c", "a \x00 b\x80  c\r\n", "a \x00 b\x80 c\r\n"},
	} {
		for c, want := range map[Canon]string{Simple: tt.simple, Relaxed: tt.relaxed} {
			if got := plain(c, tt.body); got != want {
				t.Errorf("%v of %q, plainly: %q, want %q", c, tt.body, got, want)
			}
			for cut := range len(tt.body) + 1 {
				if got := canonical(c, tt.body, cut); got != want {
					t.Errorf("%v of %q, cut at %d: %q, want %q", c, tt.body, cut, got, want)
				}
			}
		}
	}
}

// TestBodyLong has runs that are longer than what is gathered before it is hashed,
// with something to mend at every place in a word of eight octets.
func TestBodyLong(t *testing.T) {
	for shift := range 9 {
		for _, dirt := range []string{"  ", "\t", " \r\n", "\r\n\r\n", "\r\n ", "\r", " \r", "\n"} {
			body := strings.Repeat("x", shift) + strings.Repeat("word ", 1000) + "y" + dirt + strings.Repeat("z w", 2000) +
				dirt + strings.Repeat(dirt, 100) + "end" + strings.Repeat("\r\n", 3000)
			for _, c := range []Canon{Simple, Relaxed} {
				if got, want := canonical(c, body, 100, 5003+shift, 5004+shift, 5005+shift), plain(c, body); got != want {
					t.Errorf("%v with %q at %d: %d octets, want %d", c, dirt, shift, len(got), len(want))
				}
			}
		}
	}
}

func FuzzBody(f *testing.F) {
	f.Add(" C \r\nD \t E\r\n\r\n\r\n", uint64(1))
	f.Add("a \r\r\n \r\n\tb", uint64(2))
	f.Add(strings.Repeat("\r\n", 20)+"a"+strings.Repeat(" ", 20)+"\r", uint64(3))
	f.Fuzz(func(t *testing.T, body string, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 0))
		var cuts []int
		for at := 0; at < len(body); at += 1 + r.IntN(1+r.IntN(32)) {
			cuts = append(cuts, at)
		}
		for _, c := range []Canon{Simple, Relaxed} {
			want := plain(c, body)
			for _, long := range []string{"", strings.Repeat("long line ", 500) + "\r\n"} {
				if got := canonical(c, long+body, cuts...); got != plain(c, long+body) {
					t.Fatalf("%v of %q, cut at %v: %q, want %q", c, body, cuts, got, want)
				}
			}
		}
	})
}

func TestSumLength(t *testing.T) {
	e := New(Limits{}, nil)
	run, err := e.Start(strings.NewReader("From: a\r\n\r\nHello  world\r\n\r\n")) // canonical: 13 octets
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	sums := map[int64]*Sum{}
	for _, n := range []int64{-1, 0, 5, 13, 14} {
		sums[n] = run.Sum(Relaxed, n, SHA256)
	}
	if run.Sum(Relaxed, 5, SHA256) != sums[5] {
		t.Error("the same request has two sums")
	}
	if err := run.Body(t.Context()); err != nil {
		t.Fatal(err)
	}
	const body = "Hello world\r\n"
	for n, want := range map[int64]struct {
		text    string
		missing bool
		beyond  int64
	}{-1: {body, false, 0}, 0: {"", false, 13}, 5: {"Hello", false, 8}, 13: {body, false, 0}, 14: {body, true, 0}} {
		s := sums[n]
		digest := sha256.Sum256([]byte(want.text))
		if !bytes.Equal(s.Digest(), digest[:]) || s.Missing() != want.missing || s.Beyond() != want.beyond {
			t.Errorf("l=%d: missing %v, beyond %d, digest %s", n, s.Missing(), s.Beyond(), fmt.Sprintf("%x", s.Digest()))
		}
	}
}

package smtpguard

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/emersion/go-smtp"
)

// inPieces reads s in pieces of random sizes up to most.
func inPieces(s string, rnd *rand.Rand, most int) io.Reader {
	var rs []io.Reader
	for len(s) > 0 {
		n := min(1+rnd.IntN(most), len(s))
		rs = append(rs, strings.NewReader(s[:n]))
		s = s[n:]
	}
	return io.MultiReader(rs...)
}

// chunkings are ways that one content may arrive.
func chunkings(s string) map[string]io.Reader {
	rnd := rand.New(rand.NewPCG(1, uint64(len(s))))
	return map[string]io.Reader{
		"at once":      strings.NewReader(s),
		"with its EOF": iotest.DataErrReader(strings.NewReader(s)),
		"octets":       iotest.OneByteReader(strings.NewReader(s)),
		"halves":       iotest.HalfReader(strings.NewReader(s)),
		"pieces":       inPieces(s, rnd, 7),
		"big pieces":   iotest.DataErrReader(inPieces(s, rnd, 3000)),
	}
}

// outcome is all that can be seen of a receive, in words.
func outcome(sp *spooler, r io.Reader, in intake) string {
	var out strings.Builder
	in.note = func(what string) { fmt.Fprintf(&out, "note: %s\n", what) }
	m, err := sp.receive(r, in)
	var ref *refusal
	switch {
	case errors.As(err, &ref):
		fmt.Fprintf(&out, "%d %v %s (%s)\n", ref.reply.Code, ref.reply.EnhancedCode, ref.reply.Message, ref.reason)
		return out.String()
	case err != nil:
		fmt.Fprintf(&out, "error: %v\n", err)
		return out.String()
	}
	defer m.close()
	b, err := io.ReadAll(m.Open())
	fmt.Fprintf(&out, "body at %d, %d fields, content %q %v\n", m.BodyOffset(), len(m.Header()), b, err)
	return out.String()
}

func TestOctetPolicy(t *testing.T) {
	const ok = "Subject: x\r\n\r\nbody\r\n"
	for _, c := range []struct {
		name, in   string
		reject     string // what the client reads; "" when accepted
		normalized string
		notes      string
	}{
		{"ordinary", ok, "", ok, ""},
		{"empty", "", "", "", ""},
		{"dots", "a: b\r\n\r\n.\r\n..\r\n", "", "a: b\r\n\r\n.\r\n..\r\n", ""},
		{"no last line end", "a: b\r\n\r\nbody", "", "a: b\r\n\r\nbody", ""},
		{"LF . LF", ok + "\n.\nMAIL", "Bare LF in message", ok + "\r\n.\r\nMAIL", "Bare LF"},
		{"LF . CRLF", ok + "x\n.\r\nMAIL", "Bare LF in message", ok + "x\r\n.\r\nMAIL", "Bare LF"},
		{"CRLF . LF", ok + "\r\n.\nMAIL", "Bare LF in message", ok + "\r\n.\r\nMAIL", "Bare LF"},
		{"CR . CR", ok + "\r.\rMAIL", "Bare CR in message", ok + "\r\n.\r\nMAIL", "Bare CR"},
		{"CR . CRLF", ok + "x\r.\r\n", "Bare CR in message", ok + "x\r\n.\r\n", "Bare CR"},
		{"CRLF . CR", ok + ".\rMAIL", "Bare CR in message", ok + ".\r\nMAIL", "Bare CR"},
		{"CR CR LF", ok + "x\r\r\n", "Bare CR in message", ok + "x\r\n\r\n", "Bare CR"},
		{"CR LF LF", ok + "x\r\n\n", "Bare LF in message", ok + "x\r\n\r\n", "Bare LF"},
		{"LF CR", ok + "x\n\ry", "Bare LF in message", ok + "x\r\n\r\ny", "Bare CR, Bare LF"},
		{"LF first", "\nx", "Bare LF in message", "\r\nx", "Bare LF"},
		{"CR last", ok + "\r", "Bare CR in message", ok + "\r\n", "Bare CR"},
		{"CR alone", "\r", "Bare CR in message", "\r\n", "Bare CR"},
		{"NUL", ok + "a\x00b", "NUL in message", ok + "ab", "NUL"},
		{"NUL first", "\x00" + ok, "NUL in message", ok, "NUL"},
		{"NUL last", ok + "\x00", "NUL in message", ok, "NUL"},
		{"NUL in CRLF", ok + "x\r\x00\ny", "Bare CR in message", ok + "x\r\n\r\ny", "Bare CR, Bare LF, NUL"},
		{"NUL in the header", "a: b\x00\r\n\r\n", "NUL in message", "a: b\r\n\r\n", "NUL"},
		{"the first one is named", ok + "x\x00\n\r", "NUL in message", ok + "x\r\n\r\n", "Bare CR, Bare LF, NUL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sp := testSpooler(t, nil)
			filed := testSpooler(t, func(cfg *Config) { cfg.Spool.Memory = 3 })
			for _, policy := range []OctetPolicy{OctetsReject, OctetsNormalize, OctetsAllow} {
				want := outcome(sp, strings.NewReader(c.in), intake{octets: policy})
				for _, sp := range []*spooler{sp, filed} {
					for how, r := range chunkings(c.in) {
						if got := outcome(sp, r, intake{octets: policy}); got != want {
							t.Errorf("policy %d, %s:\n%sbut at once:\n%s", policy, how, got, want)
						}
					}
					if n := sp.used.Load(); n != 0 {
						t.Errorf("%d octets of the budget are not given back", n)
					}
				}
			}

			m, err := sp.receive(strings.NewReader(c.in), intake{})
			var ref *refusal
			if errors.As(err, &ref) {
				if got := ref.reply; got.Code != 554 || got.EnhancedCode != (smtp.EnhancedCode{5, 6, 0}) || got.Message != c.reject {
					t.Errorf("Reject: %v, want %q", got, c.reject)
				}
			} else if err != nil || c.reject != "" {
				t.Errorf("Reject: %v, want %q", err, c.reject)
			} else {
				m.close()
			}
			for policy, want := range map[OctetPolicy]string{OctetsNormalize: c.normalized, OctetsAllow: c.in} {
				var notes []string
				m, err := sp.receive(strings.NewReader(c.in), intake{octets: policy, note: func(s string) {
					if name, _, ok := strings.Cut(s, " in content"); ok {
						notes = append(notes, name)
					}
				}})
				if err != nil {
					t.Fatal(err)
				}
				if got := read(t, m.Open()); got != want {
					t.Errorf("policy %d: content is %q, want %q", policy, got, want)
				}
				if got := strings.Join(notes, ", "); got != c.notes {
					t.Errorf("policy %d: noted %q, want %q", policy, got, c.notes)
				}
				m.close()
			}
		})
	}
}

func read(t testing.TB, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Whatever is in it, the outcome does not depend on how content was cut.
func TestChunkingChangesNothing(t *testing.T) {
	head := []string{"a: b\r\n", "Received: x\r\n", "rEceived :\r\n", "c:\r\n d\r\n", " e\r\n", "f: " + strings.Repeat("x ", 200) + "\r\n", "\tg" + strings.Repeat("y z", 160) + "\r\n"}
	alphabet := []string{
		"\r\n", "\r\n", "\r\n", "\r", "\n", "\x00", ":", ": ", " ", "\t", "a", "Received", "Subject: x", "\xe9", ".",
		strings.Repeat("x", 300), strings.Repeat("y z", 333), "\r\n\r\n",
	}
	rnd := rand.New(rand.NewPCG(2, 3))
	limits := func(cfg *Config) {
		cfg.Limits = Limits{Line: 998, HeaderBytes: 1500, HeaderFields: 20, FieldBytes: 1200, Received: 2}
	}
	inMemory := testSpooler(t, limits)
	inFile := testSpooler(t, func(cfg *Config) { limits(cfg); cfg.Spool.Memory = 5 })
	seen := map[string]int{}
	for range 120 {
		var b strings.Builder
		for range rnd.IntN(8) {
			b.WriteString(head[rnd.IntN(len(head))])
		}
		for range rnd.IntN(15) {
			b.WriteString(alphabet[rnd.IntN(len(alphabet))])
		}
		for _, policy := range []OctetPolicy{OctetsReject, OctetsNormalize, OctetsAllow} {
			want := outcome(inMemory, strings.NewReader(b.String()), intake{octets: policy})
			kind, _, _ := strings.Cut(want, "(")
			kind, _, _ = strings.Cut(kind, ",")
			seen[kind]++
			for how, r := range chunkings(b.String()) {
				if got := outcome(inMemory, r, intake{octets: policy}); got != want {
					t.Fatalf("%q, policy %d, %s:\n%sbut at once:\n%s", b.String(), policy, how, got, want)
				}
			}
			for how, r := range chunkings(b.String()) {
				if got := outcome(inFile, r, intake{octets: policy}); got != want {
					t.Fatalf("%q, policy %d, %s, in a file:\n%sbut in memory:\n%s", b.String(), policy, how, got, want)
				}
			}
		}
	}
	for _, want := range []string{
		"554 [5 6 0] Bare CR in message ", "554 [5 6 0] Bare LF in message ", "554 [5 6 0] NUL in message ",
		"554 [5 6 0] Line too long ", "552 [5 3 4] Header field too large ", "552 [5 3 4] Message header too large ",
		"554 [5 4 6] Too many hops ",
	} {
		if seen[want] == 0 {
			t.Errorf("no content was refused with %q: %v", want, seen)
		}
	}
}

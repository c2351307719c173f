package smtpguard

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/emersion/go-smtp"
)

// testSpooler is one of a Config with what change does to it.
func testSpooler(t testing.TB, change func(*Config)) *spooler {
	t.Helper()
	cfg := Config{Spool: SpoolConfig{Dir: t.TempDir()}}
	if change != nil {
		change(&cfg)
	}
	cfg = cfg.filled()
	return newSpooler(&cfg)
}

// atOnce reads as much as asked for, then an empty read with io.EOF.
func atOnce(s string) io.Reader { return strings.NewReader(s) }

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
		"at once":      atOnce(s),
		"with its EOF": iotest.DataErrReader(atOnce(s)),
		"octets":       iotest.OneByteReader(atOnce(s)),
		"halves":       iotest.HalfReader(atOnce(s)),
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
				want := outcome(sp, atOnce(c.in), intake{octets: policy})
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

			m, err := sp.receive(atOnce(c.in), intake{})
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
				m, err := sp.receive(atOnce(c.in), intake{octets: policy, note: func(s string) {
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
	for range 400 {
		var b strings.Builder
		for range rnd.IntN(8) {
			b.WriteString(head[rnd.IntN(len(head))])
		}
		for range rnd.IntN(15) {
			b.WriteString(alphabet[rnd.IntN(len(alphabet))])
		}
		for _, policy := range []OctetPolicy{OctetsReject, OctetsNormalize, OctetsAllow} {
			want := outcome(inMemory, atOnce(b.String()), intake{octets: policy})
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

func TestLimits(t *testing.T) {
	fields := func(n int, name string) string { return strings.Repeat(name+": x\r\n", n) }
	line := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct{ name, in, want string }{
		{"line of 8192", "\r\n" + line(8192) + "\r\n", "1 lines of over 998 octets"},
		{"line of 8193", "\r\n" + line(8193) + "\r\n", "554 Line too long"},
		{"line of 8193 at the end", "\r\n" + line(8195), "554 Line too long"},
		{"line of 998", "\r\n" + line(998) + "\r\n" + line(998) + "\r\n", ""},
		{"lines of 999", "\r\n" + line(999) + "\r\n" + line(998) + "\r\n" + line(999) + "\r\n" + line(5000), "3 lines of over 998 octets"},
		{"line of 999 in the header", "a: " + line(996) + "\r\n\r\n", "1 lines of over 998 octets"},
		{"line of 8193 in the header", "a: " + line(8190) + "\r\n\r\n", "554 Line too long"},
		{"a name without end", line(9000), "554 Line too long"},
		{"1000 fields", fields(1000, "a") + "\r\n", ""},
		{"1001 fields", fields(1001, "a") + "\r\n", "552 Too many header fields"},
		{"1001 fields in the body", "\r\n" + fields(1001, "a"), ""},
		{"field of 64 KiB", "a:" + strings.Repeat(" "+line(61)+"\r\n", 1<<10)[1:] + " \r\n", "552 Header field too large"},
		{"field of nearly 64 KiB", "a: " + strings.Repeat(" "+line(61)+"\r\n", 1<<10-1), ""},
		{"header of 256 KiB", strings.Repeat("a: "+line(995)+"\r\n", 263), "552 Message header too large"},
		{"header of nearly 256 KiB", strings.Repeat("a: "+line(995)+"\r\n", 262) + "\r\n" + line(900), ""},
		{"50 hops", fields(50, "Received") + "\r\n", ""},
		{"51 hops", fields(51, "rEcEiVeD ") + "\r\n", "554 Too many hops"},
		{"hops in the body", "\r\n" + fields(51, "Received"), ""},
		{"what only begins so", fields(51, "Received-SPF") + fields(51, "Receive") + "\r\n", ""},
		{"8-bit in the header", "Subject: \xfc\r\n\r\n", "8-bit octets in the header section without SMTPUTF8"},
		{"8-bit in the body", "Subject: u\r\n\r\n\xfc", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			sp := testSpooler(t, nil)
			var notes []string
			m, err := sp.receive(atOnce(c.in), intake{note: func(s string) { notes = append(notes, s) }})
			got := strings.Join(notes, "; ")
			var ref *refusal
			if errors.As(err, &ref) {
				got = fmt.Sprintf("%d %s", ref.reply.Code, ref.reply.Message)
			} else if err != nil {
				t.Fatal(err)
			} else {
				m.close()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	sp := testSpooler(t, nil)
	m, err := sp.receive(atOnce("Subject: ü\r\n\r\n"), intake{utf8: true, note: func(s string) { t.Errorf("with SMTPUTF8: %s", s) }})
	if err != nil {
		t.Fatal(err)
	}
	m.close()
}

// content of n octets, in lines, that differ.
func lines(n int) string {
	var b strings.Builder
	b.WriteString("Subject: lines\r\n\r\n")
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "line %07d of many that are in this body, so that none is like another\r\n", i)
	}
	return b.String()[:n-2] + "\r\n"
}

func TestMemoryThenFile(t *testing.T) {
	for _, c := range []struct {
		name   string
		size   int
		hint   int64
		change func(*Config)
		file   bool
		used   int64 // octets of the budget
	}{
		{"small", 4000, 0, nil, false, 8 << 10},
		{"first buffer", 8 << 10, 8 << 10, nil, false, 16 << 10},
		{"grown", 40_000, 0, nil, false, 64 << 10},
		{"hinted", 100_000, 100_000, nil, false, 128 << 10},
		{"falsely hinted, too little", 100_000, 10_000, nil, false, 128 << 10},
		{"falsely hinted, too much", 4000, 200_000, nil, false, 8 << 10},
		{"nearly all memory", 256<<10 - 1, 0, nil, false, 256 << 10},
		{"more than memory", 256<<10 + 1, 0, nil, true, 16},
		{"far more, as announced", 3 << 20, 3 << 20, nil, true, 16},
		{"no memory", 4000, 0, func(c *Config) { c.Spool.Memory, c.Spool.Dir = 1, t.TempDir() }, true, 16},
		{"odd memory", 9999, 0, func(c *Config) { c.Spool.Memory = 10_000 }, false, 16 << 10},
		{"budget", 40_000, 0, func(c *Config) { c.Spool.Total = 30_000 }, true, 16},
		{"no budget", 40_000, 0, func(c *Config) { c.Spool.Total = 1 }, true, 16},
		{"no budget, small", 4000, 0, func(c *Config) { c.Spool.Total = 1 }, false, 8 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			sp := testSpooler(t, c.change)
			in := lines(c.size)
			m, err := sp.receive(atOnce(in), intake{size: c.hint})
			if err != nil {
				t.Fatal(err)
			}
			if got := m.c.file != nil; got != c.file {
				t.Errorf("in a file: %v, want %v", got, c.file)
			}
			if got := sp.used.Load(); got != c.used {
				t.Errorf("uses %d octets of the budget, want %d", got, c.used)
			}
			if got := read(t, m.Open()); got != in {
				t.Errorf("content of %d octets is not that of %d sent", len(got), len(in))
			}
			if m.Size() != int64(len(in)) {
				t.Errorf("Size is %d, want %d", m.Size(), len(in))
			}
			if got := read(t, m.edited()); got != in {
				t.Error("the backend reads something else")
			}
			var w bytes.Buffer
			if n, err := m.edited().WriteTo(&w); n != int64(len(in)) || err != nil || w.String() != in {
				t.Errorf("WriteTo: %d, %v", n, err)
			}
			if left, _ := os.ReadDir(sp.cfg.Spool.Dir); len(left) != 0 {
				t.Errorf("%s is visible", left[0].Name())
			}
			m.close()
			if got := sp.used.Load(); got != 0 {
				t.Errorf("%d octets of the budget are not given back", got)
			}
		})
	}
}

// Many messages at once share the budget; what does not fit goes to files.
func TestBudgetIsShared(t *testing.T) {
	sp := testSpooler(t, func(c *Config) { c.Spool.Total = 200_000 })
	in := lines(60_000)
	var ms []*Message
	files := 0
	for range 8 {
		m, err := sp.receive(atOnce(in), intake{size: 60_000})
		if err != nil {
			t.Fatal(err)
		}
		if m.c.file != nil {
			files++
		}
		ms = append(ms, m)
	}
	if files == 0 || files == len(ms) {
		t.Errorf("%d of %d messages are in files", files, len(ms))
	}
	if got := sp.used.Load(); got > 200_000 {
		t.Errorf("%d octets used of 200000", got)
	}
	for _, m := range ms {
		if read(t, m.Open()) != in {
			t.Error("a message has something else's content")
		}
		m.close()
		m.close()
	}
	if got := sp.used.Load(); got != 0 {
		t.Errorf("%d octets of the budget are not given back", got)
	}
}

func TestNoStorage(t *testing.T) {
	big := lines(300 << 10)
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, sp *spooler)
		want  error
	}{
		{"no folder", func(t *testing.T, sp *spooler) { sp.cfg.Spool.Dir = filepath.Join(t.TempDir(), "gone") }, os.ErrNotExist},
		{"full disk", func(t *testing.T, sp *spooler) {
			sp.create = func() (*os.File, error) { return fullDisk(t), nil }
		}, syscall.ENOSPC},
	} {
		t.Run(c.name, func(t *testing.T) {
			sp := testSpooler(t, nil)
			c.spoil(t, sp)
			m, err := sp.receive(atOnce(big), intake{})
			var ref *refusal
			if m != nil || !errors.As(err, &ref) {
				t.Fatalf("got %v, %v, want a refusal", m, err)
			}
			if got := ref.reply; got.Code != 452 || got.EnhancedCode != (smtp.EnhancedCode{4, 3, 1}) || strings.ContainsAny(got.Message, "/:") {
				t.Errorf("reply %v", got)
			}
			if !errors.Is(err, c.want) || !strings.Contains(ref.reason, "spool: ") {
				t.Errorf("reason %q (%v), want %v", ref.reason, err, c.want)
			}
			if got := sp.used.Load(); got != 0 {
				t.Errorf("%d octets of the budget are not given back", got)
			}
		})
	}
}

// fullDisk is a file that can not be written to: its disk is full. It is a link
// to /dev/full, since the spool unlinks what it makes.
func fullDisk(t *testing.T) *os.File {
	t.Helper()
	link := filepath.Join(t.TempDir(), "full")
	if err := os.Symlink("/dev/full", link); err != nil {
		t.Skip(err)
	}
	f, err := os.OpenFile(link, os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	return f
}

// A file that shrinks under us is an error, never a shorter message.
func TestTruncatedFile(t *testing.T) {
	sp := testSpooler(t, nil)
	m, err := sp.receive(atOnce(lines(300<<10)), intake{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	if err := m.c.file.Truncate(100 << 10); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]io.Reader{"Open": m.Open(), "edited": m.edited(), "edited, by Read": struct{ io.Reader }{m.edited()}} {
		if n, err := io.Copy(io.Discard, r); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %d octets and %v, want %v", name, n, err, io.ErrUnexpectedEOF)
		}
	}
}

// What the reader says is what the caller hears.
func TestReaderErrors(t *testing.T) {
	for _, want := range []error{io.ErrUnexpectedEOF, smtp.ErrDataTooLarge, smtp.ErrDataReset, smtp.ErrTooLongLine} {
		for _, size := range []int{0, 100, 300 << 10} {
			sp := testSpooler(t, nil)
			r := io.MultiReader(strings.NewReader(strings.Repeat("x\r\n", size/3)), iotest.ErrReader(want))
			m, err := sp.receive(r, intake{})
			if m != nil || err != want {
				t.Errorf("after %d octets: %v, %v, want %v", size, m, err, want)
			}
			if got := sp.used.Load(); got != 0 {
				t.Errorf("%d octets of the budget are not given back", got)
			}
		}
	}
	sp := testSpooler(t, nil)
	if _, err := sp.receive(stuck{}, intake{}); err != io.ErrNoProgress {
		t.Errorf("a reader that reads nothing: %v", err)
	}
	func() {
		defer func() { recover() }()
		sp.receive(readerFunc(func([]byte) (int, error) { panic("reader") }), intake{})
	}()
	if got := sp.used.Load(); got != 0 {
		t.Errorf("after a panic %d octets of the budget are not given back", got)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func TestClass(t *testing.T) {
	for n, want := range map[int]int{0: 0, 1: 0, 8192: 0, 8193: 1, 16384: 1, 16385: 2, 256 << 10: 5} {
		if got := class(n); got != want {
			t.Errorf("class(%d) = %d, want %d", n, got, want)
		}
	}
}

func FuzzReceive(f *testing.F) {
	for _, s := range []string{
		"", "\r\n", "a: b\r\n\r\nc", "a: b\r\n c\r\n\r\n", "From : x\r\njunk\r\na: b\r\n\r\n", " lead\r\n", "\x00", "a\r\r\n\n",
		"Received: x\r\n\r\n", "a: b", "a", "a \r\n", ":\r\n", "\n\n", "a: b\n\nc", lines(9000),
	} {
		f.Add(s, uint8(0), uint8(3))
		f.Add(s, uint8(1), uint8(1))
		f.Add(s, uint8(2), uint8(200))
	}
	cfg := Config{Spool: SpoolConfig{Dir: f.TempDir()}}.filled()
	sp := newSpooler(&cfg)
	f.Fuzz(func(t *testing.T, in string, policy, cut uint8) {
		p := OctetPolicy(policy % 3)
		r := inPieces(in, rand.New(rand.NewPCG(uint64(cut), 0)), int(cut)+1)
		m, err := sp.receive(r, intake{octets: p, size: int64(cut)})
		if err != nil {
			var ref *refusal
			if !errors.As(err, &ref) || ref.reply.Code/100 != 5 {
				t.Fatal(err)
			}
			return
		}
		defer m.close()
		got := read(t, m.Open())
		if p != OctetsNormalize && got != in {
			t.Fatalf("content is %q", got)
		}
		if p != OctetsAllow && strings.ContainsAny(strings.ReplaceAll(got, "\r\n", ""), "\r\n\x00") {
			t.Fatalf("odd octets in %q", got)
		}
		var all strings.Builder
		end := int64(0)
		for _, f := range m.Header() {
			if f.Start != end || f.Raw() != got[f.Start:f.End] || !strings.HasPrefix(f.Raw(), f.Name) || got[f.ValueStart-1] != ':' {
				t.Fatalf("field %+v", f)
			}
			end = f.End
			all.WriteString(f.Raw())
		}
		head, body := got[:m.BodyOffset()], got[m.BodyOffset():]
		border := strings.TrimPrefix(head, all.String())
		if !slices.Contains([]string{"", "\r\n", "\n"}, border) || all.String()+border+body != got {
			t.Fatalf("between header section and body of %q is %q", got, border)
		}
		want := got
		if border == "" && body != "" {
			want = head + "\r\n" + body
		}
		if e := read(t, m.edited()); e != want {
			t.Fatalf("edited is %q, want %q", e, want)
		}
	})
}

func BenchmarkSpool(b *testing.B) {
	for _, size := range []int{4 << 10, 100 << 10} {
		for _, hint := range []int{0, size} {
			b.Run(fmt.Sprintf("%dKiB/hint=%d", size>>10, hint), func(b *testing.B) {
				sp := testSpooler(b, nil)
				in := []byte(lines(size))
				r := bytes.NewReader(in)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					r.Reset(in)
					m, err := sp.receive(r, intake{size: int64(hint)})
					if err != nil {
						b.Fatal(err)
					}
					m.close()
				}
			})
		}
	}
}

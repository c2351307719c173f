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
			m, err := sp.receive(strings.NewReader(c.in), intake{note: func(s string) { notes = append(notes, s) }})
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
	m, err := sp.receive(strings.NewReader("Subject: ü\r\n\r\n"), intake{utf8: true, note: func(s string) { t.Errorf("with SMTPUTF8: %s", s) }})
	if err != nil {
		t.Fatal(err)
	}
	m.close()
}

func TestEightBit(t *testing.T) {
	for _, tt := range []struct {
		in   string
		utf8 bool
		ok   bool
	}{
		{"Subject: \xfc\r\n\r\n", false, false},
		{"Subject: \xfc\r\n\r\n" + lines(50_000), false, false}, // from a file
		{"Subject: ü\r\n\r\n", true, true},
		{"Subject: u\r\n\r\n\xfc", false, true},
	} {
		sp := testSpooler(t, func(cfg *Config) { cfg.EightBit, cfg.Spool.Memory = EightBitRefuse, 8<<10 })
		m, err := sp.receive(strings.NewReader(tt.in), intake{utf8: tt.utf8})
		var ref *refusal
		if (err == nil) != tt.ok || err != nil && !errors.As(err, &ref) {
			t.Errorf("%.20q, SMTPUTF8 %v: %v", tt.in, tt.utf8, err)
		}
		if m != nil {
			m.close()
		}
		if n := sp.used.Load(); n != 0 {
			t.Errorf("%.20q: %d octets of the budget are kept", tt.in, n)
		}
	}
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
		{"falsely hinted, and believed by then", 40_000, 100_000, nil, false, 128 << 10},
		{"falsely hinted as too much for memory", 40_000, 3 << 20, nil, true, 16},
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
			m, err := sp.receive(strings.NewReader(in), intake{size: c.hint})
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
		m, err := sp.receive(strings.NewReader(in), intake{size: 60_000})
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
			m, err := sp.receive(strings.NewReader(big), intake{})
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
	m, err := sp.receive(strings.NewReader(lines(300<<10)), intake{})
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

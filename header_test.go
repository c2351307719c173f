package smtpguard

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// testMessage spools content, and closes it with the test.
func testMessage(t testing.TB, sp *spooler, content string) *Message {
	t.Helper()
	if sp == nil {
		sp = testSpooler(t, nil)
	}
	m, err := sp.receive(strings.NewReader(content), intake{octets: OctetsAllow})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.close)
	return m
}

func TestHeader(t *testing.T) {
	for _, c := range []struct {
		name, in string
		fields   []string // name=unfolded value
		body     int64
	}{
		{"nothing", "", nil, 0},
		{"usual", "From: a\r\nTo: b\r\n\r\nbody", []string{"From=a", "To=b"}, 18},
		{"order and repetition", "b: 1\r\na: 2\r\nB: 3\r\n\r\n", []string{"b=1", "a=2", "B=3"}, 20},
		{"no body", "From: a\r\n", []string{"From=a"}, 9},
		{"no line end", "From: a", []string{"From=a"}, 7},
		{"no value", "From:\r\n\r\nx", []string{"From="}, 9},
		{"folded", "Subject: a\r\n b\r\n\tc\r\n\r\n", []string{"Subject=a b\tc"}, 22},
		{"folded at once", "Subject:\r\n a\r\n\r\n", []string{"Subject=a"}, 16},
		{"colons", "a:b:c\r\n\r\n", []string{"a=b:c"}, 9},
		{"a line of white space is a continuation", "a: b\r\n \r\nc: d\r\n\r\n", []string{"a=b", "c=d"}, 17},
		{"space before the colon (RFC 5322, section 4.5)", "From : a\r\nTo\t \t: b\r\n\r\n", []string{"From=a", "To=b"}, 22},
		{"no space before a fold before the colon", "From\r\n : a\r\n\r\n", nil, 0},
		{"empty header", "\r\nFrom: a\r\n", nil, 2},
		{"continues nothing", " a: b\r\nc: d\r\n\r\n", nil, 0},
		{"no colon", "a: b\r\njunk\r\nc: d\r\n\r\n", []string{"a=b"}, 6},
		{"no colon, last", "a: b\r\njunk", []string{"a=b"}, 6},
		{"no colon but space, last", "a: b\r\njunk ", []string{"a=b"}, 6},
		{"no name", "a: b\r\n: c\r\n", []string{"a=b"}, 6},
		{"no name but space", "a: b\r\nc: d\r\n\r\n : c\r\n", []string{"a=b", "c=d"}, 14},
		{"a name of two words", "a: b\r\nc d: e\r\n", []string{"a=b"}, 6},
		{"mbox", "From a@example.org Mon\r\nFrom: a\r\n\r\n", nil, 0},
		{"a name that is not ASCII", "a: b\r\n\xfcber: c\r\n", []string{"a=b"}, 6},
		{"control in the name", "a: b\r\nc\x01: d\r\n", []string{"a=b"}, 6},
		{"odd but printable names", "~!=: 1\r\n\r\n", []string{"~!==1"}, 10},
		{"bare LF ends a line", "a: b\n c\nd: e\n\nbody", []string{"a=b c", "d=e"}, 14},
		{"bare CR does not", "a: b\rc: d\r\n\r\n", []string{"a=b\rc: d"}, 13},
		{"bare CR is no empty line", "a: b\r\n\rc: d\r\n", []string{"a=b"}, 6},
		{"lone CR last", "a: b\r\n\r", []string{"a=b"}, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, memory := range []int{1, 1000} {
				m := testMessage(t, testSpooler(t, func(cfg *Config) { cfg.Spool.Memory = memory }), c.in)
				var got []string
				for _, f := range m.Header() {
					got = append(got, f.Name+"="+f.Unfolded())
				}
				if !slices.Equal(got, c.fields) {
					t.Errorf("fields %q, want %q", got, c.fields)
				}
				if m.BodyOffset() != c.body {
					t.Errorf("body at %d, want %d", m.BodyOffset(), c.body)
				}
			}
		})
	}
}

func TestField(t *testing.T) {
	m := testMessage(t, nil, "To: x\r\nFrom : a\r\n b \r\n\r\n")
	f := m.Header()[1]
	if f.Name != "From" || f.Start != 7 || f.ValueStart != 13 || f.End != 22 {
		t.Errorf("field %+v", f)
	}
	if got, want := f.Raw(), "From : a\r\n b \r\n"; got != want {
		t.Errorf("Raw %q, want %q", got, want)
	}
	if got, want := f.Value(), " a\r\n b "; got != want {
		t.Errorf("Value %q, want %q", got, want)
	}
	if got, want := f.Unfolded(), "a b"; got != want {
		t.Errorf("Unfolded %q, want %q", got, want)
	}
}

func TestFields(t *testing.T) {
	m := testMessage(t, nil, "from: a\r\nTo: b\r\nFROM : c\r\nX-From: d\r\n\r\nFrom: e\r\n")
	var got []string
	for f := range m.Fields("From") {
		got = append(got, f.Unfolded())
	}
	if want := []string{"a", "c"}; !slices.Equal(got, want) {
		t.Errorf("From fields %q, want %q", got, want)
	}
	for f := range m.Fields("fRoM") {
		if f.Unfolded() != "a" {
			t.Errorf("first From is %q", f.Unfolded())
		}
		break
	}
}

// What an attacker may make us do for a header is bounded.
func TestHeaderAllocations(t *testing.T) {
	sp := testSpooler(t, nil)
	in := strings.Repeat("X-Field: value\r\n", 10) + "\r\nbody\r\n"
	r := strings.NewReader(in)
	if n := testing.AllocsPerRun(100, func() {
		r.Reset(in)
		m, err := sp.receive(r, intake{})
		if err != nil || len(m.Header()) != 10 {
			t.Fatal(err)
		}
		m.close()
	}); n > 6 {
		t.Errorf("%v allocations for a message of ten fields", n)
	}
}

// fieldsByLine is the header section the slow way: whole lines, all at hand.
func fieldsByLine(content string) (names []string, body int64) {
	at := 0
	for at < len(content) {
		line := content[at:]
		if i := strings.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		switch {
		case line == "\r\n" || line == "\n":
			return names, int64(at + len(line))
		case len(names) > 0 && (line[0] == ' ' || line[0] == '\t'):
		default:
			name, _, ok := strings.Cut(line, ":")
			name = strings.TrimRight(name, " \t")
			if !ok || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
				return names, int64(at)
			}
			names = append(names, name)
		}
		at += len(line)
	}
	return names, int64(at)
}

func FuzzHeader(f *testing.F) {
	for _, s := range []string{
		"", "a", "a:", "a :b\r\n\r\nc", "a: b\r\n c\r\n\t\r\nd:e\n\nf", "\r\n", "\r", " x: y\r\n", "a: b\r\n\rc: d\r\n", "\xffa: b\r\n", "a\xff: b\r\n", "a: b\r\n :c\r\n:d\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		cfg := Config{}.filled()
		m, err := newSpooler(&cfg).receive(strings.NewReader(in), intake{octets: OctetsAllow})
		if err != nil {
			return // over a limit: TestLimits
		}
		defer m.close()
		want, body := fieldsByLine(in)
		var got []string
		for _, f := range m.Header() {
			got = append(got, f.Name)
			if strings.ContainsRune(strings.TrimSuffix(f.Value(), "\r"), '\n') && !strings.ContainsAny(f.Value(), " \t") {
				t.Errorf("value %q has a line end and no continuation", f.Value())
			}
			if strings.ContainsRune(f.Unfolded(), '\n') {
				t.Errorf("unfolded is %q", f.Unfolded())
			}
		}
		if !slices.Equal(got, want) || m.BodyOffset() != body {
			t.Errorf("%q: fields %q and body at %d, want %q and %d", in, got, m.BodyOffset(), want, body)
		}
	})
}

// A message with several From fields shows one of them to the check and
// another to its reader.
func ExampleMessage_Fields() {
	oneFrom := Check{
		Name: "one-from",
		Data: func(_ context.Context, _ *Transaction, m *Message) (Verdict, error) {
			n := 0
			for range m.Fields("From") {
				n++
			}
			if n != 1 {
				return Verdict{Action: Reject, Reason: fmt.Sprintf("%d From fields", n)}, nil
			}
			return Verdict{}, nil
		},
	}

	m := received822("From: boss@example.org\r\nfrom : mallory@example.net\r\n\r\nPay.\r\n")
	v, err := oneFrom.Data(context.Background(), nil, m)
	fmt.Println(v.Action, v.Reason, err)

	body := io.NewSectionReader(m, m.BodyOffset(), m.Size()-m.BodyOffset())
	text, err := io.ReadAll(body)
	fmt.Printf("%q %v\n", text, err)
	// Output:
	// reject 2 From fields <nil>
	// "Pay.\r\n" <nil>
}

func received822(content string) *Message {
	cfg := Config{}.filled()
	m, err := newSpooler(&cfg).receive(strings.NewReader(content), intake{})
	if err != nil {
		panic(err)
	}
	return m
}

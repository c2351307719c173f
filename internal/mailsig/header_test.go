package mailsig

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func start(t testing.TB, r io.Reader) *Run {
	t.Helper()
	run, err := New(Limits{}, nil).Start(r)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func TestHeader(t *testing.T) {
	for _, tt := range []struct {
		message string
		fields  string // name=raw, …
		body    string
	}{
		{"", "", ""},
		{"A: b\r\n\r\nbody", `A="A: b\r\n"`, "body"},
		{"A: b\r\nC :d\r\n e\r\n\r\n", `A="A: b\r\n" C="C :d\r\n e\r\n"`, ""},
		{"A: b", `A="A: b"`, ""},
		{"A: b\n\nbody", `A="A: b\n"`, "body"},
		{"A:\r\n\t\r\n \r\nB:c\r\n\r\n\r\n", `A="A:\r\n\t\r\n \r\n" B="B:c\r\n"`, "\r\n"},
		{"\r\nbody", "", "body"},
		{" A: b\r\n\r\n", "", " A: b\r\n\r\n"},                           // continues nothing
		{"A: b\r\nno field\r\nC: d", `A="A: b\r\n"`, "no field\r\nC: d"}, // as others read it
		{"A: b\r\nno", `A="A: b\r\n"`, "no"},
		{"A b: c\r\n", "", "A b: c\r\n"},
		{"\xc3\xa4: c\r\n", "", "\xc3\xa4: c\r\n"},
		{": c\r\n", "", ": c\r\n"},
		{"A: b\r\r\n\r\n", `A="A: b\r\r\n"`, ""},
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(tt.message), "by octet": iotest.OneByteReader(strings.NewReader(tt.message))} {
			run := start(t, r)
			var got []string
			for _, f := range run.Header.Fields {
				got = append(got, fmt.Sprintf("%s=%q", f.Name, f.Raw))
			}
			rest, err := io.ReadAll(io.MultiReader(strings.NewReader(string(run.body)), run.r))
			if err != nil {
				t.Fatal(err)
			}
			if s := strings.Join(got, " "); s != tt.fields || string(rest) != tt.body {
				t.Errorf("%q, %s: %s and %q, want %s and %q", tt.message, name, s, rest, tt.fields, tt.body)
			}
			run.Close()
		}
	}
}

func TestHeaderLimits(t *testing.T) {
	e := New(Limits{HeaderBytes: 1000, HeaderFields: 10}, nil)
	for name, message := range map[string]string{
		"a line":   "A: " + strings.Repeat("x", 200000),
		"octets":   "A: " + strings.Repeat("x", 1000) + "\r\n\r\nbody",
		"fields":   strings.Repeat("A: b\r\n", 11) + "\r\n",
		"no field": strings.Repeat("x", 200000),
	} {
		if _, err := e.Start(strings.NewReader(message)); !errors.Is(err, ErrHeader) {
			t.Errorf("%s: %v", name, err)
		}
	}
	run, err := e.Start(strings.NewReader(strings.Repeat("A: b\r\n", 10) + "\r\n" + strings.Repeat("x", 200000)))
	if err != nil || len(run.Header.Fields) != 10 {
		t.Errorf("at the limits: %v", err)
	}
	// A large header section leaves no large chunks behind.
	large := New(Limits{}, nil)
	run, err = large.Start(strings.NewReader("A: " + strings.Repeat("x", 500<<10) + "\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	run.Close()
	body := strings.NewReader("A: b\r\n\r\n" + strings.Repeat("x", 500<<10))
	if _, err := large.Start(body); err != nil || body.Len() < 400<<10 {
		t.Errorf("%v, %d octets are left to read", err, body.Len())
	}
	broken := errors.New("broken")
	if _, err := e.Start(io.MultiReader(strings.NewReader("A: b\r\n"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v", err)
	}
}

func TestRelaxedField(t *testing.T) {
	for _, tt := range []struct{ field, want string }{
		{"A: X\r\n", "a:X\r\n"}, // RFC 6376, section 3.4.5
		{"B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"},
		{"SubjeCT: Your Name\r\n", "subject:Your Name\r\n"},
		{"Subject \t:\t Ki \tmi \t \r\n No \t\r\n Na Wa\r\n", "subject:Ki mi No Na Wa\r\n"},
		{"A:\r\n", "a:\r\n"},
		{"A: \r\n \r\n\t\r\n", "a:\r\n"},
		{"A:b\n c\n", "a:b c\r\n"},
		{"A: b\rc \r d\r\n", "a:b\rc \r d\r\n"}, // bare CR is an octet
		{"A: b :  c\r\n", "a:b : c\r\n"},
		{"A: \x80 \x00  \xff\r\n", "a:\x80 \x00 \xff\r\n"},
	} {
		run := start(t, strings.NewReader(tt.field+"\r\n"))
		if len(run.Header.Fields) != 1 {
			t.Fatalf("%q: %v", tt.field, run.Header.Fields)
		}
		f := run.Header.Fields[0]
		if got := string(AppendField(nil, f, Relaxed)); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.field, got, tt.want)
		}
		if got := string(AppendField(nil, f, Simple)); got != tt.field {
			t.Errorf("%q: simple %q", tt.field, got)
		}
	}
}

// TestPick takes fields from the bottom up (RFC 6376, section 5.4.2).
func TestPick(t *testing.T) {
	run := start(t, strings.NewReader("To: 0\r\nFrom: 1\r\nTO: 2\r\nto : 3\r\nX: 4\r\n\r\n"))
	h := run.Header
	for _, tt := range []struct {
		names []string
		self  int
		want  []int // -1: none
	}{
		{[]string{"to", "To", "From", "tO", "to", "y"}, -1, []int{3, 2, 1, 0, -1, -1}},
		{[]string{"to", "to", "to"}, 3, []int{2, 0, -1}},
		{[]string{"to", "to", "to"}, 2, []int{3, 0, -1}},
		{[]string{"to", "to", "to"}, 0, []int{3, 2, -1}},
		{[]string{"x", "x"}, 4, []int{-1, -1}},
	} {
		h.rewind()
		var got []int
		for _, name := range tt.names {
			i, ok := h.pick(name, tt.self)
			if !ok {
				i = -1
			}
			got = append(got, i)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%v without %d: %v, want %v", tt.names, tt.self, got, tt.want)
		}
	}
	if h.Count("TO") != 3 || h.Count("y") != 0 {
		t.Error("Count")
	}
	if got := h.Others([]int32{1, 3, 2}, 4); !slices.Equal(got, []string{"To"}) {
		t.Errorf("Others: %v", got)
	}
}

// FuzzHeader: fields are the header section without a gap, what is canonical
// stays so, and picking finds each field once.
func FuzzHeader(f *testing.F) {
	f.Add("A: b\r\nC :d\r\n e\r\n\r\nbody")
	f.Add("A: b\nA:\t \r\n\r\n")
	f.Fuzz(func(t *testing.T, message string) {
		run, err := New(Limits{HeaderBytes: 1 << 20, HeaderFields: 1000}, nil).Start(iotest.HalfReader(strings.NewReader(message)))
		if err != nil {
			t.Skip()
		}
		defer run.Close()
		h := run.Header
		at := 0
		h.rewind()
		for _, field := range h.Fields {
			if !strings.HasPrefix(message[at:], field.Raw) {
				t.Fatalf("%q is not at %d", field.Raw, at)
			}
			at += len(field.Raw)
			once := string(AppendField(nil, field, Relaxed))
			again := start(t, strings.NewReader(once+"\r\n")).Header.Fields
			if len(again) != 1 || string(AppendField(nil, again[0], Relaxed)) != once {
				t.Fatalf("%q becomes %q, and that another", field.Raw, once)
			}
		}
		seen := map[int]bool{}
		for _, field := range h.Fields {
			i, ok := h.pick(field.Name, -1)
			if !ok || seen[i] || !strings.EqualFold(h.Fields[i].Name, field.Name) {
				t.Fatalf("pick %q: %d, %v", field.Name, i, ok)
			}
			seen[i] = true
		}
	})
}

func FuzzCRLF(f *testing.F) {
	f.Add("a\nb\r\nc\r\n\n")
	f.Add("a\rb")
	f.Add("a\r")
	f.Fuzz(func(t *testing.T, text string) {
		want := strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
		bare := strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\r")
		for name, r := range map[string]io.Reader{
			"whole": strings.NewReader(text), "by octet": iotest.OneByteReader(strings.NewReader(text)),
		} {
			got, err := io.ReadAll(iotest.OneByteReader(CRLF(r)))
			if bare != errors.Is(err, ErrBareCR) || !bare && string(got) != want {
				t.Errorf("%s of %q: %q, %v; want %q", name, text, got, err, want)
			}
		}
	})
}

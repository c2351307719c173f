package smtpguard

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

const sample = "Received: one\r\nX-Mark: forged\r\nFrom: a\r\nX-MARK : forged,\r\n\ttoo\r\nTo: b\r\n\r\nX-Mark: body\r\n"

func prepend(t *testing.T, m *Message, field string) {
	t.Helper()
	if err := m.Prepend(field); err != nil {
		t.Error(err)
	}
}

// wantEdited asserts what the backend reads, in every way it may read, and that
// checks see nothing of it.
func wantEdited(t *testing.T, m *Message, received, want string) {
	t.Helper()
	if err := iotest.TestReader(struct{ io.Reader }{m.edited()}, []byte(want)); err != nil {
		t.Error(err)
	}
	var w bytes.Buffer
	if n, err := m.edited().WriteTo(&w); err != nil || n != int64(len(want)) || w.String() != want {
		t.Errorf("WriteTo: %q (%d, %v), want %q", w.String(), n, err, want)
	}
	if got := read(t, iotest.OneByteReader(m.edited())); got != want {
		t.Errorf("octet by octet: %q, want %q", got, want)
	}
	if got := read(t, m.Open()); got != received {
		t.Errorf("checks see %q, want %q", got, received)
	}
}

func TestEdits(t *testing.T) {
	bothWays(t, sample, func(t *testing.T, m *Message) {
		wantEdited(t, m, sample, sample)

		prepend(t, m, "X-Mark: first")
		prepend(t, m, "X-Mark: second,\r\n\tfolded\r\n")
		wantEdited(t, m, sample, "X-Mark: second,\r\n\tfolded\r\nX-Mark: first\r\n"+sample)

		var seen []string
		m.Strip("x-mark", func(v []byte) bool {
			seen = append(seen, string(v))
			return strings.Contains(string(v), "too")
		})
		if got, want := strings.Join(seen, "|"), " forged| forged,\r\n\ttoo"; got != want {
			t.Errorf("match saw %q, want %q", got, want)
		}
		wantEdited(t, m, sample, "X-Mark: second,\r\n\tfolded\r\nX-Mark: first\r\n"+
			"Received: one\r\nX-Mark: forged\r\nFrom: a\r\nTo: b\r\n\r\nX-Mark: body\r\n")

		m.Strip("x-mark", nil)
		m.Strip("nothing", nil)
		wantEdited(t, m, sample, "X-Mark: second,\r\n\tfolded\r\nX-Mark: first\r\n"+
			"Received: one\r\nFrom: a\r\nTo: b\r\n\r\nX-Mark: body\r\n")

		m.Strip("received", nil)
		m.Strip("To", nil)
		wantEdited(t, m, sample, "X-Mark: second,\r\n\tfolded\r\nX-Mark: first\r\nFrom: a\r\n\r\nX-Mark: body\r\n")

		s := m.shadow()
		prepend(t, s, "X: shadow")
		s.Strip("From", nil)
		wantEdited(t, m, sample, "X-Mark: second,\r\n\tfolded\r\nX-Mark: first\r\nFrom: a\r\n\r\nX-Mark: body\r\n")
	})
}

// Nobody behind us shall see another border between header section and body
// than the checks did, nor continue our fields with the client's text.
func TestBorder(t *testing.T) {
	for in, want := range map[string]string{
		"":                        "X: y\r\n",
		"a: b\r\n":                "X: y\r\na: b\r\n",
		"a: b":                    "X: y\r\na: b",
		"\r\nbody":                "X: y\r\n\r\nbody",
		"a: b\r\n\r\nbody":        "X: y\r\na: b\r\n\r\nbody",
		" folded into yours\r\n":  "X: y\r\n\r\n folded into yours\r\n",
		"junk\r\nFrom: c\r\n":     "X: y\r\n\r\njunk\r\nFrom: c\r\n",
		"a: b\r\njunk\r\nFrom: c": "X: y\r\na: b\r\n\r\njunk\r\nFrom: c",
	} {
		bothWays(t, in, func(t *testing.T, m *Message) {
			prepend(t, m, "X: y")
			wantEdited(t, m, in, want)
		})
	}
}

func TestPrependRefuses(t *testing.T) {
	m := testMessage(t, nil, sample)
	for name, field := range map[string]string{
		"nothing":               "",
		"no colon":              "X",
		"no name":               ": y",
		"space in the name":     "X : y",
		"line end in the name":  "X\r\n: y",
		"8-bit in the name":     "\xfc: y",
		"bare LF":               "X: y\n z",
		"bare LF at the end":    "X: y\n",
		"bare CR":               "X: y\rz",
		"CR at the end":         "X: y\r",
		"NUL":                   "X: \x00",
		"another field":         "X: y\r\nFrom: z\r\n",
		"a body":                "X: y\r\n\r\nbody",
		"two line ends":         "X: y\r\n\r\n",
		"a line of white space": "X: y\r\n \r\n z",
		"white space at last":   "X: y\r\n\t\r\n",
		"a long line":           "X: " + strings.Repeat("y", 996),
		"a long continuation":   "X: y\r\n " + strings.Repeat("y", 998),
	} {
		if err := m.Prepend(field); err == nil || !strings.HasPrefix(err.Error(), "smtpguard: prepend ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantEdited(t, m, sample, sample)
	for _, field := range []string{"X:", "X:\r\n y", "X: " + strings.Repeat("y", 995), "X: \u00fc\r\n"} {
		if err := m.Prepend(field); err != nil {
			t.Error(err)
		}
	}
}

func TestSign(t *testing.T) {
	tx := &Transaction{conn: &Conn{}}
	m := testMessage(t, nil, sample)
	var saw []string
	signer := func(fields ...string) Signer {
		return func(ctx context.Context, content io.Reader) ([]string, error) {
			if ctx != tx.Context() {
				t.Error("a signer has another context")
			}
			saw = append(saw, read(t, content))
			return fields, nil
		}
	}
	m.Sign(signer("Sig: 1"))
	m.Sign(signer())
	m.Sign(signer("Seal: 3\r\n", "Sig: 3", "Results: 3,\r\n\tfolded\r\n"))
	m.Sign(signer("Sig: 4\r\n"))
	prepend(t, m, "X: y")
	m.Strip("X-Mark", nil)
	if len(saw) != 0 {
		t.Error("a signer ran before its time")
	}
	if err := m.seal(tx); err != nil {
		t.Fatal(err)
	}
	edited := "X: y\r\nReceived: one\r\nFrom: a\r\nTo: b\r\n\r\nX-Mark: body\r\n"
	set := "Seal: 3\r\nSig: 3\r\nResults: 3,\r\n\tfolded\r\n"
	want := []string{edited, "Sig: 1\r\n" + edited, "Sig: 1\r\n" + edited, set + "Sig: 1\r\n" + edited}
	if strings.Join(saw, "|") != strings.Join(want, "|") {
		t.Errorf("signers saw %q, want %q", saw, want)
	}
	final := "Sig: 4\r\n" + set + "Sig: 1\r\n" + edited
	wantEdited(t, m, sample, final)

	if err := m.Prepend("Late: z"); !errors.Is(err, errSealed) {
		t.Errorf("Prepend behind the checks: %v", err)
	}
	m.Strip("From", nil)
	m.Sign(signer("Late: z"))
	if err := m.seal(tx); err != nil {
		t.Fatal(err)
	}
	wantEdited(t, m, sample, final)
}

func TestSignFails(t *testing.T) {
	broken := errors.New("no key")
	for name, f := range map[string]Signer{
		"error":           func(context.Context, io.Reader) ([]string, error) { return []string{"Sig: x"}, broken },
		"panic":           func(context.Context, io.Reader) ([]string, error) { panic("no key") },
		"bad field":       func(context.Context, io.Reader) ([]string, error) { return []string{"no key"}, nil },
		"a bad one":       func(context.Context, io.Reader) ([]string, error) { return []string{"Sig: x", "no key"}, nil },
		"two in one text": func(context.Context, io.Reader) ([]string, error) { return []string{"Sig: no key\r\nFrom: x\r\n"}, nil },
	} {
		m := testMessage(t, nil, sample)
		ran := false
		m.Sign(f)
		m.Sign(func(context.Context, io.Reader) ([]string, error) { ran = true; return nil, nil })
		err := m.seal(&Transaction{conn: &Conn{}})
		if err == nil || !strings.Contains(err.Error(), "no key") {
			t.Errorf("%s: %v", name, err)
		}
		if name == "error" && !errors.Is(err, broken) {
			t.Errorf("%v does not wrap what the signer said", err)
		}
		if ran {
			t.Errorf("%s: signing went on", name)
		}
	}
}

// A writer that takes less than it is given is an error, not a loop.
func TestShortWrite(t *testing.T) {
	bothWays(t, sample, func(t *testing.T, m *Message) {
		prepend(t, m, "X: y")
		for _, room := range []int{0, 3, 20} {
			n, err := m.edited().WriteTo(&shortWriter{room})
			if n != int64(room) || err != io.ErrShortWrite {
				t.Errorf("room for %d: %d, %v", room, n, err)
			}
		}
	})
}

type shortWriter struct{ room int }

func (w *shortWriter) Write(b []byte) (int, error) {
	n := min(len(b), w.room)
	w.room -= n
	return n, nil
}

package mailsig

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/require"
)

func load(t *testing.T, into any, elem ...string) {
	t.Helper()
	text, err := os.ReadFile(require.Suite(t, elem...))
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestMsgauthTables are go-msgauth's own tables of canonical forms.
func TestMsgauthTables(t *testing.T) {
	var s struct {
		Canonical struct {
			RelaxedBody   [][2]string         `json:"relaxedCanonicalizerBodyTests"`
			RelaxedHeader [][2]string         `json:"relaxedCanonicalizerHeaderTests"`
			SimpleBody    [][]json.RawMessage `json:"simpleCanonicalizerBodyTests"`
		} `json:"canonical_test"`
	}
	load(t, &s, "dkim", "gomsgauth", "canonical.json")
	c := &s.Canonical
	if len(c.RelaxedBody) == 0 || len(c.RelaxedHeader) == 0 || len(c.SimpleBody) == 0 {
		t.Fatal("a table is empty")
	}
	for _, tt := range c.RelaxedBody {
		if got := canonical(Relaxed, tt[0]); got != tt[1] {
			t.Errorf("relaxed %q: %q, want %q", tt[0], got, tt[1])
		}
	}
	for _, tt := range c.RelaxedHeader {
		f := start(t, strings.NewReader(tt[0]+"\r\n")).Header.Fields[0]
		if got := string(AppendField(nil, f, Relaxed)); got != tt[1] {
			t.Errorf("relaxed %q: %q, want %q", tt[0], got, tt[1])
		}
	}
	for _, tt := range c.SimpleBody {
		var chunks []string
		var want string
		if json.Unmarshal(tt[0], &chunks) != nil || json.Unmarshal(tt[1], &want) != nil {
			t.Fatalf("%s", tt)
		}
		body := strings.Join(chunks, "")
		if strings.Contains(strings.ReplaceAll(body, "\r\n", ""), "\n") {
			continue // it takes bare LF for CRLF, which is the sender's to mend: RFC 6376, section 5.3
		}
		if got := canonical(Simple, body, len(chunks[0])); got != want {
			t.Errorf("simple %q: %q, want %q", body, got, want)
		}
	}
}

// TestDkimpyTables are dkimpy's.
func TestDkimpyTables(t *testing.T) {
	var s []struct {
		Class, Test string
		Args        [2]string
	}
	load(t, &s, "dkim", "dkimpy", "canonicalization.json")
	bodies := 0
	for _, tt := range s {
		c := Relaxed
		if strings.HasPrefix(tt.Class, "TestSimple") {
			c = Simple
		}
		if !strings.HasSuffix(tt.Class, "Body") {
			continue // pairs of names and values: TestRelaxedField has the same
		}
		want, body := literal(t, tt.Args[0]), literal(t, tt.Args[1])
		if got := canonical(c, body); got != want {
			t.Errorf("%s of %q: %q, want %q", tt.Test, body, got, want)
		}
		bodies++
	}
	if bodies == 0 {
		t.Fatal("no bodies")
	}
}

// literal reads a bytes literal of Python.
func literal(t *testing.T, s string) string {
	t.Helper()
	text, err := strconv.Unquote(`"` + strings.Trim(strings.TrimPrefix(s, "b"), "'") + `"`)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return text
}

// calls are the calls of a function in mox's tests.
type calls struct {
	Calls []struct {
		Func string            `json:"f"`
		Args []json.RawMessage `json:"a"`
	}
}

// each calls f with the arguments of every call of test.
func (c calls) each(t *testing.T, f func(text string, args []json.RawMessage)) {
	t.Helper()
	n := 0
	for _, call := range c.Calls {
		if call.Func != "test" {
			continue
		}
		var text string
		if err := json.Unmarshal(call.Args[0], &text); err != nil {
			t.Fatal(err)
		}
		f(text, call.Args[1:])
		n++
	}
	if n == 0 {
		t.Fatal("no calls")
	}
}

// TestMoxTables are what mox's parsers take and refuse.
func TestMoxTables(t *testing.T) {
	var s struct {
		TXT struct{ TestParseRecord calls }
		Sig struct{ TestSig calls }
	}
	load(t, &s, "dkim", "mox", "parse.json")
	differ := map[string]string{
		"v=DKIM1; p=; ":          "the tag list may end in white space: RFC 6376, section 3.2",
		"v=DKIM1; k=unknown; p=": "a key that is revoked, whatever its type: section 3.6.1",
	}
	s.TXT.TestParseRecord.each(t, func(text string, args []json.RawMessage) {
		want := string(args[2]) == "null" // no error
		if why := differ[text]; why != "" {
			want = !want
		}
		if _, err := ParseRecord(text); (err == nil) != want {
			t.Errorf("record %q: %v, want an error %v", text, err, !want)
		}
	})
	s.Sig.TestSig.each(t, func(text string, args []json.RawMessage) {
		utf8, want := string(args[0]) == "true", string(args[2]) == "null"
		name, value, _ := strings.Cut(strings.TrimSuffix(text, "\r\n"), ":")
		if !strings.EqualFold(name, "dkim-signature") || !utf8 {
			return // about what is around the value; about mail that is known to have no UTF-8
		}
		if strings.Contains(value, "i=@unrelated") || strings.Contains(value, "bh=dGVzdAo=") {
			return // what the verifier judges: TestVerdicts; a bh= that is not a hash, which equals none
		}
		if _, err := ParseSignature(value, New(Limits{}, nil).Limits); (err == nil) != want {
			t.Errorf("signature %q: %v, want an error %v", text, err, !want)
		}
	})
}

package dovecot

import (
	"slices"
	"strings"
	"testing"
)

func TestParseLine(t *testing.T) {
	for line, want := range map[string][]string{
		"":                              {""},
		"OK\t1\tuser=ann":               {"OK", "1", "user=ann"},
		"OK\t1\t":                       {"OK", "1", ""},
		"FAIL\t1\treason=a\x01tb\x01nc": {"FAIL", "1", "reason=a\tb\nc"},
		"X\t\x011t\x010\x01r":           {"X", "\x01t\x00\r"},
		"X\t\x01":                       {"X", "\x01"},
		"X\t\x01x":                      {"X", "\x01x"},
	} {
		if verb, params := parseLine(line); !slices.Equal(append([]string{verb}, params...), want) {
			t.Errorf("%q is %q, %q, want %q", line, verb, params, want)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	for _, s := range []string{"OK\t1\tuser=ann\tnologin", "FAIL\t2\ttemp", "CONT\t3\tdGV4dA==", "VERSION\t1\t2", "MECH\tPLAIN\tplaintext", "DONE", "OK\t\x01t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if r, ok, err := parseReply(line); ok && err == nil {
			if r.verb != "OK" && r.verb != "FAIL" && r.verb != "CONT" || !strings.HasPrefix(line, r.verb) {
				t.Errorf("%q is %+v", line, r)
			}
			if user, err := judge(&r); err == nil && r.verb != "OK" {
				t.Errorf("%q lets %q in", line, user)
			} else if _, proxied := r.param("proxy"); err == nil && proxied {
				t.Errorf("%q lets %q in", line, user)
			}
		}
		var h handshake
		if done, err := h.line(line); done || err == nil && h.version != strings.HasPrefix(line, "VERSION\t1\t") {
			t.Errorf("a handshake of %q: %+v, %v", line, h, err)
		}
	})
}

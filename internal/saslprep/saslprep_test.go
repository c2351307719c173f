package saslprep

import (
	"testing"
	"unicode/utf8"
)

func TestPrepare(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		err      error
	}{
		// RFC 4013, section 3.
		{"I\u00adX", "IX", nil},
		{"user", "user", nil},
		{"USER", "USER", nil},
		{"\u00aa", "a", nil},
		{"\u2168", "IX", nil},
		{"\x07", "", errProhibited},
		{"\u0627\u0031", "", errBidi},

		{"", "", nil},
		{"a b", "a b", nil},
		{"a\u00a0b", "a b", nil},
		{"a\u200bb", "a b", nil},
		{"p\u212bss", "p\u00c5ss", nil},
		{"ramo\u0301n", "ram\u00f3n", nil},
		{"\u0627\u0628", "\u0627\u0628", nil},
		{"\u0627a\u0628", "", errBidi},
		{"a\u202eb", "", errProhibited},
		{"\ue000", "", errProhibited},
		{"\U0002fffe", "", errProhibited},
		{"\x7f", "", errProhibited},
		{"a\x00b", "", errProhibited},
		{"\xff", "", errUTF8},
		{"\U0001f600", "\U0001f600", nil}, // unknown to Unicode 3.2
	} {
		got, err := Prepare(tt.in)
		if err != tt.err || err == nil && got != tt.want {
			t.Errorf("Prepare(%q) = %q, %v; want %q, %v", tt.in, got, err, tt.want, tt.err)
		}
	}
}

func FuzzPrepare(f *testing.F) {
	for _, s := range []string{"user", "I\u00adX", "\u0627\u0031", "ramo\u0301n", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Prepare(s)
		if err != nil {
			return
		}
		if !utf8.ValidString(got) {
			t.Errorf("%q becomes %q, which is no UTF-8", s, got)
		}
		again, err := Prepare(got)
		if err == nil && again != got {
			t.Errorf("%q becomes %q, and that %q", s, got, again)
		}
	})
}

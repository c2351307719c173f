package surbl

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/domain"
	"github.com/smtpguard/smtpguard/internal/require"
)

// TestPublicSuffixes runs the vectors of the Public Suffix List over a list read
// from its file, and over the one that is compiled in.
func TestPublicSuffixes(t *testing.T) {
	f, err := os.Open(require.Suite(t, "url", "publicsuffix", "public_suffix_list.dat"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	read, err := ReadSuffixes(f)
	if err != nil {
		t.Fatal(err)
	}
	vectors, err := os.ReadFile(require.Suite(t, "url", "publicsuffix", "tests.txt"))
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for line := range strings.Lines(string(vectors)) {
		in, want, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(line, "//") {
			continue
		}
		name, err := domain.Normal(in)
		if err != nil {
			if want != "null" {
				t.Errorf("%s: %v", in, err)
			}
			continue
		}
		if want == "null" {
			want = name // what is a suffix has nothing registered, and stands for itself
		} else if want, err = domain.Normal(want); err != nil {
			t.Fatal(err)
		}
		cases++
		for kind, s := range map[string]*Suffixes{"read": read, "compiled in": {}} {
			if got, _ := s.Registered(name); got != want {
				t.Errorf("%s, %s: %s, want %s", kind, in, got, want)
			}
		}
	}
	if cases < 60 {
		t.Errorf("only %d cases", cases)
	}
}

// TestLevels has every name of SURBL's lists count as a suffix.
func TestLevels(t *testing.T) {
	s := new(Suffixes)
	var names []string
	for _, list := range []string{"two-level-tlds", "three-level-tlds"} {
		f, err := os.Open(require.Suite(t, "url", "surbl-tlds", list))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := s.AddLevels(f); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Seek(0, 0); err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			names = append(names, strings.TrimSpace(lines.Text()))
		}
	}
	if len(names) < 8000 {
		t.Fatalf("only %d names", len(names))
	}
	for _, name := range names {
		got, _ := s.Registered("www.some-site." + name)
		if got != "some-site."+name && got != "www.some-site."+name { // where the list has it deeper
			t.Errorf("www.some-site.%s: %s", name, got)
		}
	}
}

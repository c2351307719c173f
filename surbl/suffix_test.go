package surbl

import (
	"bufio"
	"os"
	"path/filepath"
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

// Files that are read again count from then on, also for who extracts meanwhile.
func TestSuffixFiles(t *testing.T) {
	dir := t.TempDir()
	list, levels := filepath.Join(dir, "list"), filepath.Join(dir, "levels")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(list, "com\nuk\nco.uk\n")
	write(levels, "# SURBL\nfree.com\n")
	x, err := NewExtractor(Extraction{})
	if err != nil {
		t.Fatal(err)
	}
	domain := func() string { return x.Text([]byte("http://www.some.free.com/")).URIs[0].Domain }
	if got := domain(); got != "free.com" {
		t.Errorf("without files: %s", got)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100 {
			domain()
		}
	}()
	for _, want := range []string{"some.free.com", "free.com", "some.free.com"} {
		if want == "free.com" {
			write(levels, "")
		} else {
			write(levels, "free.com\n")
		}
		s, err := ReadSuffixFiles(list, levels)
		if err != nil {
			t.Fatal(err)
		}
		x.SetSuffixes(s)
		if got := domain(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	<-done
	x.SetSuffixes(nil)
	if got := domain(); got != "free.com" {
		t.Errorf("without files again: %s", got)
	}
	write(levels, "a b\n")
	for want, names := range map[string][2]string{"no such file": {"", filepath.Join(dir, "none")}, "line 1": {"", levels}, "none, in ": {os.DevNull, ""}} {
		var more []string
		if names[1] != "" {
			more = append(more, names[1])
		}
		if _, err := ReadSuffixFiles(names[0], more...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", names, err, want)
		}
	}
}

package maildir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func open(t *testing.T) (*Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a", "mail")
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

// files lists the files below dir that match pattern, and what they hold.
func files(t *testing.T, dir, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(b))
	}
	slices.Sort(all)
	return all
}

func TestDeliver(t *testing.T) {
	s, dir := open(t)
	const content = "Subject: x\r\n\r\nbody\r\n.\r\n"
	st, err := s.Stage(strings.NewReader(content),
		Delivery{"example.org/ann", "Delivered-To: ann\r\n"},
		Delivery{"example.org/bob/.Junk", "Delivered-To: bob\r\n"},
		Delivery{"example.org/ann", "Delivered-To: ann+2\r\n"},
	)
	if err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir, "*/*/new/*"); len(got) != 0 {
		t.Errorf("before Commit readers see %q", got)
	}
	if got, err := io.ReadAll(st.Content()); err != nil || string(got) != content {
		t.Errorf("Content is %q, %v", got, err)
	}
	if err := st.Commit(); err != nil {
		t.Fatal(err)
	}
	st.Discard()
	if got, want := files(t, dir, "example.org/ann/new/*"), []string{"Delivered-To: ann\r\n" + content, "Delivered-To: ann+2\r\n" + content}; !slices.Equal(got, want) {
		t.Errorf("ann has %q", got)
	}
	if got := files(t, dir, "example.org/bob/.Junk/new/*"); !slices.Equal(got, []string{"Delivered-To: bob\r\n" + content}) {
		t.Errorf("bob's junk is %q", got)
	}
	if got := files(t, dir, "example.org/bob/.Junk/maildirfolder"); len(got) != 1 {
		t.Error("bob's junk is not marked as a folder")
	}
	for _, sub := range []string{"tmp", "new", "cur"} { // without them .Junk is no Maildir's folder
		if _, err := os.Stat(filepath.Join(dir, "example.org/bob", sub)); err != nil {
			t.Error(err)
		}
	}
	if got := files(t, dir, "*/*/tmp/*"); len(got) != 0 {
		t.Errorf("in tmp is left %q", got)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestStageFails(t *testing.T) {
	s, dir := open(t)
	broken := errors.New("broken")
	if _, err := s.Stage(io.MultiReader(strings.NewReader("half"), failing{broken}), Delivery{Mailbox: "d/u"}); !errors.Is(err, broken) {
		t.Errorf("error is %v", err)
	}
	if _, err := s.Stage(strings.NewReader("x"), Delivery{Mailbox: "d/u"}, Delivery{Mailbox: "d/../../u"}); err == nil {
		t.Error("a mailbox outside the store was taken")
	}
	if _, err := s.Stage(strings.NewReader("x")); err == nil {
		t.Error("no delivery is no error")
	}
	// A file in the way of one recipient's mailbox: nobody gets anything.
	if err := os.WriteFile(filepath.Join(dir, "d", "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stage(strings.NewReader("x"), Delivery{Mailbox: "d/u"}, Delivery{Mailbox: "d/file"}); err == nil {
		t.Error("delivery into a file")
	}
	if got := slices.Concat(files(t, dir, "*/*/tmp/*"), files(t, dir, "*/*/new/*")); len(got) != 0 {
		t.Errorf("left are %q", got)
	}
}

func TestDiscard(t *testing.T) {
	s, dir := open(t)
	st, err := s.Stage(strings.NewReader("x"), Delivery{Mailbox: "d/u"}, Delivery{Mailbox: "d/v"})
	if err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir, "*/*/tmp/*"); len(got) != 2 {
		t.Fatalf("staged are %q", got)
	}
	st.Discard()
	st.Discard()
	if got := files(t, dir, "*/*/*/*"); len(got) != 0 {
		t.Errorf("left are %q", got)
	}
}

// An error of Commit keeps what readers may have seen.
func TestCommitFails(t *testing.T) {
	s, dir := open(t)
	st, err := s.Stage(strings.NewReader("x"), Delivery{Mailbox: "d/u"}, Delivery{Mailbox: "d/v"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "d/v/new")); err != nil {
		t.Fatal(err)
	}
	if err := st.Commit(); err == nil {
		t.Fatal("no error")
	}
	st.Discard()
	if got := files(t, dir, "d/u/new/*"); len(got) != 1 {
		t.Errorf("u has %q", got)
	}
	if got := files(t, dir, "d/*/tmp/*"); len(got) != 0 {
		t.Errorf("in tmp is left %q", got)
	}
}

func TestFoldersRemoved(t *testing.T) {
	s, dir := open(t)
	for range 2 {
		st, err := s.Stage(strings.NewReader("x"), Delivery{Mailbox: "d/u"})
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, "d")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUnique(t *testing.T) {
	s, dir := open(t)
	other, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				st, err := []*Store{s, other}[i%2].Stage(strings.NewReader("x"), Delivery{"d/u", fmt.Sprintf("%d.%d\n", i, j)})
				if err == nil {
					err = st.Commit()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	seen := make(map[string]bool)
	for _, text := range files(t, dir, "d/u/new/*") {
		seen[text] = true
	}
	if n := len(files(t, dir, "d/u/new/*")); n != 160 || len(seen) != 160 {
		t.Errorf("%d files, %d messages, want 160", n, len(seen))
	}
}

func TestLeftovers(t *testing.T) {
	s, dir := open(t)
	for _, box := range []string{"d/u", "d/u/.Junk"} {
		if err := s.prepare(box); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-leftover - time.Minute)
	for name, at := range map[string]time.Time{
		"d/u/tmp/old": old, "d/u/.Junk/tmp/old": old, "d/u/new/kept": old, "d/u/cur/kept": old, "d/u/tmp/kept": time.Now(),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(dir); err != nil {
		t.Fatal(err)
	}
	got := slices.Concat(files(t, dir, "d/u/[cnt]*/*"), files(t, dir, "d/u/.Junk/tmp/*"))
	slices.Sort(got)
	if want := []string{"d/u/cur/kept", "d/u/new/kept", "d/u/tmp/kept"}; !slices.Equal(got, want) {
		t.Errorf("left are %q", got)
	}
}

// A full disk refuses, and leaves nothing half.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("smtpguard-test", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Stage(strings.NewReader(strings.Repeat("x", 128<<10)), Delivery{Mailbox: "d/u"})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error is %v", err)
	}
	if got := files(t, dir, "d/u/*/*"); len(got) != 0 {
		t.Errorf("%d files are left", len(got))
	}
}

package boltstore_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/auth/dmarc/report"
	"github.com/smtpguard/smtpguard/auth/dmarc/report/boltstore"
)

// child is set for a process that adds rows until it is killed.
const child = "SMTPGUARD_DMARC_BOLTSTORE_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(sender); path != "" {
		deliver(path)
	}
	path := os.Getenv(child)
	if path == "" {
		os.Exit(m.Run())
	}
	s, err := boltstore.Open(path, boltstore.Config{Flush: time.Millisecond})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		if err := s.Add(context.Background(), "batch", fmt.Sprintf(`{"row":%d}`, i), 1); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		if i%100 == 0 { // a mark is on the disk when Add returns, and so is all before it
			if err := s.Add(context.Background(), "batch", "sent", 1); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			fmt.Println(i)
		}
	}
}

func open(t testing.TB, path string, cfg boltstore.Config) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// held is all that a store has.
func held(t testing.TB, s report.Store) map[string]map[string]int64 {
	t.Helper()
	all := make(map[string]map[string]int64)
	for batch, err := range s.Batches(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		all[batch] = make(map[string]int64)
		for c, err := range s.Rows(t.Context(), batch) {
			if err != nil {
				t.Fatal(err)
			}
			if _, twice := all[batch][c.Row]; twice {
				t.Errorf("%s: %s twice", batch, c.Row)
			}
			all[batch][c.Row] = c.N
		}
	}
	return all
}

// TestStores has both stores do the same.
func TestStores(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dmarc.db")
	file := open(t, path, boltstore.Config{})
	for name, s := range map[string]report.Store{"memory": new(report.Memory), "file": file} {
		want := map[string]map[string]int64{"a": {}, "b": {}}
		for i := range 5000 { // more than a page
			batch, row := []string{"a", "b"}[i%2], fmt.Sprintf(`{"n":%d}`, i%3001)
			if err := s.Add(t.Context(), batch, row, int64(i)); err != nil {
				t.Fatal(err)
			}
			want[batch][row] += int64(i)
		}
		for _, row := range []string{"", "sent x"} {
			if err := s.Add(t.Context(), "a", row, 2); err != nil {
				t.Fatal(err)
			}
			if err := s.Add(t.Context(), "a", row, -1); err != nil {
				t.Fatal(err)
			}
			want["a"][row] = 1
		}
		if got := held(t, s); !maps.EqualFunc(got, want, maps.Equal) {
			t.Errorf("%s: %d and %d rows, want %d and %d", name, len(got["a"]), len(got["b"]), len(want["a"]), len(want["b"]))
		}
		for _, batch := range []string{"b", "b", "never"} {
			if err := s.Delete(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
		for range s.Rows(t.Context(), "b") {
			t.Errorf("%s: a row of what is deleted", name)
		}
		delete(want, "b")
		if got := held(t, s); !maps.EqualFunc(got, want, maps.Equal) {
			t.Errorf("%s: batches %d after one is deleted", name, len(got))
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for _, err := range s.Rows(ended, "a") {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	want := held(t, file)
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, path, boltstore.Config{})
	defer again.Close()
	if got := held(t, again); !maps.EqualFunc(got, want, maps.Equal) {
		t.Error("not the same when opened again")
	}
	if _, err := boltstore.Open(path, boltstore.Config{Wait: time.Millisecond}); !errors.Is(err, boltstore.ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
}

func TestFull(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "dmarc.db"), boltstore.Config{Rows: 10})
	defer s.Close()
	for range 2 {
		for i := range 30 {
			if err := s.Add(t.Context(), "a", fmt.Sprintf(`{"n":%d}`, i), 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Add(t.Context(), "a", "sent x", 1); err != nil { // which finds room, and writes
			t.Fatal(err)
		}
	}
	got := held(t, s)["a"]
	if len(got) != 12 || got[""] != 40 || got["sent x"] != 2 {
		t.Errorf("%v", got)
	}
}

// TestFullFile has so many batches that the file is full: those it has go on
// counting, no new one is begun, and there is room again when some are deleted.
func TestFullFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dmarc.db")
	lost := 0
	s := open(t, path, boltstore.Config{Octets: 1 << 20, Aside: func(_ string, err error) {
		if !errors.Is(err, report.ErrFull) {
			t.Error(err)
		}
		lost++
	}})
	defer s.Close()
	const mark = "sent x" // which is written at once
	add := func(batch, row string) {
		t.Helper()
		for _, row := range []string{row, mark} {
			if err := s.Add(t.Context(), batch, row, 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	long := strings.Repeat("x", 20_000)
	n := 0
	for ; lost == 0 && n < 200; n++ {
		add(fmt.Sprintf("%d %s", n, long), `{"n":0}`)
	}
	got := held(t, s)
	if lost == 0 || len(got) != n-1 || n < 20 {
		t.Fatalf("%d batches of %d, %d lost", len(got), n, lost)
	}
	first := "0 " + long
	add(first, `{"n":0}`)
	add(first, `{"n":1}`)
	if got := held(t, s)[first]; got[`{"n":0}`] != 2 || got[""] != 1 || got[mark] != 3 || len(got) != 3 {
		t.Errorf("%v", got)
	}
	for i := range n / 2 {
		if err := s.Delete(t.Context(), fmt.Sprintf("%d %s", i, long)); err != nil {
			t.Fatal(err)
		}
	}
	add("new", `{"n":0}`)
	if got := held(t, s)["new"]; got[`{"n":0}`] != 1 {
		t.Errorf("%v after half of it is deleted", got)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 4<<20 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestFullBatches has more batches than there may be, also when it is opened
// again.
func TestFullBatches(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dmarc.db")
	for range 2 {
		lost := 0
		s := open(t, path, boltstore.Config{Batches: 5, Aside: func(string, error) { lost++ }})
		for i := range 8 {
			for _, row := range []string{`{"n":0}`, "sent x"} {
				if err := s.Add(t.Context(), fmt.Sprint(i), row, 1); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := held(t, s); len(got) != 5 || lost != 3 {
			t.Errorf("%d batches, %d lost", len(got), lost)
		}
		for _, batch := range []string{"0", "0", "never"} {
			if err := s.Delete(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
		for _, batch := range []string{"new", "newer"} {
			if err := s.Add(t.Context(), batch, "sent x", 1); err != nil {
				t.Fatal(err)
			}
		}
		if got := held(t, s); len(got) != 5 || got["new"] == nil || lost != 4 {
			t.Errorf("%d batches, %d lost", len(got), lost)
		}
		if err := s.Delete(t.Context(), "new"); err != nil {
			t.Fatal(err)
		}
		if err := s.Add(t.Context(), "0", "sent x", 1); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTogether(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "dmarc.db"), boltstore.Config{Flush: time.Millisecond})
	defer s.Close()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 500 {
				if err := s.Add(context.Background(), "a", fmt.Sprintf(`{"n":%d}`, i%7), 1); err != nil {
					t.Error(err)
				}
				if i%100 == 0 {
					for range s.Rows(context.Background(), "a") {
					}
				}
			}
		})
	}
	wg.Wait()
	var n int64
	for _, count := range held(t, s)["a"] {
		n += count
	}
	if n != 8*500 {
		t.Errorf("%d", n)
	}
}

// TestDamaged puts what is no database, or half of one, where the file is.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "dmarc.db")
	s := open(t, path, boltstore.Config{})
	for i := range 20_000 {
		if err := s.Add(t.Context(), "a", fmt.Sprintf(`{"n":%d}`, i), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	middle := bytes.Clone(good)
	for i := len(middle) / 4; i < len(middle)*3/4; i++ {
		middle[i] = 0xa5
	}
	for name, content := range map[string][]byte{
		"text": []byte("hello"), "zeros": make([]byte, 64<<10), "half": good[:len(good)/2],
		"its head": good[:20_000], "overwritten": middle,
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		aside := ""
		s := open(t, path, boltstore.Config{Aside: func(name string, err error) {
			if aside = name; err == nil {
				t.Error("no word of what is wrong")
			}
		}})
		if err := s.Add(t.Context(), "a", `{"n":0}`, 1); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := held(t, s); len(got["a"]) != 1 {
			t.Errorf("%s: %d rows", name, len(got["a"]))
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if kept, err := os.ReadFile(aside); err != nil || !bytes.Equal(kept[:5], content[:5]) {
			t.Errorf("%s: aside is %q: %v", name, aside, err)
		}
	}
	if _, err := boltstore.Open(filepath.Join(dir, "none", "x.db"), boltstore.Config{}); err == nil {
		t.Error("opened in a directory that is not there")
	}
	for _, cfg := range []boltstore.Config{{Flush: -1}, {Wait: -1}, {Octets: -1}, {Batches: -1}} {
		if _, err := boltstore.Open(filepath.Join(dir, "x.db"), cfg); err == nil {
			t.Errorf("opened with %+v", cfg)
		}
	}
}

// TestKilled kills a process that adds: what it was told to be written is there.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dmarc.db")
	for range 3 {
		os.Remove(path)
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), child+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := -1
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ { // also what it wrote before it was killed
			if said, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatalf("the child said %q", lines.Text())
			}
			if n == 20 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait()
		if said < 0 {
			t.Fatal("the child said nothing")
		}
		s := open(t, path, boltstore.Config{Aside: func(_ string, err error) { t.Errorf("damaged: %v", err) }})
		rows := held(t, s)["batch"]
		for i := range said + 1 {
			if rows[fmt.Sprintf(`{"row":%d}`, i)] != 1 {
				t.Fatalf("row %d of %d is lost", i, said)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

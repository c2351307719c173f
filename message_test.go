package smtpguard

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

// bothWays runs f over content in memory and over the same in a file.
func bothWays(t *testing.T, content string, f func(t *testing.T, m *Message)) {
	t.Helper()
	for name, memory := range map[string]int{"memory": 1 << 20, "file": 1} {
		t.Run(name, func(t *testing.T) {
			sp := testSpooler(t, func(cfg *Config) { cfg.Spool.Memory = memory })
			f(t, testMessage(t, sp, content))
		})
	}
}

func TestMessageReads(t *testing.T) {
	in := lines(20_000)
	bothWays(t, in, func(t *testing.T, m *Message) {
		if err := iotest.TestReader(m.Open(), []byte(in)); err != nil {
			t.Error(err)
		}
		b := make([]byte, 10)
		if n, err := m.ReadAt(b, m.Size()-4); n != 4 || err != io.EOF {
			t.Errorf("across the end: %d, %v", n, err)
		}
		if n, err := m.ReadAt(b, m.Size()); n != 0 || err != io.EOF {
			t.Errorf("behind the end: %d, %v", n, err)
		}
		if n, err := m.ReadAt(b, -1); n != 0 || err == nil || err == io.EOF {
			t.Errorf("before the start: %d, %v", n, err)
		}
	})
}

func TestClosedMessage(t *testing.T) {
	in := lines(20_000)
	bothWays(t, in, func(t *testing.T, m *Message) {
		open, edited, shadow := m.Open(), m.edited(), m.shadow()
		known := m.Header()
		shadow.close()
		if got := read(t, m.Open()); got != in {
			t.Error("closing a shadow took the message away")
		}
		m.close()
		m.close()
		b := make([]byte, 10)
		for name, err := range map[string]error{
			"ReadAt":        second(m.ReadAt(b, 0)),
			"of a shadow":   second(shadow.ReadAt(b, 0)),
			"Open, before":  second(open.Read(b)),
			"Open, after":   second(m.Open().Read(b)),
			"edited":        second(edited.Read(b)),
			"edited's copy": second(int64ToInt(edited.WriteTo(io.Discard))),
		} {
			if !errors.Is(err, fs.ErrClosed) {
				t.Errorf("%s: %v, want fs.ErrClosed", name, err)
			}
		}
		if m.Size() != int64(len(in)) || len(known) != 1 || known[0].Unfolded() != "lines" {
			t.Errorf("size %d, fields %v", m.Size(), known)
		}
		if got := m.c.sp.used.Load(); got != 0 {
			t.Errorf("%d octets of the budget are not given back", got)
		}
	})
	m := testMessage(t, nil, in)
	m.close()
	if got := m.Header(); got != nil {
		t.Errorf("header of a closed message: %v", got)
	}
}

func second(_ int, err error) error { return err }

func int64ToInt(n int64, err error) (int, error) { return int(n), err }

// Hooks that outlived their deadline read on while the message is closed and
// its memory goes to the next one: they read their own octets, or an error.
func TestReadersOutliveMessage(t *testing.T) {
	for _, memory := range []int{1 << 20, 1} {
		sp := testSpooler(t, func(cfg *Config) { cfg.Spool.Memory = memory })
		var wg sync.WaitGroup
		for i := range 40 {
			mine := bytes.Repeat([]byte{byte('a' + i%26)}, 70)
			content := strings.Repeat(string(mine)+"\r\n", 100)
			m, err := sp.receive(strings.NewReader("\r\n"+content), intake{})
			if err != nil {
				t.Fatal(err)
			}
			started := make(chan struct{}, 3)
			for _, read := range []func() ([]byte, error){
				func() ([]byte, error) { b := make([]byte, 7200); n, err := m.ReadAt(b, 2); return b[:n], err },
				func() ([]byte, error) {
					var w bytes.Buffer
					_, err := m.edited().WriteTo(&w)
					return bytes.TrimPrefix(w.Bytes(), []byte("\r\n")), err
				},
				func() ([]byte, error) {
					m.Header()
					err := m.Prepend("X: y")
					m.Strip("X", nil)
					return nil, err
				},
			} {
				wg.Go(func() {
					start := sync.OnceFunc(func() { started <- struct{}{} })
					defer start()
					for n := 0; ; n++ {
						b, err := read()
						if errors.Is(err, fs.ErrClosed) || n == 200 {
							return
						}
						if err != nil {
							t.Errorf("read: %v", err)
							return
						}
						if i := bytes.Index(b, mine); len(b) > 0 && i < 0 {
							t.Errorf("message %c reads %.20q", mine[0], b)
							return
						}
						if rest := bytes.ReplaceAll(b, append(mine, "\r\n"...), nil); bytes.Contains(rest, []byte("\r\n")) && !bytes.Contains(rest, []byte("X: y")) {
							t.Errorf("message %c reads %.20q too", mine[0], rest)
							return
						}
						start()
					}
				})
			}
			for range 3 {
				<-started
			}
			m.close()
		}
		wg.Wait()
		if got := sp.used.Load(); got != 0 {
			t.Errorf("%d octets of the budget are not given back", got)
		}
	}
}

// A slow reader in the middle of a read keeps its memory; close does not wait.
func TestCloseWaitsForNobody(t *testing.T) {
	sp := testSpooler(t, nil)
	m := testMessage(t, sp, lines(4000))
	in, out := io.Pipe()
	done := make(chan error)
	go func() {
		_, err := m.edited().WriteTo(out)
		done <- err
	}()
	var first [1]byte
	if _, err := in.Read(first[:]); err != nil {
		t.Fatal(err)
	}
	m.close()
	if sp.used.Load() == 0 {
		t.Error("memory was given back under a reader")
	}
	other := testMessage(t, sp, strings.Repeat("other\r\n", 500))
	rest := make([]byte, m.Size()-1)
	if _, err := io.ReadFull(in, rest); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := string(first[:]) + string(rest); got != lines(4000) {
		t.Errorf("read %.40q", got)
	}
	other.close()
	if got := sp.used.Load(); got != 0 {
		t.Errorf("%d octets of the budget are not given back", got)
	}
}

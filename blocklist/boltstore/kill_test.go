package boltstore_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/blocklist"
	"github.com/smtpguard/smtpguard/blocklist/boltstore"
)

// child is set for a process that adds entries until it is killed.
const child = "SMTPGUARD_BOLTSTORE_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(child); path != "" {
		if err := addForEver(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// addForEver says on standard output what was acknowledged: from four
// goroutines, one in five entries removed again.
func addForEver(path string) error {
	s, err := boltstore.Open(path, boltstore.Config{})
	if err != nil {
		return err
	}
	d, err := blocklist.NewDynamic(blocklist.DynamicConfig{Store: s, Entries: 1_000_000})
	if err != nil {
		return err
	}
	ctx := context.Background()
	said := make(chan string)
	failed := make(chan error)
	base := d.Len()
	for g := range 4 {
		go func() {
			for i := base; ; i++ {
				value := fmt.Sprintf("10.%d.%d.%d", g, i/256%256, i%256)
				if err := d.Add(ctx, blocklist.Entry{Kind: blocklist.Addr, Value: value, Word: blocklist.Block, Source: "child"}); err != nil {
					failed <- err
					return
				}
				said <- "+" + value
				if i%5 != 0 {
					continue
				}
				if err := d.Remove(ctx, blocklist.Addr, value, "child", ""); err != nil {
					failed <- err
					return
				}
				said <- "-" + value
			}
		}()
	}
	for {
		select {
		case line := <-said:
			if _, err := os.Stdout.WriteString(line + "\n"); err != nil {
				return err
			}
		case err := <-failed:
			return err
		}
	}
}

// TestKill: what was acknowledged is there after the process was killed at
// work, several times over.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "entries.db")
	there := make(map[string]bool) // what was acknowledged last of each value
	for round := range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), child+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() }) // should it say nothing
		lines := bufio.NewScanner(out)
		last := make(map[byte]string) // by goroutine: the one under way may be in or not
		for n := 0; lines.Scan(); n++ {
			line := lines.Text()
			there[line[1:]] = line[0] == '+'
			last[line[4]] = line[1:]
			if n == 100+37*round {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
		timer.Stop()

		s, err := boltstore.Open(path, boltstore.Config{})
		if err != nil {
			t.Fatal(err)
		}
		d, err := blocklist.NewDynamic(blocklist.DynamicConfig{Store: s, Entries: 1_000_000})
		if err != nil {
			t.Fatal(err)
		}
		lost := 0
		for value, want := range there {
			_, got := d.Get(blocklist.Addr, value)
			if got == want {
				continue
			}
			if want && last[value[3]] == value {
				there[value] = false // being removed when the end came
				continue
			}
			lost++
			t.Errorf("round %d: %s was acknowledged as %v, and is %v", round, value, want, got)
		}
		if len(there) < 50 {
			t.Fatalf("round %d: only %d entries were acknowledged", round, len(there))
		}
		cs, err := d.Audit(t.Context(), 10)
		if err != nil || len(cs) != 10 {
			t.Errorf("round %d: the record: %d changes, error %v", round, len(cs), err)
		}
		d.Close()
		s.Close()
	}
	t.Logf("%d entries acknowledged", len(there))
}

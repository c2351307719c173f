package require

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// recorder stands for a test that lacks something: Skipf and Fatalf end its
// goroutine as the real ones do.
type recorder struct {
	testing.TB
	skipped, failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Skipf(string, ...any)  { r.skipped = true; runtime.Goexit() }
func (r *recorder) Fatalf(string, ...any) { r.failed = true; runtime.Goexit() }

func run(t *testing.T, f func(testing.TB)) *recorder {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r
}

func TestProgram(t *testing.T) {
	dir := t.TempDir()
	want := filepath.Join(dir, "a-program")
	if err := os.WriteFile(want, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	if got := Program(t, "a-program"); got != want {
		t.Errorf("Program = %q, want %q", got, want)
	}
}

func TestSuite(t *testing.T) {
	root := t.TempDir()
	nested := filepath.Join(root, "module", "bench")
	want := filepath.Join(root, "shared", "suites", "smtp")
	for _, dir := range []string{nested, want} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, mod := range []string{filepath.Join(root, "module"), nested} {
		if err := os.WriteFile(filepath.Join(mod, "go.mod"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("environment", func(t *testing.T) {
		t.Setenv("SMTPGUARD_SUITES", filepath.Join(root, "shared", "suites"))
		if got := Suite(t, "smtp"); got != want {
			t.Errorf("Suite = %q, want %q", got, want)
		}
	})
	t.Run("beside the module", func(t *testing.T) {
		t.Setenv("SMTPGUARD_SUITES", "")
		t.Chdir(nested)
		if got := Suite(t, "smtp"); got != want {
			t.Errorf("Suite = %q, want %q", got, want)
		}
	})
}

func TestMissing(t *testing.T) {
	t.Setenv("SMTPGUARD_SUITES", t.TempDir())
	lacking := map[string]func(testing.TB){
		"program": func(tb testing.TB) { Program(tb, "no-such-program") },
		"suite":   func(tb testing.TB) { Suite(tb, "no-such-suite") },
	}
	for name, f := range lacking {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SMTPGUARD_REQUIRE", "")
			if r := run(t, f); !r.skipped || r.failed {
				t.Errorf("skipped %v, failed %v; want a skip", r.skipped, r.failed)
			}
			t.Setenv("SMTPGUARD_REQUIRE", "all")
			if r := run(t, f); r.skipped || !r.failed {
				t.Errorf("skipped %v, failed %v; want a failure", r.skipped, r.failed)
			}
		})
	}
}

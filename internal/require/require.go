// Package require finds what tests need from outside this module: programs such
// as swaks or Postfix, and the conformance suites of other projects. A test
// that lacks one skips with one clear line; with SMTPGUARD_REQUIRE=all in the
// environment it fails instead, so that a complete run cannot skip unseen.
// SMTPGUARD_REQUIRE=programs is for a checkout without the suites beside it.
package require

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// Daemons and their helpers are installed outside a user's PATH.
var programDirs = []string{
	"/usr/local/sbin", "/usr/sbin", "/sbin",
	"/usr/libexec", "/usr/libexec/postfix", "/usr/lib/postfix/sbin", "/usr/lib/postfix",
}

// Program returns the path of the named program, from PATH or from where
// daemons are installed.
func Program(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range programDirs {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	missing(t, "needs the program "+name, "all", "programs")
	return ""
}

// Suite returns the path of a conformance suite, or of a file in it. Suites lie
// under SMTPGUARD_SUITES; where that is unset, under ../shared/suites beside
// the module, seen from the directory the test runs in.
func Suite(t testing.TB, elem ...string) string {
	t.Helper()
	name := filepath.Join(elem...)
	if dir := os.Getenv("SMTPGUARD_SUITES"); dir != "" {
		if path := filepath.Join(dir, name); exists(path) {
			return path
		}
	} else if path, ok := besideModule(name); ok {
		return path
	}
	missing(t, "needs the suite "+name+"; SMTPGUARD_SUITES names the directory that holds it", "all")
	return ""
}

// besideModule tries every module root upwards, because a nested module
// (benchmarks, integration tests) shares the suites of the one around it.
func besideModule(name string) (string, bool) {
	dir, err := os.Getwd()
	if err != nil {
		return "", false
	}
	for {
		if exists(filepath.Join(dir, "go.mod")) {
			if path := filepath.Join(dir, "..", "shared", "suites", name); exists(path) {
				return path, true
			}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// missing fails the test where SMTPGUARD_REQUIRE is one of fatal, else skips it.
func missing(t testing.TB, what string, fatal ...string) {
	t.Helper()
	if set := os.Getenv("SMTPGUARD_REQUIRE"); slices.Contains(fatal, set) {
		t.Fatalf("require: %s (SMTPGUARD_REQUIRE=%s)", what, set)
	}
	t.Skipf("require: %s", what)
}

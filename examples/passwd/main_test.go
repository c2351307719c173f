package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/auth"
)

// tool calls the command on one file.
type tool struct {
	t    *testing.T
	path string
}

func (c tool) run(stdin string, args ...string) (string, error) {
	var out bytes.Buffer
	err := run(append([]string{"-file", c.path}, args...), strings.NewReader(stdin), &out)
	return out.String(), err
}

func (c tool) must(stdin string, args ...string) string {
	c.t.Helper()
	out, err := c.run(stdin, args...)
	if err != nil {
		c.t.Fatalf("%q: %v", args, err)
	}
	return out
}

func (c tool) text() string {
	c.t.Helper()
	b, err := os.ReadFile(c.path)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

func TestPasswd(t *testing.T) {
	c := tool{t, filepath.Join(t.TempDir(), "passwords")}
	c.must("secret\n", "add", "Ann@Example.org", "senders=ann@example.org")
	if info, err := os.Stat(c.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if got := c.text(); !strings.HasPrefix(got, "ann@example.org:$argon2id$") || !strings.HasSuffix(got, " senders=ann@example.org\n") || strings.Contains(got, "secret") {
		t.Errorf("the file is %q", got)
	}
	if got := c.must("secret", "check", "ann@EXAMPLE.org"); got != "right\n" {
		t.Errorf("the right password: %q", got)
	}
	for _, password := range []string{"wrong", "", "secret "} {
		if out, err := c.run(password+"\n", "check", "ann@example.org"); !errors.Is(err, auth.ErrCredentials) || out != "" {
			t.Errorf("%q: %q, %v", password, out, err)
		}
	}

	// An app password, by the same salt; another form of the account's own.
	c.must("phone\n", "add", "ann@example.org", "label=phone", "networks=192.0.2.0/24")
	if got := c.must("phone\n", "check", "ann@example.org"); got != "right: the app password phone\n" {
		t.Errorf("the app password: %q", got)
	}
	lines := strings.Split(c.text(), "\n")
	if len(lines) != 3 || strings.Split(lines[0], "$")[4] != strings.Split(lines[1], "$")[4] || !strings.HasSuffix(lines[1], " label=phone networks=192.0.2.0/24") {
		t.Errorf("the file is %q", lines)
	}
	c.must("secret\n", "-kind", "scram-sha-256", "add", "ann@example.org")
	if got := c.text(); !strings.Contains(got, "\nann@example.org:SCRAM-SHA-256$") || strings.Count(got, "\n") != 3 {
		t.Errorf("the file is %q", got)
	}

	// Another password in its place, another login beside, comments where they are.
	if err := os.WriteFile(c.path, []byte("# Staff.\n"+c.text()), 0o640); err != nil {
		t.Fatal(err)
	}
	c.must("changed\n", "add", "ann@example.org", "senders=*@example.org", "disabled")
	for _, l := range strings.Split(strings.TrimSpace(c.text()), "\n")[1:] {
		if l := parse(l); l.label == "" && !is(l.hash, "changed") {
			t.Errorf("%s hash is not of the new password", l.hash.Kind())
		}
	}
	made := c.must("", "-random", "add", "bob@example.org")
	if got := c.text(); !strings.HasPrefix(got, "# Staff.\nann@example.org:$argon2id$") || !strings.Contains(got, " senders=*@example.org disabled\n") || strings.Count(got, "\n") != 5 {
		t.Errorf("the file is %q", got)
	}
	if got := c.must(made, "check", "bob@example.org"); len(made) < 20 || got != "right\n" {
		t.Errorf("the password %q: %q", made, got)
	}
	if _, err := c.run("changed", "check", "ann@example.org"); !errors.Is(err, auth.ErrCredentials) || !strings.Contains(err.Error(), "disabled") {
		t.Errorf("a disabled login: %v", err)
	}

	c.must("", "remove", "ann@example.org", "label=phone")
	if got := c.text(); strings.Contains(got, "phone") || strings.Count(got, "\n") != 4 {
		t.Errorf("the file is %q", got)
	}
	c.must("", "remove", "ann@example.org")
	if got := c.text(); strings.Contains(got, "ann") || strings.Count(got, "\n") != 2 {
		t.Errorf("the file is %q", got)
	}
	left, err := filepath.Glob(c.path + "*")
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func TestPasswdRefuses(t *testing.T) {
	c := tool{t, filepath.Join(t.TempDir(), "passwords")}
	c.must("secret\n", "add", "ann@example.org")
	before := c.text()
	for want, args := range map[string][]string{
		"want a command":                {"add"},
		`no command is called "delete"`: {"delete", "ann@example.org"},
		"login empty":                   {"add", ""},
		`no kind of hash is called`:     {"-kind", "md5", "add", "bob@example.org"},
		"sender \"nobody\"":             {"add", "bob@example.org", "senders=nobody"},
		`no attribute is called`:        {"add", "bob@example.org", "admin=yes"},
		"has no such line":              {"remove", "bob@example.org"},
		"takes a label":                 {"remove", "ann@example.org", "disabled"},
		"white space":                   {"add", "bob by example.org"},
		"would be a comment":            {"add", "#bob"},
		"label without a value":         {"remove", "ann@example.org", "label="},
		"label without":                 {"add", "ann@example.org", "label="},
	} {
		if _, err := c.run("x\n", args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", args, err, want)
		}
	}
	for _, stdin := range []string{"", "\n"} {
		if _, err := c.run(stdin, "add", "bob@example.org"); err == nil {
			t.Errorf("the password %q", stdin)
		}
	}
	if c.text() != before {
		t.Errorf("the file has changed: %q", c.text())
	}
}

// is reports whether a hash is of password.
func is(h auth.Hash, password string) bool {
	again, err := h.Beside(password)
	return err == nil && again.String() == h.String()
}

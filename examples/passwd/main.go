// Command passwd adds logins to a password file of package auth, and checks
// them.
//
//	passwd -file passwords add ann@example.org senders=ann@example.org,*@lists.example.org
//	passwd -file passwords -kind scram-sha-256 add ann@example.org
//	passwd -file passwords add ann@example.org label=phone networks=192.0.2.0/24
//	passwd -file passwords -random add bob@example.org
//	passwd -file passwords check ann@example.org
//	passwd -file passwords remove ann@example.org label=phone
//
// Passwords are read from standard input, one line, and echoed by a terminal:
// "stty -echo" before, or a pipe, keeps them from sight. With -random a password
// is made, hashed and printed. The file is replaced in one step: a server that
// watches it takes the new version over.
//
// add replaces a hash of the same login, label and kind, and adds any other. What
// there is of that login and label in other kinds becomes a hash of the new password
// too: they are one password. With attributes add replaces those of the login and
// label. remove without a label removes the login whole.
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/smtpguard/smtpguard/auth"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "passwd:", err)
		os.Exit(1)
	}
}

// command is one call.
type command struct {
	path   string
	kind   auth.Kind
	random bool
	in     io.Reader
	out    io.Writer
}

func run(args []string, in io.Reader, out io.Writer) error {
	c := command{in: in, out: out}
	flags := flag.NewFlagSet("passwd", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&c.path, "file", "passwords", "password file")
	kind := flags.String("kind", string(auth.Argon2id), "of a new hash: argon2id, scrypt, bcrypt, scram-sha-256 or scram-sha-1")
	flags.BoolVar(&c.random, "random", false, "make a password and print it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c.kind = auth.Kind(*kind)
	if flags.NArg() < 2 {
		return errors.New("want a command, add, check or remove, and a login")
	}
	login, err := auth.NormalLogin(flags.Arg(1))
	if err != nil {
		return err
	}
	attributes := flags.Args()[2:]
	if slices.Contains(attributes, "label=") { // of the account's own password, it would be
		return errors.New("attribute label without a value")
	}
	switch flags.Arg(0) {
	case "add":
		return c.add(login, attributes)
	case "check":
		return c.check(login)
	case "remove":
		return c.remove(login, attributes)
	}
	return fmt.Errorf("no command is called %q", flags.Arg(0))
}

// password reads or makes a password.
func (c *command) password() (string, error) {
	if c.random {
		password := rand.Text()
		fmt.Fprintln(c.out, password)
		return password, nil
	}
	line, err := bufio.NewReader(io.LimitReader(c.in, 4096)).ReadString('\n')
	if err != nil && (err != io.EOF || line == "") {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func (c *command) add(login string, attributes []string) error {
	if strings.HasPrefix(login, "#") {
		return fmt.Errorf("%s would be a comment", login)
	}
	f, err := read(c.path)
	if err != nil {
		return err
	}
	password, err := c.password()
	if err != nil {
		return err
	}
	label, attributes := cutLabel(attributes)
	var hash auth.Hash
	if like, ok := f.beside(login, label, c.kind); ok {
		hash, err = like.Beside(password)
	} else {
		hash, err = auth.NewHash(c.kind, password)
	}
	if err != nil {
		return err
	}
	f.put(login, label, hash, attributes)
	if err := f.follow(login, label, c.kind, password); err != nil {
		return err
	}
	return f.write(c.path)
}

func (c *command) remove(login string, attributes []string) error {
	label, rest := cutLabel(attributes)
	if len(rest) > 0 {
		return fmt.Errorf("remove takes a label and nothing else, not %s", rest[0])
	}
	f, err := read(c.path)
	if err != nil {
		return err
	}
	if !f.remove(login, label) {
		return fmt.Errorf("%s has no such line", login)
	}
	return f.write(c.path)
}

func (c *command) check(login string) error {
	f, err := auth.OpenFile(auth.FileConfig{Path: c.path, Unwatched: true})
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	password, err := c.password()
	if err != nil {
		return err
	}
	id, err := f.Verify(context.Background(), login, password)
	if err != nil {
		return err
	}
	what := "right"
	if id.App != "" {
		what = "right: the app password " + id.App
	}
	_, err = fmt.Fprintln(c.out, what)
	return err
}

// writeFile replaces path in one step.
func writeFile(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if info, err := os.Stat(path); err == nil {
		if err := f.Chmod(info.Mode().Perm()); err != nil {
			return err
		}
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	// Nothing that a server would refuse takes the place of what it has.
	if check, err := auth.OpenFile(auth.FileConfig{Path: f.Name(), Unwatched: true}); err != nil {
		return err
	} else if err := check.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

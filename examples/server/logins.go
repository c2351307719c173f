package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/crypto/bcrypt"
)

const (
	maxCost     = 14 // of a hash: a second or so a login
	maxPassword = 72 // octets, all that bcrypt looks at
	gateWait    = 10 * time.Second
)

// gate bounds how many passwords are checked at once, because each check is
// work that a stranger makes us do.
type gate chan struct{}

// logins are the users and their hashes.
type logins struct {
	hashes map[string][]byte
	decoy  []byte // for who is no user, so that it takes as long to say so
	gate   gate
}

// newLogins takes users' hashes from cfg, or from the file "passwords" in dir.
// Who has none gets a random password, which out is told, once.
func newLogins(cfg *Config, dir string, g gate, out io.Writer) (*logins, error) {
	file := filepath.Join(dir, "passwords")
	kept, err := readPasswords(file)
	if err != nil {
		return nil, err
	}
	l := &logins{hashes: make(map[string][]byte), gate: g}
	cost, made := bcrypt.DefaultCost, false
	for _, u := range cfg.Users {
		hash, ok := kept[u.Name]
		switch {
		case u.Hash != "":
			hash = u.Hash
		case ok:
			fmt.Fprintf(out, "login %s: its hash is in %s; remove the line and start again for a new password\n", u.Name, file)
		default:
			password := rand.Text()
			b, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
			if err != nil {
				return nil, err
			}
			hash, made = string(b), true
			kept[u.Name] = hash
			fmt.Fprintf(out, "login %s: password %s (printed this once; its hash is in %s)\n", u.Name, password, file)
		}
		c, err := bcrypt.Cost([]byte(hash))
		if err != nil || c > maxCost {
			return nil, fmt.Errorf("%s: login %s has no bcrypt hash of a cost up to %d", file, u.Name, maxCost)
		}
		cost = max(cost, c)
		l.hashes[u.Name] = []byte(hash)
	}
	if made {
		if err := writePasswords(file, kept); err != nil {
			return nil, err
		}
	}
	l.decoy, err = bcrypt.GenerateFromPassword([]byte(rand.Text()), cost)
	return l, err
}

// readPasswords reads lines of name:hash.
func readPasswords(file string) (map[string]string, error) {
	kept := make(map[string]string)
	b, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("%s:%d: not name:hash", file, n)
		}
		kept[name] = hash
	}
	return kept, lines.Err()
}

func writePasswords(file string, kept map[string]string) error {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		fmt.Fprintf(&b, "%s:%s\n", name, kept[name])
	}
	return writeFile(file, []byte(b.String()), 0o600)
}

// check judges a password. Its error is the reply to give.
func (l *logins) check(ctx context.Context, name, password string) error {
	ctx, cancel := context.WithTimeout(ctx, gateWait)
	defer cancel()
	select {
	case l.gate <- struct{}{}:
		defer func() { <-l.gate }()
	case <-ctx.Done():
		return reply(454, 4, 3, 2, "Too many logins at once, try again later") // X.3: no guess
	}
	hash, known := l.hashes[name]
	if !known {
		hash = l.decoy
	}
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil || !known || len(password) > maxPassword {
		return smtp.ErrAuthFailed
	}
	return nil
}

func reply(code, class, subject, detail int, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{class, subject, detail}, Message: text}
}

package main

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/smtpguard/smtpguard/auth"
)

// file is the lines of a password file; what is no login stays as it is.
type file []line

// line is one of them.
type line struct {
	text       string // as it was, without the line end
	login      string // in normal form; "" for comments and the like
	hash       auth.Hash
	label      string
	attributes []string // besides the label
}

func read(path string) (file, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var f file
	for text := range strings.Lines(string(b)) {
		f = append(f, parse(strings.TrimRight(text, "\r\n")))
	}
	return f, nil
}

func parse(text string) line {
	l := line{text: text}
	name, rest, ok := strings.Cut(strings.TrimSpace(text), ":")
	fields := strings.Fields(rest)
	if !ok || len(fields) == 0 || strings.HasPrefix(name, "#") {
		return l
	}
	login, err := auth.NormalLogin(name)
	if err != nil {
		return l
	}
	l.login = login
	l.hash, _ = auth.ParseHash(fields[0]) // "*" is none
	l.label, l.attributes = cutLabel(fields[1:])
	return l
}

// cutLabel takes the label out of attributes.
func cutLabel(attributes []string) (label string, rest []string) {
	for _, a := range attributes {
		if name, ok := strings.CutPrefix(a, "label="); ok {
			label = name
		} else {
			rest = append(rest, a)
		}
	}
	return label, rest
}

func (l *line) write() {
	hash := l.hash.String()
	if hash == "" {
		hash = "*"
	}
	fields := []string{l.login + ":" + hash}
	if l.label != "" {
		fields = append(fields, "label="+l.label)
	}
	l.text = strings.Join(append(fields, l.attributes...), " ")
}

// beside returns a hash of the login whose salt a new one of the same kind
// shares: any but the one that it replaces, if that is the only one.
func (f file) beside(login, label string, kind auth.Kind) (auth.Hash, bool) {
	for _, l := range f {
		if l.login == login && l.label != label && l.hash.Kind() == kind {
			return l.hash, true
		}
	}
	return auth.Hash{}, false
}

// put adds a hash behind the login's others, or replaces the one of its kind.
func (f *file) put(login, label string, hash auth.Hash, attributes []string) {
	same := func(l line) bool { return l.login == login && l.label == label }
	first := slices.IndexFunc(*f, same)
	if first >= 0 && len(attributes) > 0 {
		(*f)[first].attributes = attributes
		(*f)[first].write()
	}
	if first >= 0 {
		attributes = nil
	}
	at := slices.IndexFunc(*f, func(l line) bool { return same(l) && (l.hash.Kind() == hash.Kind() || l.hash.Kind() == "") })
	if at >= 0 {
		(*f)[at].hash = hash
		(*f)[at].write()
		return
	}
	l := line{login: login, label: label, hash: hash, attributes: attributes}
	l.write()
	last := len(*f)
	for i := range *f {
		if (*f)[i].login == login {
			last = i + 1
		}
	}
	*f = slices.Insert(*f, last, l)
}

// follow makes the hashes of other kinds those of the new password.
func (f file) follow(login, label string, kind auth.Kind, password string) error {
	for i := range f {
		l := &f[i]
		if l.login != login || l.label != label || l.hash.Kind() == kind || l.hash.Kind() == "" {
			continue
		}
		hash, err := l.hash.Beside(password)
		if err != nil {
			return err
		}
		l.hash = hash
		l.write()
	}
	return nil
}

// remove takes out an app password, or without a label all of the login.
func (f *file) remove(login, label string) bool {
	n := len(*f)
	*f = slices.DeleteFunc(*f, func(l line) bool { return l.login == login && (label == "" || l.label == label) })
	return len(*f) < n
}

func (f file) write(path string) error {
	var b strings.Builder
	for _, l := range f {
		b.WriteString(l.text + "\n")
	}
	return writeFile(path, b.String())
}

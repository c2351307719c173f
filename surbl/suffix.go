package surbl

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// Suffixes says below which names domains are registered. The zero Suffixes is
// the Public Suffix List as of golang.org/x/net; do not copy one after use.
//
//	suffixes, err := surbl.ReadSuffixFiles("", "two-level-tlds", "three-level-tlds")
type Suffixes struct {
	rules map[string]rule // nil is x/net's
	more  map[string]struct{}
}

type rule uint8

const (
	exact    rule = 1 << iota
	wildcard      // "*." before it
	except        // "!" before it
)

// maxSuffixes bounds the lines of a list: the Public Suffix List has 15,000.
const maxSuffixes = 1 << 18

// ReadSuffixes reads a file in the format of the Public Suffix List
// (https://publicsuffix.org/list/), its private section included.
func ReadSuffixes(r io.Reader) (*Suffixes, error) {
	s := &Suffixes{rules: make(map[string]rule)}
	err := lines(r, func(n int, line string) error {
		if strings.HasPrefix(line, "//") {
			return nil
		}
		line, _, _ = strings.Cut(line, " ")
		kind := exact
		if name, ok := strings.CutPrefix(line, "!"); ok {
			kind, line = except, name
		} else if name, ok := strings.CutPrefix(line, "*."); ok {
			kind, line = wildcard, name
		}
		name, err := domain.Normal(line)
		if err != nil {
			return fmt.Errorf("surbl: public suffixes: line %d: %w", n, err)
		}
		s.rules[name] |= kind
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(s.rules) == 0 {
		return nil, fmt.Errorf("surbl: public suffixes: none")
	}
	return s, nil
}

// ReadSuffixFiles reads the Public Suffix List from a file, "" for that of
// golang.org/x/net, and levels as AddLevels does. To have changed files count,
// call it again, and Lists.SetSuffixes.
func ReadSuffixFiles(list string, levels ...string) (s *Suffixes, err error) {
	s = new(Suffixes)
	if list != "" {
		err = readFile(list, func(r io.Reader) error {
			s, err = ReadSuffixes(r)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for _, name := range levels {
		if err := readFile(name, s.AddLevels); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func readFile(name string, read func(io.Reader) error) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("surbl: suffixes: %w", err)
	}
	defer f.Close()
	if err := read(f); err != nil {
		return fmt.Errorf("%w, in %s", err, name)
	}
	return nil
}

// AddLevels adds names below which domains count as registered, one a line, "#"
// beginning a comment: SURBL's lists of them, at
// http://www.surbl.org/tld/two-level-tlds and http://www.surbl.org/tld/three-level-tlds.
// They come without a licence to pass them on, so that none is built in; SURBL
// asks not to fetch them more than once a day. Call it before use.
func (s *Suffixes) AddLevels(r io.Reader) error {
	if s.more == nil {
		s.more = make(map[string]struct{})
	}
	return lines(r, func(n int, line string) error {
		if strings.HasPrefix(line, "#") {
			return nil
		}
		name, err := domain.Normal(line)
		if err != nil {
			return fmt.Errorf("surbl: levels: line %d: %w", n, err)
		}
		s.more[name] = struct{}{}
		return nil
	})
}

// lines calls each with the lines of r that are not empty, and their numbers.
func lines(r io.Reader, each func(n int, line string) error) error {
	scanner := bufio.NewScanner(r)
	n := 0
	for scanner.Scan() {
		if n++; n > maxSuffixes {
			return fmt.Errorf("surbl: suffixes: over %d lines", maxSuffixes)
		}
		if line := strings.TrimSpace(scanner.Text()); line != "" {
			if err := each(n, line); err != nil {
				return err
			}
		}
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("surbl: suffixes: %w", err)
	}
	return nil
}

// Registered returns the registered domain of name, which is in A-labels and
// lower case: a public suffix and one label more, or name itself where it is
// a suffix. listed is false where no rule of a list fits it, so that its last
// label is taken for the suffix.
func (s *Suffixes) Registered(name string) (registered string, listed bool) {
	registered, _, listed = s.registered(name)
	return registered, listed
}

// registered is Registered, and whether name is a suffix.
func (s *Suffixes) registered(name string) (registered string, whole, listed bool) {
	suffix, listed := s.suffix(name)
	if len(s.more) > 0 {
		// The longest name of the list that name ends in counts.
		for rest := name; len(rest) > len(suffix); {
			if _, ok := s.more[rest]; ok {
				suffix = rest
				break
			}
			_, after, ok := strings.Cut(rest, ".")
			if !ok {
				break
			}
			rest = after
		}
	}
	if len(suffix) >= len(name) {
		return name, true, listed
	}
	before := name[:len(name)-len(suffix)-1]
	return name[strings.LastIndexByte(before, '.')+1:], false, listed
}

// suffix is the public suffix of name (https://publicsuffix.org/list/,
// "Algorithm").
func (s *Suffixes) suffix(name string) (suffix string, listed bool) {
	if s.rules == nil {
		suffix, icann := publicsuffix.PublicSuffix(name)
		return suffix, icann || strings.Contains(suffix, ".")
	}
	suffix = name[strings.LastIndexByte(name, '.')+1:]
	for rest, below := name, ""; ; {
		kind := s.rules[rest]
		_, parent, more := strings.Cut(rest, ".")
		switch {
		case kind&except != 0:
			return parent, true
		case kind&wildcard != 0 && below != "":
			return below, true
		case kind&(exact|wildcard) != 0:
			return rest, true
		case !more:
			return suffix, false
		}
		rest, below = parent, rest
	}
}

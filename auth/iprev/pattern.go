package iprev

import (
	_ "embed"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Class is what kind of name providers give.
type Class uint8

const (
	NoClass Class = iota
	Generic       // made for an address, or for whichever customer has it
	Dynamic       // of a line that has another address tomorrow
)

// String returns the class in lower case, "" for NoClass.
func (c Class) String() string {
	return [...]string{"", "generic", "dynamic"}[min(c, Dynamic)]
}

// Pattern finds words in names: "dyn" is just that word, "dyn*" all that begin
// so. The words of a name are what stands between dots, hyphens, underscores and
// digits, its last two labels left out: those are the provider's own. "{address}"
// finds the client's address: in decimal, forwards or backwards, or in
// hexadecimal.
type Pattern struct {
	Class Class // NoClass is for words that servers have: a name with one is of no class
	Word  string
}

//go:embed patterns.txt
var patternsText string

// DefaultPatterns are the patterns of a Config that has none. They are read from
// lines of a class and a word: see [ParsePatterns].
func DefaultPatterns() []Pattern {
	list, err := ParsePatterns(patternsText)
	if err != nil {
		panic(err) // a test reads them
	}
	return list
}

// ParsePatterns reads lines of "generic", "dynamic" or "server" and words. "#"
// begins a comment.
func ParsePatterns(text string) (list []Pattern, err error) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		class := slices.Index([]string{"server", "generic", "dynamic"}, words[0])
		if class < 0 {
			return nil, fmt.Errorf("iprev: line %d: %.40q is none of generic, dynamic and server", n, words[0])
		}
		for _, w := range words[1:] {
			list = append(list, Pattern{Class(class), w})
		}
	}
	return list, nil
}

// patterns are compiled.
type patterns struct {
	words    map[string]Class
	prefixes []Pattern
	address  Class
}

var errPattern = errors.New(`has something that is neither a word of lower-case letters, one with "*" behind it, nor "{address}"`)

func (p *patterns) compile(list []Pattern) error {
	p.words = make(map[string]Class)
	for _, pat := range list {
		word, prefix := strings.CutSuffix(pat.Word, "*")
		switch {
		case pat.Class > Dynamic:
			return fmt.Errorf("has a class %d, which there is not", pat.Class)
		case pat.Word == "{address}":
			p.address = max(p.address, pat.Class)
		case word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") != "":
			return errPattern
		case prefix:
			p.prefixes = append(p.prefixes, Pattern{pat.Class, word})
		default:
			p.words[word] = pat.Class
		}
	}
	return nil
}

// least is the least class of names, NoClass for none.
func (p *patterns) least(names []string, addr netip.Addr) Class {
	least := Dynamic
	for _, n := range names {
		least = min(least, p.class(n, addr))
	}
	if len(names) == 0 {
		return NoClass
	}
	return least
}

// class is the class of a name in normal form, of a client at addr.
func (p *patterns) class(name string, addr netip.Addr) (class Class) {
	labels := strings.Split(name, ".")
	host := strings.Join(labels[:max(len(labels)-2, 0)], ".")
	for word := range strings.FieldsFuncSeq(host, func(r rune) bool { return r < 'a' || r > 'z' }) {
		c, ok := p.word(word)
		if ok && c == NoClass {
			return NoClass
		}
		class = max(class, c)
	}
	if class < p.address && hasAddr(host, addr) {
		class = p.address
	}
	return class
}

// word is the class of a word.
func (p *patterns) word(word string) (Class, bool) {
	if c, ok := p.words[word]; ok {
		return c, true
	}
	for _, pre := range p.prefixes {
		if strings.HasPrefix(word, pre.Word) {
			return pre.Class, true
		}
	}
	return NoClass, false
}

// hasAddr reports whether host has addr in it: all four octets of IPv4 as
// numbers, one after the other with one character between, or without any as
// three digits each or in hexadecimal; the last 64 bits of IPv6 in hexadecimal,
// with or without characters between the groups.
func hasAddr(host string, addr netip.Addr) bool {
	switch {
	case addr.Is4():
		a := addr.As4()
		hex := fmt.Sprintf("%02x%02x%02x%02x", a[0], a[1], a[2], a[3])
		padded := fmt.Sprintf("%03d%03d%03d%03d", a[0], a[1], a[2], a[3])
		if strings.Contains(host, hex) || strings.Contains(host, padded) {
			return true
		}
		numbers := numbersOf(host)
		for i := 0; i+4 <= len(numbers); i++ {
			n := [4]int(numbers[i : i+4])
			if n == [4]int{int(a[0]), int(a[1]), int(a[2]), int(a[3])} || n == [4]int{int(a[3]), int(a[2]), int(a[1]), int(a[0])} {
				return true
			}
		}
	case addr.Is6():
		a := addr.As16()
		squeezed := strings.NewReplacer("-", "", ".", "", "_", "").Replace(host)
		if strings.Contains(squeezed, fmt.Sprintf("%x", a[8:])) {
			return true
		}
		groups := fmt.Sprintf("%x-%x-%x-%x", int(a[8])<<8|int(a[9]), int(a[10])<<8|int(a[11]), int(a[12])<<8|int(a[13]), int(a[14])<<8|int(a[15]))
		return strings.Contains(strings.NewReplacer(".", "-", "_", "-").Replace(host), groups)
	}
	return false
}

// numbersOf are the decimal numbers in host, -1 for one that is no octet.
func numbersOf(host string) (list []int) {
	for digits := range strings.FieldsFuncSeq(host, func(r rune) bool { return r < '0' || r > '9' }) {
		n, err := strconv.Atoi(digits)
		if err != nil || n > 255 {
			n = -1
		}
		list = append(list, n)
	}
	return list
}

package dmarc

import (
	"context"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// zone answers from memory, and notes what it was asked. Names have no trailing
// dot.
type zone struct {
	txt   map[string][]string
	also  []string        // names that exist without having TXT
	fail  map[string]bool // names whose answer is withheld
	mu    sync.Mutex
	asked []string
}

func (z *zone) note(name string) (_ string, failed error) {
	name = strings.TrimSuffix(name, ".")
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked = append(z.asked, name)
	if z.fail[name] {
		return name, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	}
	return name, nil
}

func (z *zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	name, err := z.note(name)
	if err != nil {
		return nil, err
	}
	if list := z.txt[name]; len(list) > 0 {
		return list, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// exists is as DNS has it: a name exists if it or one below it has records.
func (z *zone) exists(_ context.Context, name string) (bool, error) {
	name, err := z.note(name)
	if err != nil {
		return false, err
	}
	for _, other := range append(slices.Collect(maps.Keys(z.txt)), z.also...) {
		if within(other, name) {
			return true, nil
		}
	}
	return false, nil
}

// queries are the names asked for, sorted.
func (z *zone) queries() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	return slices.Sorted(slices.Values(z.asked))
}

// published is a zone with one record for each domain.
func published(records map[string]string) *zone {
	z := &zone{txt: make(map[string][]string)}
	for name, text := range records {
		z.txt["_dmarc."+name] = []string{text}
	}
	return z
}

// without is z that does not answer for name.
func (z *zone) without(name string) *zone {
	return &zone{txt: z.txt, also: z.also, fail: map[string]bool{name: true}}
}

func checker(t testing.TB, z *zone, cfg Config) *Checker {
	t.Helper()
	cfg.Resolver, cfg.Exists = z, z.exists
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// message has a From field and what was authenticated.
func message(author, spf string, dkim ...string) Message {
	m := Message{Header: []byte("To: bob@example.net\r\nFrom: Ann <ann@" + author + ">\r\n\r\n")}
	if spf != "" {
		m.SPF = SPF{Domain: spf, Result: "pass"}
	}
	for _, d := range dkim {
		m.DKIM = append(m.DKIM, DKIM{Domain: d, Selector: "s1", Result: "pass"})
	}
	return m
}

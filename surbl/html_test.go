package surbl

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/smtpguard/smtpguard/internal/require"
)

// ours are the attributes with a value that reader sees in start tags, of a
// document that comes step octets at a time, or whole for 0.
func ours(document []byte, step int) (got []string) {
	c := newCollector(standard())
	r := newReader(c, new(window))
	// Of attributes of one name browsers take the first; mail clients, and what
	// cleans HTML for them, need not, so reader takes all.
	seen := make(map[string]bool)
	r.visit = func(tag, name, value []byte) {
		lower := strings.ToLower(string(name))
		if lower == "" {
			clear(seen)
		}
		if again := seen[lower]; !again && !r.closing && len(value) > 0 {
			plain := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(decodeReferences(nil, value)))
			got = append(got, fmt.Sprintf("%.20s %s=%q", tag, lower, plain))
		}
		seen[lower] = true
	}
	if step == 0 {
		r.all(document)
		return got
	}
	var buf []byte
	for rest := document; len(rest) > 0; {
		n := min(step, len(rest))
		buf, rest = append(buf, rest[:n]...), rest[n:]
		buf = buf[r.feed(buf, len(rest) == 0):]
	}
	r.flush(true)
	return got
}

// theirs are those that the tokenizer of x/net sees, as written.
func theirs(document []byte) (want []string) {
	z := html.NewTokenizer(strings.NewReader(string(document)))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return want
		case html.StartTagToken, html.SelfClosingTagToken:
			tag, more := z.TagName()
			if bytes.HasSuffix(tag, []byte(":")) && bytes.Contains(z.Raw(), []byte("://")) {
				continue // a URI in angle brackets, which reader takes for the text it is
			}
			name := string(tag)
			for more {
				var key, value []byte
				key, value, more = z.TagAttr()
				if len(value) > 0 {
					want = append(want, fmt.Sprintf("%.20s %s=%q", name, key, value))
				}
			}
		}
	}
}

func messages(t testing.TB) (all map[string][]byte) {
	t.Helper()
	all = make(map[string][]byte)
	err := filepath.WalkDir(require.Suite(t, "mime"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 700 {
		t.Fatalf("only %d messages", len(all))
	}
	return all
}

// oddities are what tokenizers disagree about.
var oddities = []string{
	`<a href=http://a.example/>x</a>`, `<a href = 'x"y' href="second">`, `<a/href="x"/src=y>`, `<A HREF="x" Href='y'>`,
	`<a href="x"y="z">`, `<a =x=y>`, `<a b= >`, `<a b=>c`, `<a "b"="c">`, `<a b=c/>`, `<a b='c/'/>`, `<a b`, `<`, `</`, `</a b=c>`, `<a<b c=d>`,
	`<!--><a b=c>-->`, `<!-- a --!><a b=c>`, `<!---><a b=c>`, `<!-- <a b=c> -- > --><d e=f>`, `<!doctype html "<a b=c>"><d e=f>`,
	`<?php <a b=c> ?><d e=f>`, `</ <a b=c>`, `<script><a b=c></script ><d e=f>`, `<style><a b=c></styles></style><d e=f>`,
	`<title><a b=c></title><d e=f>`, `<textarea><a b=c></textarea/><d e=f>`, `<a b="&amp;&lt;&#x41;&#65&notin;">`, "<a\fb\n=\rc>", `<1 b=c><d e=f>`,
	`<a b="1" b='2' c>`, `<a b==c>`, `<scripta b=c><d e=f>`, `<a b="c>d" e=f>`,
}

// TestTokenizer has the tokenizer of x/net as oracle for what is an attribute.
func TestTokenizer(t *testing.T) {
	for name, b := range messages(t) {
		// A document that ends within a tag: no browser shows the tag, and it is read
		// all the same.
		b = append(b, `"'>`...)
		if got, want := ours(b, 0), theirs(b); !slices.Equal(got, want) {
			t.Errorf("%s:\n%s", name, first(got, want))
		}
		if got, want := ours(b, 1000), ours(b, 0); len(b) < 1<<18 && !slices.Equal(got, want) {
			t.Errorf("%s: by steps:\n%s", name, first(got, want))
		}
	}
	for _, s := range oddities {
		s += `"'>`
		if got, want := ours([]byte(s), 0), theirs([]byte(s)); !slices.Equal(got, want) {
			t.Errorf("%q:\n%s", s, first(got, want))
		}
	}
}

// first is the first difference of two lists.
func first(got, want []string) string {
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			return fmt.Sprintf("%d: got  %.200s\n    want %.200s", i, g, w)
		}
	}
	return ""
}

func TestMessages(t *testing.T) {
	for name, b := range messages(t) {
		links, err := Extract(bytes.NewReader(b))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(links.URIs) > 100 {
			t.Errorf("%s: %d URIs", name, len(links.URIs))
		}
	}
}

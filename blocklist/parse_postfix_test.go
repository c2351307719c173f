package blocklist

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/require"
)

// postmap returns what Postfix finds for keys in a table of text.
func postmap(t *testing.T, kind, text string, keys []string) map[string]string {
	t.Helper()
	program := require.Program(t, "postmap")
	dir := t.TempDir()
	table := filepath.Join(dir, "table")
	for name, content := range map[string]string{"table": text, "main.cf": "compatibility_level = 3.6\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "-c", dir, "-q", "-", kind+":"+table)
	cmd.Stdin = strings.NewReader(strings.Join(keys, "\n") + "\n")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Run() // it fails where nothing was found
	found := make(map[string]string)
	for line := range strings.Lines(stdout.String()) {
		key, result, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok {
			t.Fatalf("postmap: %q, %s", line, &stderr)
		}
		found[key] = result
	}
	if len(found) == 0 {
		t.Fatalf("postmap finds nothing: %s", &stderr)
	}
	return found
}

// said is what an action of Postfix means to a list.
func said(action string) Word {
	if word, _, err := postfixAction(action); err == nil && word != Except {
		return word
	}
	return None
}

func tableSet(t *testing.T, cfg ParseConfig, text string) *Set {
	t.Helper()
	var b Builder
	cfg.Name = "table"
	// Random tables have many lines that are never reached.
	if _, err := Parse(strings.NewReader(text), cfg, b.Add); err != nil && !strings.Contains(err.Error(), "is not of format") {
		t.Fatal(err)
	}
	return b.Set()
}

// A set says of an address what a cidr table does, whatever the order of its lines.
func TestCIDRAgainstPostmap(t *testing.T) {
	r := random{rand.New(rand.NewPCG(1, 2))}
	var text strings.Builder
	text.WriteString("# comment\n192.168.1.1 OK\n192.168.0.0/16\tREJECT go\n\n  away\n# more\n  now\n[2001:db8:ffff::1] DUNNO\n2001:db8:ffff::/48 554 no\n")
	for range 120 {
		a := r.addr()
		p, _ := a.Prefix(1 + r.IntN(a.BitLen()))
		fmt.Fprintln(&text, p, r.pick("OK", "REJECT", "DUNNO", "WARN x", "450 later", "12345"))
	}
	text.WriteString("0.0.0.0/0 DUNNO\n")
	keys := []string{"192.168.1.1", "192.168.1.2", "192.169.0.1", "2001:db8:ffff::1", "2001:db8:ffff::2"}
	for range 1000 {
		keys = append(keys, r.addr().String())
	}
	found := postmap(t, "cidr", text.String(), keys)
	s := tableSet(t, ParseConfig{Format: FormatCIDR}, text.String())
	words := make(map[Word]int)
	for _, key := range keys {
		_, e, _ := s.FindAddr(netip.MustParseAddr(key))
		if want := said(found[key]); e.Word != want {
			t.Errorf("%s: %v, Postfix has %q", key, e.Word, found[key])
		}
		words[e.Word]++
	}
	if words[Block] < 50 || words[Allow] < 50 || words[None] < 50 {
		t.Errorf("of each word: %v", words)
	}
	if got := strings.Join(strings.Fields(found["192.168.1.2"]), " "); got != "REJECT go away now" {
		t.Errorf("a logical line is %q", got)
	}
	if _, e, _ := s.FindAddr(netip.MustParseAddr("192.168.1.2")); e.Reason != "go away now" {
		t.Errorf("a reason is %q", e.Reason)
	}
}

// A set says of names and addresses what an access table does, which is asked
// for them and then for their parents (access(5)).
func TestAccessAgainstPostmap(t *testing.T) {
	r := random{rand.New(rand.NewPCG(3, 4))}
	action := func() string { return r.pick("OK", "REJECT", "DUNNO", "HOLD", "521 go") }
	var text strings.Builder
	text.WriteString("org REJECT first\nORG OK\n")
	for range 80 {
		fmt.Fprintln(&text, r.name(), action())
		octets := []string{"10", fmt.Sprint(r.IntN(3)), fmt.Sprint(r.IntN(3)), fmt.Sprint(r.IntN(3))}
		fmt.Fprintln(&text, strings.Join(octets[:1+r.IntN(4)], "."), action())
		words := []string{"2001", "db8", fmt.Sprint(1 + r.IntN(3)), fmt.Sprint(1 + r.IntN(3))}
		fmt.Fprintln(&text, strings.Join(words[:2+r.IntN(3)], ":"), action())
	}
	parents := func(name, sep string, up func(string) string) (keys []string) {
		for ; name != ""; name = up(name) {
			keys = append(keys, name)
			if !strings.Contains(name, sep) {
				break
			}
		}
		return keys
	}
	above := func(name string) string { return name[strings.Index(name, ".")+1:] }
	type query struct {
		q    Query
		keys []string
	}
	var queries []query
	var keys []string
	for range 300 {
		name := r.name()
		a := fmt.Sprintf("10.%d.%d.%d", r.IntN(4), r.IntN(4), r.IntN(4))
		six := fmt.Sprintf("2001:db8:%d:%d:1:1:1:1", 1+r.IntN(4), 1+r.IntN(4))
		queries = append(queries,
			query{Query{Kind: Domain, Value: name}, parents(name, ".", above)},
			query{Query{Kind: Addr, Addr: netip.MustParseAddr(a)}, parents(a, ".", func(s string) string { return s[:strings.LastIndex(s, ".")] })},
			query{Query{Kind: Addr, Addr: netip.MustParseAddr(six)}, parents(six, ":", func(s string) string { return s[:strings.LastIndex(s, ":")] })})
	}
	for _, q := range queries {
		keys = append(keys, q.keys...)
	}
	found := postmap(t, "texthash", text.String(), keys)
	s := tableSet(t, ParseConfig{Format: FormatAccess}, text.String())
	words := make(map[Word]int)
	for _, q := range queries {
		want, by := None, ""
		for _, key := range q.keys {
			if action, ok := found[key]; ok {
				want, by = said(action), key+" "+action
				break
			}
		}
		m, _ := s.Find(q.q)
		if m.Entry.Word != want {
			t.Errorf("%s: %v, Postfix has %q", q.keys[0], m.Entry.Word, by)
		}
		words[m.Entry.Word]++
	}
	if words[Block] < 50 || words[Allow] < 50 || words[None] < 50 {
		t.Errorf("of each word: %v", words)
	}
}

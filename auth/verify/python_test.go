package verify_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/auth/verify"
	"github.com/smtpguard/smtpguard/internal/require"
)

// readFrom prints the addresses that Python's library finds in From, by each of its
// two ways to read a message, for every message of its input.
const readFrom = `
import base64, email, email.policy, email.utils, json, sys
for line in sys.stdin:
    found = []
    for policy in (email.policy.compat32, email.policy.default):
        try:
            fields = email.message_from_bytes(base64.b64decode(json.loads(line)), policy=policy).get_all("From", [])
        except Exception:
            continue
        for field in fields:
            found += [a.addr_spec for a in getattr(field, "addresses", ())]
            found += [a for _, a in email.utils.getaddresses([str(field)])]
            found.append(email.utils.parseaddr(str(field))[1])
    print(json.dumps([a for a in found if "@" in a]))
`

// Of the attacks that pass as the attacker's own mail, Python shows no other author.
func TestPythonReads(t *testing.T) {
	python := require.Program(t, "python3")
	v, err := verify.New(verify.Config{ID: "mx.example.org", Resolver: new(realm)})
	if err != nil {
		t.Fatal(err)
	}
	from := verify.Envelope{Client: netip.MustParseAddr("192.0.2.66"), Hello: "attack.com", From: "any@attack.com"}
	random := rand.New(rand.NewPCG(2047, 1))
	octets := make([]byte, 96)
	var messages, authors []string
	var input bytes.Buffer
	for range 6000 {
		for i := range octets {
			octets[i] = byte(random.Uint32())
		}
		a := (&choice{octets}).attack()
		if strings.ContainsFunc(a.content, func(r rune) bool { return r >= 0x80 }) {
			continue // Python puts a mark in place of each
		}
		r, err := v.Verify(t.Context(), from, strings.NewReader(a.content))
		if err != nil {
			t.Fatal(err)
		}
		if author, ok := r.Author(); ok {
			messages, authors = append(messages, a.content), append(authors, author)
			if err := json.NewEncoder(&input).Encode([]byte(a.content)); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd := exec.Command(python, "-c", readFrom)
	cmd.Stdin = &input
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for i, line := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		var found []string
		if err := json.Unmarshal([]byte(line), &found); err != nil {
			t.Fatal(err)
		}
		for _, address := range found {
			read++
			if name := sameName(strings.TrimRight(behindAt(address), `>"`)); name != authors[i] {
				t.Errorf("passes as %s, and Python shows %q of %q", authors[i], address, messages[i])
			}
		}
	}
	if len(authors) < 200 || read < 2*len(authors) {
		t.Errorf("%d pass, with %d addresses", len(authors), read)
	}
}

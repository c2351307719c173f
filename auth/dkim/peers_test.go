package dkim

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"github.com/smtpguard/smtpguard/internal/require"
)

// peer is another implementation: a program that testdata/peers/README.md
// describes.
type peer struct {
	name    string
	command func(*testing.T) []string
	ed25519 bool // it knows Ed25519

	// What is not put to it, by message, because it would differ: why it errs.
	// None of it is a message as SMTP carries it but the space before a colon, which
	// RFC 5322, section 4.5, has everybody take.
	without map[string]string
}

func peers() []peer {
	script := func(interpreter, name string) func(*testing.T) []string {
		return func(t *testing.T) []string {
			return []string{require.Program(t, interpreter), filepath.Join("testdata", "peers", name)}
		}
	}
	return []peer{
		{name: "libopendkim", command: compile, without: map[string]string{
			"space at colon": "refuses it",
			"no body":        "hashes, with simple, a line end that is not there",
			"no final CRLF":  "refuses it, with relaxed",
			"no CRLF, blank": "keeps, with relaxed, white space at the end of a line (RFC 6376, section 3.4.4)",
		}},
		{name: "dkimpy", command: func(t *testing.T) []string {
			require.Program(t, "dkimverify") // which comes with the module
			return script("/usr/bin/python3", "dkimpy.py")(t)
		}, ed25519: true, without: map[string]string{
			"space at colon": "refuses it",
			"no CRLF, blank": "keeps, with relaxed, white space at the end of a line",
		}},
		{name: "Mail-DKIM", command: func(t *testing.T) []string {
			c := script("perl", "maildkim.pl")(t)
			if err := exec.Command(c[0], "-MMail::DKIM", "-e", "1").Run(); err != nil {
				lacks(t, "Mail::DKIM")
			}
			return c
		}, without: map[string]string{
			"no final CRLF":  "adds, with simple, no CRLF (RFC 6376, section 3.4.3)",
			"no CRLF, blank": "the same",
		}},
	}
}

// lacks skips a test, or fails it where all that is needed must be there.
func lacks(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("SMTPGUARD_REQUIRE") != "" {
		t.Fatalf("needs %s", what)
	}
	t.Skipf("needs %s", what)
}

// compile makes the program that speaks to libopendkim.
func compile(t *testing.T) []string {
	gcc := require.Program(t, "gcc")
	if _, err := os.Stat("/usr/include/opendkim/dkim.h"); err != nil {
		lacks(t, "libopendkim-dev")
	}
	program := filepath.Join(t.TempDir(), "libopendkim")
	out, err := exec.Command(gcc, "-o", program, filepath.Join("testdata", "peers", "libopendkim.c"), "-lopendkim").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return []string{program}
}

// messages are what a peer is tried with. The large one comes once.
func (p peer) messages(header, body Canonicalization) map[string]string {
	all := hard(40)
	for name := range p.without {
		if all[name] == "" {
			panic(name)
		}
		delete(all, name)
	}
	if header == Relaxed && body == Relaxed {
		all["10 MiB"] = message + strings.Repeat("ten  mebibytes of text, \twith white space \r\n\r\n", 10<<20/46)
	}
	return all
}

// lay puts messages, zone and key into a folder.
func lay(t *testing.T, messages map[string]string, z zone, key *rsa.PrivateKey) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range messages {
		write(name+".eml", text)
	}
	var records strings.Builder
	for name, r := range z {
		fmt.Fprintf(&records, "%s %s\n", name, r.TXT[0])
	}
	write("zone", records.String())
	write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	return dir
}

func run(t *testing.T, command []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], slices.Concat(command[1:], args)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", command, err, out, stderr.String())
	}
	return string(out)
}

var canons = []Canonicalization{Relaxed, Simple}

// TestPeersVerify has others verify what we sign.
func TestPeersVerify(t *testing.T) {
	keys, z := pair(t)
	for _, p := range peers() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			command := p.command(t)
			for i, k := range keys {
				if i == 1 && !p.ed25519 {
					continue
				}
				messages := map[string]string{}
				for _, header := range canons {
					for _, body := range canons {
						s := signer(t, SignConfig{Header: header, Body: body})
						for name, text := range p.messages(header, body) {
							if i == 1 && name == "10 MiB" {
								continue // the body is the same
							}
							messages[fmt.Sprintf("%s, %s, %s", name, header, body)] = signed(t, s, text, k)
						}
					}
				}
				dir := lay(t, messages, z, keys[0].Private.(*rsa.PrivateKey))
				lines := strings.Split(strings.TrimSpace(run(t, command, "verify", dir)), "\n")
				if len(lines) != len(messages) {
					t.Errorf("%d results for %d messages", len(lines), len(messages))
				}
				for _, line := range lines {
					if !strings.HasSuffix(line, " pass") {
						t.Errorf("%s: %s", k.Selector, line)
					}
				}
			}
		})
	}
}

// TestPeersSign verifies what others sign.
func TestPeersSign(t *testing.T) {
	keys, z := pair(t)
	v := verifier(t, Config{Resolver: z})
	for _, p := range peers() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			command := p.command(t)
			for _, header := range canons {
				for _, body := range canons {
					messages := p.messages(header, body)
					dir := lay(t, messages, z, keys[0].Private.(*rsa.PrivateKey))
					if out := run(t, command, "sign", dir, string(header), string(body), "example.org", "s1"); out != "" {
						t.Log(out)
					}
					for _, name := range slices.Sorted(maps.Keys(messages)) {
						text, err := os.ReadFile(filepath.Join(dir, name+".signed"))
						if err != nil {
							t.Errorf("%s, %s, %s: %v", name, header, body, err)
							continue
						}
						report, err := v.Verify(t.Context(), bytes.NewReader(text))
						if err != nil || len(report.Signatures) == 0 {
							t.Fatalf("%s: %v", name, err)
						}
						if got := report.Signatures[0]; got.Result != Pass {
							t.Errorf("%s, %s, %s: %s %s", name, header, body, got.Result, got.Reason)
						}
					}
				}
			}
		})
	}
}

// TestMsgauth exchanges signatures with go-msgauth.
func TestMsgauth(t *testing.T) {
	keys, z := pair(t)
	lookup := func(name string) ([]string, error) { return z.LookupTXT(t.Context(), name) }
	v := verifier(t, Config{Resolver: z})
	for _, header := range canons {
		for _, body := range canons {
			s := signer(t, SignConfig{Header: header, Body: body})
			// "unexpected EOF": it wants the empty line, which RFC 5322, section 3.5, does
			// not.
			for name, text := range (peer{without: map[string]string{"no body": ""}}).messages(header, body) {
				for _, k := range keys {
					label := fmt.Sprintf("%s, %s, %s, %s", name, header, body, k.Selector)
					list, err := msgauth.VerifyWithOptions(strings.NewReader(signed(t, s, text, k)), &msgauth.VerifyOptions{LookupTXT: lookup})
					if err != nil || len(list) == 0 || list[0].Err != nil {
						t.Errorf("ours, %s: %v", label, err)
						if len(list) > 0 {
							t.Error(list[0].Err)
						}
					}
					var out bytes.Buffer
					err = msgauth.Sign(&out, strings.NewReader(text), &msgauth.SignOptions{
						Domain: k.Domain, Selector: k.Selector, Signer: k.Private,
						HeaderCanonicalization: msgauth.Canonicalization(header), BodyCanonicalization: msgauth.Canonicalization(body),
					})
					if err != nil {
						t.Errorf("%s: %v", label, err)
						continue
					}
					report, err := v.Verify(t.Context(), &out)
					if err != nil || len(report.Signatures) == 0 || report.Signatures[0].Result != Pass {
						t.Errorf("theirs, %s: %+v, %v", label, report, err)
					}
				}
			}
		}
	}
}

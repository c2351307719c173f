package arc

import (
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

	"github.com/smtpguard/smtpguard/auth/authres"
	"github.com/smtpguard/smtpguard/internal/require"
)

// peer is another implementation: a program that testdata/peers/README.md
// describes.
type peer struct {
	name    string
	command []string

	// What is not put to it, by message: why it errs. None of it is a message as SMTP
	// carries it, but for the space before a colon (RFC 5322, section 4.5).
	without map[string]string

	// What of found it does not read, and so seals none of.
	unread map[int]string
}

func peers(t *testing.T) []peer {
	t.Helper()
	require.Program(t, "dkimverify") // which comes with dkimpy
	if exec.Command("/usr/bin/python3", "-c", "import authres").Run() != nil {
		lacks(t, "python3-authres, which dkimpy seals with")
	}
	perl := require.Program(t, "perl")
	if exec.Command(perl, "-MMail::DKIM::ARC::Signer", "-e", "1").Run() != nil {
		lacks(t, "Mail::DKIM")
	}
	return []peer{
		{"dkimpy", []string{"/usr/bin/python3", "testdata/peers/dkimpy.py"}, map[string]string{
			"space-at-colon": "refuses it",
			"no-CRLF-blank":  "keeps white space at the end of a line (RFC 6376, section 3.4.4)",
		}, map[int]string{4: "octets outside ASCII (RFC 8601, section 2.2)"}},
		{"Mail-DKIM", []string{perl, "testdata/peers/maildkim.pl"}, nil, map[int]string{
			2: "a backslash in a comment (RFC 5322, section 3.2.2)",
			3: "a quoted local part (RFC 8601, section 2.2)",
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

// run has p look at messages, in a folder, which it returns with what p says of each.
func (p *peer) run(t *testing.T, z zone, k *Key, messages map[string]string) (folder string, said map[string]string) {
	t.Helper()
	folder = t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var records strings.Builder
	for name, text := range z {
		fmt.Fprintf(&records, "%s %s\n", name, text)
	}
	write("zone", records.String())
	for name, text := range messages {
		write(name+".eml", text)
	}
	args := append(slices.Clone(p.command[1:]), folder)
	if k != nil {
		der := x509.MarshalPKCS1PrivateKey(k.Private.(*rsa.PrivateKey))
		write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: der})))
		args = append(args, k.Domain)
	}
	out, err := exec.CommandContext(t.Context(), p.command[0], args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", p.name, err, out)
	}
	said = make(map[string]string)
	for line := range strings.SplitSeq(string(out), "\n") {
		if name, text, ok := strings.Cut(line, " "); ok {
			said[name] = text
		}
	}
	return folder, said
}

// validate returns what p says of messages: none, pass or fail, and why.
func (p *peer) validate(t *testing.T, z zone, messages map[string]string) map[string]string {
	t.Helper()
	_, said := p.run(t, z, nil, messages)
	return said
}

// seal returns messages with a set of k on top of each, and under it the field that
// says what was found.
func (p *peer) seal(t *testing.T, z zone, k Key, results func(name string) string, messages map[string]string) map[string]string {
	t.Helper()
	sealed := make(map[string]string)
	for name, m := range messages {
		status := validated(t, z, m).Status
		sealed[name] = "Authentication-Results: " + k.Domain + "; arc=" + string(status) + "; " + results(name) + "\r\n" + m
	}
	folder, said := p.run(t, z, &k, sealed)
	for name := range sealed {
		if said[name] != "sealed" {
			t.Errorf("%s does not seal %s: %s", p.name, name, said[name])
		}
		text, err := os.ReadFile(filepath.Join(folder, name+".sealed"))
		if err != nil {
			t.Fatal(err)
		}
		sealed[name] = string(text)
	}
	return sealed
}

// hard returns messages that are sealed differently where a rule is read differently.
func hard() map[string]string {
	const header = "From: Ann <ann@example.net>\r\nTo: bob@example.com\r\nSubject: hard\r\nDate: Fri, 24 Jul 2026 10:00:00 +0000\r\n"
	return map[string]string{
		"usual":             message,
		"no-body":           header,
		"empty-body":        header + "\r\n",
		"one-line-end":      header + "\r\n\r\n",
		"blank-tail":        header + "\r\ntext\r\n\r\n\r\n\r\n",
		"no-final-CRLF":     header + "\r\ntext",
		"no-CRLF-blank":     header + "\r\ntext \t",
		"blanks-at-the-end": header + "\r\ntext \t\r\n \r\n\t\r\n",
		"only-blanks":       header + "\r\n \r\n\t \r\n",
		"tabs":              header + "\r\n\ta\tb \t c\t\r\n",
		"8-bit":             header + "\r\n\xc3\xa4\xf6  \xff\x80\r\n",
		"8-bit-header":      header + "X: \xc3\xa4  \xf6\r\nComments: \xff\r\n\r\ntext\r\n",
		"long-folds":        header + "References:" + strings.Repeat("\r\n <"+strings.Repeat("x", 60)+"@example.org>", 50) + "\r\n\r\ntext\r\n",
		"blank-folds":       header + "Keywords: a\r\n \r\n\tb \r\n\t c\r\n\r\ntext\r\n",
		"folded-subject":    strings.Replace(header, "Subject: hard", "SUBJECT:\r\n\thard \r\n  and\tfolded ", 1) + "\r\ntext\r\n",
		"empty-fields":      header + "Cc:\r\nReply-To: \r\nSender:\r\n ann@example.org\r\n\r\ntext\r\n",
		"repeated-fields":   "Received: a\r\nreceived: b\r\nTo: x@example.com\r\n" + header + "to: y@example.com\r\nComments: a\r\n\r\ntext\r\n",
		"space-at-colon":    header + "Message-ID \t: <1@example.org>\r\n\r\ntext\r\n",
		"dots":              header + "\r\n.\r\n..\r\n.a\r\n",
		"long-line":         header + "\r\n" + strings.Repeat("long  line ", 2000) + "\r\n",
		"signed-before":     "DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=x; h=from; bh=YQ==; b=YQ==\r\n" + header + "\r\ntext\r\n",
		"near-ARC":          "ARC-Filter: i=1; x\r\nX-ARC-Seal: i=1; cv=fail\r\nARC-Seals: i=9\r\n" + header + "\r\nARC-Seal: i=1; cv=fail\r\n",
	}
}

// but returns what of messages is put to p.
func (p *peer) but(messages map[string]string) map[string]string {
	left := maps.Clone(messages)
	for name := range p.without {
		delete(left, name)
	}
	return left
}

// found is what hosts find: comments, nested ones, quoted strings, both with what
// would end a result.
var found = []string{
	"spf=pass smtp.mailfrom=ann@example.net; dmarc=pass header.from=example.net",
	"spf=pass (a; comment (nested = )) reason=\"it; is\" smtp.mailfrom=ann@example.net; dmarc=pass (p=NONE) header.from=example.net",
	"spf=pass (sender (of ann@example.net) \\( is fine) smtp.mailfrom=ann@example.net; dkim=pass (2048-bit key)\r\n\theader.d=example.net header.b=\"ab/c+d=\"; dmarc=pass (p=NONE sp=QUARANTINE dis=NONE) header.from=example.net",
	"spf=pass reason=\"it is; \\\"so\\\" = (not a comment)\" smtp.mailfrom=\"a; b\"@example.net;\r\n  dmarc=pass header.from=example.net",
	"auth=pass smtp.auth=\"\xc3\xa4\"; dmarc=pass header.from=example.net",
}

// edited is a message as a list passes it on.
func edited(m string) string {
	m = strings.Replace(m, "Subject: ", "Subject: [list] ", 1)
	if strings.Contains(m, "\r\n\r\n") {
		m = strings.TrimSuffix(m, "\r\n") + "\r\n-- the list\r\n"
	}
	return m
}

// ours returns message, edited or not, with a set of ours on top.
func ours(t *testing.T, z zone, k Key, results, message string, edit bool) string {
	t.Helper()
	s, err := NewSealer(SealConfig{})
	if err != nil {
		t.Fatal(err)
	}
	chain := validated(t, z, message)
	if edit {
		message = edited(message)
	}
	fields, err := s.Seal(t.Context(), strings.NewReader(message), chain, k.Domain+"; arc="+string(chain.Status)+"; "+results, k)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(fields, "") + message
}

// Our seals validate with dkimpy and Mail::DKIM, and what breaks for us breaks for
// them.
func TestPeersValidate(t *testing.T) {
	z := zone{}
	one, two := key(t, z, "one.example", "rsa"), key(t, z, "two.example", "rsa")
	messages, want := map[string]string{"plain": message}, map[string]string{"plain": "none"}
	for name, m := range hard() {
		m = ours(t, z, one, found[0], m, false)
		messages[name+":1"] = m
		m = ours(t, z, two, found[0], m, true)
		messages[name+":2"] = m
		messages[name+":broken"] = strings.Replace(m, "From: Ann", "From: Eve", 1)
		want[name+":1"], want[name+":2"], want[name+":broken"] = "pass", "pass", "fail"
	}
	for i, results := range found {
		name := fmt.Sprint("found", i)
		messages[name], want[name] = ours(t, z, two, results, ours(t, z, one, results, message, false), false), "pass"
	}
	for _, p := range peers(t) {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			left := maps.Clone(messages)
			for name := range p.without {
				for _, kind := range []string{":1", ":2", ":broken"} {
					delete(left, name+kind)
				}
			}
			said := p.validate(t, z, left)
			for name := range left {
				if status, _, _ := strings.Cut(said[name], " "); status != want[name] {
					t.Errorf("%s is %q, want %s", name, said[name], want[name])
				}
			}
		})
	}
}

// Theirs validate with us.
func TestPeersSeal(t *testing.T) {
	for _, p := range peers(t) {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			z := zone{}
			k := key(t, z, "example.org", "rsa")
			messages, results := p.but(hard()), make(map[string]string)
			for name := range messages {
				results[name] = found[0]
			}
			for i, text := range found {
				if p.unread[i] == "" {
					name := fmt.Sprint("found", i)
					messages[name], results[name] = message, text
				}
			}
			for name, m := range p.seal(t, z, k, func(name string) string { return results[name] }, messages) {
				chain := validated(t, z, m)
				if chain.Status != Pass || len(chain.Sets) != 1 || chain.Sets[0].Domain != "example.org" {
					t.Errorf("%s: %+v\n%s", name, chain, m)
					continue
				}
				r, err := authres.Parse(chain.Sets[0].Results)
				if err != nil || r.ID != "example.org" || len(r.Find("dmarc")) != 1 || r.Find("dmarc")[0].Value("header", "from") != "example.net" {
					t.Errorf("%s: %+v, %v of %q", name, r, err, chain.Sets[0].Results)
				}
			}
		})
	}
}

// Chains of two and three hosts validate everywhere, whoever sealed, and where the
// message was edited on the way.
func TestPeersMixed(t *testing.T) {
	z := zone{}
	sealers := map[string]func(k Key, messages map[string]string) map[string]string{
		"ours": func(k Key, messages map[string]string) map[string]string {
			on := make(map[string]string)
			for name, m := range messages {
				on[name] = ours(t, z, k, found[2], m, true)
			}
			return on
		},
	}
	validators := peers(t)
	for _, p := range validators {
		sealers[p.name] = func(k Key, messages map[string]string) map[string]string {
			return p.seal(t, z, k, func(string) string { return found[1] }, messages)
		}
	}
	all := hard()
	done := make(map[string]string) // by who sealed, and the message
	for _, name := range []string{"usual", "no-body", "tabs", "8-bit-header", "blank-folds", "no-final-CRLF", "repeated-fields", "signed-before"} {
		done[":"+name] = all[name]
	}
	const each = 8
	for hop, ways := range []int{3, 9, 8} {
		next := make(map[string]string)
		for sealer, seal := range sealers {
			k := key(t, z, fmt.Sprintf("%s%d.example", strings.ToLower(sealer), hop), "rsa")
			messages := make(map[string]string)
			for name, m := range done {
				before, message, _ := strings.Cut(name, ":")
				// Three hosts: those that differ, and from us through another to us.
				if hop < 2 || !strings.Contains(before, sealer) && strings.Count(before, before[:4]) == 1 ||
					sealer == "ours" && strings.HasPrefix(before, "ours+") && before != "ours+ours+" {
					messages[before+sealer+"+:"+message] = m
				}
			}
			maps.Copy(next, seal(k, messages))
		}
		if done = next; len(done) != ways*each {
			t.Fatalf("%d messages of %d hops", len(done), hop+1)
		}
		for name, m := range done {
			chain := validated(t, z, m)
			path, _, _ := strings.Cut(name, ":")
			for i, host := range chain.Sealers() {
				path = strings.Replace(strings.ToLower(path), strings.TrimSuffix(host, fmt.Sprint(i, ".example"))+"+", "", 1)
			}
			if chain.Status != Pass || path != "" {
				t.Errorf("%s: %+v", name, chain)
			}
		}
		for _, p := range validators {
			said := p.validate(t, z, done)
			for name := range done {
				if !strings.HasPrefix(said[name], "pass ") {
					t.Errorf("%s says of %s: %s", p.name, name, said[name])
				}
			}
		}
	}
}

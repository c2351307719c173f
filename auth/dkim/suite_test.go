//go:debug rsa1024min=0

package dkim

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/internal/require"
)

// zone is DNS from a suite. What it does not have does not exist.
type zone map[string]struct {
	TXT   []string `json:"txt"`
	Rcode string   `json:"rcode"`
}

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	r := z[name]
	if r.TXT == nil {
		return nil, &net.DNSError{Name: name, IsNotFound: r.Rcode != "SERVFAIL", IsTemporary: r.Rcode == "SERVFAIL"}
	}
	return r.TXT, nil
}

// record makes a zone of one key record.
func record(name, text string) zone {
	z := zone{}
	r := z[name]
	r.TXT = []string{text}
	z[name] = r
	return z
}

// suite is a verify.json.
type suite struct {
	DNS   zone
	Cases []struct {
		ID     string
		EML    string
		Type   string
		Expect string // what the source says
		Modern string `json:"modern_expect"` // what today's RFCs say
	}
}

// whenSuites is when the messages of the suites are verified.
var whenSuites = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func loadSuite(t *testing.T, name string) (suite, string) {
	t.Helper()
	dir := require.Suite(t, "dkim", name)
	var s suite
	text, err := os.ReadFile(filepath.Join(dir, "verify.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Cases) == 0 {
		t.Fatal("no cases")
	}
	return s, dir
}

// says is a report's result in the words of the suites.
func says(r *Report) string {
	switch r.Result() {
	case Pass, None:
		return string(r.Result())
	}
	return "not-pass"
}

// TestSuites holds every message of the corpora to what today's RFCs make of it.
// There is no difference to argue.
func TestSuites(t *testing.T) {
	for _, name := range []string{"dkimpy", "gomsgauth", "mail-dkim-corpus", "mailauth", "mox"} {
		t.Run(name, func(t *testing.T) {
			s, dir := loadSuite(t, name)
			v := verifier(t, Config{Resolver: s.DNS})
			for _, c := range s.Cases {
				want := c.Modern
				if c.Type == "domainkeys" {
					want = "none" // RFC 4870 is historic: not a signature
				}
				report := verify(t, v, read(t, dir, c.EML))
				if got := says(report); got != want {
					t.Errorf("%s: %s, want %s: %+v", c.ID, got, want, report.Signatures)
				}
			}
		})
	}
}

// TestOldSuite holds the corpus of Mail::DKIM, which is of a time before RFC
// 4871, to the verdicts of its own time: canonicalisation, lists of fields and
// keys are as today.
func TestOldSuite(t *testing.T) {
	// Messages that are not signed as RFC 6376 says, or whose verdicts it changed.
	differ := map[string]string{
		"good_ietf00_1.txt": "no bh= tag: section 3.5", "good_ietf00_2.txt": "the same", "good_ietf00_3.txt": "the same",
		"good_ietf00_4.txt": "the same", "good_ietf00_5.txt": "the same",
		"mine_ietf01_1.txt": "q=dns, not dns/txt: section 3.5", "mine_ietf01_2.txt": "the same",
		"mine_ietf01_3.txt": "the same", "mine_ietf01_4.txt": "the same",
		"badkey_8.txt":  "g= of the key names nobody: ignored since section 3.6.1 has no g=, appendix D",
		"badkey_9.txt":  "g= of the key names another: the same",
		"badkey_12.txt": "the same", "badkey_13.txt": "the same",
	}
	s, dir := loadSuite(t, "mail-dkim-corpus")
	v := verifier(t, Config{Resolver: s.DNS})
	v.legacy = true
	seen := map[string]bool{}
	for _, c := range s.Cases {
		if c.Type == "domainkeys" {
			continue
		}
		want := c.Expect
		if why, ok := differ[c.ID]; ok {
			seen[c.ID] = true
			if want = "not-pass"; c.Expect == want {
				want = "pass"
			}
			t.Logf("%s: %s, not %s: %s", c.ID, want, c.Expect, why)
		}
		report := verify(t, v, read(t, dir, c.EML))
		if got := says(report); got != want {
			t.Errorf("%s: %s, want %s: %+v", c.ID, got, want, report.Signatures)
		}
	}
	for id := range differ {
		if !seen[id] {
			t.Errorf("%s is not in the suite", id)
		}
	}
}

// TestOpenDKIM verifies the signatures that libopendkim's own tests expect of
// it, over the messages it signs.
func TestOpenDKIM(t *testing.T) {
	dir := require.Suite(t, "dkim", "opendkim-libtests")
	var s struct {
		PrivateKey string `json:"private_key"`
		Cases      []struct {
			ID        string
			EML       string
			Selector  string
			Domain    string
			Signature string `json:"expected_signature_value"`
		}
	}
	if err := json.Unmarshal(read(t, dir, "sign.json"), &s); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(read(t, dir, "key.pem"))
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	differ := map[string]string{
		"t-test90": "bare CR and LF, which libopendkim is told to mend before it signs: section 5.3 has the sender do so, and these octets are not what was signed",
		"t-test91": "the same",
	}
	for _, c := range s.Cases {
		t.Run(c.ID, func(t *testing.T) {
			v := verifier(t, Config{Resolver: record(c.Selector+"._domainkey."+c.Domain, keyRecord(t, key)), Partial: true})
			v.legacy = true
			message := append([]byte("DKIM-Signature: "+c.Signature+"\r\n"), read(t, dir, c.EML)...)
			report, err := v.VerifyReceived(context.Background(), bytes.NewReader(message), time.Unix(1172620939, 0))
			if err != nil {
				t.Fatal(err)
			}
			want := Pass
			if why, ok := differ[c.ID]; ok {
				want = Fail
				t.Log(why)
			}
			if got := report.Signatures[0]; got.Result != want {
				t.Errorf("%s: %s, want %s", got.Result, got.Reason, want)
			}
		})
	}
}

// TestMimeKit verifies the messages of MimeKit's tests.
func TestMimeKit(t *testing.T) {
	dir := filepath.Join(require.Suite(t, "dkim", "mimekit"), "data")
	block, _ := pem.Decode(read(t, dir, "gmail.pub"))
	z := record("20120113._domainkey.gmail.com", "k=rsa; p="+base64.StdEncoding.EncodeToString(block.Bytes))
	football, _ := loadSuite(t, "mailauth")
	for name, r := range football.DNS {
		z[name] = r
	}
	v := verifier(t, Config{Resolver: z})
	for _, name := range []string{"gmail.msg", "rfc8463-example.msg"} {
		message := bytes.ReplaceAll(read(t, dir, name), []byte("\n"), []byte("\r\n")) // the files have lost them
		report := verify(t, v, message)
		for _, s := range report.Signatures {
			if s.Result != Pass {
				t.Errorf("%s: %+v", name, s)
			}
		}
		if len(report.Signatures) == 0 {
			t.Errorf("%s: no signatures", name)
		}
	}
}

func verifier(t testing.TB, cfg Config) *Verifier {
	t.Helper()
	v, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func verify(t testing.TB, v *Verifier, message []byte) *Report {
	t.Helper()
	report, err := v.VerifyReceived(context.Background(), bytes.NewReader(message), whenSuites)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func read(t testing.TB, elem ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func keyRecord(t testing.TB, key *rsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join([]string{"v=DKIM1; p=", base64.StdEncoding.EncodeToString(der)}, "")
}

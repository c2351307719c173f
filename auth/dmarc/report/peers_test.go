package report

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/internal/require"
)

// posted is a report as the mail it is to go with.
func posted(a Attachment) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: <dmarc@receiver.example>\r\nTo: <d@example.com>\r\nSubject: %s\r\nMIME-Version: 1.0\r\n", a.Subject)
	fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nA report.\r\n")
	fmt.Fprintf(&b, "--b\r\nContent-Type: %s; name=%q\r\nContent-Disposition: attachment; filename=%q\r\nContent-Transfer-Encoding: base64\r\n", a.MediaType, a.Name, a.Name)
	text := base64.StdEncoding.EncodeToString(a.Content)
	for len(text) > 76 {
		fmt.Fprintf(&b, "\r\n%s", text[:76])
		text = text[76:]
	}
	fmt.Fprintf(&b, "\r\n%s\r\n--b--\r\n", text)
	return b.Bytes()
}

// mailDMARC has Mail::DMARC read a report, and returns what it says, and what it
// writes of it again.
func mailDMARC(t *testing.T, mail []byte) (says []string, again []byte) {
	t.Helper()
	perl := require.Program(t, "perl")
	if exec.Command(perl, "-MMail::DMARC::Report::Receive", "-MDBD::SQLite", "-e", "1").Run() != nil {
		lacks(t, "Mail::DMARC with DBD::SQLite")
	}
	script, err := filepath.Abs("testdata/peers/maildmarc.pl")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		"mail.eml":       string(mail),
		"mail-dmarc.ini": "[organization]\ndomain=example.com\norg_name=x\nemail=x@example.com\n[report_store]\nbackend=SQL\ndsn=dbi:SQLite:dbname=" + filepath.Join(dir, "reports.sqlite") + "\nuser=\npass=\n[dmarc]\nbackend=perl\n[dns]\ntimeout=1\n[smtp]\nhostname=example.com\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), perl, script, "mail.eml", "again.xml")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "MAIL_DMARC_CONFIG_FILE="+filepath.Join(dir, "mail-dmarc.ini"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if again, err = os.ReadFile(filepath.Join(dir, "again.xml")); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n"), again
}

// lacks skips a test, or fails it where all that is needed must be there.
func lacks(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("SMTPGUARD_REQUIRE") != "" {
		t.Fatalf("needs %s", what)
	}
	t.Skipf("needs %s", what)
}

// TestMailDMARC has Mail::DMARC read our reports of RFC 7489 from their mail, and
// reads what it writes of them.
func TestMailDMARC(t *testing.T) {
	c := collector(t, Config{Legacy: true})
	for _, m := range checked(t, dmarc.PublicSuffix) {
		if err := c.add(t.Context(), &m, noon); err != nil {
			t.Fatal(err)
		}
	}
	for b, err := range c.Due(t.Context(), noon.Add(12*time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		if b.Policy.Domain != "example.com" {
			continue
		}
		a, err := c.Attachment(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		says, again := mailDMARC(t, posted(a))
		slices.Sort(says)
		want := []string{
			"policy|domain=example.com|adkim=s|aspf=r|p=reject|sp=quarantine|pct=100",
			"report domain: example.com submitter: mx.receiver.example report-id: <" + a.ID + ">",
			"report|Receiver & Sons|dmarc@receiver.example|https://receiver.example/<dmarc>|" + a.ID + "|1777593600|1777679999",
			"row|192.0.2.1|4|none|pass|pass|receiver.example|example.com|example.com|reasons|dkim|example.com s1 pass|example.com s1 pass|spf|example.com pass", // it takes the first signature for each
			"row|192.0.2.7|1|quarantine|fail|fail|receiver.example||news.example.com|reasons|dkim|<bad>  s none|spf|news.example.com none",                      // and a space for what is no character
			"row|192.0.2.8|1|none|fail|fail|receiver.example|list.example|example.com|reasons|mailing_list a <list> & more|dkim|spf|list.example pass",
			"row|2001:db8::1|1|reject|fail|fail|receiver.example|attack.example|example.com|reasons|dkim|spf|attack.example softfail",
			"type aggregate",
		}
		if !slices.Equal(says, want) {
			t.Errorf("it says\n%s\nwant\n%s", strings.Join(says, "\n"), strings.Join(want, "\n"))
		}
		ours, err := Read(bytes.NewReader(a.Content), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := Read(bytes.NewReader(again), Limits{})
		if err != nil {
			t.Fatalf("%v in %s", err, again)
		}
		var one, two Summary
		one.Add(ours)
		two.Add(theirs)
		if one != two || one.Messages != 7 || theirs.ID != ours.ID || !theirs.End.Equal(ours.End) || theirs.Policy.Domain != ours.Policy.Domain || theirs.Policy.Subdomain != ours.Policy.Subdomain {
			t.Errorf("%+v\nwritten again\n%+v", ours, theirs)
		}
	}
}

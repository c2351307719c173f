package main

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/dnsd"
	"github.com/smtpguard/smtpguard/internal/require"
)

// Lists of hashes, SURBL's levels and what there is too much of, as the configuration
// has them.
func TestURIHashes(t *testing.T) {
	require.Program(t, "swaks")
	const wallet = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
	addr := dnsd.Rbldnsd(t, map[string]string{
		"hbl.example:dnset": "f3pdgtmwu6lfigdjc67yniwry5zrm7erletnfo36qaeqpmbpw2da._email.k3y :127.0.3.2:x\n" +
			"jrbrnountqwklokrddx5dc65yhffj4zlj5exp7d6twhjtdr23psa._url.k3y :127.0.3.30:x\n" +
			"tv7qrqpgbkf4x3k4t5qyilri3sp5ciwviioh25yuogvoj3sbtyna._cw.k3y :127.0.3.20:x\n" +
			"e5naeg57wzej4vguogez67nz2ftd7ruv5qx6fiwekofkx5sr7uhq._file.k3y :127.0.3.10:x",
		"wallets.example:dnset": fmt.Sprintf("%x.v1 :127.0.0.2:x", md5.Sum([]byte(wallet))),
		"multi.example:dnset":   "test :127.0.0.2:x\nbad.some-host.example.com :127.0.0.2:x",
	})
	levels := filepath.Join(t.TempDir(), "levels")
	if err := os.WriteFile(levels, []byte("some-host.example.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, "", fmt.Sprintf(`
resolver: {servers: [%q]}
uri-lists:
  zones:
    - {preset: spamhaus-hbl, key: k3y, domain: hbl.example}
    - {name: wallets, domain: wallets.example, prefix: v1, lists: [wallet], hash: {sum: md5}, test: {listed: "-"}}
    - {name: multi, domain: multi.example, test: {unlisted: example.net}}
  unseen: {action: reject}
  levels: [%q]
`, addr, levels))
	var crowd strings.Builder
	for i := range 200 {
		fmt.Fprintf(&crowd, "http://good%d.com/\n", i)
	}
	eicar := base64.StdEncoding.EncodeToString([]byte(`X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`))
	for _, tt := range []struct{ name, kind, body, log string }{
		{"mail address", "text/plain", "write to user@hbltest.com", "listed by Spamhaus HBL email"},
		{"URL", "text/plain", "see http://www.hbltest.com/test", "listed by Spamhaus HBL url"},
		{"file", "application/zip; name=a.zip\nContent-Transfer-Encoding: base64", eicar, "listed by Spamhaus HBL file"},
		{"wallet", "text/plain", "pay to " + wallet, "listed by wallets"},
		{"levels", "text/plain", "see http://www.bad.some-host.example.com/", "bad.some-host.example.com is listed by multi"},
		{"too many", "text/plain", crowd.String(), "links not looked up"},
		{"clean", "text/plain", "see http://good.some-host.example.com/test and a@good.com", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "mail")
			mail := "From: a@client.example\nTo: ann@example.org\nSubject: x\nMIME-Version: 1.0\nContent-Type: " + tt.kind + "\n\n" + tt.body + "\n"
			if err := os.WriteFile(file, []byte(mail), 0o600); err != nil {
				t.Fatal(err)
			}
			out, code := r.swaks("-s", r.addr["inbound"], "-f", "a@client.example", "-t", "ann@example.org", "--data", "@"+file)
			if refused := strings.Contains(out, "550 5.7.1"); refused != (tt.log != "") || (code == 0) == refused {
				t.Fatalf("exit code %d:\n%s", code, out)
			}
			if tt.log != "" {
				r.until("the log says why", func() bool { return strings.Contains(r.log.String(), tt.log) })
			}
		})
	}
}

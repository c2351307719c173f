package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/smtpguard/smtpguard/internal/dnszone"
	"github.com/smtpguard/smtpguard/internal/require"
)

// spoof is a case of espoofer: an attempt to make mail pass for another's.
type spoof struct {
	ID, EML, IP, Helo string
	MailFrom          string `json:"mailfrom_raw"`
	Victim            string `json:"victim_domain"`
}

// dialogue plays one session as the case has it, octet by octet, and returns the
// last reply: that to the content, or the first that refuses.
func (s *spoof) dialogue(t *testing.T, nc net.Conn, content string) (code int) {
	t.Helper()
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c := textproto.NewConn(nc)
	say := func(line string) bool {
		t.Helper()
		if line != "" {
			if _, err := fmt.Fprintf(nc, "%s\r\n", line); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if code, _, err = c.ReadResponse(0); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return code < 400
	}
	if say("") && say("EHLO "+s.Helo) && say("MAIL FROM:"+s.MailFrom) && say("RCPT TO:<victim@example.org>") && say("DATA") {
		say(content + ".")
	}
	return code
}

// Of espoofer's attacks none gets through to the victim as authenticated: those on a
// receiver are refused by what the author's domain asks for, or because the author is
// not clear.
func TestSpoofing(t *testing.T) {
	var suite struct {
		DNS map[string][]struct {
			Type string
			Data []string
		}
		Cases []spoof
	}
	text, err := os.ReadFile(require.Suite(t, "spoofing", "espoofer", "normalized.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &suite); err != nil {
		t.Fatal(err)
	}
	zone := new(strings.Builder)
	fmt.Fprintln(zone, ". 60 IN SOA ns. hostmaster. 1 3600 600 86400 60")
	escape := strings.NewReplacer("(", `\(`, "@", `\@`, "'", `\'`)
	for name, sets := range suite.DNS {
		for _, set := range sets {
			if set.Type != "TXT" {
				continue
			}
			fmt.Fprintf(zone, "%s. 60 IN TXT", escape.Replace(name))
			for text := strings.Join(set.Data, ""); text != ""; {
				n := min(len(text), 255)
				fmt.Fprintf(zone, " %q", text[:n])
				text = text[n:]
			}
			fmt.Fprintln(zone)
		}
	}
	dns := dnszone.Start(t, zone.String())
	r := start(t, "wait: 10ms, proxy: [127.0.0.0/8]", fmt.Sprintf(`
resolver: {servers: [%q]}
authentication: {mode: enforce}
`, dns.Addr().String()))
	connect := func(addr string) net.Conn {
		t.Helper()
		nc, err := net.Dial("tcp", r.addr["inbound"])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		from, to := &net.TCPAddr{IP: net.ParseIP(addr), Port: 1234}, &net.TCPAddr{IP: net.IPv4(198, 51, 100, 25), Port: 25}
		if _, err := proxyproto.HeaderProxyFromAddrs(2, from, to).WriteTo(nc); err != nil {
			t.Fatal(err)
		}
		return nc
	}
	// The control: the attacker's own mail passes, and the victim's from where it may
	// come.
	own := spoof{Helo: "attack.com", MailFrom: "<any@attack.com>"}
	if code := own.dialogue(t, connect("192.0.2.66"), "From: any@attack.com\r\n\r\nx\r\n"); code != 250 {
		t.Fatalf("the attacker's own mail: %d", code)
	}
	real := spoof{Helo: "mx.legitimate.com", MailFrom: "<admin@legitimate.com>"}
	if code := real.dialogue(t, connect("198.51.100.1"), "From: admin@legitimate.com\r\n\r\nx\r\n"); code != 250 {
		t.Fatalf("the victim's own mail: %d", code)
	}
	if got := r.mail("example.org/victim"); len(got) != 2 || !strings.Contains(got[0]+got[1], "header.from=legitimate.com") {
		t.Fatalf("%q", got)
	}
	n := 0
	for _, tt := range suite.Cases {
		if !strings.HasPrefix(tt.ID, "server_") {
			continue // of a user of ours: the kit has those
		}
		n++
		content, err := os.ReadFile(require.Suite(t, "spoofing", "espoofer", tt.EML))
		if err != nil {
			t.Fatal(err)
		}
		if code := tt.dialogue(t, connect(tt.IP), strings.TrimSuffix(string(content), "\r\n")+"\r\n"); code < 500 {
			t.Errorf("%s: %d", tt.ID, code)
		}
	}
	if n != 19 {
		t.Errorf("%d cases", n)
	}
	if got := r.mail("example.org/victim"); len(got) != 2 {
		t.Errorf("the victim has %d messages:\n%s", len(got), strings.Join(got[2:], "\n\n"))
	}
	if dns.Total() == 0 {
		t.Error("nothing was asked of DNS")
	}
}

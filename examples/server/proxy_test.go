package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/pires/go-proxyproto"
)

// via is a client behind a PROXY protocol header.
func via(t *testing.T, addr string, version byte, client string) *smtp.Client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	to := "198.51.100.1:25"
	if strings.HasPrefix(client, "[") {
		to = "[2001:db8::25]:25"
	}
	from, err := net.ResolveTCPAddr("tcp", client)
	if err != nil {
		t.Fatal(err)
	}
	dst, err := net.ResolveTCPAddr("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proxyproto.HeaderProxyFromAddrs(version, from, dst).WriteTo(nc); err != nil {
		t.Fatal(err)
	}
	c := smtp.NewClient(nc)
	t.Cleanup(func() { c.Close() })
	c.CommandTimeout, c.SubmissionTimeout = patience, patience
	return c
}

func TestProxy(t *testing.T) {
	next := startNext(t)
	r := start(t, "wait: 10ms, proxy: [127.0.0.0/8]", fmt.Sprintf(`
route: {address: %q, tls: none}
relay:
  - {name: office, networks: [192.0.2.0/24, "2001:db8:1::/48"], to: [example.com]}
octets:
  rules: [{networks: [192.0.2.9], policy: normalize}]
`, next.addr))
	in := r.addr["inbound"]
	for i, tt := range []struct {
		version byte
		client  string
		field   string // in Received
		relays  bool
	}{
		{1, "192.0.2.7:1234", "([192.0.2.7])", true},
		{2, "[2001:db8:1::7]:1234", "([IPv6:2001:db8:1::7])", true},
		{2, "198.51.100.7:1234", "([198.51.100.7])", false},
		{1, "[2001:db8::7]:1234", "([IPv6:2001:db8::7])", false},
	} {
		box := fmt.Sprintf("proxied%d", i)
		c := via(t, in, tt.version, tt.client)
		if err := c.SendMail("a@client.example", []string{box + "@example.org"}, strings.NewReader("x\r\n")); err != nil {
			t.Errorf("%s: %v", tt.client, err)
			continue
		}
		if got := r.mail("example.org/" + box); len(got) != 1 || !strings.Contains(got[0], tt.field) {
			t.Errorf("%s: %q", tt.client, got)
		}
		err := c.SendMail("a@client.example", []string{"b@example.com"}, strings.NewReader("x\r\n"))
		if tt.relays && err != nil || !tt.relays && code(err) != 550 {
			t.Errorf("%s relays: %v", tt.client, err)
		}
	}
	// A rule for one network is for no other.
	for client, wants := range map[string]int{"192.0.2.9:1": 0, "192.0.2.10:1": 554} {
		c := via(t, in, 2, client)
		if err := c.Mail("a@client.example", nil); err != nil {
			t.Fatal(err)
		}
		if err := c.Rcpt("octets@example.org", nil); err != nil {
			t.Fatal(err)
		}
		w, err := c.Data()
		if err == nil {
			_, err = io.WriteString(w, "Subject: x\r\n\r\na\rb\r\n") // the client makes bare LF CRLF by itself
		}
		if err == nil {
			err = w.Close()
		}
		if code(err) != wants || wants == 0 && err != nil {
			t.Errorf("%s sends a bare CR: %v", client, err)
		}
	}
	// Who comes without a header is told nothing.
	nc, err := net.Dial("tcp", in)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(nc, "EHLO client.example\r\n")
	if line, err := bufio.NewReader(nc).ReadString('\n'); err == nil && strings.HasPrefix(line, "2") {
		t.Errorf("without a header the client reads %q", line)
	}
}

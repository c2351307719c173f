package smtpguardtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// play plays a transcript against bare go-smtp and returns what was wrong.
func play(t *testing.T, script string) error {
	t.Helper()
	s, err := start(bareTarget(t))
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(context.Background(), s)
	t.Cleanup(func() { c.Close(); s.stop() })
	return c.Play(script)
}

func TestTranscript(t *testing.T) {
	for name, script := range map[string]string{
		"message": `
			S: 220 local.example *
			C: EHLO client.example
			S: 250-Hello client.example
			S: 250 **
			# a comment
			C: MAIL FROM:<${sender}>
			S: 250 2.*
			C: RCPT TO:<${rcpt}>
			S: 2xx
			C: DATA
			S: 354
			C: Subject: test
			C:
			C: text
			C: .
			S: 250 2.0.0 OK: queued
			C: QUIT
			S: 221
			S: EOF`,
		"octets":    "S: 220\nC! \"EHLO a\\r\\n\" \"NO\" \"O\"*1 \"P\\r\\n\"\nS: 250\nS: 250 2.0.0 I have *",
		"tls":       "HELLO\nSTARTTLS\nAUTH\nC: AUTH PLAIN\nS: 503\nC: QUIT\nS: 221|421\nS: EOF",
		"by hand":   "S: 220\nC: EHLO a\nS: 250\nC: STARTTLS\nS: 220\nTLS\nC: NOOP\nS: 250",
		"again":     "HELLO\nCLOSE\nHELLO\nCONNECT\nS:\nC: NOOP\nS: 250",
		"half":      "HELLO\nHALFCLOSE\nS: 221|EOF",
		"wait":      "HELLO\nWAIT 1ms\nC: NOOP\nS: 250 **",
		"no answer": "S: 220\nC: QUIT\nS: 221\nC: NOOP\nS: EOF",
	} {
		t.Run(name, func(t *testing.T) {
			if err := play(t, script); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMismatch(t *testing.T) {
	for _, tt := range []struct{ name, script, want, got string }{
		{"code", "S: 220\nC: NOOP\nS: 5xx", "S: 5xx", "250 2.0.0 I have successfully done nothing"},
		{"text", "S: 220 elsewhere *", "S: 220 elsewhere *", "220 local.example ESMTP Service Ready"},
		{"last line", "S: 220\nC: EHLO a\nS: 250 Hello a", "S: 250 Hello a", "250-Hello a"},
		{"not the end", "S: 220\nC: NOOP\nS: EOF", "S: EOF", "250 2.0.0 I have successfully done nothing"},
		{"the end", "S: 220\nC: QUIT\nS: 221\nS: 2xx", "S: 2xx", "EOF"},
		{"no code", "S: 220\nC: QUIT\nS: 221\nS: 250 *", "S: 250 *", "EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := play(t, tt.script)
			var m *Mismatch
			if !errors.As(err, &m) {
				t.Fatalf("got %v, want a mismatch", err)
			}
			lines := strings.Count(tt.script, "\n") + 1
			if m.Line != lines || m.Want != tt.want || m.Got != tt.got || !strings.HasPrefix(m.Dialogue, "S: 220 local.example") {
				t.Errorf("got %+v, want line %d, %q, %q", m, lines, tt.want, tt.got)
			}
		})
	}
}

func TestTranscriptErrors(t *testing.T) {
	for _, script := range []string{
		"X: 250", "S: 25", "S: 99x", "S: text", "C! text", `C! "a" * x`, `C! "a" * 999999999999`, `C! "a`, "S: 220\nWAIT long", "S: 220\nWAIT 1h", "c: NOOP",
	} {
		err := play(t, script)
		var m *Mismatch
		if err == nil || errors.As(err, &m) {
			t.Errorf("%q: got %v, want an error of the transcript", script, err)
		}
	}
}

func TestSecretsHidden(t *testing.T) {
	s, err := start(bareTarget(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	c := newClient(context.Background(), s)
	defer c.Close()
	if err := c.Play("HELLO\nAUTH"); err != nil {
		t.Fatal(err)
	}
	if d := c.Dialogue(); strings.Contains(d, c.plain()) || !strings.Contains(d, "C: AUTH PLAIN ${plain}\n") {
		t.Errorf("the dialogue shows the password:\n%s", d)
	}
}

func TestRecord(t *testing.T) {
	want := `S: 220 local.example ESMTP Service Ready
C: HELO client.example
S: 250 2.0.0 Hello client.example
C: MAIL FROM:<sender@client.example>
S: 250 2.0.0 Roger, accepting mail from <sender@client.example>
C: RCPT TO:<rcpt@local.example>
S: 250 2.0.0 I'll make sure <rcpt@local.example> gets this
C: DATA
S: 354 Go ahead. End your data with <CR><LF>.<CR><LF>
C: Subject: test
C: .
S: 250 2.0.0 OK: queued
C: NOOP
S: 250 2.0.0 I have successfully done nothing
HALFCLOSE
S: EOF
`
	client := "C: HELO client.example\nC: MAIL FROM:<${sender}>\nC: RCPT TO:<${rcpt}>\nC: DATA\nC: Subject: test\nC: .\nC: NOOP"
	marked := "S:\nC: HELO client.example\nS:\nC: MAIL FROM:<${sender}>\nS: 5xx\nC: RCPT TO:<${rcpt}>\nS:\nC: DATA\nS:\nC: Subject: test\nC: .\nS:\nC: NOOP\nS:"
	for name, script := range map[string]string{"client's lines": client, "marked": marked} {
		if got := Record(t, bareTarget(t), script); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}

	chunks := Record(t, bareTarget(t), "C: HELO a\nC: MAIL FROM:<${sender}>\nC: RCPT TO:<${rcpt}>\nC: BDAT 3\nC! \"abc\"\nC: BDAT 0 LAST\nC: QUIT\nC: NOOP")
	if !strings.HasSuffix(chunks, "C: BDAT 3\nC! \"abc\"\nS: 250 2.0.0 Continue\nC: BDAT 0 LAST\nS: 250 2.0.0 OK: queued\nC: QUIT\nS: 221 2.0.0 Bye\nC: NOOP\nS: EOF\n") {
		t.Errorf("BDAT is recorded as\n%s", chunks)
	}
}

func TestTargetErrors(t *testing.T) {
	for name, target := range map[string]Target{
		"no server":    {Recipient: "a@b.example"},
		"no recipient": {Addr: "127.0.0.1:1"},
		"no password":  {Addr: "127.0.0.1:1", Recipient: "a@b.example", Submission: true},
		"no TLS":       {Addr: "127.0.0.1:1", Recipient: "a@b.example", ImplicitTLS: true},
	} {
		if _, err := Check(context.Background(), target); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A server that is not there is a finding of every case, not a pass.
func TestUnreachable(t *testing.T) {
	target := Target{Recipient: "a@b.example", Dial: func(context.Context) (net.Conn, error) { return nil, errors.New("no route") }}
	cases := []Case{{Name: "any", Run: script("READY")}}
	findings, err := CheckCases(context.Background(), target, cases)
	if err != nil || len(findings) != 1 {
		t.Errorf("findings %v, error %v", findings, err)
	}
}

func TestClientAddr(t *testing.T) {
	for _, tt := range []struct{ addr, want string }{
		{"192.0.2.7:1234", "PROXY TCP4 192.0.2.7 127.0.0.1 1234 25\r\n"},
		{"[2001:db8::7]:1234", "PROXY TCP6 2001:db8::7 ::1 1234 25\r\n"},
	} {
		got := make(chan string, 1)
		target := Target{
			Recipient: "a@b.example", ClientAddr: netip.MustParseAddrPort(tt.addr), Timeout: 2 * time.Second,
			Serve: func(ln net.Listener) error {
				conn, err := ln.Accept()
				if err != nil {
					return err
				}
				defer conn.Close()
				line, _ := bufio.NewReader(conn).ReadString('\n')
				got <- line
				fmt.Fprint(conn, "220 ready\r\n")
				return nil
			},
		}
		Play(t, target, "S: 220\nS: EOF")
		if line := <-got; line != tt.want {
			t.Errorf("the header is %q, want %q", line, tt.want)
		}
	}
}

func TestBareOctets(t *testing.T) {
	for data, want := range map[string]string{
		"a\r\nb\r\n": "", "": "", "a\rb": "a bare CR", "a\nb": "a bare LF", "a\x00": "NUL",
		"a\r\r\n": "a bare CR", "a\n\r\n": "a bare LF", "a\r": "a bare CR", "\r\r\n\n": "a bare CR",
	} {
		if got := bare([]byte(data)); got != want {
			t.Errorf("bare(%q) = %q, want %q", data, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Suite("") {
		if seen[k.Name] {
			t.Errorf("two cases are called %s", k.Name)
		}
		seen[k.Name] = true
		if k.Rule == "" || k.RFC == "" || k.Run == nil {
			t.Errorf("%s lacks a rule, an RFC or a Run", k.Name)
		}
	}
	for _, name := range Suites() {
		for _, k := range Suite(name) {
			if !strings.HasPrefix(k.Name, name+"/") {
				t.Errorf("%s is in the suite %s", k.Name, name)
			}
		}
	}
}

func FuzzParseTranscript(f *testing.F) {
	f.Add("S: 220 *\nC! \"a\" * 3 \"b\"\nTLS\n")
	f.Add("C! \"\\x00\"*0\nS: 2xx|EOF **")
	f.Fuzz(func(t *testing.T, script string) {
		steps, err := parseTranscript(script)
		if err != nil {
			return
		}
		for _, s := range steps {
			if s.verb == "S:" {
				if whole, err := matcher(s.arg); err != nil || !whole && len(s.arg) < 4 {
					t.Errorf("the parsed pattern %q: %v", s.arg, err)
				}
				matchWhole(s.arg, "250")
			}
		}
	})
}

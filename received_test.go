package smtpguard

import (
	"net/mail"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/internal/peer"
)

var when = time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", -7*3600))

func usualTrace() *trace {
	return &trace{
		hello: "mail.example.org", addr: netip.MustParseAddr("192.0.2.1"), hostname: "mx.example.net",
		protocol: "ESMTP", id: "abcd-1.2", rcpt: "user@example.net", at: when,
	}
}

func TestReceivedField(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*trace)
		want   string
	}{
		{"usual", func(*trace) {},
			"Received: from mail.example.org ([192.0.2.1]) by mx.example.net with ESMTP\r\n" +
				"\tid abcd-1.2 for <user@example.net>; Tue, 3 Feb 2026 04:05:06 -0700\r\n"},
		{"TLS", func(t *trace) {
			t.protocol = "ESMTPSA"
			t.channel = &peer.Channel{Version: "TLS 1.3", Suite: "TLS_AES_128_GCM_SHA256", Group: "X25519MLKEM768"}
		},
			"Received: from mail.example.org ([192.0.2.1]) by mx.example.net with ESMTPSA\r\n" +
				"\t(TLS 1.3) id abcd-1.2 for <user@example.net> tls TLS_AES_128_GCM_SHA256\r\n" +
				"\tgroup X25519MLKEM768; Tue, 3 Feb 2026 04:05:06 -0700\r\n"},
		{"client certificate", func(t *trace) {
			t.protocol = "ESMTPS"
			t.channel = &peer.Channel{Version: "TLS 1.2", Suite: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Client: "sha256:" + strings.Repeat("0a", 32), Subject: "CN=ann"}
		},
			"Received: from mail.example.org ([192.0.2.1]) by mx.example.net with ESMTPS\r\n" +
				"\t(TLS 1.2) id abcd-1.2 for <user@example.net>\r\n" +
				"\ttls TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 (client\r\n" +
				"\tsha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a);\r\n" +
				"\tTue, 3 Feb 2026 04:05:06 -0700\r\n"},
		{"IPv6", func(t *trace) { t.addr = netip.MustParseAddr("2001:db8::1%eth0") }, "from mail.example.org ([IPv6:2001:db8::1]) by"},
		{"IPv4 in IPv6", func(t *trace) { t.addr = netip.MustParseAddr("::ffff:192.0.2.7") }, "from mail.example.org ([192.0.2.7]) by"},
		{"no address", func(t *trace) { t.addr = netip.Addr{} }, "from mail.example.org (unknown) by"},
		{"literal", func(t *trace) { t.hello = "[192.0.2.9]" }, "from [192.0.2.9] ([192.0.2.1]) by"},
		{"IPv6 literal", func(t *trace) { t.hello = "[ipv6:2001:db8::9]" }, "from [ipv6:2001:db8::9] ([192.0.2.1]) by"},
		{"false literal", func(t *trace) { t.hello = "[2001:db8::9]" }, "from [192.0.2.1] (EHLO [2001:db8::9]) by"},
		{"literal with a zone", func(t *trace) { t.hello = "[IPv6:fe80::1%a)b]" }, "from [192.0.2.1] (EHLO [IPv6:fe80::1%a?b]) by"},
		{"printer", func(t *trace) { t.hello = "MY PRINTER" }, "from [192.0.2.1] (EHLO MY PRINTER) by"},
		{"nothing", func(t *trace) { t.hello = "" }, "from [192.0.2.1] (EHLO ) by"},
		{"nothing at all", func(t *trace) { t.hello, t.addr = "", netip.Addr{} }, "from unknown (EHLO ) by"},
		{"injected", func(t *trace) { t.hello = "x) by me\r\nFrom: \"y\\(\x00\x7f\xfc" }, "from [192.0.2.1] (EHLO x? by me??From: ?y?????) by"},
		{"U-label", func(t *trace) { t.hello = "m\u00fcnchen.example" }, "from [192.0.2.1] (EHLO m??nchen.example) by"},
		{"long", func(t *trace) { t.hello = strings.Repeat("x", 64) + ".example" }, "(EHLO " + strings.Repeat("x", 64) + ")"},
		{"several recipients", func(t *trace) { t.rcpt = "" }, "id abcd-1.2; Tue,"},
		{"quoted local part", func(t *trace) { t.rcpt = `a "b\@c@example.net` }, `for <"a \"b\\@c"@example.net>; Tue`},
		{"an empty label", func(t *trace) { t.rcpt = "a..b@example.net" }, `for <"a..b"@example.net>; Tue`},
		{"literal recipient", func(t *trace) { t.rcpt = "a@[IPv6:2001:db8::1]" }, "for <a@[IPv6:2001:db8::1]>; Tue"},
		{"controls", func(t *trace) { t.rcpt = "a\r\nb@example.net" }, "id abcd-1.2; Tue,"},
		{"brackets in the domain", func(t *trace) { t.rcpt = "a@b>c" }, "id abcd-1.2; Tue,"},
		{"no domain", func(t *trace) { t.rcpt = "postmaster" }, "id abcd-1.2; Tue,"},
		{"8-bit", func(t *trace) { t.rcpt = "\u00fc@example.net" }, "id abcd-1.2; Tue,"},
		{"8-bit that is not UTF-8", func(t *trace) { t.protocol, t.rcpt = "UTF8SMTP", "\xfc@example.net" }, "id abcd-1.2; Tue,"},
		{"8-bit with SMTPUTF8", func(t *trace) { t.protocol, t.rcpt = "UTF8SMTP", "\u00fc@example.net" }, "for <\u00fc@example.net>; Tue"},
		{"no hostname", func(t *trace) { t.hostname = "a b" }, "by localhost with"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := usualTrace()
			c.change(tr)
			got := receivedField(tr)
			want := c.want
			if !strings.HasSuffix(want, "\r\n") { // a part, wherever it is folded
				got = strings.ReplaceAll(got, "\r\n\t", " ")
			}
			if !strings.Contains(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			wantField(t, receivedField(tr), 78)
		})
	}
}

// wantField asserts that field is one that may be prepended, in lines of up to
// most octets, and that another parser finds it alone.
func wantField(t *testing.T, field string, most int) {
	t.Helper()
	if got, err := checkField(field); err != nil || got != field {
		t.Errorf("%q is no field: %v", field, err)
	}
	for line := range strings.SplitSeq(field, "\r\n") {
		if len(line) > most && !strings.Contains(line, strings.Repeat("x", 64)) {
			t.Errorf("a line of %d octets: %q", len(line), line)
		}
	}
	m, err := mail.ReadMessage(strings.NewReader(field + "\r\n"))
	if err != nil || len(m.Header) != 1 {
		t.Errorf("%q: %v, %v", field, m, err)
	}
}

func TestProtocolWord(t *testing.T) {
	for _, c := range []struct {
		lmtp, esmtp, utf8, tls, auth bool
		want                         string
	}{
		{want: "SMTP"},
		{tls: true, want: "SMTP"},
		{esmtp: true, want: "ESMTP"},
		{esmtp: true, tls: true, want: "ESMTPS"},
		{esmtp: true, auth: true, want: "ESMTPA"},
		{esmtp: true, tls: true, auth: true, want: "ESMTPSA"},
		{lmtp: true, want: "LMTP"},
		{lmtp: true, esmtp: true, tls: true, auth: true, want: "LMTPSA"},
		{esmtp: true, utf8: true, want: "UTF8SMTP"},
		{esmtp: true, utf8: true, tls: true, auth: true, want: "UTF8SMTPSA"},
		{lmtp: true, utf8: true, tls: true, want: "UTF8LMTPS"},
	} {
		if got := protocolWord(c.lmtp, c.esmtp, c.utf8, c.tls, c.auth); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestQuarantineStamp(t *testing.T) {
	many := make([]string, 1000)
	for i := range many {
		many[i] = "score/dnsbl"
	}
	for _, c := range []struct {
		checks []string
		want   string
	}{
		{[]string{"dmarc"}, "X-Smtpguard-Quarantine: dmarc\r\n"},
		{[]string{"score/dnsbl", "bad\r\nname", ""}, "X-Smtpguard-Quarantine: score/dnsbl, bad??name, ?\r\n"},
		{many, "X-Smtpguard-Quarantine: " + strings.Repeat("score/dnsbl, ", maxStamped-1) + "score/dnsbl\r\n"},
	} {
		got := quarantineStamp(c.checks)
		if unfolded := strings.ReplaceAll(got, "\r\n\t", " "); unfolded != c.want {
			t.Errorf("got  %q\nwant %q", unfolded, c.want)
		}
		wantField(t, got, 78)
	}
}

func FuzzReceivedField(f *testing.F) {
	f.Add("mail.example.org", "user@example.net", "mx.example.net", false)
	f.Add("a)\r\nb", "\"@[x]@y", "\x00", true)
	f.Add("[IPv6:::1]", "ü@ü", "", true)
	f.Fuzz(func(t *testing.T, hello, rcpt, hostname string, utf8 bool) {
		tr := usualTrace()
		tr.hello, tr.rcpt, tr.hostname = hello, rcpt, hostname
		tr.protocol = protocolWord(false, true, utf8, false, false)
		got := receivedField(tr)
		if _, err := checkField(got); err != nil {
			t.Fatal(err)
		}
		if !utf8 && !isASCII(got) {
			t.Errorf("not ASCII: %q", got)
		}
		depth, quoted := 0, false
		for i := 0; i < len(got); i++ {
			switch c := got[i]; {
			case c == '\\' && quoted:
				i++
			case c == '"':
				quoted = !quoted
			case c == '(' && !quoted:
				depth++
			case c == ')' && !quoted:
				depth--
			}
			if depth < 0 || depth > 1 {
				t.Fatalf("parentheses in %q", got)
			}
		}
		if depth != 0 || quoted {
			t.Errorf("something is open at the end of %q", got)
		}
	})
}

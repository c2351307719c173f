package failure

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

func TestRedact(t *testing.T) {
	for _, tt := range []struct{ field, want string }{
		{"From: \"Ann Lee\" <ann.lee@Example.ORG>", "From: <redacted@example.org>"},
		{"From : ann@example.org (Ann)", "From: <redacted@example.org>"},
		{"To: a@one.example, \"b c\"@two.example,\r\n =?utf-8?q?J=C3=B6rg?= <j@three.example>", "To: <redacted@one.example>, <redacted@two.example>, <redacted@three.example>"},
		{"To: undisclosed-recipients:;", "To: (removed)"},
		{"To: Ann at home <ann@example.org", "To: (removed)"},
		{"Cc: <ann@[192.0.2.1]>", "Cc: (removed)"},
		{"Subject: you are dismissed", "Subject: (removed)"},
		{"ann@example.org: hello", ""},
		{"X-Login: ann", "X-Login: (removed)"},
		{"Date: Tue, 19 Jul 2022 07:57:33 +0200 (Ann's time)", "Date: Tue, 19 Jul 2022 07:57:33 +0200"},
		{"Date: tomorrow, says Ann", "Date: (removed)"},
		{"Message-ID: <a.b+1@example.org>", "Message-ID: <a.b+1@example.org>"},
		{"Message-ID: <\"Ann Lee\"@example.org>", "Message-ID: (removed)"},
		{"Message-ID: <a@b> ann", "Message-ID: (removed)"},
		{"MIME-Version: 1.0", "MIME-Version: 1.0"},
		{"MIME-Version: 1.0 (by Ann)", "MIME-Version: (removed)"},
		{"Content-Type: text/plain; charset=utf-8; name=dismissal.txt", "Content-Type: text/plain"},
		{"Content-Transfer-Encoding: 8bit", "Content-Transfer-Encoding: 8bit"},
		{"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=s1; i=ann@Mail.example.org; z=Subject:you=20are; xlogin=ann; b=aGVs\r\n bG8=", "DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=s1; i=redacted@mail.example.org; b=aGVsbG8="},
		{"DKIM-Signature: i=@example.org; d=example.org", "DKIM-Signature: i=@example.org; d=example.org"},
		{"DKIM-Signature: v=1; d=<b>ann</b>", "DKIM-Signature: (removed)"},
		{"DKIM-Signature: a=ann@example.org; d=example.org", "DKIM-Signature: (removed)"},
		{"ARC-Seal: i=12; cv=pass; d=example.org", "ARC-Seal: i=12; cv=pass; d=example.org"},
		{"Received: from Anns-Phone (host-8.isp.example [192.0.2.8] (may be ann)) (authenticated as ann) by MX.example.org (Postfix) with ESMTPSA id 4Ln7 for <ann@example.org>; Tue, 19 Jul 2022 07:57:41 +0200 (CEST)",
			"Received: from unknown ([192.0.2.8]) by MX.example.org with ESMTPSA id 4Ln7; Tue, 19 Jul 2022 07:57:41 +0200"},
		{"Received: from [IPv6:2001:db8::1] by mx.example.org; Tue, 19 Jul 2022 07:57:41 +0200", "Received: from [IPv6:2001:db8::1] by mx.example.org; Tue, 19 Jul 2022 07:57:41 +0200"},
		{"Received: by ann@example.org with ann@example.org; Tue, 19 Jul 2022 07:57:41 +0200", "Received: by unknown with unknown; Tue, 19 Jul 2022 07:57:41 +0200"},
		{"Received: ann by hand; Tue, 19 Jul 2022 07:57:41 +0200", "Received: by hand; Tue, 19 Jul 2022 07:57:41 +0200"},
		{"Received: from a.example (ann \\) ann", "Received: (removed)"},
		{"Received: for ann; Tue, 19 Jul 2022 07:57:41 +0200", "Received: (removed)"},
	} {
		got := (&redactor{}).header([]byte(tt.field + "\r\n\r\nX-Body: here\r\n"))
		got = strings.ReplaceAll(strings.TrimSuffix(got, "\r\n"), "\r\n", "")
		if got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.field, got, tt.want)
		}
	}
}

// TestRedactText has what an operator wants to be told beside.
func TestRedactText(t *testing.T) {
	r := &redactor{also: []string{"subject"}}
	for _, tt := range []struct{ value, want string }{
		{"hello", "hello"},
		{"for ann@example.org, now", "for <redacted@example.org> now"},
		{"(ann.lee+x@EXAMPLE.org)", "<redacted@example.org>"},
		{"ann@example.org@example.net", "<redacted@example.org>"},
		{"ann＠example.org", "<redacted@example.org>"},
		{"=?utf-8?b?YW5uQGV4YW1wbGUub3Jn?=", "<redacted@example.org>"},
		{"=?utf-8?q?J=C3=B6rg?=", "=?utf-8?q?J=C3=B6rg?="},
		{"=?x-unknown?q?ann=40example.org?=", removed},
		{"=?utf-8?q?=3D=3Futf-8=3Fq=3Fann=40example.org=3F=3D?=", removed},
		{"\"Ann Lee\"@example.org", removed},
		{"ann (x)@example.org", removed},
		{"ann @example.org", removed},
		{"ann@ example.org", removed},
		{"see HTTP://evil.example/?to=ann%40example.org", "see (removed)"},
		{"see hTTps://evil.example/", "see hxxps://evil.example/"},
		{"a\x00b\x1b[31mc", "ab[31mc"},
		{"a\r\n Subject: b", "a Subject: b"},
	} {
		got := strings.TrimSuffix(r.header([]byte("Subject: "+tt.value+"\r\n")), "\r\n")
		if got != "Subject: "+tt.want {
			t.Errorf("%q: %q, want %q", tt.value, got, tt.want)
		}
	}
}

func TestRedactKey(t *testing.T) {
	one, two := &redactor{key: bytes.Repeat([]byte{1}, 16)}, &redactor{key: bytes.Repeat([]byte{2}, 16)}
	ann := one.mailbox("ann", "EXAMPLE.org")
	if !regexp.MustCompile(`^[0-9a-f]{16}@example\.org$`).MatchString(ann) {
		t.Error(ann)
	}
	if one.path("ann@example.org") != ann || one.identity("ann@example.org") != ann {
		t.Error("not the same everywhere")
	}
	for _, other := range []string{one.mailbox("bob", "example.org"), one.mailbox("ann", "example.net"), two.mailbox("ann", "example.org")} {
		if other[:16] == ann[:16] {
			t.Errorf("%s and %s", other, ann)
		}
	}
	if got := one.path("ann"); got != "" {
		t.Errorf("%q of what is no address", got)
	}
}

// TestHeaderBounds has far too much of everything.
func TestHeaderBounds(t *testing.T) {
	for name, header := range map[string]string{
		"fields":      strings.Repeat("X-A: b\r\n", 100_000),
		"names":       strings.Repeat(strings.Repeat("x", 1000)+": b\r\n", 300) + "Date: Tue, 19 Jul 2022 07:57:33 +0200\r\n",
		"a field":     "To: " + strings.Repeat("a@b.example,", 100_000) + "\r\n",
		"addresses":   strings.Repeat("To: "+strings.Repeat("a@b.example,", 40)+"a@b.example\r\n", 300),
		"a word":      "DKIM-Signature: h=" + strings.Repeat("x", 7000) + "\r\n",
		"comments":    "Received: " + strings.Repeat("(", 8000) + "; Tue, 19 Jul 2022 07:57:41 +0200\r\n",
		"folds":       "To:" + strings.Repeat("\r\n ", 100_000) + "a\r\n",
		"no line end": strings.Repeat("x", 1<<20),
		"NUL":         strings.Repeat("\x00", 1<<20),
	} {
		got := (&redactor{}).header([]byte(header))
		if len(got) > maxOctets {
			t.Errorf("%s: %d octets", name, len(got))
		}
		sound(t, got)
	}
}

var at = regexp.MustCompile(`(?:redacted|i=)?@`)

// sound fails t for what is not 7-bit lines of fields, or has addresses in it.
func sound(t *testing.T, header string) {
	t.Helper()
	name := ""
	for line := range strings.SplitSeq(header, "\r\n") {
		if len(line) > 998 || strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Fatalf("line %q", line)
		}
		if field, _, found := strings.Cut(line, ":"); found && !strings.HasPrefix(line, " ") {
			name = strings.ToLower(field)
		} else if line != "" && line[0] != ' ' {
			t.Fatalf("line %q", line)
		}
		if strings.HasSuffix(name, "message-id") {
			continue
		}
		for _, found := range at.FindAllString(line, -1) {
			if found == "@" {
				t.Fatalf("an address in %q", line)
			}
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte("From: \"Ann\" <ann@example.org>\r\nSubject: =?utf-8?q?ann=40example.org?=\r\nReceived: from a.example ([192.0.2.1]) by b.example for <ann@example.org>; Tue, 19 Jul 2022 07:57:41 +0200\r\n"))
	f.Add([]byte("DKIM-Signature: v=1; a=rsa-sha256; d=example.org; i=ann@example.org; h=a:b; z=x; b=aGVsbG8=\nMessage-ID: <a@b>\nDate: Tue, 19 Jul 2022 07:57:41 +0200\n\nbody"))
	r := &redactor{also: []string{"Subject"}}
	f.Fuzz(func(t *testing.T, header []byte) {
		told := r.header(header)
		sound(t, told)
		if len(told) > maxOctets {
			t.Fatalf("%d octets", len(told))
		}
		automatic(header)
	})
}

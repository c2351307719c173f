package spf_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/auth/spf"
)

// fieldValue returns what stands behind the name of a field, and asserts that
// the field is one.
func fieldValue(t testing.TB, field string) string {
	t.Helper()
	value, ok := strings.CutPrefix(field, "Received-SPF:")
	if !ok || !strings.HasSuffix(value, "\r\n") {
		t.Fatalf("not a field: %q", field)
	}
	for i, line := range strings.Split(strings.TrimSuffix(field, "\r\n"), "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n\x00") || i > 0 && line[0] != '\t' {
			t.Fatalf("line %d of %q", i, field)
		}
	}
	return value
}

func TestParseReceived(t *testing.T) {
	addr := netip.MustParseAddr
	for _, tt := range []struct {
		name, value string
		want        spf.Received
	}{
		{"RFC 7208, section 9.1, the first example", "pass (mybox.example.org: domain of\r\n myname@example.com designates 192.0.2.1 as permitted sender)\r\n" +
			"    receiver=mybox.example.org; client-ip=192.0.2.1;\r\n    envelope-from=\"myname@example.com\"; helo=foo.example.com;", spf.Received{
			Result: spf.Pass, Comment: "mybox.example.org: domain of myname@example.com designates 192.0.2.1 as permitted sender",
			Receiver: "mybox.example.org", ClientIP: addr("192.0.2.1"), EnvelopeFrom: "myname@example.com", Helo: "foo.example.com",
		}},
		{"the second", "fail (mybox.example.org: domain of\r\n                  myname@example.com does not designate\r\n                  192.0.2.1 as permitted sender)\r\n                  identity=mailfrom; client-ip=192.0.2.1;\r\n                  envelope-from=\"myname@example.com\";", spf.Received{
			Result: spf.Fail, Comment: "mybox.example.org: domain of                  myname@example.com does not designate                  192.0.2.1 as permitted sender",
			Identity: spf.MailFrom, ClientIP: addr("192.0.2.1"), EnvelopeFrom: "myname@example.com",
		}},
		{"the third", "pass (mybox.example.org: domain of\r\n\tmyname@example.com designates 192.0.2.1 as permitted sender) receiver=mybox.example.org; client-ip=192.0.2.1;\r\n\tmechanism=ip4:192.0.2.1; envelope-from=\"myname@example.com\"; helo=foo.example.com;", spf.Received{
			Result: spf.Pass, Comment: "mybox.example.org: domain of\tmyname@example.com designates 192.0.2.1 as permitted sender",
			Receiver: "mybox.example.org", ClientIP: addr("192.0.2.1"), Mechanism: "ip4:192.0.2.1", EnvelopeFrom: "myname@example.com", Helo: "foo.example.com",
		}},
		{"pyspf's, of a permerror", `PermError (receiver.com: permanent error in processing domain of exampled.com: Invalid domain found (use FQDN)) client-ip=66.150.186.79; envelope-from="chuckvsr@exampled.com"; helo=mail.example.com; receiver=receiver.com; problem="examplea.com:8080"; identity=mailfrom`, spf.Received{
			Result: spf.PermError, Comment: "receiver.com: permanent error in processing domain of exampled.com: Invalid domain found (use FQDN)",
			ClientIP: addr("66.150.186.79"), EnvelopeFrom: "chuckvsr@exampled.com", Helo: "mail.example.com", Receiver: "receiver.com", Problem: "examplea.com:8080", Identity: spf.MailFrom,
		}},
		{"bare addresses, other keys, comments", "None client-ip=2001:db8::1 (one) ; x-key (two)=\"a;b\\\"c\"; x-key=again;envelope-from=<>; HELO=a=b\r\n", spf.Received{
			Result: spf.None, ClientIP: addr("2001:db8::1"), EnvelopeFrom: "<>", Helo: "a=b",
		}},
		{"the result alone", "neutral", spf.Received{Result: spf.Neutral}},
		{"a mapped address", "pass client-ip=\"::ffff:192.0.2.1\"", spf.Received{Result: spf.Pass, ClientIP: addr("192.0.2.1")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := spf.ParseReceived(tt.value)
			if err != nil || got != tt.want {
				t.Errorf("%v\ngot  %+v\nwant %+v", err, got, tt.want)
			}
		})
	}
	for _, bad := range []string{
		"", " ", "passed", "pass;", "pass (", "pass \"", "pass helo", "pass helo=", "pass helo=a helo=b", "pass helo=a; helo=a",
		"pass client-ip=x", "pass client-ip=fe80::1%eth0", "pass helo=\"a", "pass helo=a\r\nb", "pass helo=a;\n x=y", "pass 1=2", "pass helo=a;;",
		"pass " + strings.Repeat("x=y;", 4000),
	} {
		if got, err := spf.ParseReceived(bad); err == nil || got != (spf.Received{}) {
			t.Errorf("%.60q: %+v, %v", bad, got, err)
		}
	}
}

func TestField(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    spf.Received
		want string
	}{
		{"nothing", spf.Received{}, "Received-SPF: none\r\n"},
		{"a result of nobody's", spf.Received{Result: "pass\r\nX: y"}, "Received-SPF: none\r\n"},
		{"forged lines", spf.Received{
			Result: spf.Fail, Comment: "a) b\r\nX: y \\(", Helo: "h\r\nX: y", EnvelopeFrom: "\"a\\b\x00\xff\"@é.example", Identity: "i;x=y", Mechanism: "é", Receiver: "mx.example",
		}, "Received-SPF: fail\r\n\t(a? b??X: y ??)\r\n\tenvelope-from=\"\\\"a\\\\b??\\\"@é.example\";\r\n\thelo=\"h??X: y\";\r\n\tidentity=\"i;x=y\";\r\n\treceiver=mx.example;\r\n\tmechanism=\"?\"\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.r.Field(); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
	long := spf.Received{Result: spf.Pass, EnvelopeFrom: strings.Repeat(`"`, 5000), Helo: strings.Repeat("é", 5000), Comment: strings.Repeat("x", 5000)}
	fieldValue(t, long.Field())
}

// FuzzReceived asserts that what parses is written and parsed again alike.
func FuzzReceived(f *testing.F) {
	f.Add("pass (a comment (nested) \\)) client-ip=192.0.2.1; envelope-from=\"a\\\"b@c\";\r\n helo=x; problem=\"é\"; mechanism=ip4:1.2.3.4")
	f.Fuzz(func(t *testing.T, value string) {
		first, err := spf.ParseReceived(value)
		if err != nil {
			return
		}
		written, err := spf.ParseReceived(fieldValue(t, first.Field()))
		if err != nil {
			t.Fatalf("%q: %v", first.Field(), err)
		}
		if written.Result != first.Result || written.ClientIP != first.ClientIP {
			t.Fatalf("%+v\n%+v", first, written)
		}
		again, err := spf.ParseReceived(fieldValue(t, written.Field()))
		if err != nil || again != written {
			t.Fatalf("%v\n%+v\n%+v", err, written, again)
		}
	})
}

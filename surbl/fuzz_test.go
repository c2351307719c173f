package surbl

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// sound fails for what no input may lead to.
func sound(t *testing.T, links Links) {
	t.Helper()
	if len(links.URIs) > 100 {
		t.Errorf("%d URIs", len(links.URIs))
	}
	for _, u := range links.URIs {
		if u.Addr.IsValid() == (u.Host != "") {
			t.Errorf("host %q and address %v", u.Host, u.Addr)
		}
		if u.Host != "" {
			if normal, err := domain.Normal(u.Host); err != nil || normal != u.Host {
				t.Errorf("host %q is %q in normal form, error %v", u.Host, normal, err)
			}
			if u.Domain != u.Host && !strings.HasSuffix(u.Host, "."+u.Domain) {
				t.Errorf("domain %q of host %q", u.Domain, u.Host)
			}
		}
		if u.Times < 1 || u.Kind < Link || u.Kind > Script || len(u.Text) > maxText || u.Offset < 0 {
			t.Errorf("%+v", u)
		}
		u.Defang()
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"http://evil.com/a?b=http%3A%2F%2Fc.d", "a@b.co.uk www.x.de:80", "http://0x7f.1/", "ev\u200bil.com。", "http://[::1]/",
		"hxxp://a[.]com", `http:\\a@b@c.com\`, "これは。example.com中国語"} {
		f.Add([]byte(s))
	}
	defanging, err := NewExtractor(Extraction{Defanged: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		sound(t, standard().Text(b))
		sound(t, defanging.Text(b))
	})
}

func FuzzHost(f *testing.F) {
	for _, s := range []string{"evil.com", "%65vil.com", "0x7f.1", "ｅvil。com", "xn--80ak6aa92e.com", "[::1]", "a..b", "1.2.3.4.", "ª.com", "%e3%80%82"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		h, ok := standard().host(b)
		if !ok {
			return
		}
		if h.addr.IsValid() == (h.name != "") {
			t.Fatalf("name %q and address %v", h.name, h.addr)
		}
		if h.name == "" {
			return
		}
		if normal, err := domain.Normal(h.name); err != nil || normal != h.name {
			t.Errorf("%q is %q in normal form, error %v", h.name, normal, err)
		}
		if again, ok := standard().host([]byte(h.name)); !ok || again.name != h.name || again.domain != h.domain {
			t.Errorf("%q is %q when read again", h.name, again.name)
		}
	})
}

func FuzzHTML(f *testing.F) {
	for _, s := range oddities {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		sound(t, standard().HTML(b))
		if got, want := ours(b, 16), ours(b, 0); !slices.Equal(got, want) {
			t.Errorf("by steps:\n%s", first(got, want))
		}
	})
}

func FuzzExtract(f *testing.F) {
	f.Add([]byte("Subject: =?utf-8?q?a.com?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<a href=http://b.com>\r\n--b--\r\n"))
	f.Add([]byte("Content-Type: text/plain; charset=iso-2022-jp; format=flowed; delsp=yes\r\n\r\na \r\n.com\r\n"))
	f.Add([]byte("Content-Type: text/calendar\r\nContent-Transfer-Encoding: base64\r\n\r\nPGEgaHJlZj0iaHR0cDovL2V2!\r\n"))
	f.Add([]byte("x\r\nContent-Type: multipart/digest; boundary\r\n\r\n--b\r\n\r\nContent-Type: text/html (x); charset=utf-16\r\nContent-Transfer-Encoding: uuencode\r\n\r\n--b--"))
	f.Fuzz(func(t *testing.T, b []byte) {
		links, err := Extract(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		sound(t, links)
	})
}

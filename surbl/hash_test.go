package surbl_test

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/dnsd"
	"github.com/smtpguard/smtpguard/surbl"
)

const eicar = `X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`

func md5Of(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }

func sha1Of(s string) string { return fmt.Sprintf("%x", sha1.Sum([]byte(s))) }

// attachment is a message with a file.
func attachment(kind, name, content string) string {
	return "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee\r\n--b\r\nContent-Type: " + kind + "; name=\"" + name +
		"\"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(content)) + "\r\n--b--\r\n"
}

// TestHBL asks for what Spamhaus documents as the hashes of its test points.
func TestHBL(t *testing.T) {
	for _, tt := range []struct{ message, asked string }{
		{"Subject: x\r\n\r\nuser@hbltest.com", "f3pdgtmwu6lfigdjc67yniwry5zrm7erletnfo36qaeqpmbpw2da._email"},
		{"Subject: x\r\n\r\nUser+tag@HBLtest.com", "f3pdgtmwu6lfigdjc67yniwry5zrm7erletnfo36qaeqpmbpw2da._email"},
		{"Subject: x\r\n\r\nhttp://www.hbltest.com/test", "jrbrnountqwklokrddx5dc65yhffj4zlj5exp7d6twhjtdr23psa._url"},
		{"Subject: x\r\n\r\nhttps://www.hbltest.com/te%73t?x=1#y", "jrbrnountqwklokrddx5dc65yhffj4zlj5exp7d6twhjtdr23psa._url"},
		{"Subject: x\r\n\r\nhttp://withqm.hbltest.com/openurl?lid=test&x=1", "eorvxyr6ypu2b54qocek4ss6xn3yxmhdqcfghaen4zpmz5quscva._url"},
		{"Subject: x\r\n\r\nhttp://catchall.hbltest.com/testdir1/testdir2/Test", "z3gptqbsxpblm7bmwmulijafd5bakyw4ax5tysb5xhtcl5x4nbga._url"},
		{attachment("application/octet-stream", "eicar.com", eicar), "e5naeg57wzej4vguogez67nz2ftd7ruv5qx6fiwekofkx5sr7uhq._file"},
	} {
		w := &world{a: map[string]string{}}
		l := newLists(t, surbl.Config{Resolver: w, Zones: surbl.SpamhausHBL("k3y")})
		if _, err := l.Message(t.Context(), strings.NewReader(tt.message)); err != nil {
			t.Fatal(err)
		}
		if want := tt.asked + ".k3y.hbl.dq.spamhaus.net"; !slices.Contains(w.questions("."), want) {
			t.Errorf("%s: asked %q, not %s", tt.message, w.questions("."), want)
		}
	}
}

// TestURLForms has each form of a URL hashed as MD5 has it, in full.
func TestURLForms(t *testing.T) {
	for _, tt := range []struct {
		form surbl.URLForm
		uri  string
		want []string
	}{
		{surbl.HostPath, "https://Bit.ly/AbC?x#y", []string{"bit.ly/AbC"}},
		{surbl.HostPath, "https://bit.ly/", nil},
		{surbl.HostPath, "https://bit.ly/?abc", nil},
		{surbl.HostPath, "http://example.com/a/b/", []string{"example.com/a/b/"}},
		{surbl.HostPath, "http://192.0.2.1/a/b", nil},
		{surbl.Shorteners, "https://bit.ly/AbC?x#y", []string{"bit.ly/AbC"}},
		{surbl.Shorteners, "http://example.com/a/b", nil},
		{surbl.Spamhaus, "https://bit.ly/AbC/d?x#y", []string{"bit.ly/AbC/d", "bit.ly/abc/d"}},
		{surbl.Spamhaus, "https://is.gd/AbC/d", []string{"is.gd/AbC", "is.gd/abc"}},
		{surbl.Spamhaus, "https://api.whatsapp.com/send?phone=123&text=x", []string{"api.whatsapp.com/send?phone=123"}},
		{surbl.Spamhaus, "http://example.com:8080/ab", []string{"example.com:8080/ab"}},
		{surbl.Spamhaus, "http://example.com:80/ab", []string{"example.com/ab"}},
		{surbl.Spamhaus, "http://example.com/a", nil},
		{surbl.Spamhaus, "http://example.com/%61%zz", nil},
		{surbl.Spamhaus, "http://example.com/%61b%zz", []string{"example.com/ab"}},
		{surbl.Spamhaus, "http://example.com?ab", []string{"example.com?ab"}},
		{surbl.Spamhaus, "http://example.com#ab", nil},
		{surbl.Spamhaus, "http://example.com/" + strings.Repeat("a", 600), []string{"example.com/" + strings.Repeat("a", 512)}},
	} {
		w := &world{a: map[string]string{}}
		l := newLists(t, surbl.Config{Resolver: w, Zones: []surbl.Zone{{Domain: "l.example", Lists: surbl.URL, Hash: surbl.Hash{Sum: surbl.SHA256, Length: 32, URL: tt.form}}}})
		look(t, l, tt.uri)
		var want []string
		for _, text := range tt.want {
			sum := sha256.Sum256([]byte(text))
			want = append(want, hex.EncodeToString(sum[:16])+".l.example")
		}
		got := w.questions(".")
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: asked %q, want %q of %q", tt.uri, got, want, tt.want)
		}
	}
}

// Files are summed as they are without transfer encoding, whole or not at all.
func TestFiles(t *testing.T) {
	x, err := surbl.NewExtractor(surbl.Extraction{Files: []surbl.Sum{surbl.SHA256, surbl.MD5}})
	if err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("0123456789abcdef", 64<<10)
	for _, tt := range []struct {
		name, message, content, file string
	}{
		{"an attachment", attachment("application/zip", "a.zip", eicar), eicar, "a.zip"},
		{"a large one", attachment("application/zip", "a.zip", large), large, "a.zip"},
		{"HTML", attachment("text/html", "a.html", "<a href=http://x.com>x</a>"), "<a href=http://x.com>x</a>", "a.html"},
		{"a text without a name", strings.ReplaceAll(attachment("text/plain", "a", "text"), "; name=\"a\"", ""), "", ""},
		{"no text, without a name", strings.ReplaceAll(attachment("image/png", "a", "\x89PNG"), "; name=\"a\"", ""), "\x89PNG", ""},
		{"an empty one", attachment("application/zip", "a.zip", ""), "", ""},
		{"base64 that is none", strings.ReplaceAll(attachment("application/zip", "a.zip", eicar), "WDVP", "!!!!"), "", ""},
		{"the message itself", "Content-Type: application/pdf; name=a.pdf\r\n\r\nabc", "abc", "a.pdf"},
		{"in an attached message", "Content-Type: message/rfc822\r\n\r\n" + attachment("application/zip", "a.zip", eicar), eicar, "a.zip"},
	} {
		links, err := x.Extract(strings.NewReader(tt.message))
		if err != nil {
			t.Fatal(err)
		}
		if tt.content == "" {
			if len(links.Files) != 0 {
				t.Errorf("%s: %+v", tt.name, links.Files)
			}
			continue
		}
		want := sha256.Sum256([]byte(tt.content))
		if len(links.Files) != 1 || string(links.Files[0].Sum(surbl.SHA256)) != string(want[:]) || links.Files[0].Name != tt.file ||
			links.Files[0].Size != int64(len(tt.content)) || len(links.Files[0].Sum(surbl.MD5)) != 16 || links.Files[0].Sum(surbl.SHA1) != nil {
			t.Errorf("%s: %+v", tt.name, links.Files)
		}
	}
	short, err := surbl.NewExtractor(surbl.Extraction{Files: []surbl.Sum{surbl.SHA256}, Bytes: 10 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if links, err := short.Extract(strings.NewReader(attachment("application/zip", "a.zip", large))); err != nil || len(links.Files) != 0 || !links.Cut {
		t.Errorf("cut: %+v, %v", links, err)
	}
	var many strings.Builder
	many.WriteString("Content-Type: multipart/mixed; boundary=b\r\n\r\n")
	for i := range 40 {
		fmt.Fprintf(&many, "--b\r\nContent-Type: application/zip\r\n\r\n%d\r\n", i)
	}
	many.WriteString("--b--\r\n")
	if links, err := x.Extract(strings.NewReader(many.String())); err != nil || len(links.Files) != 32 || links.More != 8 || links.Unseen != 8 {
		t.Errorf("%d files, %d more, %d unseen, %v", len(links.Files), links.More, links.Unseen, err)
	}
}

// TestHashZones has rbldnsd serve lists of hashes as operators do.
func TestHashZones(t *testing.T) {
	const wallet = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
	r := dnsd.Resolver(dnsd.Rbldnsd(t, map[string]string{
		"hbl.example:dnset": strings.Join([]string{
			"f3pdgtmwu6lfigdjc67yniwry5zrm7erletnfo36qaeqpmbpw2da._email.k3y :127.0.3.2:user@hbltest.com",
			"jrbrnountqwklokrddx5dc65yhffj4zlj5exp7d6twhjtdr23psa._url.k3y :127.0.3.30:www.hbltest.com/test",
			"tv7qrqpgbkf4x3k4t5qyilri3sp5ciwviioh25yuogvoj3sbtyna._cw.k3y :127.0.3.20:test point",
			"e5naeg57wzej4vguogez67nz2ftd7ruv5qx6fiwekofkx5sr7uhq._file.k3y :127.0.3.10:EICAR",
		}, "\n"),
		"ebl.example:dnset":    "923fac6d980474ff00951e21aa4a1abd6eafc9ff :127.0.0.2:a@evil.com\n9025f6f4ea9e9609ab7cb6fb79e6ae83112be4f8 :127.0.1.3:john@gmail.com",
		"hashbl.example:dnset": md5Of("bit.ly/evil") + " :127.0.0.8:phish\n" + md5Of("a@evil.com") + " :127.0.1.2:mail",
		"cw.example:dnset":     sha1Of(wallet) + " :127.0.0.2:wallet",
	}))
	zones := surbl.SpamhausHBL("k3y")
	for i := range zones {
		zones[i].Domain = "hbl.example"
	}
	ebl, short := surbl.MSBLEBL(), surbl.SURBLHash()
	ebl.Domain, short.Domain = "ebl.example", "hashbl.example"
	zones = append(zones, ebl, short, surbl.Zone{Domain: "cw.example", Lists: surbl.Crypto, TestListed: "-"})
	l := newLists(t, surbl.Config{Resolver: r, Zones: zones})
	for _, tt := range []struct {
		message, want string
		action        smtpguard.Action
	}{
		{"Subject: x\r\n\r\nuser@hbltest.com\r\n", "user[@]hbltest[.]com (mail): user@hbltest.com is listed by Spamhaus HBL email (mail address in spam)", smtpguard.Reject},
		{"Subject: x\r\n\r\nhttp://www.hbltest.com/test\r\n", "hxxp://www[.]hbltest[.]com/test (plain): www.hbltest.com/test is listed by Spamhaus HBL url (URL in spam)", smtpguard.Reject},
		{attachment("application/octet-stream", "e\u00e9.com", eicar), "file e?.com: 275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f is listed by Spamhaus HBL file (malware)", smtpguard.Reject},
		{"Subject: x\r\n\r\na@evil.com\r\n", "a[@]evil[.]com (mail): a@evil.com is listed by ebl.example (drop box of spammers); a[@]evil[.]com (mail): a@evil.com is listed by hashbl.example (mail address)", smtpguard.Reject},
		{"Reply-To: J.o.hn+tag@GoogleMail.com\r\n\r\nx\r\n", "J.o.hn+tag[@]googlemail[.]com (mail): J.o.hn+tag@googlemail.com is listed by ebl.example (drop box of spammers, grey)", smtpguard.Continue},
		{"Subject: x\r\n\r\nhttps://bit.ly/evil?x\r\n", "hxxps://bit[.]ly/evil?x (plain, shortener): bit.ly/evil?x is listed by hashbl.example (phishing)", smtpguard.Reject},
		{"Subject: x\r\n\r\npay to " + wallet + " now\r\n", "BTC wallet " + wallet + " is listed by cw.example", smtpguard.Reject},
		{"Subject: x\r\n\r\npay to " + strings.ToUpper(wallet) + " now\r\n", "BTC wallet " + wallet + " is listed by cw.example", smtpguard.Reject},
		{"Subject: x\r\n\r\nhttps://bit.ly/good b@evil.com 1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2\r\n", "", smtpguard.Continue},
		{attachment("application/zip", "good.zip", "good"), "", smtpguard.Continue},
	} {
		res, err := l.Message(t.Context(), strings.NewReader(tt.message))
		if err != nil {
			t.Fatal(err)
		}
		if got := listed(res); got != tt.want || res.Action != tt.action || len(res.Failures) > 0 {
			t.Errorf("%s\n got  %s, %v, %v\n want %s", tt.message, got, res.Action, res.Failures, tt.want)
		}
	}
}

// A file and a wallet that are listed are refused by name.
func TestHashReply(t *testing.T) {
	w := &world{a: map[string]string{
		"e5naeg57wzej4vguogez67nz2ftd7ruv5qx6fiwekofkx5sr7uhq._file.k.hbl.dq.spamhaus.net": "127.0.3.10",
		sha1Of("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2") + ".cw.example":                       "127.0.0.2",
	}}
	l := newLists(t, surbl.Config{Resolver: w, Zones: append(surbl.SpamhausHBL("k"), surbl.Zone{Domain: "cw.example", Lists: surbl.Crypto})})
	s := newSite(t, l.Check())
	file := attachment("application/octet-stream", "invoice.exe", eicar)
	s.play(open + "C: " + strings.ReplaceAll(strings.TrimSuffix(file, "\r\n"), "\r\n", "\nC: ") +
		"\nC: .\nS: 550 5.7.1 Message has file invoice.exe, listed by Spamhaus HBL file: malware")
	w.set("f3pdgtmwu6lfigdjc67yniwry5zrm7erletnfo36qaeqpmbpw2da._email.k.hbl.dq.spamhaus.net", "127.0.3.2")
	s.play(strings.Replace(open, "a@example.com", "User+x@HBLtest.com", 1) + "C: Subject: x\nC: \nC: x\nC: .\n" +
		"S: 550 5.7.1 Message names User+x[@]hbltest[.]com, listed by Spamhaus HBL email: mail address in spam")
	s.play(open + "C: Subject: x\nC: \nC: 1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2\nC: .\nS: 550 5.7.1 Message has BTC wallet 1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2, listed by cw.example")
}

// Presets compile, and none is asked before it is used.
func TestPresets(t *testing.T) {
	zones := append(surbl.SpamhausHBL("k"), surbl.SURBL(), surbl.SURBLHash(), surbl.URIBL(), surbl.SpamhausDBL(), surbl.SpamhausSBL(), surbl.SpamhausZRD("k"), surbl.MSBLEBL())
	w := &world{}
	newLists(t, surbl.Config{Resolver: w, Zones: zones})
	if got := w.questions(""); len(got) > 0 {
		t.Errorf("asked %q", got)
	}
}

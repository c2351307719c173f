package verify_test

import (
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/arc"
	"github.com/smtpguard/smtpguard/auth/dkim"
	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/verify"
)

// What a trusted list says counts where it has changed the message; what others
// say does not.
func TestSealers(t *testing.T) {
	w := &world{txt: map[string]string{"_dmarc.example.com": "v=DMARC1; p=reject"}}
	k := w.key(t, "lists.example.net")
	v, err := arc.New(arc.Config{Resolver: w})
	if err != nil {
		t.Fatal(err)
	}
	s, err := arc.NewSealer(arc.SealConfig{})
	if err != nil {
		t.Fatal(err)
	}
	seal := func(results string) string {
		chain, err := v.Validate(t.Context(), strings.NewReader(letter))
		if err != nil {
			t.Fatal(err)
		}
		fields, err := s.Seal(t.Context(), strings.NewReader(letter), chain, results, arc.Key{Domain: k.Domain, Selector: k.Selector, Private: k.Private})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(fields, "") + letter
	}
	good := seal("lists.example.net; arc=none; dmarc=pass header.from=example.com")
	for _, tt := range []struct {
		name    string
		sealers []string
		message string
		code    string
	}{
		{"trusted", []string{"lists.example.net"}, good, ""},
		{"trusted with all its kin", []string{"*.example.net"}, good, ""},
		{"not trusted", []string{"lists.example.org"}, good, "550 5.7.26"},
		{"nobody is", nil, good, "550 5.7.26"},
		{"changed after", []string{"lists.example.net"}, good + "more\r\n", "550 5.7.26"},
		{"it failed there", []string{"lists.example.net"}, seal("lists.example.net; arc=none; dmarc=fail header.from=example.com"), "550 5.7.26"},
		{"another author passed", []string{"lists.example.net"}, seal("lists.example.net; arc=none; dmarc=pass header.from=evil.example"), "550 5.7.26"},
		{"no DMARC there", []string{"lists.example.net"}, seal("lists.example.net; arc=none; spf=pass"), "550 5.7.26"},
		{"no results that parse", []string{"lists.example.net"}, seal("lists.example.net; dmarc=pass =;"), "550 5.7.26"},
	} {
		s := newSite(t, verify.Config{Resolver: w, Sealers: tt.sealers})
		if err := s.send("list@lists.example.net", tt.message); code(err) != tt.code {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if tt.code != "" {
			continue
		}
		got, _, r := s.taken()
		if r.DMARC.Result != dmarc.Fail || r.DMARC.ARC == nil || !r.DMARC.ARC.Passed || !strings.Contains(got, "arc=pass") {
			t.Errorf("%s: %+v\n%s", tt.name, r.DMARC, got)
		}
	}
}

// leg is what a host does with a message: it changes it, and seals what it says it
// found.
type leg struct {
	host    string
	found   string
	changes bool // what it passes on
	lies    bool // cv=pass, whatever it was
}

// route passes a message on through hosts.
func route(t *testing.T, w *world, keys map[string]dkim.Key, message string, legs []leg) string {
	t.Helper()
	v, err := arc.New(arc.Config{Resolver: w})
	if err != nil {
		t.Fatal(err)
	}
	s, err := arc.NewSealer(arc.SealConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range legs {
		if l.changes {
			message += "changed by " + l.host + "\r\n"
		}
		chain, err := v.Validate(t.Context(), strings.NewReader(message))
		if err != nil {
			t.Fatal(err)
		}
		if l.lies && chain.Status == arc.Fail {
			chain.Status = arc.Pass
		}
		k := keys[l.host]
		fields, err := s.Seal(t.Context(), strings.NewReader(message), chain, l.found, arc.Key{Domain: k.Domain, Selector: k.Selector, Private: k.Private})
		if err != nil {
			t.Fatal(err)
		}
		message = strings.Join(fields, "") + message
	}
	return message
}

// Whose word counts, where those who seal are not all trusted, and what they may say.
// The author's domain asks to reject what fails, and all of this fails with us.
func TestTrust(t *testing.T) {
	w := &world{txt: map[string]string{"_dmarc.example.com": "v=DMARC1; p=reject", "lists.example.net": "v=spf1 -all"}}
	keys := make(map[string]dkim.Key)
	for _, host := range []string{"lists.example.net", "relay.example.net", "evil.example"} {
		keys[host] = w.key(t, host)
	}
	const (
		list, relay, evil = "lists.example.net", "relay.example.net", "evil.example"
		passed, failed    = "dmarc=pass header.from=example.com", "dmarc=fail header.from=example.com"
	)
	by := func(host, found string) leg { return leg{host: host, found: host + "; " + found} }
	lies := func(l leg) leg { l.lies, l.changes = true, true; return l }
	forged := leg{host: evil, found: list + "; arc=none; " + passed}
	const let, not = "", "550 5.7.26"
	for _, tt := range []struct {
		name string
		legs []leg
		code string
	}{
		{"the list alone", []leg{by(list, passed)}, let},
		{"two who are trusted", []leg{by(list, passed), by(relay, "arc=pass; "+failed)}, let},
		{"one who is not, and the list", []leg{by(evil, "none"), by(list, passed)}, let},
		{"the list, and one who is not", []leg{by(list, passed), by(evil, passed)}, not},
		{"one who is not between them", []leg{by(list, passed), by(evil, passed), by(relay, "arc=pass; "+failed)}, not},
		{"one who is not between them, and it passed again", []leg{by(list, passed), by(evil, "none"), by(relay, passed)}, let},
		{"one who is not changes it between them", []leg{by(list, passed), lies(by(evil, passed)), by(relay, "arc=pass; "+failed)}, not},
		{"the list's name in another's results", []leg{forged}, not},
		{"the list's name in another's results, through the list", []leg{forged, by(list, "arc=pass; "+failed)}, not},
		{"the list's name in another's results, through a list that does not judge", []leg{forged, by(list, "arc=pass")}, not},
		{"the list broke a chain", []leg{by(evil, passed), {host: list, found: list + "; " + passed, changes: true}}, not},
		{"a chain that was broken before", []leg{by(list, passed), {host: relay, found: relay + "; " + passed, changes: true}}, not},

		// The first of those trusted who judged has the word.
		{"it failed with the first", []leg{by(list, failed), by(relay, passed)}, not},
		{"the first did not judge", []leg{by(list, "spf=pass"), by(relay, passed)}, let},
		{"the first found nothing", []leg{by(list, "none"), by(relay, passed)}, let},
		{"the first found no policy", []leg{by(list, "dmarc=none header.from=example.com"), by(relay, passed)}, let},
		{"the first could not tell", []leg{by(list, "dmarc=temperror header.from=example.com"), by(relay, passed)}, not},
		{"the first cannot be read", []leg{by(list, "dmarc=;"), by(relay, passed)}, not},
		{"none found anything", []leg{by(list, "spf=pass"), by(relay, "arc=pass")}, not},

		// What a sender gets into the results of one who is trusted.
		{"both", []leg{by(list, failed+"; "+passed)}, not},
		{"both, the other way round", []leg{by(list, passed+"; "+failed)}, not},
		{"two authors", []leg{by(list, passed+"; dmarc=pass header.from=evil.example")}, not},
		{"in a comment", []leg{by(list, "dmarc=fail ("+passed+") header.from=example.com")}, not},
		{"a comment that ends too early", []leg{by(list, "spf=pass (\\); "+passed+") smtp.mailfrom=a@evil.example")}, not},
		{"in a reason", []leg{by(list, `dmarc=fail reason="; `+passed+`" header.from=example.com`)}, not},
		{"in an address", []leg{by(list, `spf=pass smtp.mailfrom="; `+passed+`"@evil.example`)}, not},
		{"of another method", []leg{by(list, "x-dmarc=pass header.from=example.com")}, not},
		{"of nobody", []leg{by(list, "dmarc=pass")}, not},
		{"in another property", []leg{by(list, "dmarc=pass smtp.from=example.com policy.from=example.com header.fromx=example.com")}, not},
		{"of a name below", []leg{by(list, "dmarc=pass header.from=a.example.com")}, not},
		{"of a name above", []leg{by(list, "dmarc=pass header.from=com")}, not},
		{"of a name that ends alike", []leg{by(list, "dmarc=pass header.from=notexample.com")}, not},
		{"of an address", []leg{by(list, "dmarc=pass header.from=ann@example.com")}, not},
		{"bestguesspass", []leg{by(list, "dmarc=bestguesspass header.from=example.com")}, not},
		{"of another version", []leg{{host: list, found: list + " 2; " + passed}}, not},
		{"in capitals", []leg{by(list, "DMARC=PASS Header.From=EXAMPLE.COM")}, let},
		{"with a dot behind", []leg{by(list, "dmarc=pass header.from=example.com.")}, let},

		// As large hosts write it.
		{"Google", []leg{by(list, `dkim=pass header.i=@example.com header.s=s1 header.b="ab/c+d";`+"\r\n       "+
			`spf=pass (google.com: domain of ann@example.com designates 192.0.2.1 as permitted sender) smtp.mailfrom=ann@example.com;`+"\r\n       "+
			`dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=example.com;`+"\r\n       dara=pass header.i=@example.org")}, let},
		{"Microsoft", []leg{{host: list, found: "mx.microsoft.com 1; spf=pass smtp.mailfrom=example.com; dmarc=pass action=none header.from=example.com; dkim=pass header.d=example.com; arc=none"}}, let},
		{"Yahoo", []leg{by(list, "dkim=pass header.i=@example.com header.s=s1; spf=pass smtp.mailfrom=example.com; dmarc=pass(p=REJECT) header.from=example.com;")}, let},
		{"Fastmail", []leg{by(list, "x-csa=none; x-ptr=fail smtp.helo=a.example.com policy.ptr=b.example.com; bimi=skipped (DMARC Policy is not at enforcement);\r\n"+
			"    dkim=pass (2048-bit rsa key sha256) header.d=example.com header.i=@example.com header.b=AbCdEf header.a=rsa-sha256 header.s=s1 x-bits=2048;\r\n"+
			"    dmarc=pass policy.published-domain-policy=reject policy.applied-disposition=none policy.evaluated-disposition=none (p=reject,d=none,d.eval=none) policy.policy-from=p header.from=example.com;\r\n"+
			"    iprev=pass smtp.remote-ip=192.0.2.1 (a.example.com); spf=pass smtp.mailfrom=ann@example.com smtp.helo=a.example.com")}, let},
		{"rspamd", []leg{by(list, "dkim=pass header.d=example.com header.s=s1 header.b=\"ab/c\";\r\n\tdmarc=pass (policy=reject) header.from=example.com;\r\n\tspf=pass (lists.example.net: domain of ann@example.com designates 192.0.2.1 as permitted sender) smtp.mailfrom=ann@example.com")}, let},
	} {
		// Where SPF is refused too, their word is enough.
		s := newSite(t, verify.Config{Resolver: w, Sealers: []string{"*.example.net"}, Policy: verify.Policy{SPFFail: smtpguard.Reject}})
		if err := s.send("list@lists.example.net", route(t, w, keys, letter, tt.legs)); code(err) != tt.code {
			t.Errorf("%s: %v", tt.name, err)
		}
	}

	good := route(t, w, keys, letter, []leg{by(list, passed)})
	for _, tt := range []struct {
		name, message, code string
		dns                 string // what stands for the list's key
	}{
		{"a From field more", "From: ann@example.com\r\n" + good, "550 5.7.1", ""},
		{"another author", strings.Replace(good, "@example.com", "@example.org", 1), "", ""}, // who has no policy
		{"the set below the header section", strings.Replace(letter, "\r\n\r\n", "\r\n\r\n"+strings.TrimSuffix(good, letter), 1), not, ""},
		{"the set on another letter", strings.TrimSuffix(good, letter) + letter + "pay here\r\n", not, ""},
		{"its key cannot be had now", good, not, "servfail"}, // RFC 8617, section 5.2.1
		{"its key was revoked", good, not, "v=DKIM1; p="},
	} {
		other := &world{txt: map[string]string{}}
		for name, text := range w.txt {
			if strings.HasSuffix(name, "._domainkey."+list) && tt.dns != "" {
				text = tt.dns
			}
			other.txt[name] = text
		}
		s := newSite(t, verify.Config{Resolver: other, Sealers: []string{list}})
		if err := s.send("list@lists.example.net", tt.message); code(err) != tt.code {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

package bench

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	netmail "net/mail"
	"strings"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dmarc"
	"github.com/mjl-/mox/dkim"
	"github.com/mjl-/mox/dmarc"
	moxdns "github.com/mjl-/mox/dns"
	moxspf "github.com/mjl-/mox/spf"
	"golang.org/x/net/publicsuffix"

	ours "github.com/smtpguard/smtpguard/auth/dmarc"
)

// dmarcRecords are what DNS has, by name without its trailing dot.
var dmarcRecords = map[string]string{
	"_dmarc.example.com":      "v=DMARC1; p=reject; sp=quarantine; rua=mailto:dmarc@example.com; ruf=mailto:auth@example.com; fo=1",
	"_dmarc.bulk.example.net": "v=DMARC1; p=none; adkim=s; aspf=s; rua=mailto:a@example.net,mailto:b@example.org",
}

// dmarcZone answers at once.
type dmarcZone struct{}

func (dmarcZone) LookupTXT(_ context.Context, name string) ([]string, error) {
	if text, ok := dmarcRecords[strings.TrimSuffix(name, ".")]; ok {
		return []string{text}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// moxLog is for peers that log.
var moxLog = slog.New(slog.NewTextHandler(io.Discard, nil))

func BenchmarkDMARC(b *testing.B) {
	text := dmarcRecords["_dmarc.example.com"]
	for _, who := range []struct {
		name  string
		parse func() error
	}{
		{"smtpguard", func() error { _, err := ours.ParseRecord(text); return err }},
		{"go-msgauth", func() error { _, err := msgauth.Parse(text); return err }},
		{"mox", func() error { _, _, err := dmarc.ParseRecord(text); return err }},
	} {
		b.Run("record/"+who.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := who.parse(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}

	// A header section of 6 KiB, as mail through two hops has.
	header := append(bytes.Repeat([]byte("Received: from mx.example.net (mx.example.net [192.0.2.1])\r\n\tby mx.example.org with ESMTPS id 1\r\n"), 60),
		"From: \"Ann Clark\" <ann@news.example.com>\r\nTo: <bob@example.net>\r\nSubject: Hello\r\n\r\n"...)
	for _, who := range []struct {
		name   string
		author func() string
	}{
		{"smtpguard", func() string {
			name, _ := ours.AuthorDomain(header, 1)
			return name
		}},
		{"net-mail", func() string {
			m, err := netmail.ReadMessage(bytes.NewReader(header))
			if err != nil {
				return ""
			}
			a, err := netmail.ParseAddress(m.Header.Get("From"))
			if err != nil {
				return ""
			}
			return a.Address[strings.LastIndexByte(a.Address, '@')+1:]
		}},
	} {
		b.Run("author/"+who.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(header)))
			for b.Loop() {
				if who.author() != "news.example.com" {
					b.Fatal("no author")
				}
			}
		})
	}

	for _, c := range []struct{ name, author, signer string }{
		{"same-domain", "example.com", "example.com"},
		{"subdomain", "news.example.com", "example.com"},
	} {
		for _, who := range dmarcPeers(b, c.author, c.signer) {
			b.Run(c.name+"/"+who.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if !who.passes() {
						b.Fatal("no pass")
					}
				}
			})
		}
	}
}

// dmarcPeer makes one check of a message from author, signed by signer.
type dmarcPeer struct {
	name   string
	passes func() bool
}

func dmarcPeers(b *testing.B, author, signer string) []dmarcPeer {
	from := "From: Ann <ann@" + author + ">\r\n"
	m := ours.Message{
		Header: []byte(from), SPF: ours.SPF{Domain: "bounce.example.net", Result: "pass"},
		DKIM: []ours.DKIM{{Domain: signer, Selector: "s", Result: "pass"}},
	}
	ctx := context.Background()
	smtpguard := func(by ours.Discovery) func() bool {
		c, err := ours.New(ours.Config{Resolver: dmarcZone{}, Discovery: by})
		if err != nil {
			b.Fatal(err)
		}
		return func() bool { return c.Check(ctx, m).Result == ours.Pass }
	}
	zone := moxdns.MockResolver{TXT: make(map[string][]string)}
	for name, text := range dmarcRecords {
		zone.TXT[name+"."] = []string{text}
	}
	signature := []dkim.Result{{Status: dkim.StatusPass, Sig: &dkim.Sig{Domain: moxdns.Domain{ASCII: signer}}, Record: &dkim.Record{}}}
	sender := moxdns.Domain{ASCII: "bounce.example.net"}
	options := &msgauth.LookupOptions{LookupTXT: func(name string) ([]string, error) { return dmarcZone{}.LookupTXT(ctx, name) }}
	return []dmarcPeer{
		{"smtpguard", smtpguard(ours.TreeWalk)},
		{"smtpguard-psl", smtpguard(ours.PublicSuffix)},
		// By the Public Suffix List, its From field read beforehand.
		{"mox", func() bool {
			_, result := dmarc.Verify(ctx, moxLog, zone, moxdns.Domain{ASCII: author}, signature, moxspf.StatusPass, &sender, false)
			return result.Status == dmarc.StatusPass
		}},
		// What it takes to do it with the record parser of go-msgauth.
		{"go-msgauth", func() bool {
			a, err := netmail.ParseAddress(strings.TrimSuffix(strings.TrimPrefix(from, "From: "), "\r\n"))
			if err != nil {
				return false
			}
			name := a.Address[strings.LastIndexByte(a.Address, '@')+1:]
			home, err := publicsuffix.EffectiveTLDPlusOne(name)
			if err != nil {
				return false
			}
			record, err := msgauth.LookupWithOptions(name, options)
			if err == msgauth.ErrNoPolicy {
				record, err = msgauth.LookupWithOptions(home, options)
			}
			if err != nil {
				return false
			}
			signed, err := publicsuffix.EffectiveTLDPlusOne(signer)
			return err == nil && (signer == name || record.DKIMAlignment == msgauth.AlignmentRelaxed && signed == home)
		}},
	}
}

package bench

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dkim"
	moxdkim "github.com/mjl-/mox/dkim"
	moxdns "github.com/mjl-/mox/dns"

	"github.com/smtpguard/smtpguard/auth/dkim"
)

// dkimKeys are three keys of one domain, and what DNS says of them.
type dkimKeys struct {
	keys []dkim.Key
	txt  map[string]string
}

func newDKIMKeys(b *testing.B) *dkimKeys {
	k := &dkimKeys{txt: map[string]string{}}
	for _, selector := range []string{"one", "two", "three"} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			b.Fatal(err)
		}
		k.add(b, dkim.Key{Domain: "example.org", Selector: selector, Private: key})
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	k.add(b, dkim.Key{Domain: "example.org", Selector: "ed", Private: key})
	return k
}

func (k *dkimKeys) add(b *testing.B, key dkim.Key) {
	record, err := dkim.Record(key.Private.Public())
	if err != nil {
		b.Fatal(err)
	}
	k.keys = append(k.keys, key)
	k.txt[key.Name()] = record
}

func (k *dkimKeys) LookupTXT(_ context.Context, name string) ([]string, error) {
	if txt, ok := k.txt[strings.TrimSuffix(name, ".")]; ok {
		return []string{txt}, nil
	}
	return nil, &net.DNSError{Name: name, IsNotFound: true}
}

// AtHand is as in package resolver: it has everything at hand.
func (k *dkimKeys) AtHand(ctx context.Context) (context.Context, func() bool) {
	return ctx, func() bool { return false }
}

// lookupTXT is LookupTXT in the form that go-msgauth asks for.
func (k *dkimKeys) lookupTXT(name string) ([]string, error) {
	return k.LookupTXT(context.Background(), name)
}

// mox is the zone in the form that mox asks for.
func (k *dkimKeys) mox() moxdns.Resolver {
	r := moxdns.MockResolver{TXT: map[string][]string{}}
	for name, txt := range k.txt {
		r.TXT[name+"."] = []string{txt}
	}
	return r
}

const dkimHeader = "Received: from mx.example.net (mx.example.net [192.0.2.7])\r\n" +
	"\tby mail.example.org with ESMTPS id 12345\r\n\tfor <bob@example.com>; Fri, 24 Jul 2026 10:00:00 +0000\r\n" +
	"From: Ann Example <ann@example.org>\r\nTo: Bob <bob@example.com>\r\nSubject: The minutes of our meeting\r\n" +
	"Date: Fri, 24 Jul 2026 09:59:58 +0000\r\nMessage-ID: <20260724095958.1234@example.org>\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"

// dkimText is prose of size octets: lines of some 70 octets, a few of them
// indented or with white space at their end, paragraphs with an empty line
// between, and now and then two spaces behind a sentence.
func dkimText(size int) []byte {
	words := strings.Fields("the minutes of our last meeting were read and agreed to by all who had been there except for the treasurer " +
		"whose figures nobody else could follow so we will look at them again in autumn when the auditors have come and gone")
	var b bytes.Buffer
	b.WriteString(dkimHeader)
	column := 0
	for i := 0; b.Len() < size; i++ {
		word := words[i%len(words)]
		if column+len(word) > 70 {
			switch i % 40 {
			case 0:
				b.WriteString(" \r\n")
			case 1:
				b.WriteString("\r\n\r\n")
			case 2:
				b.WriteString("\r\n    ")
			default:
				b.WriteString("\r\n")
			}
			column = 0
		} else if column > 0 {
			b.WriteByte(' ')
			if i%101 == 0 {
				b.WriteByte(' ')
			}
		}
		b.WriteString(word)
		column += len(word) + 1
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// dkimBase64 is an attachment.
func dkimBase64(size int) []byte {
	random := make([]byte, size*3/4)
	rand.Read(random)
	text := base64.StdEncoding.EncodeToString(random)
	var b bytes.Buffer
	b.WriteString(dkimHeader)
	for len(text) > 0 && b.Len() < size {
		n := min(76, len(text))
		b.WriteString(text[:n] + "\r\n")
		text = text[n:]
	}
	return b.Bytes()
}

func dkimSign(b *testing.B, message []byte, keys ...dkim.Key) []byte {
	s, err := dkim.NewSigner(dkim.SignConfig{})
	if err != nil {
		b.Fatal(err)
	}
	fields, err := s.Sign(context.Background(), bytes.NewReader(message), keys...)
	if err != nil {
		b.Fatal(err)
	}
	return append([]byte(strings.Join(fields, "")), message...)
}

// BenchmarkDKIMVerify verifies, relaxed/relaxed, with keys that the resolver has
// at hand. The limit is SHA-256 over the message and the key operations alone.
func BenchmarkDKIMVerify(b *testing.B) {
	k := newDKIMKeys(b)
	for _, c := range []struct {
		name    string
		message []byte
		keys    []dkim.Key
	}{
		{"rsa-4KiB-text", dkimText(4 << 10), k.keys[:1]},
		{"ed25519-4KiB-text", dkimText(4 << 10), k.keys[3:]},
		{"rsa-100KiB-text", dkimText(100 << 10), k.keys[:1]},
		{"rsa-100KiB-base64", dkimBase64(100 << 10), k.keys[:1]},
		{"rsa-1MiB-text", dkimText(1 << 20), k.keys[:1]},
		{"rsa-1MiB-text-three", dkimText(1 << 20), k.keys[:3]},
		{"rsa-10MiB-text", dkimText(10 << 20), k.keys[:1]},
		{"rsa-10MiB-base64", dkimBase64(10 << 20), k.keys[:1]},
	} {
		message := dkimSign(b, c.message, c.keys...)
		verifyDKIM(b, c.name, k, message, len(c.keys), true)
		limit := limitVerify(b, message, c.keys...)
		b.Run(c.name+"/limit", func(b *testing.B) {
			b.SetBytes(int64(len(message)))
			for b.Loop() {
				limit()
			}
		})
		v, err := dkim.New(dkim.Config{Resolver: k})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name+"-turns/smtpguard", func(b *testing.B) {
			var t turns
			for b.Loop() {
				t.take(max(2, 10<<20/len(message)), func() {
					if report, err := v.Verify(context.Background(), bytes.NewReader(message)); err != nil || report.Result() != dkim.Pass {
						panic(report)
					}
				}, func() {
					list, err := msgauth.VerifyWithOptions(bytes.NewReader(message), &msgauth.VerifyOptions{LookupTXT: k.lookupTXT})
					if err != nil || list[0].Err != nil {
						panic(err)
					}
				}, limit)
			}
			b.ReportMetric(t.rate(1), "x/go-msgauth")
			b.ReportMetric(t.cpu(1), "cpu-x/go-msgauth")
			b.ReportMetric(t.cpu(2), "of-limit")
		})
	}
}

// limitVerify is SHA-256 and the key operations alone.
func limitVerify(b *testing.B, message []byte, keys ...dkim.Key) func() {
	digest := sha256.Sum256(message)
	var signatures [][]byte
	for _, key := range keys {
		opts := crypto.SignerOpts(crypto.SHA256)
		if _, ok := key.Private.Public().(ed25519.PublicKey); ok {
			opts = crypto.Hash(0)
		}
		signature, err := key.Private.Sign(rand.Reader, digest[:], opts)
		if err != nil {
			b.Fatal(err)
		}
		signatures = append(signatures, signature)
	}
	return func() {
		digest := sha256.Sum256(message)
		for i, key := range keys {
			ok := false
			switch public := key.Private.Public().(type) {
			case *rsa.PublicKey:
				ok = rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signatures[i]) == nil
			case ed25519.PublicKey:
				ok = ed25519.Verify(public, digest[:], signatures[i])
			}
			if !ok {
				panic("does not verify")
			}
		}
	}
}

// verifyDKIM runs smtpguard and its peers. With pass, all signatures must.
func verifyDKIM(b *testing.B, name string, k *dkimKeys, message []byte, signatures int, pass bool, without ...string) {
	ctx := context.Background()
	b.Run(name+"/smtpguard", func(b *testing.B) {
		// By default a header of over 1 MiB is not even looked at.
		v, err := dkim.New(dkim.Config{Resolver: k, Limits: dkim.Limits{HeaderBytes: 4 << 20}})
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(message)))
		b.ReportAllocs()
		for b.Loop() {
			report, err := v.Verify(ctx, bytes.NewReader(message))
			if err != nil {
				b.Fatal(err)
			}
			if pass {
				if len(report.Signatures) != signatures {
					b.Fatal(report)
				}
				for _, s := range report.Signatures {
					if s.Result != dkim.Pass {
						b.Fatal(s.Reason)
					}
				}
			}
		}
	})
	skip := strings.Join(without, " ")
	if !strings.Contains(skip, "go-msgauth") {
		b.Run(name+"/go-msgauth", func(b *testing.B) {
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				list, err := msgauth.VerifyWithOptions(bytes.NewReader(message), &msgauth.VerifyOptions{LookupTXT: k.lookupTXT})
				if pass && (err != nil || len(list) != signatures || list[0].Err != nil) {
					b.Fatal(list, err)
				}
			}
		})
	}
	if !strings.Contains(skip, "mox") {
		b.Run(name+"/mox", func(b *testing.B) {
			resolver := k.mox()
			log := slog.New(slog.NewTextHandler(io.Discard, nil))
			policy := func(*moxdkim.Sig) error { return nil }
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				list, err := moxdkim.Verify(ctx, log, resolver, false, policy, bytes.NewReader(message), true)
				if pass && (err != nil || len(list) != signatures || list[0].Status != moxdkim.StatusPass) {
					b.Fatal(list, err)
				}
			}
		})
	}
}

// BenchmarkDKIMHostile has messages that are made to cost, each beside an
// ordinary one of its size.
func BenchmarkDKIMHostile(b *testing.B) {
	k := newDKIMKeys(b)
	const blank = 10 << 20
	simple, err := dkim.NewSigner(dkim.SignConfig{Header: dkim.Simple, Body: dkim.Simple})
	if err != nil {
		b.Fatal(err)
	}
	blanks := []byte(dkimHeader + strings.Repeat("\r\n", blank/2))
	fields, err := simple.Sign(context.Background(), bytes.NewReader(blanks), k.keys[0])
	if err != nil {
		b.Fatal(err)
	}
	blanks = append([]byte(fields[0]), blanks...)

	folds := []byte("X-Long: a\r\n" + strings.Repeat(" \r\n a\r\n", 312<<10/7) + dkimHeader + "Text.\r\n")
	folded, err := dkim.NewSigner(dkim.SignConfig{Fields: []string{"From", "X-Long"}})
	if err != nil {
		b.Fatal(err)
	}
	if fields, err = folded.Sign(context.Background(), bytes.NewReader(folds), k.keys[0]); err != nil {
		b.Fatal(err)
	}
	folds = append([]byte(fields[0]), folds...)

	short := dkimText(1 << 10)
	signed := dkimSign(b, short, k.keys[0])
	field := signed[:len(signed)-len(short)]
	many := append(bytes.Repeat(field, 2000), short...)
	list := bytes.Replace(signed, []byte("h=From:"), []byte("h=From:"+strings.Repeat("X:\r\n ", 24<<10/5)), 1)

	for _, c := range []struct {
		name    string
		message []byte
		without string
	}{
		{"blank-lines-10MiB", blanks, "go-msgauth"}, // which takes a minute
		{"folds-312KiB", folds, "mox"},              // which refuses it
		{"signatures-2000", many, "mox"},            // the same
		{"h-24KiB", list, ""},
	} {
		verifyDKIM(b, c.name, k, c.message, 0, false, c.without)
		ordinary := dkimSign(b, dkimText(len(c.message)-len(field)), k.keys[0])
		b.Run(c.name+"/ordinary", func(b *testing.B) {
			v, err := dkim.New(dkim.Config{Resolver: k})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(ordinary)))
			for b.Loop() {
				if report, err := v.Verify(context.Background(), bytes.NewReader(ordinary)); err != nil || report.Result() != dkim.Pass {
					b.Fatal(report, err)
				}
			}
		})
	}
}

// BenchmarkDKIMSign signs. The limit is SHA-256 and the key operation alone.
func BenchmarkDKIMSign(b *testing.B) {
	k := newDKIMKeys(b)
	for _, c := range []struct {
		name    string
		message []byte
		key     dkim.Key
	}{
		{"rsa-4KiB-text", dkimText(4 << 10), k.keys[0]},
		{"ed25519-4KiB-text", dkimText(4 << 10), k.keys[3]},
		{"rsa-1MiB-text", dkimText(1 << 20), k.keys[0]},
		{"rsa-50MiB-text", dkimText(50 << 20), k.keys[0]},
	} {
		b.Run(c.name+"/smtpguard", func(b *testing.B) {
			s, err := dkim.NewSigner(dkim.SignConfig{})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(c.message)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Sign(context.Background(), bytes.NewReader(c.message), c.key); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/go-msgauth", func(b *testing.B) {
			b.SetBytes(int64(len(c.message)))
			b.ReportAllocs()
			for b.Loop() {
				signer, err := msgauth.NewSigner(&msgauth.SignOptions{
					Domain: c.key.Domain, Selector: c.key.Selector, Signer: c.key.Private,
					HeaderCanonicalization: msgauth.CanonicalizationRelaxed, BodyCanonicalization: msgauth.CanonicalizationRelaxed,
				})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := signer.Write(c.message); err != nil {
					b.Fatal(err)
				}
				if err := signer.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/mox", func(b *testing.B) {
			log := slog.New(slog.NewTextHandler(io.Discard, nil))
			domain := moxdns.Domain{ASCII: c.key.Domain}
			selectors := []moxdkim.Selector{{Hash: "sha256", HeaderRelaxed: true, BodyRelaxed: true, Headers: dkim.DefaultFields(),
				PrivateKey: c.key.Private, Domain: moxdns.Domain{ASCII: c.key.Selector}}}
			b.SetBytes(int64(len(c.message)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := moxdkim.Sign(context.Background(), log, "ann", domain, selectors, false, bytes.NewReader(c.message)); err != nil {
					b.Fatal(err)
				}
			}
		})
		opts := crypto.SignerOpts(crypto.SHA256)
		if strings.HasPrefix(c.name, "ed25519") {
			opts = crypto.Hash(0)
		}
		limit := func() {
			digest := sha256.Sum256(c.message)
			if _, err := c.key.Private.Sign(rand.Reader, digest[:], opts); err != nil {
				panic(err)
			}
		}
		b.Run(c.name+"/limit", func(b *testing.B) {
			b.SetBytes(int64(len(c.message)))
			for b.Loop() {
				limit()
			}
		})
		s, err := dkim.NewSigner(dkim.SignConfig{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name+"-turns/smtpguard", func(b *testing.B) {
			var t turns
			for b.Loop() {
				t.take(max(2, min(100, 10<<20/len(c.message))), func() {
					if _, err := s.Sign(context.Background(), bytes.NewReader(c.message), c.key); err != nil {
						panic(err)
					}
				}, limit)
			}
			b.ReportMetric(t.cpu(1), "of-limit")
		})
	}
}

// BenchmarkDKIMOthers verifies with libraries of other languages, whose programs
// lie beside the tests of auth/dkim: they time themselves, over many verifications
// in one process.
func BenchmarkDKIMOthers(b *testing.B) {
	k := newDKIMKeys(b)
	program := filepath.Join(b.TempDir(), "libopendkim")
	peers := filepath.Join("..", "auth", "dkim", "testdata", "peers")
	others := map[string][]string{
		"libopendkim": {program},
		"dkimpy":      {"/usr/bin/python3", filepath.Join(peers, "dkimpy.py")},
	}
	if out, err := exec.Command("gcc", "-O2", "-o", program, filepath.Join(peers, "libopendkim.c"), "-lopendkim").CombinedOutput(); err != nil {
		b.Logf("no libopendkim: %v %s", err, out)
		delete(others, "libopendkim")
	}
	for _, c := range []struct {
		name    string
		message []byte
	}{
		{"rsa-4KiB-text", dkimText(4 << 10)}, {"rsa-100KiB-text", dkimText(100 << 10)},
		{"rsa-100KiB-base64", dkimBase64(100 << 10)}, {"rsa-10MiB-text", dkimText(10 << 20)},
	} {
		message := dkimSign(b, c.message, k.keys[0])
		dir := b.TempDir()
		for name, text := range map[string]string{"m.eml": string(message), "zone": k.keys[0].Name() + " " + k.txt[k.keys[0].Name()] + "\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				b.Fatal(err)
			}
		}
		for _, who := range slices.Sorted(maps.Keys(others)) {
			command := others[who]
			b.Run(c.name+"/"+who, func(b *testing.B) {
				b.SetBytes(int64(len(message)))
				args := append(slices.Clone(command[1:]), "time", dir, strconv.Itoa(b.N+1))
				out, err := exec.Command(command[0], args...).CombinedOutput()
				spent, _, _ := strings.Cut(string(out), " ")
				ns, bad := strconv.ParseInt(spent, 10, 64)
				if err != nil || bad != nil || !strings.HasSuffix(string(out), " pass\n") {
					b.Skipf("%v: %s", err, out)
				}
				b.ReportMetric(float64(ns)/float64(b.N+1), "ns/op")
				b.ReportMetric(float64(len(message))*float64(b.N+1)/float64(ns)*1e3, "MB/s")
			})
		}
		b.Run(c.name+"/smtpguard", func(b *testing.B) {
			v, err := dkim.New(dkim.Config{Resolver: k})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(message)))
			for b.Loop() {
				if report, err := v.Verify(context.Background(), bytes.NewReader(message)); err != nil || report.Result() != dkim.Pass {
					b.Fatal(report, err)
				}
			}
		})
	}
}

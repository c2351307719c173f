package bench

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/emersion/go-message"

	"github.com/smtpguard/smtpguard/surbl"
)

// BenchmarkHashes has what lists of hashes need beyond links: wallets in text next to
// the same text without them, and in words that are nearly wallets; sums of files
// next to walking the message and summing them with go-message.
func BenchmarkHashes(b *testing.B) {
	plain, err := surbl.NewExtractor(surbl.Extraction{})
	if err != nil {
		b.Fatal(err)
	}
	all, err := surbl.NewExtractor(surbl.Extraction{Wallets: true, Files: []surbl.Sum{surbl.SHA256}})
	if err != nil {
		b.Fatal(err)
	}
	text := append(prose(100<<10), "\r\nbc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4\r\n"...)
	hostile := []byte(strings.Repeat("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3 ", 100<<10/35))
	for name, data := range map[string][]byte{"wallets_100KiB": text, "nearly_wallets_100KiB": hostile} {
		b.Run(name+"/smtpguard", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if got := all.Text(data); len(got.Wallets) > 1 {
					b.Fatal(got.Wallets)
				}
			}
		})
		b.Run(name+"/without", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				plain.Text(data)
			}
		})
	}
	var mail bytes.Buffer
	mail.WriteString("Content-Type: application/zip; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	lines := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("0123456789abcdef"), 64<<10))
	for len(lines) > 76 {
		mail.WriteString(lines[:76] + "\r\n")
		lines = lines[76:]
	}
	mail.WriteString(lines + "\r\n")
	b.Run("file_1MiB/smtpguard", func(b *testing.B) {
		b.SetBytes(int64(mail.Len()))
		for b.Loop() {
			if links, err := all.Extract(bytes.NewReader(mail.Bytes())); err != nil || len(links.Files) != 1 {
				b.Fatal(err, links)
			}
		}
	})
	b.Run("file_1MiB/go-message", func(b *testing.B) {
		b.SetBytes(int64(mail.Len()))
		for b.Loop() {
			e, err := message.Read(bytes.NewReader(mail.Bytes()))
			if err != nil {
				b.Fatal(err)
			}
			sum := sha256.New()
			if n, err := io.Copy(sum, e.Body); err != nil || n != 1<<20 {
				b.Fatal(n, err)
			}
		}
	})
}

// BenchmarkCrowd has a message of more links than are kept, each of a domain of
// its own, next to one of as many octets that repeats a few.
func BenchmarkCrowd(b *testing.B) {
	x, err := surbl.NewExtractor(surbl.Extraction{})
	if err != nil {
		b.Fatal(err)
	}
	var crowd, few bytes.Buffer
	for i := range 20000 {
		fmt.Fprintf(&crowd, "http://host%07d.com/\r\n", i)
		fmt.Fprintf(&few, "http://host%07d.com/\r\n", i%50)
	}
	for name, data := range map[string][]byte{"domains_20000": crowd.Bytes(), "domains_50": few.Bytes()} {
		b.Run(name+"/smtpguard", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				x.Text(data)
			}
		})
	}
}

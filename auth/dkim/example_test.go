package dkim_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/auth/dkim"
)

// key is a key for the examples. Real ones come from Generate or a Folder.
var key = dkim.Key{
	Domain:   "example.org",
	Selector: "s1",
	Private:  ed25519.NewKeyFromSeed([]byte("32 octets that are known to all!")),
}

// zone is DNS for the examples: a *net.Resolver in real life.
type zone map[string]string

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	if text, ok := z[name]; ok {
		return []string{text}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

const message = "From: Ann <ann@example.org>\r\nTo: bob@example.com\r\nSubject: Minutes\r\n\r\nDear Bob,\r\nhere they are.\r\n"

func Example() {
	record, err := dkim.Record(key.Private.Public())
	if err != nil {
		fmt.Println(err)
		return
	}
	dns := zone{key.Name(): record}

	signer, err := dkim.NewSigner(dkim.SignConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fields, err := signer.Sign(context.Background(), strings.NewReader(message), key)
	if err != nil {
		fmt.Println(err)
		return
	}
	signed := strings.Join(fields, "") + message

	v, err := dkim.New(dkim.Config{Resolver: dns})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, text := range []string{signed, strings.Replace(signed, "Dear Bob", "Dear Eve", 1), message} {
		report, err := v.Verify(context.Background(), strings.NewReader(text))
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, s := range report.Signatures {
			fmt.Printf("%s %s %q\n", s.Result, s.Domain, s.Reason)
		}
		fmt.Println("in all:", report.Result())
	}
	// Output:
	// pass example.org ""
	// in all: pass
	// fail example.org "body hash did not verify"
	// in all: fail
	// in all: none
}

// A key is published by a record of its own, which can be checked before the key
// signs.
func ExampleCheckRecord() {
	line, err := key.ZoneRecord()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(line)
	fmt.Println(dkim.CheckRecord(context.Background(), zone{}, key))
	// Output:
	// s1._domainkey.example.org. IN TXT ( "v=DKIM1; k=ed25519; p=rDB+MkKryPhkNRDJQr0gsLaC4ylOVQQiaPfqj1wPi3k=" )
	// dkim: the key is not published
}

// A submission service signs with the keys of whoever is in From. They are in
// files, dkim/example.org/s1.pem, and taken over when those change.
func ExampleFolder() {
	dir, err := os.MkdirTemp("", "dkim")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	private, err := dkim.Generate(dkim.Ed25519)
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := dkim.MarshalKey(private)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := os.Mkdir(filepath.Join(dir, "example.org"), 0o700); err != nil {
		fmt.Println(err)
		return
	}
	if err := os.WriteFile(filepath.Join(dir, "example.org", "s1.pem"), text, 0o600); err != nil {
		fmt.Println(err)
		return
	}

	keys, err := dkim.OpenFolder(dkim.FolderConfig{Dir: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer keys.Close()
	signer, err := dkim.NewSigner(dkim.SignConfig{Expire: 14 * 24 * time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, from := range []string{"ann@example.org", "ann@mail.example.org", "eve@example.net"} {
		fields, err := signer.SignAuthor(context.Background(), strings.NewReader("From: "+from+"\r\n\r\nHello.\r\n"), keys)
		fmt.Println(from, len(fields), err)
	}
	// Output:
	// ann@example.org 1 <nil>
	// ann@mail.example.org 1 <nil>
	// eve@example.net 0 <nil>
}

package dkim

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/require"
)

func TestGenerate(t *testing.T) {
	for kind, bits := range map[KeyType]int{RSA2048: 2048, Ed25519: 0} {
		key, err := Generate(kind)
		if err != nil {
			t.Fatal(err)
		}
		if public, ok := key.Public().(*rsa.PublicKey); ok && public.N.BitLen() != bits || !ok && bits > 0 {
			t.Errorf("%s: %T", kind, key)
		}
		text, err := MarshalKey(key)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseKey(text)
		if err != nil || !equal(again.Public(), key.Public()) {
			t.Errorf("%s does not come back: %v", kind, err)
		}
	}
	if _, err := Generate("dsa"); err == nil {
		t.Error("dsa")
	}
}

// TestKeyString: a key in a log shows nothing of its private half.
func TestKeyString(t *testing.T) {
	keys, _ := pair(t)
	for _, got := range []string{fmt.Sprint(keys[0]), fmt.Sprintf("%+v", keys[0]), fmt.Sprintf("%v", keys[:1])} {
		if strings.Trim(got, "[]") != "s1._domainkey.example.org" {
			t.Error(got)
		}
	}
}

func TestParseKey(t *testing.T) {
	keys, _ := pair(t)
	private := keys[0].Private.(*rsa.PrivateKey)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := x509.MarshalPKCS1PrivateKey(private)
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for name, text := range map[string]string{
		"PKCS #1":         block("RSA PRIVATE KEY", pkcs1),
		"PKCS #8":         block("PRIVATE KEY", pkcs8),
		"behind a public": "text\n" + block("PUBLIC KEY", nil) + block("PRIVATE KEY", pkcs8) + block("PRIVATE KEY", nil),
	} {
		if key, err := ParseKey([]byte(text)); err != nil || !equal(key.Public(), private.Public()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"nothing":   "",
		"a public":  block("PUBLIC KEY", nil),
		"garbage":   block("PRIVATE KEY", []byte("x")),
		"mixed up":  block("RSA PRIVATE KEY", pkcs8),
		"encrypted": block("ENCRYPTED PRIVATE KEY", []byte("x")),
		"PKCS #1 encrypted": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: pkcs1,
			Headers: map[string]string{"DEK-Info": "AES-256-CBC,00", "Proc-Type": "4,ENCRYPTED"}})),
	} {
		if _, err := ParseKey([]byte(text)); err == nil {
			t.Errorf("%s is a key", name)
		}
	}
}

// TestSuiteKeys reads the keys of dkimpy's tests, and finds their records right.
func TestSuiteKeys(t *testing.T) {
	dir := filepath.Join(require.Suite(t, "dkim", "dkimpy"), "data")
	for _, name := range []string{"1024_testkey.key", "2048_testkey.key", "2048_testkey_PKCS8.key", "test.private"} {
		key, err := ParseKey(read(t, dir, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		record := map[string]string{"2048_testkey_PKCS8.key": "2048_testkey_PKCS8.key.pub.txt", "test.private": "test.txt"}[name]
		if record == "" {
			record = strings.TrimSuffix(name, ".key") + "_wo_markers.pub.txt"
		}
		text := strings.TrimSpace(string(read(t, dir, record)))
		if !strings.Contains(text, "p=") {
			text = "v=DKIM1; p=" + strings.ReplaceAll(text, "\n", "")
		}
		z := zone{}
		z.set("s._domainkey.example.org", text)
		if err := CheckRecord(context.Background(), z, Key{Domain: "example.org", Selector: "s", Private: key}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckRecord(t *testing.T) {
	keys, z := pair(t)
	good, _ := Record(keys[0].Private.Public())
	other, _ := Record(keys[1].Private.Public())
	sub := keys[0]
	sub.Identity = "a@sub.example.org"
	name := keys[0].Name()
	for _, tt := range []struct {
		name  string
		texts []string
		key   Key
		want  error
	}{
		{"good", []string{good}, keys[0], nil},
		{"spelled otherwise", []string{" k=rsa ;" + strings.TrimPrefix(good, "v=DKIM1; k=rsa;") + " ; t=y"}, keys[0], nil},
		{"none", nil, keys[0], ErrUnpublished},
		{"empty", []string{}, keys[0], ErrUnpublished},
		{"two", []string{good, good}, keys[0], ErrOtherKey},
		{"another", []string{other}, keys[0], ErrOtherKey},
		{"revoked", []string{"v=DKIM1; p="}, keys[0], ErrOtherKey},
		{"broken", []string{"v=DKIM1; k=rsa"}, keys[0], ErrOtherKey},
		{"not for mail", []string{good + "; s=x"}, keys[0], ErrOtherKey},
		{"SHA-1", []string{good + "; h=sha1"}, keys[0], ErrOtherKey},
		{"strict", []string{good + "; t=s"}, keys[0], nil},
		{"strict, with a subdomain", []string{good + "; t=s"}, sub, ErrOtherKey},
	} {
		z.set(name, tt.texts...)
		if err := CheckRecord(context.Background(), z, tt.key); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	away := resolverFunc(func(context.Context, string) ([]string, error) { return nil, &net.DNSError{IsTimeout: true} })
	if err := CheckRecord(context.Background(), away, keys[0]); err == nil || errors.Is(err, ErrUnpublished) || errors.Is(err, ErrOtherKey) {
		t.Errorf("a resolver that fails: %v", err)
	}
}

func TestZoneRecord(t *testing.T) {
	key, err := Generate(RSA2048)
	if err != nil {
		t.Fatal(err)
	}
	line, err := Key{Domain: "Bücher.example", Selector: "s1", Private: key}.ZoneRecord()
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(line, " IN TXT ( ")
	var text string
	for _, part := range strings.Split(strings.TrimSuffix(rest, " )"), " \"") {
		part = strings.Trim(part, `"`)
		if len(part) > 255 {
			t.Errorf("a string of %d octets", len(part))
		}
		text += part
	}
	if want, _ := Record(key.Public()); head != "s1._domainkey.xn--bcher-kva.example." || text != want {
		t.Errorf("%s", line)
	}
	small := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	line, err = Key{Domain: "example.org", Selector: "s2", Private: crypto.Signer(small)}.ZoneRecord()
	if want := `s2._domainkey.example.org. IN TXT ( "v=DKIM1; k=ed25519; p=O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=" )`; err != nil || line != want {
		t.Errorf("%s, %v", line, err)
	}
}

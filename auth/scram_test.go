package auth

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"hash"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/require"
)

// vector is a conversation of another project's.
type vector struct {
	Label, Digest, User, Pass, AuthID, Salt64, ServerNonce string
	SkipSASLprep, Valid                                    bool
	Iters                                                  int
	Steps                                                  []string // the client's and the server's in turn
}

// scramKeyOf derives the keys of a password for any hash function.
func scramKeyOf(t *testing.T, h func() hash.Hash, password string, salt []byte, iterations int) ScramKey {
	t.Helper()
	salted, err := pbkdf2.Key(h, password, salt, iterations, h().Size())
	if err != nil {
		t.Fatal(err)
	}
	sum := h()
	sum.Write(mac(h, salted, "Client Key"))
	return ScramKey{Salt: salt, Iterations: iterations, Stored: sum.Sum(nil), Server: mac(h, salted, "Server Key")}
}

func TestScramVectors(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(require.Suite(t, "smtp", "scram", "xdg-go-testdata"), "*", "*.json"))
	if err != nil || len(files) != 20 {
		t.Fatalf("%d conversations, want 20: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(file))+"/"+filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var v vector
			if err := json.Unmarshal(text, &v); err != nil {
				t.Fatal(err)
			}
			h := map[string]func() hash.Hash{"SHA-1": sha1.New, "SHA-256": sha256.New, "SHA-512": sha512.New}[v.Digest]
			salt, err := base64.StdEncoding.DecodeString(strings.TrimSpace(v.Salt64))
			if err != nil {
				t.Fatal(err)
			}
			password := v.Pass
			if !v.SkipSASLprep {
				password, _ = preparePassword(password)
			}
			key := scramKeyOf(t, h, password, salt, v.Iters)

			c := conversation{hash: h}
			if c.first, err = parseClientFirst([]byte(v.Steps[0])); err != nil {
				t.Fatal(err)
			}
			login, err1 := NormalLogin(c.first.user)
			want, err2 := NormalLogin(v.User)
			if err1 != nil || err2 != nil || c.first.authzid != v.AuthID {
				t.Fatalf("%+v: %v, %v", c.first, err1, err2)
			}
			if v.Steps[1] == "e=unknown-user" {
				// Ours goes on, and says what it says to those it knows.
				if login == want {
					t.Error("the unknown user is known")
				}
				return
			}
			if login != want {
				t.Errorf("login %q, want %q", login, want)
			}
			if got := c.challenge(v.ServerNonce, salt, v.Iters); got != v.Steps[1] {
				t.Errorf("challenge %s, want %s", got, v.Steps[1])
			}
			final, err := parseClientFinal([]byte(v.Steps[2]))
			if err != nil {
				t.Fatal(err)
			}
			if !c.bound(&final, [][]byte{nil}) {
				t.Error("not bound to the channel that there is not")
			}
			_, serverFinal, ok := c.verify(&final, []ScramKey{{Stored: make([]byte, h().Size())}, key})
			badServer := !v.Valid && len(v.Steps) > 3 && strings.HasPrefix(v.Steps[3], "v=")
			switch {
			case ok != (v.Valid || badServer):
				t.Errorf("the proof is accepted: %t", ok)
			case v.Valid && serverFinal != v.Steps[3]:
				t.Errorf("server's proof %s, want %s", serverFinal, v.Steps[3])
			case badServer && serverFinal == v.Steps[3]:
				t.Error("we give the proof of a bad server")
			}
		})
	}
}

// The examples of RFC 5802, section 5, and RFC 7677, section 3, and theirs with
// something changed.
func TestScramExamples(t *testing.T) {
	for _, tt := range []struct {
		h                                                func() hash.Hash
		salt, nonce, first, challenge, final, serverSays string
	}{
		{sha1.New, "QSXCR+Q6sek8bf92", "3rfcNHYJY1ZVvWVs7j", "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
		{sha256.New, "W22ZaJ0SNY7soEsUEjb6gQ==", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	} {
		salt, err := base64.StdEncoding.DecodeString(tt.salt)
		if err != nil {
			t.Fatal(err)
		}
		key := scramKeyOf(t, tt.h, "pencil", salt, 4096)
		c := conversation{hash: tt.h}
		if c.first, err = parseClientFirst([]byte(tt.first)); err != nil {
			t.Fatal(err)
		}
		if got := c.challenge(tt.nonce, salt, 4096); got != tt.challenge {
			t.Errorf("%s, want %s", got, tt.challenge)
		}
		says := func(final string) string {
			f, err := parseClientFinal([]byte(final))
			if err != nil {
				return err.Error()
			}
			_, says, ok := c.verify(&f, []ScramKey{key})
			if !ok {
				return "no proof"
			}
			if !c.bound(&f, [][]byte{nil}) {
				return "not bound"
			}
			return says
		}
		if got := says(tt.final); got != tt.serverSays {
			t.Errorf("%s, want %s", got, tt.serverSays)
		}
		for was, is := range map[string]string{",p=": ",x=y,p=", "c=biws": "c=eSws", "=,p": "4=,p", "r=": "r=x"} {
			if changed := strings.Replace(tt.final, was, is, 1); changed != tt.final && says(changed) != "no proof" {
				t.Errorf("%s: %s", changed, says(changed))
			}
		}
	}
}

func TestParseClientFirst(t *testing.T) {
	for msg, want := range map[string]clientFirst{
		"n,,n=user,r=abc":                     {gs2: "n,,", flag: 'n', bare: "n=user,r=abc", user: "user", nonce: "abc"},
		"y,,n=user,r=abc":                     {gs2: "y,,", flag: 'y', bare: "n=user,r=abc", user: "user", nonce: "abc"},
		"p=tls-exporter,,n=user,r=abc":        {gs2: "p=tls-exporter,,", flag: 'p', binding: "tls-exporter", bare: "n=user,r=abc", user: "user", nonce: "abc"},
		"n,a=bob=3D=2C,n=a=2Cb=3Dc,r=abc,x=y": {gs2: "n,a=bob=3D=2C,", flag: 'n', authzid: "bob=,", bare: "n=a=2Cb=3Dc,r=abc,x=y", user: "a,b=c", nonce: "abc"},
	} {
		got, err := parseClientFirst([]byte(msg))
		if err != nil || got != want {
			t.Errorf("%q is %+v, %v", msg, got, err)
		}
	}
	for _, msg := range []string{
		"", ",", ",,", "n", "n,", "n,,", "n,,n=user", "n,,r=abc,n=user", "n,,n=,r=abc", "n,,n=user,r=", "n,,n=user,r=a b", "n,,n=user,r=a\x7fb",
		"N,,n=user,r=abc", "p,,n=user,r=abc", "p=,,n=user,r=abc", "p=a_b,,n=user,r=abc", "nn,,n=user,r=abc", "n,bob,n=user,r=abc", "n,a=,n=user,r=abc",
		"n,,m=ext,n=user,r=abc", "n,,n=us=er,r=abc", "n,,n=us=2cer,r=abc", "n,,n=user=,r=abc", "n,,n=user,r=abc,", "n,,n=user,r=abc,xy", "n,,n=user,r=abc,1=y",
		"n,,n=us\x00er,r=abc", "n,,n=us\r\ner,r=abc", "n,,n=user,r=" + strings.Repeat("x", maxScramNonce+1), "n,,n=" + strings.Repeat("x", maxScramMessage) + ",r=abc",
		"\x00user\x00pencil", "n,\x01auth=Bearer x\x01\x01",
	} {
		if got, err := parseClientFirst([]byte(msg)); err == nil {
			t.Errorf("%.80q is %+v", msg, got)
		}
	}
}

func TestParseClientFinal(t *testing.T) {
	got, err := parseClientFinal([]byte("c=biws,r=abc,x=y,p=AAAA"))
	if err != nil || string(got.binding) != "n,," || got.nonce != "abc" || got.without != "c=biws,r=abc,x=y" || !bytes.Equal(got.proof, []byte{0, 0, 0}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, msg := range []string{
		"", "c=biws", "c=biws,r=abc", "r=abc,c=biws,p=AAAA", "c=biws,p=AAAA,r=abc", "c=biws,r=abc,p=AAA", "c=biw,r=abc,p=AAAA", "c=biws,r=abc,p=AAAA,x=y",
		"c=biws,r=abc,xy,p=AAAA", "c=biws,r=abc,,p=AAAA", "c=biws\n,r=abc,p=AAAA", "c=biws,r=abc,p=" + strings.Repeat("AAAA", maxScramMessage/4),
	} {
		if got, err := parseClientFinal([]byte(msg)); err == nil {
			t.Errorf("%.80q is %+v", msg, got)
		}
	}
}

func FuzzScram(f *testing.F) {
	f.Add([]byte("n,a=bob,n=user,r=abc"), []byte("c=biws,r=abc,x=y,p=AAAA"))
	f.Add([]byte("p=tls-exporter,,n=us=2Cer,r=abc,x=y"), []byte("c=,r=,p="))
	f.Fuzz(func(t *testing.T, first, final []byte) {
		c := conversation{hash: sha256.New}
		var err error
		if c.first, err = parseClientFirst(first); err != nil {
			return
		}
		if c.first.gs2+c.first.bare != string(first) || c.first.user == "" || c.first.nonce == "" {
			t.Errorf("%q is %+v", first, c.first)
		}
		c.challenge("nonce", []byte("salt"), 4096)
		last, err := parseClientFinal(final)
		if err != nil {
			return
		}
		if !bytes.HasPrefix(final, []byte(last.without+",p=")) {
			t.Errorf("%q is %+v", final, last)
		}
		if _, _, ok := c.verify(&last, []ScramKey{{Stored: make([]byte, 32)}}); ok {
			t.Errorf("%q is the proof of a key", final)
		}
		c.bound(&last, [][]byte{nil})
	})
}

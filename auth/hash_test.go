package auth

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
)

// fits reports whether password is that of h, by one derivation.
func fits(h Hash, password string) bool {
	var b []byte
	if h.kind == Bcrypt {
		b = h.key
	}
	prepared, long := preparePassword(password)
	return h.fits(h.work().derive(prepared, h.salt, b)) && !long
}

func scryptVector(t *testing.T) string {
	t.Helper()
	// RFC 7914, section 12.
	key, err := hex.DecodeString("7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2" +
		"d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887")
	if err != nil {
		t.Fatal(err)
	}
	return "$scrypt$ln=14,r=8,p=1$" + b64.EncodeToString([]byte("SodiumChloride")) + "$" + b64.EncodeToString(key)
}

// Hashes that others made.
func TestForeignHashes(t *testing.T) {
	for _, tt := range []struct {
		kind           Kind
		hash, password string
	}{
		{Argon2id, "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password"}, // the reference implementation's
		{Argon2id, "{ARGON2ID}" + weak(t, Argon2id, "password", "salt of one").String(), "password"},
		{Scrypt, scryptVector(t), "pleaseletmein"},
		{Bcrypt, "$2b$05$abcdefghijklmnopqrstuu680Yiaj5hFUaJTH/rTAcbA2PQEGfiZu", "pencil"}, // crypt(3)
		{Bcrypt, "{CRYPT}$2y$05$abcdefghijklmnopqrstuu680Yiaj5hFUaJTH/rTAcbA2PQEGfiZu", "pencil"},
		{Bcrypt, "{BLF-CRYPT}$2b$05$abcdefghijklmnopqrstuu680Yiaj5hFUaJTH/rTAcbA2PQEGfiZu", "pencil"},
		// RFC 7677, section 3, and RFC 5802, section 5; the keys by RFC 5802, section 3.
		{ScramKeysSHA256, "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=", "pencil"},
		{ScramKeysSHA256, "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=", "pencil"},
		{ScramKeysSHA1, "SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE=", "pencil"},
	} {
		h, err := ParseHash(tt.hash)
		if err != nil {
			t.Errorf("%s: %v", tt.hash, err)
			continue
		}
		if h.Kind() != tt.kind || h.String() != tt.hash || !fits(h, tt.password) || fits(h, tt.password+"x") {
			t.Errorf("%s, of kind %s, is not the hash of %s alone", h, h.Kind(), tt.password)
		}
	}
}

func TestNewHash(t *testing.T) {
	for _, kind := range []Kind{Argon2id, Scrypt, Bcrypt, ScramKeysSHA256, ScramKeysSHA1} {
		h, err := NewHash(kind, "password")
		if err != nil {
			t.Fatal(err)
		}
		w, err := kind.usual()
		if again, err2 := ParseHash(h.String()); err != nil || err2 != nil || again.Kind() != kind || again.work() != w {
			t.Errorf("%s: %v, %v", h, err, err2)
		}
		for _, password := range []string{"", strings.Repeat("x", maxPassword+1)} {
			if _, err := NewHash(kind, password); err == nil {
				t.Errorf("%s: a password of %d octets", kind, len(password))
			}
		}

		h = weak(t, kind, "p\u212bssword", "salt of one") // ANGSTROM SIGN
		if !fits(h, "pÅssword") || fits(h, "password") || fits(h, "") {
			t.Errorf("%s is not the hash of the password alone", h)
		}
		app, err := h.Beside("another")
		if err != nil || !fits(app, "another") || app.work() != h.work() || string(app.salt) != string(h.salt) {
			t.Errorf("beside %s is %s, %v", h, app, err)
		}
	}
	one, err1 := NewHash(Argon2id, "x")
	two, err2 := NewHash(Argon2id, "x")
	if err1 != nil || err2 != nil || string(one.salt) == string(two.salt) {
		t.Error("two logins with one salt")
	}
	if _, err := NewHash("md5", "x"); err == nil {
		t.Error("a hash of a kind that is unknown")
	}
	if _, err := (Hash{}).Beside("x"); err == nil || (&Hash{}).fits(nil) {
		t.Error("the zero Hash fits something")
	}
}

func TestLongPasswords(t *testing.T) {
	long := strings.Repeat("x", maxBcryptPassword)
	if _, err := NewHash(Bcrypt, long+"y"); err == nil {
		t.Error("bcrypt takes 73 octets")
	}
	if h := weak(t, Bcrypt, long, ""); !fits(h, long) || fits(h, long+"y") {
		t.Error("72 octets and more")
	}
	long = strings.Repeat("x", maxPassword)
	if h := weak(t, Argon2id, long, "salt of one"); !fits(h, long) || fits(h, long+"y") {
		t.Error("1024 octets and more")
	}
}

func TestBadHashes(t *testing.T) {
	salt, key := b64.EncodeToString(make([]byte, 16)), b64.EncodeToString(make([]byte, 32))
	std := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, s := range []string{
		"", "*", "secret", "$1$abc$def", "$2x$05$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu", "$2b$05$short", "$2b$05$abcdefghijklmnopqrstuu$",
		"$2b$14$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu",
		"$argon2i$v=19$m=65536,t=2,p=1$" + salt + "$" + key,
		"$argon2id$m=65536,t=2,p=1$" + salt + "$" + key,
		"$argon2id$v=16$m=65536,t=2,p=1$" + salt + "$" + key,
		"$argon2id$v=19$t=2,m=65536,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=65536,t=2,p=1,x=1$" + salt + "$" + key,
		"$argon2id$v=19$m=65537,t=1,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=65536,t=9,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=65536,t=0,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=65536,t=1,p=0$" + salt + "$" + key,
		"$argon2id$v=19$m=65536,t=1,p=5$" + salt + "$" + key,
		"$argon2id$v=19$m=7,t=1,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=0,t=1,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=-8,t=1,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=8,t=1,p=1$$" + key,
		"$argon2id$v=19$m=8,t=1,p=1$" + salt + "$",
		"$argon2id$v=19$m=8,t=1,p=1$" + salt + "$AA",
		"$argon2id$v=19$m=8,t=1,p=1$" + salt + "$" + key + "=",
		"$argon2id$v=19$m=8,t=1,p=1$" + salt + "$" + key + "$x",
		"$scrypt$ln=17,r=8,p=1$" + salt + "$" + key,
		"$scrypt$ln=20,r=1,p=1$" + salt + "$" + key,
		"$scrypt$ln=10,r=65,p=1$" + salt + "$" + key,
		"$scrypt$ln=0,r=8,p=1$" + salt + "$" + key,
		"$scrypt$ln=10,r=8,p=0$" + salt + "$" + key,
		"$scrypt$ln=10,r=8,p=5$" + salt + "$" + key,
		"$scrypt$ln=2147483647,r=1,p=1$" + salt + "$" + key,
		"SCRAM-SHA-256$4095:" + std + "$" + std + ":" + std,
		"SCRAM-SHA-256$2000001:" + std + "$" + std + ":" + std,
		"SCRAM-SHA-256$4096:" + std + "$" + std,
		"SCRAM-SHA-256$4096:" + std + "$" + std + ":" + std + ":" + std,
		"SCRAM-SHA-256$4096:$" + std + ":" + std,
		"SCRAM-SHA-256$4096:!$" + std + ":" + std,
		"SCRAM-SHA-1$4096:" + std + "$" + std + ":" + std,
		"{SCRAM-SHA-256}4096," + std + "," + std,
		"SCRAM-SHA-512$4096:" + std + "$" + std + ":" + std,
	} {
		if h, err := ParseHash(s); err == nil || h.Kind() != "" {
			t.Errorf("%q is a hash", s)
		}
	}
}

func FuzzParseHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$scrypt$ln=1,r=1,p=1$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$2b$05$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu")
	f.Add("SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE=")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHash(s)
		if err != nil {
			return
		}
		if h.Kind() == "" || h.String() != s || len(h.key) == 0 {
			t.Errorf("%q is %+v", s, h)
		}
		if c := h.cost; h.kind == Argon2id && (c.memory > maxMemory || c.memory*c.time > maxArgon2) || h.kind == Scrypt && c.memory<<c.time>>3 > maxMemory {
			t.Errorf("%q costs %+v", s, c)
		}
	})
}

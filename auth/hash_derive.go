package auth

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"

	"github.com/smtpguard/smtpguard/internal/saslprep"
)

// work names all that decides what a derivation costs.
type work struct {
	kind Kind
	cost cost
}

func (h *Hash) work() work { return work{h.kind, h.cost} }

// derive does the work of checking password, once, and returns the key to
// compare. For bcrypt, which compares itself, it is nil for a wrong password.
func (w work) derive(password string, salt, bcryptHash []byte) []byte {
	c := w.cost
	switch w.kind {
	case Argon2id:
		return argon2.IDKey([]byte(password), salt, uint32(c.time), uint32(c.memory), uint8(c.threads), uint32(c.length))
	case Scrypt:
		key, err := scrypt.Key([]byte(password), salt, 1<<c.time, c.memory, c.threads, c.length)
		if err != nil {
			return nil // of parameters, which are checked
		}
		return key
	case Bcrypt:
		long := len(password) > maxBcryptPassword
		if long {
			password = password[:maxBcryptPassword]
		}
		if bcrypt.CompareHashAndPassword(bcryptHash, []byte(password)) != nil || long {
			return nil
		}
		return bcryptHash
	default:
		stored, _ := w.scramKeys(password, salt)
		return stored
	}
}

// scramKeys derives StoredKey and ServerKey (RFC 5802, section 3).
func (w work) scramKeys(password string, salt []byte) (stored, server []byte) {
	h := scramHash(w.kind.mechanism())
	salted, err := pbkdf2.Key(h, password, salt, w.cost.time, h().Size())
	if err != nil {
		return nil, nil // only in FIPS mode, for SHA-1
	}
	clientKey := mac(h, salted, "Client Key")
	sum := h()
	sum.Write(clientKey)
	return sum.Sum(nil), mac(h, salted, "Server Key")
}

// fits reports whether key, as derive returned it, is that of the hash.
func (h *Hash) fits(key []byte) bool {
	return len(key) > 0 && subtle.ConstantTimeCompare(key, h.key) == 1
}

// preparePassword returns the password as it is hashed. What is longer than any
// password is cut, so that its length costs nobody anything, and is refused.
func preparePassword(password string) (prepared string, long bool) {
	if long = len(password) > maxPassword; long {
		password = password[:maxPassword]
	}
	if p, err := saslprep.Prepare(password); err == nil && p != "" {
		password = p
	}
	return password, long
}

// usual are the parameters of new hashes: a tenth of a second or less, for
// argon2id the second of the sets that the OWASP password storage cheat sheet
// allows. With SCRAM clients do the work, and phones are slower.
func (k Kind) usual() (work, error) {
	w := work{kind: k}
	switch k {
	case Argon2id:
		w.cost = cost{time: 2, memory: 19 << 10, threads: 1, length: 32}
	case Scrypt:
		w.cost = cost{time: 15, memory: 8, threads: 1, length: 32} // 32 MiB
	case Bcrypt:
		w.cost = cost{time: 11}
	case ScramKeysSHA256, ScramKeysSHA1:
		w.cost = cost{time: 1 << 16} // more than that Cyrus SASL, and so Postfix, refuses to compute
	default:
		return w, fmt.Errorf("auth: no kind of hash is called %q", k)
	}
	return w, nil
}

// NewHash hashes password with a salt of its own and the parameters that are
// usual for kind. It fails on a password that is empty, longer than 1,024 octets
// or, for bcrypt, than 72.
func NewHash(kind Kind, password string) (Hash, error) {
	w, err := kind.usual()
	if err != nil {
		return Hash{}, err
	}
	salt := make([]byte, 16)
	rand.Read(salt)
	return w.hash(password, salt)
}

// Beside hashes another password of the same login as h was hashed, salt
// included: that is how app passwords are made, for one derivation then serves
// all of them, and SCRAM knows one salt a login. Bcrypt takes a salt of its own
// in any case.
func (h Hash) Beside(password string) (Hash, error) {
	if h.kind == "" {
		return Hash{}, errHash
	}
	return h.work().hash(password, h.salt)
}

func (w work) hash(password string, salt []byte) (Hash, error) {
	prepared, long := preparePassword(password)
	switch {
	case password == "":
		return Hash{}, errors.New("auth: empty password")
	case long || w.kind == Bcrypt && len(prepared) > maxBcryptPassword:
		return Hash{}, errors.New("auth: password too long")
	}
	var text string
	c := w.cost
	switch w.kind {
	case Bcrypt:
		b, err := bcrypt.GenerateFromPassword([]byte(prepared), c.time)
		if err != nil {
			return Hash{}, fmt.Errorf("auth: bcrypt: %w", err)
		}
		text = string(b)
	case ScramKeysSHA256, ScramKeysSHA1:
		stored, server := w.scramKeys(prepared, salt)
		e := base64.StdEncoding.EncodeToString
		text = fmt.Sprintf("%s$%d:%s$%s:%s", w.kind.mechanism(), c.time, e(salt), e(stored), e(server))
	case Argon2id:
		text = fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$", c.memory, c.time, c.threads)
	case Scrypt:
		text = fmt.Sprintf("$scrypt$ln=%d,r=%d,p=%d$", c.time, c.memory, c.threads)
	}
	if strings.HasSuffix(text, "$") {
		text += b64.EncodeToString(salt) + "$" + b64.EncodeToString(w.derive(prepared, salt, nil))
	}
	return ParseHash(text)
}

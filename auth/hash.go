package auth

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"strings"
)

// Kind is how a [Hash] is made.
type Kind string

const (
	Argon2id        Kind = "argon2id"    // RFC 9106
	Scrypt          Kind = "scrypt"      // RFC 7914
	Bcrypt          Kind = "bcrypt"      // looks at 72 octets of a password
	ScramKeysSHA1   Kind = "scram-sha-1" // the keys of RFC 5802
	ScramKeysSHA256 Kind = "scram-sha-256"
)

// Hash is what a store keeps of a password. The zero Hash fits none.
//
// Passwords are hashed as RFC 4013 prepares them (in ASCII, as they are), or as
// they are where it prohibits them.
type Hash struct {
	kind Kind
	text string // as it was written

	// Of all but bcrypt.
	salt, key []byte
	server    []byte // ServerKey
	cost      cost
}

// cost is what deriving a key takes. Two hashes of the same kind and cost take
// the same.
type cost struct {
	time, memory, threads, length int // memory in KiB; argon2id's passes, scrypt's log N, PBKDF2's iterations, bcrypt's cost
}

// Bounds of what a derivation may cost: a second or so, and 64 MiB.
const (
	maxMemory     = 64 << 10 // KiB
	maxThreads    = 4
	maxArgon2     = 512 << 10 // KiB passed over
	maxBcrypt     = 13
	minIterations = 4096 // RFC 7677, section 4
	maxIterations = 2_000_000
	minSalt       = 8
	maxSalt       = 64
	minKey        = 16
	maxKey        = 64

	maxBcryptPassword = 72
	maxPassword       = 1024 // octets that are looked at
)

var errHash = errors.New("auth: not a hash of a kind that is known")

// b64 is the base64 of PHC strings.
var b64 = base64.RawStdEncoding.Strict()

// ParseHash reads a hash as it is usually written:
//
//	$argon2id$v=19$m=19456,t=2,p=1$SALT$KEY    PHC string, base64 without padding
//	$scrypt$ln=16,r=8,p=1$SALT$KEY             the same
//	$2b$12$…                                   bcrypt, also $2a$ and $2y$
//	SCRAM-SHA-256$ITERATIONS:SALT$STORED:SERVER  RFC 5803, section 3; also SCRAM-SHA-1
//	{SCRAM-SHA-256}ITERATIONS,SALT,STORED,SERVER the same, as Dovecot writes it
//
// The schemes {ARGON2ID}, {BLF-CRYPT} and {CRYPT} may stand before the first
// and third. It fails on what costs more than a second or so, or 64 MiB.
func ParseHash(s string) (Hash, error) {
	h := Hash{text: s}
	for _, scheme := range []string{"{ARGON2ID}", "{BLF-CRYPT}", "{CRYPT}"} {
		s = strings.TrimPrefix(s, scheme)
	}
	var err error
	switch {
	case strings.HasPrefix(s, "$argon2id$"):
		h.kind, err = Argon2id, h.parseArgon2(s)
	case strings.HasPrefix(s, "$scrypt$"):
		h.kind, err = Scrypt, h.parseScrypt(s)
	case strings.HasPrefix(s, "$2a$"), strings.HasPrefix(s, "$2b$"), strings.HasPrefix(s, "$2y$"):
		h.kind, err = Bcrypt, h.parseBcrypt(s)
	case strings.HasPrefix(s, ScramSHA256+"$"), strings.HasPrefix(s, "{"+ScramSHA256+"}"):
		h.kind, err = ScramKeysSHA256, h.parseScram(s, ScramSHA256)
	case strings.HasPrefix(s, ScramSHA1+"$"), strings.HasPrefix(s, "{"+ScramSHA1+"}"):
		h.kind, err = ScramKeysSHA1, h.parseScram(s, ScramSHA1)
	default:
		err = errHash
	}
	if err != nil {
		return Hash{}, err
	}
	return h, nil
}

// scramHash is the hash function of a mechanism.
func scramHash(mechanism string) func() hash.Hash {
	if strings.HasPrefix(mechanism, ScramSHA1) {
		return sha1.New
	}
	return sha256.New
}

// String is the hash as it was written.
func (h Hash) String() string { return h.text }

// Kind is how the hash was made, "" for the zero Hash.
func (h Hash) Kind() Kind { return h.kind }

// mechanism is the one that SCRAM keys are for.
func (k Kind) mechanism() string {
	switch k {
	case ScramKeysSHA256:
		return ScramSHA256
	case ScramKeysSHA1:
		return ScramSHA1
	}
	return ""
}

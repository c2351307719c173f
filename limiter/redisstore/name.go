package redisstore

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/smtpguard/smtpguard/limiter"
)

// maxName bounds a key that is written as it is; hashed ones have 65 octets.
const maxName = 128

// plain reports whether a key with c in it may be written as it is: braces
// delimit the part that chooses a cluster's slot, and the rest would make an
// operator's life hard.
func plain(c rune) bool { return c > ' ' && c < 0x7f && c != '{' && c != '}' }

// name is how a key is called in Redis. No two keys have the same: those that
// begin as hashes do are hashed.
func name(key string) string {
	if key != "" && len(key) <= maxName && key[0] != '#' && !strings.ContainsFunc(key, func(c rune) bool { return !plain(c) }) {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "#" + hex.EncodeToString(sum[:])
}

// stateKey is the Redis key of what is kept of a key under a limit.
func (s *Store) stateKey(key string, l limiter.Limit) string {
	b := make([]byte, 0, maxPrefix+maxName+64)
	b = append(b, s.cfg.Prefix...)
	b = append(b, '{')
	b = append(b, name(key)...)
	b = append(b, '}')
	b = strconv.AppendInt(b, int64(l.N), 10)
	b = append(b, '/')
	b = append(b, l.Per.String()...)
	b = append(b, '/')
	b = strconv.AppendInt(b, int64(burst(l)), 10)
	return string(b)
}

// burst is l.Burst, or what it means.
func burst(l limiter.Limit) int {
	if l.Burst == 0 {
		return l.N
	}
	return l.Burst
}

// beside is a key in the slot of another.
func beside(stateKey, window string) string {
	return stateKey[:strings.LastIndexByte(stateKey, '}')+1] + window
}

// slotKey is the part of a key that the windows of one Ask.Key share.
func slotKey(stateKey string) string { return beside(stateKey, "") }

package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// parsePHC reads the salt and key at the end of a PHC string, and returns the
// fields before them, of which there must be n.
func (h *Hash) parsePHC(s string, n int) ([]string, error) {
	f := strings.Split(s, "$")[1:]
	if len(f) != n+2 {
		return nil, errHash
	}
	var err1, err2 error
	h.salt, err1 = b64.DecodeString(f[n])
	h.key, err2 = b64.DecodeString(f[n+1])
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("auth: hash: %w", err)
	}
	h.cost.length = len(h.key)
	return f[:n], h.bounds()
}

func (h *Hash) bounds() error {
	if len(h.salt) < minSalt || len(h.salt) > maxSalt || len(h.key) < minKey || len(h.key) > maxKey {
		return errors.New("auth: hash: salt of other than 8 to 64 octets, or key of other than 16 to 64")
	}
	return nil
}

// params reads "m=19456,t=2,p=1" into numbers, in this order.
func params(s string, names ...string) ([]int, error) {
	f := strings.Split(s, ",")
	if len(f) != len(names) {
		return nil, errHash
	}
	out := make([]int, len(f))
	for i, name := range names {
		v, ok := strings.CutPrefix(f[i], name+"=")
		n, err := strconv.ParseUint(v, 10, 31)
		if !ok || err != nil {
			return nil, errHash
		}
		out[i] = int(n)
	}
	return out, nil
}

func (h *Hash) parseArgon2(s string) error {
	f, err := h.parsePHC(s, 3)
	if err != nil {
		return err
	}
	p, err := params(f[2], "m", "t", "p")
	if err != nil || f[1] != "v=19" {
		return errHash
	}
	h.cost.memory, h.cost.time, h.cost.threads = p[0], p[1], p[2]
	switch {
	case p[2] < 1 || p[2] > maxThreads || p[1] < 1 || p[0] < 8*p[2]: // RFC 9106, section 3.1
		return errors.New("auth: argon2id: p has to be from 1 to 4, t 1 or more, m 8p or more")
	case p[0] > maxMemory || p[1] > maxArgon2/p[0]:
		return fmt.Errorf("auth: argon2id: m=%d,t=%d costs too much", p[0], p[1])
	}
	return nil
}

func (h *Hash) parseScrypt(s string) error {
	f, err := h.parsePHC(s, 2)
	if err != nil {
		return err
	}
	p, err := params(f[1], "ln", "r", "p")
	if err != nil {
		return errHash
	}
	ln, r, par := p[0], p[1], p[2]
	if ln < 1 || ln > 20 || r < 1 || r > 64 || par < 1 || par > maxThreads || r<<ln>>3 > maxMemory { // 128·r·N octets
		return fmt.Errorf("auth: scrypt: ln=%d,r=%d,p=%d is no cost, or too much", ln, r, par)
	}
	h.cost.time, h.cost.memory, h.cost.threads = ln, r, par
	return nil
}

func (h *Hash) parseBcrypt(s string) error {
	n, err := bcrypt.Cost([]byte(s))
	if err != nil || len(s) != 60 {
		return errHash
	}
	if n > maxBcrypt {
		return fmt.Errorf("auth: bcrypt: a cost of %d, over %d", n, maxBcrypt)
	}
	h.key, h.cost.time = []byte(s), n
	return nil
}

func (h *Hash) parseScram(s, mechanism string) error {
	var f []string // iterations, salt, StoredKey, ServerKey
	if rest, ok := strings.CutPrefix(s, "{"+mechanism+"}"); ok {
		f = strings.Split(rest, ",")
	} else {
		terms, keys, _ := strings.Cut(strings.TrimPrefix(s, mechanism+"$"), "$")
		f = append(strings.Split(terms, ":"), strings.Split(keys, ":")...)
	}
	if len(f) != 4 {
		return errHash
	}
	var errs [4]error
	h.cost.time, errs[0] = strconv.Atoi(f[0])
	std := base64.StdEncoding.Strict()
	h.salt, errs[1] = std.DecodeString(f[1])
	h.key, errs[2] = std.DecodeString(f[2])
	h.server, errs[3] = std.DecodeString(f[3])
	if errors.Join(errs[:]...) != nil {
		return errHash
	}
	if size := scramHash(mechanism)().Size(); len(h.key) != size || len(h.server) != size {
		return errors.New("auth: SCRAM: keys of the wrong length")
	}
	if h.cost.time < minIterations || h.cost.time > maxIterations {
		return fmt.Errorf("auth: SCRAM: %d iterations, which are not from %d to %d", h.cost.time, minIterations, maxIterations)
	}
	return h.bounds()
}

package auth_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// scramClient is a client of SCRAM, as bad as a test wants it.
type scramClient struct {
	mechanism      string
	user, password string
	gs2            string // "n,," if empty
	data           []byte // of the channel binding
	asHash         func() hash.Hash

	challenge string // what the server said first
	bare      string
	step      int
	server    string // the proof that the server has to give
}

func (c *scramClient) h() func() hash.Hash {
	switch {
	case c.asHash != nil:
		return c.asHash
	case strings.HasPrefix(c.mechanism, "SCRAM-SHA-1"):
		return sha1.New
	}
	return sha256.New
}

func (c *scramClient) Start() (string, []byte, error) {
	if c.gs2 == "" {
		c.gs2 = "n,,"
	}
	c.bare = "n=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(c.user) + ",r=clientnonce"
	return c.mechanism, []byte(c.gs2 + c.bare), nil
}

func (c *scramClient) Next(challenge []byte) ([]byte, error) {
	c.step++
	if c.step == 2 {
		if string(challenge) != c.server {
			return nil, fmt.Errorf("the server's proof is %q, want %q", challenge, c.server)
		}
		return []byte{}, nil
	}
	c.challenge = string(challenge)
	f := strings.Split(c.challenge, ",")
	if c.step != 1 || len(f) != 3 || !strings.HasPrefix(f[0], "r=clientnonce") || len(f[0]) < 24 {
		return nil, fmt.Errorf("challenge %q", challenge)
	}
	salt, err1 := base64.StdEncoding.DecodeString(strings.TrimPrefix(f[1], "s="))
	n, err2 := strconv.Atoi(strings.TrimPrefix(f[2], "i="))
	salted, err3 := pbkdf2.Key(c.h(), c.password, salt, n, c.h()().Size())
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	mac := func(key []byte, s string) []byte {
		m := hmac.New(c.h(), key)
		m.Write([]byte(s))
		return m.Sum(nil)
	}
	without := "c=" + base64.StdEncoding.EncodeToString(append([]byte(c.gs2), c.data...)) + "," + f[0]
	auth := c.bare + "," + c.challenge + "," + without
	proof := mac(salted, "Client Key")
	stored := c.h()()
	stored.Write(proof)
	for i, b := range mac(stored.Sum(nil), auth) {
		proof[i] ^= b
	}
	c.server = "v=" + base64.StdEncoding.EncodeToString(mac(mac(salted, "Server Key"), auth))
	return []byte(without + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// says is a client that says what it is told, and takes any challenge.
type says struct {
	mechanism string
	responses [][]byte
	heard     *bytes.Buffer
}

func (c *says) Start() (string, []byte, error) {
	first := c.responses[0]
	c.responses = c.responses[1:]
	return c.mechanism, first, nil
}

func (c *says) Next(challenge []byte) ([]byte, error) {
	if c.heard != nil {
		c.heard.Write(append(challenge, '\n'))
	}
	if len(c.responses) == 0 {
		return nil, errors.New("nothing left to say")
	}
	r := c.responses[0]
	c.responses = c.responses[1:]
	return r, nil
}

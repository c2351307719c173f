package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard"
)

// scram is one of the SCRAM mechanisms.
type scram struct {
	*exchange
	conversation
	plus      bool // this mechanism binds to the channel
	plusGiven bool // one with the same hash that does was offered
	step      int
	claimed   string // in normal form
	keys      []ScramKey
	id        *Identity
}

func newScram(x *exchange, plusGiven bool) *scram {
	return &scram{
		exchange:     x,
		conversation: conversation{hash: scramHash(x.mechanism)},
		plus:         strings.HasSuffix(x.mechanism, plus), plusGiven: plusGiven,
	}
}

// Next is sasl.Server. What the server says last goes out as a challenge, to
// which the client has nothing to answer.
func (s *scram) Next(response []byte) (challenge []byte, done bool, err error) {
	if s.step == 0 && response == nil {
		return []byte{}, false, nil
	}
	s.step++
	switch s.step {
	case 1:
		challenge, err = s.begin(response)
	case 2:
		challenge, err = s.prove(response)
	case 3:
		if len(response) != 0 {
			return nil, false, smtp.ErrAuthFailed
		}
		return nil, true, s.accept(s.id)
	default:
		err = sasl.ErrUnexpectedClientResponse
	}
	if err != nil {
		s.step = 3 // nothing follows
		return nil, false, err
	}
	return challenge, false, nil
}

// begin answers the client's first message: with salt and iterations, whether the
// login exists or not.
func (s *scram) begin(msg []byte) ([]byte, error) {
	var err error
	if s.first, err = parseClientFirst(msg); err != nil {
		return nil, smtp.ErrAuthFailed
	}
	if s.claimed, err = NormalLogin(s.first.user); err != nil {
		return nil, smtp.ErrAuthFailed
	}
	if err := s.flag(); err != nil {
		return nil, err
	}
	store, ok := s.a.cfg.Store.(ScramStore)
	if !ok {
		return nil, smtp.ErrAuthUnknownMechanism
	}
	mechanism := strings.TrimSuffix(s.mechanism, plus)
	ctx, cancel := s.context()
	defer cancel()
	if s.keys, err = store.Scram(ctx, s.claimed, mechanism); err != nil {
		return nil, s.refused(s.claimed, err)
	}
	if len(s.keys) == 0 {
		s.keys = []ScramKey{s.a.decoy(s.claimed, mechanism, store.ScramTerms(mechanism), s.hash().Size())}
	}
	salt, n := s.keys[0].Salt, s.keys[0].Iterations
	s.keys = slices.DeleteFunc(slices.Clone(s.keys), func(k ScramKey) bool {
		return string(k.Salt) != string(salt) || k.Iterations != n // the client cannot know of these
	})
	var nonce [18]byte
	rand.Read(nonce[:])
	return []byte(s.challenge(base64.StdEncoding.EncodeToString(nonce[:]), salt, n)), nil
}

// flag judges what the client said of channel binding (RFC 5802, section 6).
func (s *scram) flag() error {
	flag := s.first.flag
	switch {
	case s.plus != (flag == 'p'):
		return s.refused(s.claimed, because("the message is not one of this mechanism"))
	case !s.plus && s.plusGiven && flag == 'y':
		// The client can bind, and believes that we cannot: somebody between us took
		// the offer away.
		s.note(smtpguard.KindWarning, s.claimed, "downgrade: channel binding was offered, and the client did not see it")
		return smtp.ErrAuthFailed
	case !s.plus && s.plusGiven:
		s.note(smtpguard.KindNote, s.claimed, "channel binding was offered, and the client cannot or will not do it")
	}
	return nil
}

// prove judges the client's proof and returns ours.
func (s *scram) prove(msg []byte) ([]byte, error) {
	final, err := parseClientFinal(msg)
	if err != nil {
		return nil, smtp.ErrAuthFailed
	}
	data := [][]byte{nil}
	if s.plus {
		state, _ := s.conn.TLS()
		if data, err = s.a.bindings(s.first.binding, &state); err != nil {
			return nil, s.refused(s.claimed, err)
		}
	}
	place, serverFinal, ok := s.verify(&final, s.keys)
	switch {
	case !s.bound(&final, data):
		if ok { // nobody else knows the password: who is between us changed a message
			s.note(smtpguard.KindWarning, s.claimed, "the proof is right and bound to another channel, by "+s.first.binding)
		}
		return nil, smtp.ErrAuthFailed
	case !ok:
		return nil, smtp.ErrAuthFailed
	case s.keys[place].Identity == nil:
		return nil, s.refused(s.claimed, because("disabled"))
	}
	if s.id, err = s.judge(s.claimed, s.keys[place].Identity, s.first.authzid); err != nil {
		return nil, err
	}
	return []byte(serverFinal), nil
}

// decoy are the keys of a login that has none: always the same for a login, and
// such that nothing is a proof.
func (a *Auth) decoy(login, mechanism string, terms ScramTerms, size int) ScramKey {
	if terms.Iterations == 0 {
		w, _ := ScramKeysSHA256.usual()
		terms.Iterations = w.cost.time
	}
	if terms.SaltOctets == 0 {
		terms.SaltOctets = 16
	}
	k := ScramKey{Iterations: terms.Iterations, Stored: make([]byte, size), Server: make([]byte, size)}
	for n := byte('0'); len(k.Salt) < terms.SaltOctets && n <= '9'; n++ {
		k.Salt = append(k.Salt, mac(sha256.New, a.secret, string(n)+mechanism+"\x00"+login)...)
	}
	k.Salt = k.Salt[:min(len(k.Salt), terms.SaltOctets)]
	rand.Read(k.Stored)
	return k
}

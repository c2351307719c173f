// Package mailsig is the engine under DKIM signatures and ARC seals: it reads a
// message once, canonicalises and hashes it for everybody who has a signature
// to check or to make, and fetches keys meanwhile.
//
//	run, err := engine.Start(r)            // reads the header section
//	defer run.Close()
//	sum := run.Sum(mailsig.Relaxed, -1, crypto.SHA256)
//	key := run.Key(ctx, "s1._domainkey.example.org")
//	err = run.Body(ctx)                    // reads the rest
//	… sum.Digest(), key.Wait(ctx)
//
// It follows RFC 6376, sections 3.2 (tag lists), 3.4 (canonicalisation), 3.6
// (keys) and 3.7 (hashes); RFC 8301 and 8463 on algorithms; RFC 8616 on
// internationalized names. Everything is linear in the message.
package mailsig

// Canon is a canonicalisation algorithm (RFC 6376, section 3.4). The zero value
// is the default of a c= tag.
type Canon uint8

const (
	Simple  Canon = iota // sections 3.4.1 and 3.4.3
	Relaxed              // sections 3.4.2 and 3.4.4
)

func (c Canon) String() string {
	if c == Relaxed {
		return "relaxed"
	}
	return "simple"
}

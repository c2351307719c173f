// Package dkim answers: who vouches for this message, and is it as they sent
// it? And it signs for those who vouch.
//
//	v, err := dkim.New(dkim.Config{})
//	report, err := v.Verify(ctx, message)
//	for _, s := range report.Signatures {
//		fmt.Println(s.Result, s.Domain, s.Reason)
//	}
//
// All signatures of a message are checked in one pass: the body is brought to
// its canonical form once for each form in use, and hashed once for each
// distinct request, while keys are looked up side by side. The time is linear in
// the message, and what a hostile message may ask for is bounded ([Limits])
// before it is done.
//
//	s, err := dkim.NewSigner(dkim.SignConfig{})
//	fields, err := s.Sign(ctx, message, dkim.Key{Domain: "example.org", Selector: "s1", Private: key})
//
// A [Signer] makes signatures with several keys in one pass, with any
// [crypto.Signer]. [Folder] keeps keys in files and [Rotation] replaces them in
// time.
//
// Messages are read octet by octet as they are on the wire: only CRLF ends a
// line of the body. What ends the header section is the empty line, or the first
// line that is neither a field nor the continuation of one.
//
// It follows RFC 6376, with RFC 8301 (no SHA-1, keys of 1024 bits at least), RFC
// 8463 (Ed25519), RFC 8616 (internationalized names) and, for results, RFC 8601,
// section 2.7.1.
package dkim

// Package verify answers: is this message from whom it says, all in all? It is
// SPF, DKIM, ARC and DMARC in one check, over one reading of the message.
//
//	v, err := verify.New(verify.Config{ID: "mx.example.org"})
//	guard, err := smtpguard.New(smtpguard.Config{}, v.Check())
//
// SPF begins at MAIL and runs while the message comes in. The content is then read
// once: bodies are hashed for every signature and seal, while their keys and the
// author domain's policy are looked up side by side. What was found decides by
// Config.Policy, goes into one Authentication-Results field, and is there for later
// checks and the backend in Verifier.ResultOf. Verifier.Verify does the same for a
// message at rest.
//
// With Policy.Monitor nothing is refused: the log tells what would have been.
// Mail of who has logged in is not looked at, but for fields that claim to be ours.
//
// RFC 7208 (SPF), RFC 6376 (DKIM), RFC 8617 (ARC), RFC 9989 (DMARC), RFC 8601
// (Authentication-Results), RFC 7372 (reply codes).
package verify

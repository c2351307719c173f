// Package arc answers: who has handled this message on its way, and what did it
// look like when it came to them? And it seals what we pass on.
//
//	v, err := arc.New(arc.Config{})
//	chain, err := v.Validate(ctx, message)
//	if s, ok := chain.Trusted("lists.example.org"); ok {
//		fmt.Println(s.Results) // what that host found when the message came to it
//	}
//
// A forwarder or a mailing list breaks SPF, and often DKIM. Before it does, it can
// write down what it saw and seal that: an ARC set. Each who handles the message
// adds one, which makes a chain. A chain that validates only says who claims what: it
// is worth as much as its sealers are trusted, all of them from the one whose word
// counts on. A chain that does not is to be treated as if there were none.
//
// It follows RFC 8617, and RFC 8301 and RFC 8463 on algorithms.
package arc

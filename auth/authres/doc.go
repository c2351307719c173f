// Package authres reads and writes Authentication-Results fields (RFC 8601), and
// answers which of those in a message are forged.
//
//	filter, err := authres.New(authres.Config{ID: "mx.example.org"})
//	…
//	msg.Strip("Authentication-Results", filter.Strip) // what a sender forged
//	field, err := filter.Results(authres.Method{
//		Name: "spf", Result: authres.Pass,
//		Properties: []authres.Property{{Type: "smtp", Name: "mailfrom", Value: sender}},
//	}).Field()
//	msg.Prepend(field)
//
// Whoever reads a message later believes the fields that bear our authserv-id,
// so none of them may come from outside (section 5). [Filter.Strip] takes those
// out that bear it, that another reader could take for ours, or that do not
// parse, and of the others all but those of [Config.Keep]. [Results.Field] puts
// the words of senders into quotes, and breaks up what looks like a result in them.
//
// Behind a gateway that has checked the message already, [Filter.Upstream] reads
// its results in place of our own checks.
//
// Internationalized names follow RFC 8616, section 5, and RFC 6532.
package authres

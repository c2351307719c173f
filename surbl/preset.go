package surbl

import "github.com/smtpguard/smtpguard"

// SURBL is multi.surbl.org, of registered domains and of addresses in links: one
// list of many, each a bit of the last octet. The terms allow low-volume use
// without charge; others need a data feed. 127.0.0.1 is a refusal.
func SURBL() Zone {
	return Zone{
		Domain: "multi.surbl.org",
		Lists:  Domain | Literal,
		Codes: []Code{
			{Answer: "127.0.0.&8", Means: "phishing", Action: smtpguard.Reject},
			{Answer: "127.0.0.&16", Means: "malware", Action: smtpguard.Reject},
			{Answer: "127.0.0.&64", Means: "abuse", Action: smtpguard.Reject},
			{Answer: "127.0.0.&128", Means: "cracked site", Action: smtpguard.Reject},
			{Answer: "127.0.0.&4", Means: "disposable mail", Weight: 1},
			{Answer: "127.0.0.&32", Means: "click tracker", Weight: 1},
		},
		Refusals:   []Refusal{{Answer: "127.0.0.1", Means: "the resolver is blocked"}},
		TestListed: "surbl-org-permanent-test-point.com",
	}
}

// URIBL is multi.uribl.com, of registered domains and of addresses in links.
// Free for low volume through a resolver of one's own; 127.0.0.1 is a refusal.
func URIBL() Zone {
	return Zone{
		Domain: "multi.uribl.com",
		Lists:  Domain | Literal,
		Codes: []Code{
			{Answer: "127.0.0.&2", Means: "black", Action: smtpguard.Reject},
			{Answer: "127.0.0.&8", Means: "red, new and suspicious", Weight: 2},
			{Answer: "127.0.0.&4", Means: "grey, bulk mail", Weight: 1},
		},
		Refusals:   []Refusal{{Answer: "127.0.0.1", Means: "the resolver is blocked"}},
		TestListed: "test.uribl.com",
	}
}

// SpamhausDBL is dbl.spamhaus.org, of domains; it is never asked for addresses.
// What is abused but legitimate only scores. Its terms are in package dnsbl; with
// a key it is dbl.dq.spamhaus.net.
func SpamhausDBL() Zone {
	return Zone{
		Domain: "dbl.spamhaus.org",
		Lists:  Host,
		Codes: []Code{
			{Answer: "127.0.1.2", Means: "domain of low reputation", Action: smtpguard.Reject},
			{Answer: "127.0.1.4", Means: "phishing domain", Action: smtpguard.Reject},
			{Answer: "127.0.1.5", Means: "malware domain", Action: smtpguard.Reject},
			{Answer: "127.0.1.6", Means: "botnet controller domain", Action: smtpguard.Reject},
			{Answer: "127.0.1.102-106", Means: "abused legitimate domain", Weight: 2},
		},
		Refusals:   []Refusal{{Answer: "127.0.1.255", Means: "an address was asked for in a list of domains"}},
		TestListed: "dbltest.com",
	}
}

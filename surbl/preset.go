package surbl

import "github.com/smtpguard/smtpguard"

// SURBL is multi.surbl.org, of registered domains and of addresses in links: one
// list of many, each a bit of the last octet. Domains of disposable mail and click
// trackers are no abuse, and only score.
//
// Free for under 1,000 users and 250,000 messages a day, and not as part of what
// is sold; others need a data feed (https://surbl.org/usage-policy, and
// https://www.surbl.org/lists and securityzones.net, its reseller, for the bits, as
// of 2026). 127.0.0.1 is a refusal.
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

// SURBLHash is hashbl.surbl.org, of shortened links and mail addresses, by MD5.
// The codes are those that its reseller documents (securityzones.net, as of 2026),
// the terms those of [SURBL]. It publishes no test point that we know.
func SURBLHash() Zone {
	return Zone{
		Domain: "hashbl.surbl.org",
		Lists:  URL | Address,
		Hash:   Hash{Sum: MD5, URL: Shorteners},
		Codes: []Code{
			{Answer: "127.0.0.&8", Means: "phishing", Action: smtpguard.Reject},
			{Answer: "127.0.0.&16", Means: "malware", Action: smtpguard.Reject},
			{Answer: "127.0.0.&64", Means: "abuse", Action: smtpguard.Reject},
			{Answer: "127.0.0.&128", Means: "cracked site", Action: smtpguard.Reject},
			{Answer: "127.0.1.*", Means: "mail address", Action: smtpguard.Reject},
		},
		Refusals:   []Refusal{{Answer: "127.0.0.1", Means: "the resolver is blocked"}},
		TestListed: "-",
	}
}

// URIBL is multi.uribl.com, of registered domains and of addresses in links. Its
// operator means it for scoring; black, which aims at no false positives, rejects
// here all the same.
//
// Free for low volume through a resolver of one's own (https://uribl.com/about.shtml,
// as of 2026); 127.0.0.1 is a refusal.
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
// a key it is dbl.dq.spamhaus.net, which alone has the hosts of compromised sites
// apart from their domains. The codes are those of Spamhaus' documentation
// (https://docs.spamhaus.com/datasets, "Available Zones", as of 2026).
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

// SpamhausZRD is zrd.dq.spamhaus.net, of domains first seen within a day: the last
// octet is the hours. It takes a key, and the source is that of [SpamhausDBL].
// New domains are not bad ones: it scores.
func SpamhausZRD(key Key) Zone {
	return Zone{
		Name:   "Spamhaus ZRD",
		Domain: "zrd.dq.spamhaus.net",
		Key:    key,
		Lists:  Domain,
		Codes: []Code{
			{Answer: "127.0.2.2-4", Means: "domain first seen within four hours", Weight: 3},
			{Answer: "127.0.2.5-24", Means: "domain first seen within a day", Weight: 2},
		},
		Refusals: []Refusal{{Answer: "127.0.2.255", Means: "an address was asked for in a list of domains"}},
	}
}

// SpamhausSBL is sbl.spamhaus.org, of addresses that are in links. It is the part
// of ZEN that tells of hosts of content; the others list what should not send mail,
// home lines among it. With Hosted and Served added to its Lists, the addresses of
// hosts and of name servers are asked about, too. Spamhaus' documentation has it
// score with all of them, and so it does. Source and terms are those of
// [SpamhausDBL]; with a key it is sbl.dq.spamhaus.net.
func SpamhausSBL() Zone {
	return Zone{
		Domain: "sbl.spamhaus.org",
		Lists:  Literal,
		Codes: []Code{
			{Answer: "127.0.0.2", Means: "SBL, serves abuse", Weight: 3},
			{Answer: "127.0.0.3", Means: "CSS, spam source", Weight: 2},
			{Answer: "127.0.0.9", Means: "DROP, hijacked or criminal network", Weight: 3},
			{Answer: "127.0.0.30", Means: "BCL, botnet controller", Weight: 4},
		},
	}
}

// SpamhausHBL is hbl.dq.spamhaus.net, of hashes, which takes a key that is for
// it: mail addresses, URLs, wallets of cryptocurrencies, and files, each a zone
// of its own. What is suspicious but not known to be malware only scores.
//
// The codes, the normal forms and the test points are those of Spamhaus'
// documentation and of its plug-ins for rspamd and SpamAssassin
// (https://github.com/spamhaus, as of 2024); the test points are a wallet,
// user@hbltest.com, http://www.hbltest.com/test and EICAR's test file.
func SpamhausHBL(key Key) []Zone {
	zone := func(name, prefix, test string, lists Subject, codes ...Code) Zone {
		return Zone{
			Name:       "Spamhaus HBL " + name,
			Domain:     "hbl.dq.spamhaus.net",
			Prefix:     prefix,
			Key:        key,
			Lists:      lists,
			Hash:       Hash{Sum: SHA256, Base32: true, URL: Spamhaus},
			Codes:      codes,
			TestListed: test,
		}
	}
	return []Zone{
		zone("email", "_email", "f3pdgtmwu6lfigdjc67yniwry5zrm7erletnfo36qaeqpmbpw2da", Address,
			Code{Answer: "127.0.3.2", Means: "mail address in spam", Action: smtpguard.Reject}),
		zone("url", "_url", "jrbrnountqwklokrddx5dc65yhffj4zlj5exp7d6twhjtdr23psa", URL,
			Code{Answer: "127.0.3.30", Means: "URL in spam", Action: smtpguard.Reject}),
		zone("wallet", "_cw", "tv7qrqpgbkf4x3k4t5qyilri3sp5ciwviioh25yuogvoj3sbtyna", Crypto,
			Code{Answer: "127.0.3.20", Means: "wallet in spam", Action: smtpguard.Reject}),
		zone("file", "_file", "e5naeg57wzej4vguogez67nz2ftd7ruv5qx6fiwekofkx5sr7uhq", Attached,
			Code{Answer: "127.0.3.10", Means: "malware", Action: smtpguard.Reject},
			Code{Answer: "127.0.3.15", Means: "suspicious file", Weight: 3}),
	}
}

// MSBLEBL is ebl.msbl.org, of mail addresses that answers to spam are wanted at,
// by SHA-1 (https://msbl.org/ebl-design.html, as of 2026). Those on its grey list only
// score. It publishes no test point that we know.
func MSBLEBL() Zone {
	return Zone{
		Domain: "ebl.msbl.org",
		Lists:  Address,
		Codes: []Code{
			{Answer: "127.0.0.2-3", Means: "drop box of spammers", Action: smtpguard.Reject},
			{Answer: "127.0.1.2-3", Means: "drop box of spammers, grey", Weight: 2},
		},
		TestListed: "-",
	}
}

package dnsbl

import "github.com/smtpguard/smtpguard"

// SpamhausZEN is zen.spamhaus.org: SBL, CSS, XBL, PBL and, for who may ask it,
// BCL in one. It lists IPv4 and IPv6. The codes are those of Spamhaus'
// documentation (https://docs.spamhaus.com/datasets, "Available Zones", as of 2026).
//
// Free for low-volume, non-commercial use, and only through a resolver of one's
// own whose reverse DNS names its owner: anything else is refused with
// 127.255.255.254 or .255. Everybody else needs the Data Query Service:
//
//	zen := dnsbl.SpamhausZEN()
//	zen.Name, zen.Domain, zen.Key = "Spamhaus ZEN", "zen.dq.spamhaus.net", key
func SpamhausZEN() Zone {
	return Zone{
		Domain: "zen.spamhaus.org",
		Lists:  IPv4 | IPv6,
		Codes: []Code{
			{Answer: "127.0.0.2", Means: "SBL, spam source", Action: smtpguard.Reject},
			{Answer: "127.0.0.3", Means: "CSS, spam source", Action: smtpguard.Reject},
			{Answer: "127.0.0.4-7", Means: "XBL, compromised host", Action: smtpguard.Reject},
			{Answer: "127.0.0.9", Means: "DROP, hijacked or criminal network", Action: smtpguard.Reject},
			{Answer: "127.0.0.10-11", Means: "PBL, not a mail server by its provider's policy", Action: smtpguard.Reject},
			{Answer: "127.0.0.30", Means: "BCL, botnet controller", Action: smtpguard.Reject},
		},
		Reply: "Client address [{subject}] is listed by {zone} ({means}), see https://check.spamhaus.org/query/ip/{subject}",
	}
}

// SpamhausDBL is dbl.spamhaus.org, of domains. What is abused but legitimate
// only scores. Never ask it about addresses: it answers 127.0.1.255.
//
// Terms and source are those of [SpamhausZEN]; with a key it is dbl.dq.spamhaus.net.
func SpamhausDBL() Zone {
	return Zone{
		Domain: "dbl.spamhaus.org",
		Lists:  Domains,
		Codes: []Code{
			{Answer: "127.0.1.2", Means: "domain of low reputation", Action: smtpguard.Reject},
			{Answer: "127.0.1.4", Means: "phishing domain", Action: smtpguard.Reject},
			{Answer: "127.0.1.5", Means: "malware domain", Action: smtpguard.Reject},
			{Answer: "127.0.1.6", Means: "botnet controller domain", Action: smtpguard.Reject},
			{Answer: "127.0.1.102", Means: "abused legitimate domain", Weight: 2},
			{Answer: "127.0.1.103", Means: "abused redirector", Weight: 2},
			{Answer: "127.0.1.104", Means: "abused domain used for phishing", Weight: 2},
			{Answer: "127.0.1.105", Means: "abused domain used for malware", Weight: 2},
			{Answer: "127.0.1.106", Means: "abused domain hosting a botnet controller", Weight: 2},
		},
		Refusals:   []Refusal{{Answer: "127.0.1.255", Means: "an address was asked for in a list of domains"}},
		TestListed: "dbltest.com",
		Reply:      "{subject} is listed by {zone} ({means}), see https://check.spamhaus.org/query/domain/{subject}",
	}
}

// SpamCop is bl.spamcop.net, of IPv4 addresses that spam was reported from
// lately. It is free, and its operator advises to score with it rather than to
// refuse: false positives come and go within a day.
func SpamCop() Zone {
	return Zone{
		Domain: "bl.spamcop.net",
		Lists:  IPv4,
		Codes:  []Code{{Answer: "127.0.0.2", Means: "reported for spam", Weight: 3}},
		Reply:  "Client address [{subject}] is listed by {zone}, see https://www.spamcop.net/bl.shtml?{subject}",
	}
}

// Barracuda is b.barracudacentral.org, of IPv4 addresses. It is free, for who
// registers the address of the resolver; others get no answer, so that its test
// sets it aside.
func Barracuda() Zone {
	return Zone{
		Domain: "b.barracudacentral.org",
		Lists:  IPv4,
		Codes:  []Code{{Answer: "127.0.0.2", Means: "poor reputation", Weight: 4}},
		Reply:  "Client address [{subject}] is listed by {zone}, see https://www.barracudacentral.org/lookups",
	}
}

// PSBL is psbl.surriel.com, of IPv4 addresses that wrote to its spam traps.
// Anybody can have one removed. It is free, also as a copy by rsync
// (http://psbl.surriel.com/howto/, as of 2026).
func PSBL() Zone {
	return Zone{
		Domain: "psbl.surriel.com",
		Lists:  IPv4,
		Codes:  []Code{{Answer: "127.0.0.2", Means: "wrote to spam traps", Weight: 4}},
		Reply:  "Client address [{subject}] is listed by {zone}, see https://psbl.org/listing?ip={subject}",
	}
}

// UCEPROTECT1 is dnsbl-1.uceprotect.net, of single IPv4 addresses; levels 2 and 3
// list whole networks for their neighbours, and there is no preset of them. It
// is free for small sites; who asks much should take the copy by rsync.
func UCEPROTECT1() Zone {
	return Zone{
		Domain: "dnsbl-1.uceprotect.net",
		Lists:  IPv4,
		Codes:  []Code{{Answer: "127.0.0.2", Means: "level 1, sent spam within a week", Weight: 2}},
		Reply:  "Client address [{subject}] is listed by {zone}, see https://www.uceprotect.net/en/rblcheck.php?ipr={subject}",
	}
}

// Mailspike is bl.mailspike.net, of IPv4 addresses: those in a wave of spam
// (127.0.0.2) and those of bad reputation, levels L5 to L3. It is free up to
// 100,000 messages and as many questions a day (https://mailspike.org/usage.html, as
// of 2026).
func Mailspike() Zone {
	return Zone{
		Domain: "bl.mailspike.net",
		Lists:  IPv4,
		Codes: []Code{
			{Answer: "127.0.0.2", Means: "part of a wave of spam", Weight: 5},
			{Answer: "127.0.0.10", Means: "worst possible reputation", Weight: 4},
			{Answer: "127.0.0.11", Means: "very bad reputation", Weight: 3},
			{Answer: "127.0.0.12", Means: "bad reputation", Weight: 2},
		},
	}
}

// DNSWL is list.dnswl.org, an allow list of IPv4 and IPv6 addresses. The third
// octet is the kind of sender, the fourth how far it is trusted; only the highest
// level accepts, and that for the transaction, the others score. 127.0.0.255 is a
// refusal.
//
// It is free up to 100,000 questions a day for non-commercial use; others need a
// subscription.
func DNSWL() Zone {
	return Zone{
		Domain: "list.dnswl.org",
		Lists:  IPv4 | IPv6,
		Codes: []Code{
			{Answer: "127.0.2-20.0", Means: "trust none", Weight: -0.1},
			{Answer: "127.0.2-20.1", Means: "trust low", Weight: -1},
			{Answer: "127.0.2-20.2", Means: "trust medium", Weight: -5},
			{Answer: "127.0.2-20.3", Means: "trust high", Weight: -10, Accept: smtpguard.ScopeTransaction},
		},
		Refusals: []Refusal{{Answer: "127.0.0.255", Means: "the resolver is blocked, for over 100,000 questions a day"}},
	}
}

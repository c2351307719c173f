// Package ldapstore answers: who may log in, by an LDAP directory?
//
//	store, err := ldapstore.New(ldapstore.Config{
//		URLs: []string{"ldaps://ldap.example.org"},
//		Search: &ldapstore.Search{
//			Base: "ou=people,dc=example,dc=org", Filter: "(objectClass=inetOrgPerson)",
//			BindDN: "cn=mail,dc=example,dc=org", BindPassword: secret,
//		},
//		Senders: []string{"mail"},
//	})
//	a, err := auth.New(auth.Config{Store: store, Listeners: []string{"submission"}, Gate: auth.Gate{Slots: 16, Share: 1}})
//
// A password is right when the directory lets its entry bind with it. Which entry
// that is, either a search says ([Search]), or a template of its name
// (Config.DN). The directory does the work of checking, so [auth.Gate] may have
// more slots than there are processors, as above.
//
// # What a login may do to the directory
//
// Nothing. In a filter and in a DN it is a value, escaped (RFC 4515, section 3;
// RFC 4514, section 2.4). One with white space is unknown, whatever the directory
// says, because directories ignore some of it: "ann" and "ann " would be two
// logins to whatever counts attempts, and one entry. For the same reason an entry
// that was found must have the very login in one of the attributes searched. An
// empty password never reaches the directory, to which it is a login by nobody
// that succeeds (RFC 4513, section 5.1.2).
//
// # What the directory may do to us
//
// Connections, the time for an answer and its length are bounded. A directory
// that cannot be reached, or answers with anything but a judgement of the
// password, judges nobody: that is an error, which defers the client.
//
// What it said of a password is remembered for auth.Config.Cache.For, one minute
// as a rule: who is disabled meanwhile goes on for as long.
//
// # One reply
//
// A wrong password, an unknown login and a disabled entry are refused alike, and
// each costs a bind: of an entry that does not exist for an unknown login, or of
// Search.Decoy, so that the directory does the work of hashing as well. What the
// directory keeps for itself about an account (that it is locked, say) is in the
// error, for the operator.
//
// RFC 4511 (the protocol), RFC 4513 (simple bind, StartTLS), RFC 4514 (DN), RFC
// 4515 (filters), RFC 4516 (URLs).
package ldapstore

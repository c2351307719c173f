// Package sqlstore answers: who may log in, by the tables of a database?
//
//	db, err := sql.Open("pgx", "…")
//	store, err := sqlstore.New(sqlstore.Config{
//		DB:    db,
//		Query: `SELECT address AS login, argon2 AS hash, NOT active AS disabled FROM users WHERE address = $1`,
//	})
//	a, err := auth.New(auth.Config{Store: store, Listeners: []string{"submission"}})
//
// The tables, the query and the driver are the operator's. The columns that the
// query returns are known by their names, in any case:
//
//	login       required; rows of another login than that asked for are none
//	hash        required, see auth.ParseHash; forms of one password have white space
//	            between them; NULL for none
//	label       the name of an app password, NULL for the account's own
//	senders     what it may send as, with commas between (auth.File has more on
//	            this and what follows)
//	networks    from where it may log in, with commas between
//	mechanisms  how, with commas between
//	listeners   at which listeners, with commas between
//	until       when it ends: a time, or text
//	disabled    may not log in, when true
//
// A row is a password. An account has a row of its own, and one for each app
// password, whose attributes narrow the account's. NULL and "" say nothing. A
// column that is none of these is an error, for it was meant to say something; so
// is a value that cannot be read, which defers the client. Errors name the
// column, never the value.
//
// The login is a column because databases compare as they like: to MySQL's usual
// collations "ánn" and "ann " are "ann", and would be logins of their own to
// whatever counts attempts. It is compared again here, in normal form; a table
// that has logins in normal form (auth.NormalLogin) finds them by "=".
//
// The database learns the login alone, never a password. What is checked is
// remembered for auth.Config.Cache.For, one minute as a rule; a row that changes
// is seen after that.
//
// Every check takes the same work, whether a login exists or not: what the
// accounts seen so far need. Config.Hashes says it from the start.
package sqlstore

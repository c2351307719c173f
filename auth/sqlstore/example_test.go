package sqlstore_test

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/auth/sqlstore"
)

func Example() {
	hash, err := auth.NewHash(auth.Argon2id, "correct horse")
	if err != nil {
		fmt.Println(err)
		return
	}
	db := (&table{ // sql.Open, with the driver of a database
		names: []string{"login", "hash", "senders"},
		rows:  [][]driver.Value{{"ann@example.org", hash.String(), "ann@example.org,*@lists.example.org"}},
	}).db()
	defer db.Close()

	store, err := sqlstore.New(sqlstore.Config{
		DB:    db,
		Query: `SELECT address AS login, argon2 AS hash, senders FROM users WHERE address = $1`,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	ann, err := store.Verify(ctx, "ann@example.org", "correct horse")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ann.Login, ann.Senders)
	_, err = store.Verify(ctx, "ann@example.org", "guess")
	fmt.Println(err)
	// Output:
	// ann@example.org [ann@example.org *@lists.example.org]
	// auth: credentials refused
}

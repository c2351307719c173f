package integration

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/auth/sqlstore"
	"github.com/smtpguard/smtpguard/auth/storetest"
	_ "modernc.org/sqlite"
)

// database is a SQLite file after statements.
func database(t *testing.T, statements ...string) (db *sql.DB, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "users.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return db, path
}

// hash is a hash that costs little.
func hash(t *testing.T, password string) string {
	t.Helper()
	h, err := auth.ParseHash("$argon2id$v=19$m=8,t=1,p=1$c2FsdCBvZiBhbm4$AAAAAAAAAAAAAAAAAAAAAA")
	if err != nil {
		t.Fatal(err)
	}
	if h, err = h.Beside(password); err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// A table that compares loosely admits nobody by another spelling; one that is
// gone, and a file that is no database any more, defer.
func TestSQLiteStore(t *testing.T) {
	db, path := database(t,
		`CREATE TABLE users (address TEXT PRIMARY KEY COLLATE NOCASE, argon2 TEXT, active BOOLEAN NOT NULL DEFAULT TRUE)`,
		`INSERT INTO users VALUES ('Ann@example.org', '`+hash(t, "correct horse")+`', TRUE)`,
		`INSERT INTO users VALUES ('eve@example.org', '`+hash(t, "correct horse")+`', FALSE)`,
		`INSERT INTO users (address) VALUES ('new@example.org')`,
	)
	store, err := sqlstore.New(sqlstore.Config{
		DB:    db,
		Query: `SELECT address AS login, argon2 AS hash, NOT active AS disabled FROM users WHERE rtrim(address) = rtrim(?) COLLATE NOCASE`,
	})
	if err != nil {
		t.Fatal(err)
	}
	storetest.Run(t, storetest.Config{
		Store: store, Login: "ann@example.org", Password: "correct horse",
		Refused: []storetest.Proof{{Login: "eve@example.org", Password: "correct horse"}, {Login: "new@example.org", Password: "correct horse"}},
		Away: func(t *testing.T) func() {
			if _, err := db.Exec(`ALTER TABLE users RENAME TO gone`); err != nil {
				t.Fatal(err)
			}
			return func() {
				if _, err := db.Exec(`ALTER TABLE gone RENAME TO users`); err != nil {
					t.Fatal(err)
				}
			}
		},
	})
	if err := os.WriteFile(path, []byte("this is no database, and was one a moment ago"), 0o600); err != nil {
		t.Fatal(err)
	}
	if id, err := store.Verify(t.Context(), "ann@example.org", "correct horse"); err == nil || errors.Is(err, auth.ErrCredentials) {
		t.Errorf("of a broken file: %+v, %v", id, err)
	}
}

// One query with a join: accounts, app passwords and addresses in tables of
// their own.
func TestSQLiteJoin(t *testing.T) {
	db, _ := database(t,
		`CREATE TABLE users (id INTEGER PRIMARY KEY, address TEXT UNIQUE)`,
		`CREATE TABLE aliases (user INTEGER, address TEXT)`,
		`CREATE TABLE passwords (user INTEGER, label TEXT, hash TEXT, until TIMESTAMP)`,
		`INSERT INTO users VALUES (1, 'ann@example.org')`,
		`INSERT INTO aliases VALUES (1, 'ann@example.org'), (1, 'sales@example.org')`,
		`INSERT INTO passwords VALUES (1, NULL, '`+hash(t, "own")+`', NULL), (1, 'phone', '`+hash(t, "phone")+`', '2099-01-02 03:04:05'), (1, 'old', '`+hash(t, "old")+`', '2001-01-01 00:00:00')`,
	)
	store, err := sqlstore.New(sqlstore.Config{DB: db, Query: `
		SELECT u.address AS login, p.hash, p.label, p.until,
			CASE WHEN p.label IS NULL THEN (SELECT group_concat(address) FROM aliases WHERE user = u.id) END AS senders
		FROM users u JOIN passwords p ON p.user = u.id WHERE u.address = ?`})
	if err != nil {
		t.Fatal(err)
	}
	for password, app := range map[string]string{"own": "", "phone": "phone", "old": "old"} {
		id, err := store.Verify(t.Context(), "ann@example.org", password)
		if err != nil || id.App != app {
			t.Errorf("%s: %+v, %v", password, id, err)
			continue
		}
		if app == "" && len(id.Senders) != 2 || app != "" && (id.Within == nil || id.Until.IsZero()) {
			t.Errorf("%s: %+v", password, id)
		}
	}
	if _, err := store.Verify(context.Background(), "sales@example.org", "own"); !errors.Is(err, auth.ErrCredentials) {
		t.Errorf("an alias: %v", err)
	}
}

package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/smtpguard/smtpguard/auth"
)

// table is a database that knows one query: the rows whose first column is its
// first parameter.
type table struct {
	names []string
	rows  [][]driver.Value
	loose func(a, b string) bool // how it compares; nil: exactly

	mu    sync.Mutex
	gone  error
	asked []string
}

func (t *table) db() *sql.DB { return sql.OpenDB(t) }

func (t *table) leave(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = err
}

func (t *table) Connect(context.Context) (driver.Conn, error) { return &conn{t}, nil }
func (t *table) Driver() driver.Driver                        { return nil }

type conn struct{ t *table }

func (c *conn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not here") }
func (c *conn) Begin() (driver.Tx, error)           { return nil, errors.New("not here") }
func (c *conn) Close() error                        { return nil }

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	if c.t.gone != nil {
		return nil, c.t.gone
	}
	login := args[0].Value.(string)
	c.t.asked = append(c.t.asked, login)
	found := &rows{names: c.t.names}
	for _, r := range c.t.rows {
		name, _ := r[0].(string)
		if name == login || c.t.loose != nil && c.t.loose(name, login) {
			found.rows = append(found.rows, r)
		}
	}
	return found, nil
}

type rows struct {
	names []string
	rows  [][]driver.Value
}

func (r *rows) Columns() []string { return r.names }
func (r *rows) Close() error      { return nil }
func (r *rows) Next(dest []driver.Value) error {
	if len(r.rows) == 0 {
		return io.EOF
	}
	copy(dest, r.rows[0])
	r.rows = r.rows[1:]
	return nil
}

// hashed is a hash that costs little.
func hashed(t testing.TB, kind auth.Kind, password string) string {
	t.Helper()
	like := map[auth.Kind]string{
		auth.Argon2id:        "$argon2id$v=19$m=8,t=1,p=1$c2FsdCBvZiBhbm4$AAAAAAAAAAAAAAAAAAAAAA",
		auth.Scrypt:          "$scrypt$ln=4,r=8,p=1$c2FsdCBvZiBhbm4$AAAAAAAAAAAAAAAAAAAAAA",
		auth.ScramKeysSHA256: "SCRAM-SHA-256$4096:c2FsdCBvZiBhbm4gYW5kIG1l$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	}[kind]
	h, err := auth.ParseHash(like)
	if err != nil {
		t.Fatal(err)
	}
	if h, err = h.Beside(password); err != nil {
		t.Fatal(err)
	}
	return h.String()
}

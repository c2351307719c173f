package sqlstore_test

import (
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/auth/sqlstore"
	"github.com/smtpguard/smtpguard/auth/storetest"
)

func newStore(t *testing.T, tab *table, cfg sqlstore.Config) *sqlstore.Store {
	t.Helper()
	db := tab.db()
	t.Cleanup(func() { db.Close() })
	cfg.DB, cfg.Query = db, "SELECT …"
	s, err := sqlstore.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	tab := &table{
		names: []string{"Login", "HASH", "disabled"},
		rows: [][]driver.Value{
			{"ann@example.org", hashed(t, auth.Argon2id, "correct horse"), nil},
			{"eve@example.org", hashed(t, auth.Argon2id, "correct horse"), true},
			{"new@example.org", nil, nil},
		},
		// As MySQL compares.
		loose: func(a, b string) bool {
			plain := strings.NewReplacer("á", "a").Replace
			return plain(strings.ToLower(strings.TrimRight(a, " "))) == plain(strings.ToLower(strings.TrimRight(b, " ")))
		},
	}
	storetest.Run(t, storetest.Config{
		Store: newStore(t, tab, sqlstore.Config{}),
		Login: "ann@example.org", Password: "correct horse",
		Refused: []storetest.Proof{
			{Login: "eve@example.org", Password: "correct horse"},
			{Login: "new@example.org", Password: "correct horse"},
		},
		Away: func(*testing.T) func() {
			tab.leave(errors.New("connection refused"))
			return func() { tab.leave(nil) }
		},
	})
}

// Accounts have attributes and app passwords, as in a file.
func TestAttributes(t *testing.T) {
	until := time.Date(2030, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	s := newStore(t, &table{
		names: []string{"login", "hash", "label", "senders", "networks", "until", "disabled"},
		rows: [][]driver.Value{
			{"ann@example.org", []byte(hashed(t, auth.Argon2id, "own") + " " + hashed(t, auth.ScramKeysSHA256, "own")), nil, "ann@example.org,*@lists.example.org", "", nil, int64(0)},
			{"ann@example.org", hashed(t, auth.Argon2id, "phone"), "phone", nil, "192.0.2.0/24", until, false},
			{"ann@example.org", hashed(t, auth.Argon2id, "lost"), "lost", nil, nil, nil, []byte{1}},
		},
	}, sqlstore.Config{Scram: map[string]auth.ScramTerms{auth.ScramSHA256: {Every: true, Iterations: 4096, SaltOctets: 18}}})
	ctx := t.Context()
	own, err := s.Verify(ctx, "ann@example.org", "own")
	if err != nil || own.App != "" || !slices.Equal(own.Senders, []string{"ann@example.org", "*@lists.example.org"}) {
		t.Errorf("own: %+v, %v", own, err)
	}
	phone, err := s.Verify(ctx, "ann@example.org", "phone")
	if err != nil || phone.App != "phone" || phone.Within == nil || !phone.Until.Equal(until) || len(phone.Networks) != 1 {
		t.Errorf("phone: %+v, %v", phone, err)
	}
	if id, err := s.Verify(ctx, "ann@example.org", "lost"); !errors.Is(err, auth.ErrCredentials) {
		t.Errorf("lost: %+v, %v", id, err)
	}
	keys, err := s.Scram(ctx, "ann@example.org", auth.ScramSHA256)
	if err != nil || len(keys) != 1 || len(keys[0].Salt) != 18 || keys[0].Identity.Login != "ann@example.org" {
		t.Errorf("keys %+v, %v", keys, err)
	}
	if keys, err := s.Scram(ctx, "nobody@example.org", auth.ScramSHA256); err != nil || len(keys) != 0 {
		t.Errorf("keys of nobody: %+v, %v", keys, err)
	}
	if terms := s.ScramTerms(auth.ScramSHA256); !terms.Every || s.ScramTerms(auth.ScramSHA1).Every {
		t.Errorf("terms %+v", terms)
	}
	for login, ok := range map[string]bool{"Ann@Example.org": true, "nobody@example.org": false, "": false} {
		id, err := s.Identity(ctx, login)
		if ok != (err == nil) || ok && id.Login != "ann@example.org" || !ok && !errors.Is(err, auth.ErrCredentials) {
			t.Errorf("Identity(%q) = %+v, %v", login, id, err)
		}
	}
}

// What cannot be read defers, and does not get out.
func TestUnreadable(t *testing.T) {
	hash := hashed(t, auth.Argon2id, "secret")
	usual := []string{"login", "hash"}
	for _, tt := range []struct {
		name  string
		names []string
		row   []driver.Value
		want  string
	}{
		{"no login", []string{"hash"}, nil, `no column "login"`},
		{"no hash", []string{"login"}, nil, `no column "hash"`},
		{"another column", []string{"login", "hash", "active"}, nil, `"active"`},
		{"a column twice", []string{"login", "hash", "Hash"}, nil, `"Hash" twice`},
		{"a clear-text password", usual, []driver.Value{"ann", "secret"}, `"hash"`},
		{"a number", usual, []driver.Value{"ann", int64(12345)}, `"hash"`},
		{"a long value", usual, []driver.Value{"ann", strings.Repeat("x", 20_000)}, `"hash"`},
		{"a hash elsewhere", []string{"login", "hash", "until"}, []driver.Value{"ann", hash, hash}, `"until"`},
		{"neither true nor false", []string{"login", "hash", "disabled"}, []driver.Value{"ann", hash, "perhaps"}, `"disabled"`},
		{"2", []string{"login", "hash", "disabled"}, []driver.Value{"ann", hash, int64(2)}, `"disabled"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tab := &table{names: tt.names}
			if tt.row != nil {
				tab.rows = append(tab.rows, tt.row)
			}
			id, err := newStore(t, tab, sqlstore.Config{}).Verify(t.Context(), "ann", "secret")
			if id != nil || err == nil || errors.Is(err, auth.ErrCredentials) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %+v, %v", id, err)
			}
			for _, secret := range []string{"secret", "$", "xxxx", "12345", "perhaps"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%v has a value in it", err)
				}
			}
		})
	}
}

func TestManyRows(t *testing.T) {
	tab := &table{names: []string{"login", "hash"}}
	for range 65 {
		tab.rows = append(tab.rows, []driver.Value{"ann", "*"})
	}
	if id, err := newStore(t, tab, sqlstore.Config{}).Verify(t.Context(), "ann", "secret"); err == nil || errors.Is(err, auth.ErrCredentials) {
		t.Errorf("got %+v, %v", id, err)
	}
}

// Whether a login exists makes no difference in work.
func TestWork(t *testing.T) {
	tab := &table{names: []string{"login", "hash", "disabled"}, rows: [][]driver.Value{
		{"ann", hashed(t, auth.Argon2id, "secret"), nil},
		{"bob", hashed(t, auth.Scrypt, "secret"), nil},
		{"eve", hashed(t, auth.Scrypt, "secret"), true},
	}}
	var kinds []auth.Hash
	for _, row := range tab.rows[:2] {
		h, err := auth.ParseHash(row[1].(string))
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, h)
	}
	s := newStore(t, tab, sqlstore.Config{Hashes: kinds})
	for _, login := range []string{"nobody", "ann", "bob", "eve", "nobody"} {
		for _, password := range []string{"secret", "wrong"} {
			before := s.Derivations()
			s.Verify(t.Context(), login, password)
			if n := s.Derivations() - before; n != 2 {
				t.Errorf("%s takes %d derivations", login, n)
			}
		}
	}
	if slices.Contains(tab.asked, "secret") || len(tab.asked) != 10 {
		t.Errorf("asked %q", tab.asked)
	}
}

func TestArgs(t *testing.T) {
	tab := &table{names: []string{"login", "hash"}, rows: [][]driver.Value{{"ann", hashed(t, auth.Argon2id, "secret")}}}
	s := newStore(t, tab, sqlstore.Config{Args: func(login string) []any {
		name, domain, _ := strings.Cut(login, "@")
		return []any{name, domain}
	}})
	if _, err := s.Verify(t.Context(), "ann@example.org", "secret"); !errors.Is(err, auth.ErrCredentials) {
		t.Errorf("a row of another login: %v", err)
	}
	if tab.asked[0] != "ann" {
		t.Errorf("asked %q", tab.asked)
	}
}

func TestNewNamesTheField(t *testing.T) {
	good := sqlstore.Config{DB: (&table{}).db(), Query: "SELECT …"}
	for _, tt := range []struct {
		want  string
		spoil func(*sqlstore.Config)
	}{
		{"Config.DB", func(c *sqlstore.Config) { c.DB = nil }},
		{"Config.Query", func(c *sqlstore.Config) { c.Query = "" }},
		{"Config.Timeout", func(c *sqlstore.Config) { c.Timeout = -1 }},
		{"Config.Hashes[1]", func(c *sqlstore.Config) {
			h, _ := auth.ParseHash(hashed(t, auth.Argon2id, "x"))
			c.Hashes = []auth.Hash{h, {}}
		}},
		{"Config.Scram", func(c *sqlstore.Config) { c.Scram = map[string]auth.ScramTerms{"PLAIN": {}} }},
		{"Config.Scram", func(c *sqlstore.Config) { c.Scram = map[string]auth.ScramTerms{auth.ScramSHA1: {Iterations: -1}} }},
	} {
		cfg := good
		tt.spoil(&cfg)
		if s, err := sqlstore.New(cfg); s != nil || err == nil || !strings.HasPrefix(err.Error(), "auth: sqlstore: "+tt.want) {
			t.Errorf("%s: %v, %v", tt.want, s, err)
		}
	}
}

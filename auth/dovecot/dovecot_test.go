package dovecot_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/auth/dovecot"
	"github.com/smtpguard/smtpguard/auth/storetest"
)

func newStore(t testing.TB, cfg dovecot.Config) *dovecot.Store {
	t.Helper()
	s, err := dovecot.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestDovecot(t *testing.T) {
	s := startDovecot(t)
	store := newStore(t, dovecot.Config{Socket: s.socket, Timeout: 30 * time.Second})
	newStore(t, dovecot.Config{Socket: s.socket}).Verify(t.Context(), "ann@example.org", "wrong") // beside another of this process
	storetest.Run(t, storetest.Config{
		Store: store,
		Login: "ann@example.org", Password: "correct horse",
		Refused: []storetest.Proof{
			{Login: "eve@example.org", Password: "correct horse"},
			{Login: "nia@example.org", Password: "correct horse"},
		},
		Away: func(t *testing.T) func() {
			s.stop()
			return s.start
		},
	})
	ctx := t.Context()
	if id, err := store.Verify(ctx, "bob@example.org", "correct horse"); err != nil || id.Login != "robert@example.org" {
		t.Errorf("bob is %+v, %v", id, err)
	}
	if id, err := store.Verify(ctx, "ANN@example.org", "correct horse"); err != nil || id.Login != "ann@example.org" {
		t.Errorf("in capitals: %+v, %v", id, err)
	}
	for _, password := range []string{"correct horse", "anything"} {
		if id, err := store.Verify(ctx, "far@example.org", password); id != nil || err == nil || errors.Is(err, auth.ErrCredentials) {
			t.Errorf("who is proxied, with any password: %+v, %v", id, err)
		}
	}
	log, err := os.ReadFile(s.dir + "/log")
	if err != nil || strings.Contains(string(log), "BUG") {
		t.Errorf("its log: %v\n%s", err, log)
	}
}

// Replies, and what they mean.
func TestReplies(t *testing.T) {
	for _, tt := range []struct {
		reply string // after the number
		login string // "" for none
		fault string // in the error; refusals begin with "auth: credentials refused"
	}{
		{"OK", "ann", ""},
		{"OK\tuser=ann@example.org\toriginal_user=ann", "ann@example.org", ""},
		{"OK\tuser=Ann@EXAMPLE.org", "ann@example.org", ""},
		{"OK\tuser=ann\tpass=geheim", "ann", ""},
		{"OK\tuser=a\x01tb", "", "no normal form"},
		{"OK\tuser=ann\tnologin", "", "auth: credentials refused: nologin"},
		{"OK\tuser=ann\tnologin\treason=geheim", "", "auth: credentials refused: nologin"},
		{"OK\tuser=ann\tproxy\tpass=geheim", "", "auth: dovecot: another server"},
		{"OK\tuser=ann\tproxy=y\tnologin", "", "auth: dovecot: another server"},
		{"FAIL", "", "auth: credentials refused"},
		{"FAIL\tuser=ann\treason=geheim", "", "auth: credentials refused"},
		{"FAIL\tuser=ann\tauthz", "", "auth: credentials refused"},
		{"FAIL\tuser=ann\tuser_disabled", "", "auth: credentials refused: disabled"},
		{"FAIL\tuser=ann\tcode=user_disabled", "", "auth: credentials refused: disabled"},
		{"FAIL\tuser=ann\tcode=pass_expired", "", "auth: credentials refused: password expired"},
		{"FAIL\tuser=ann\ttemp", "", "auth: dovecot: temporary failure"},
		{"FAIL\tuser=ann\tcode=temp_fail", "", "auth: dovecot: temporary failure"},
		{"FAIL\tuser=ann\ttemp\tuser_disabled", "", "auth: dovecot: temporary failure"},
		{"CONT\t", "", "auth: dovecot: it asks for more"},
	} {
		store := newStore(t, dovecot.Config{Timeout: 20 * time.Second, Socket: fake(t, greeting, func(id string, params []string) []string {
			verb, rest, _ := strings.Cut(tt.reply, "\t")
			if rest != "" {
				rest = "\t" + rest
			}
			return []string{"SOMETHING\tNEW", "OK\t4000000000\tuser=eve", verb + "\t" + id + rest}
		})})
		id, err := store.Verify(t.Context(), "ann", "correct horse")
		switch {
		case tt.login != "":
			if err != nil || id.Login != tt.login {
				t.Errorf("%q: got %+v, %v", tt.reply, id, err)
			}
		case id != nil || err == nil || !strings.Contains(err.Error(), tt.fault) || strings.HasPrefix(tt.fault, "auth: credentials") != errors.Is(err, auth.ErrCredentials):
			t.Errorf("%q: got %+v, %v, want %s", tt.reply, id, err, tt.fault)
		case strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), "horse"):
			t.Errorf("%q: %v has a secret in it", tt.reply, err)
		}
	}
}

// What is no Dovecot, or none of ours, is an error.
func TestGreetings(t *testing.T) {
	for _, tt := range []struct{ name, greeting, want string }{
		{"another version", strings.Replace(greeting, "VERSION\t1", "VERSION\t2", 1), "version"},
		{"no version", strings.TrimPrefix(greeting, "VERSION\t1\t2\n"), "VERSION"},
		{"half a version", "VERSION\n" + greeting, "version"},
		{"without PLAIN", strings.ReplaceAll(greeting, "PLAIN", "CRAM-MD5"), "auth_mechanisms"},
		{"SMTP", "220 mx.example.org ESMTP\r\n", "VERSION"},
		{"a long line", "VERSION\t1\t2\nMECH\t" + strings.Repeat("x", 10_000) + "\n", "8192"},
		{"many lines", "VERSION\t1\t2\n" + strings.Repeat("MECH\tPLAIN\n", 200), "end of the handshake"},
		{"silence", "", "deadline"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			timeout := 20 * time.Second
			if tt.name == "silence" {
				timeout = 50 * time.Millisecond
			}
			store := newStore(t, dovecot.Config{Timeout: timeout, Socket: fake(t, tt.greeting, func(string, []string) []string { return nil })})
			id, err := store.Verify(t.Context(), "ann", "secret")
			if id != nil || err == nil || errors.Is(err, auth.ErrCredentials) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %+v, %v", id, err)
			}
		})
	}
}

// A later minor version has lines that we do not know.
func TestLaterMinor(t *testing.T) {
	later := strings.Replace(greeting, "VERSION\t1\t2\n", "VERSION\t1\t9\nFEATURE\tx\n", 1)
	store := newStore(t, dovecot.Config{Timeout: 20 * time.Second, Socket: fake(t, later, func(id string, params []string) []string {
		return []string{"OK\t" + id + "\tuser=ann"}
	})})
	if id, err := store.Verify(t.Context(), "ann", "secret"); err != nil || id.Login != "ann" {
		t.Errorf("got %+v, %v", id, err)
	}
}

// proof reads a request.
func proof(params []string) (login, password string) {
	resp, _ := strings.CutPrefix(params[len(params)-1], "resp=")
	text, err := base64.StdEncoding.DecodeString(resp)
	f := strings.Split(string(text), "\x00")
	if err != nil || len(f) != 3 || f[0] != "" || !slices.Equal(params[:len(params)-1], []string{"PLAIN", "service=smtp", "secured", "no-penalty"}) {
		return "", ""
	}
	return f[1], f[2]
}

// Many requests are under way on one connection, and replies come in another
// order.
func TestOrder(t *testing.T) {
	store := newStore(t, dovecot.Config{Timeout: 30 * time.Second, Socket: fake(t, greeting, func(id string, params []string) []string {
		login, password := proof(params)
		time.Sleep(rand.N(5 * time.Millisecond))
		if password != "of "+login {
			return []string{"FAIL\t" + id + "\tuser=" + login}
		}
		return []string{"OK\t" + id + "\tuser=" + login}
	})})
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			login := fmt.Sprint("user", i)
			if id, err := store.Verify(t.Context(), login, "of "+login); err != nil || id.Login != login {
				t.Errorf("%s: %+v, %v", login, id, err)
			}
			if id, err := store.Verify(t.Context(), login, "of another"); !errors.Is(err, auth.ErrCredentials) {
				t.Errorf("%s: %+v, %v", login, id, err)
			}
		})
	}
	wg.Wait()
}

// A connection that ends is made anew, and who waited for a reply asks again.
func TestReconnect(t *testing.T) {
	var mu sync.Mutex
	asked := 0
	store := newStore(t, dovecot.Config{Timeout: 20 * time.Second, Socket: fake(t, greeting, func(id string, params []string) []string {
		mu.Lock()
		defer mu.Unlock()
		if asked++; asked%3 == 2 {
			return []string{""}
		}
		return []string{"OK\t" + id + "\tuser=ann"}
	})})
	for range 6 {
		if id, err := store.Verify(t.Context(), "ann", "secret"); err != nil || id.Login != "ann" {
			t.Errorf("got %+v, %v", id, err)
		}
	}
	if asked != 9 {
		t.Errorf("%d requests", asked)
	}
}

// Lines that are no replies end the connection: nothing is guessed.
func TestNonsense(t *testing.T) {
	for _, line := range []string{"OK", "OK\t", "OK\tx", "OK\t-1", "OK\t99999999999", "FAIL\t 1", "x" + strings.Repeat("y", 10_000)} {
		store := newStore(t, dovecot.Config{Timeout: 20 * time.Second, Socket: fake(t, greeting, func(string, []string) []string { return []string{line} })})
		if id, err := store.Verify(t.Context(), "ann", "secret"); id != nil || err == nil || errors.Is(err, auth.ErrCredentials) {
			t.Errorf("%.20q: got %+v, %v", line, id, err)
		}
	}
}

// Who does not answer is left, and asked again on another connection.
func TestSilence(t *testing.T) {
	var mu sync.Mutex
	asked := 0
	store := newStore(t, dovecot.Config{Timeout: 300 * time.Millisecond, Socket: fake(t, greeting, func(id string, params []string) []string {
		mu.Lock()
		defer mu.Unlock()
		if asked++; asked == 1 {
			return nil
		}
		return []string{"OK\t" + id + "\tuser=ann"}
	})})
	if id, err := store.Verify(t.Context(), "ann", "secret"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %+v, %v", id, err)
	}
	for begin := time.Now(); ; {
		_, err := store.Verify(t.Context(), "ann", "secret")
		if err == nil {
			break
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatal(err)
		}
	}
}

func TestIdentity(t *testing.T) {
	socket := fake(t, greeting, func(id string, params []string) []string {
		if _, password := proof(params); password != "secret" {
			return []string{"FAIL\t" + id}
		}
		return []string{"OK\t" + id + "\tuser=Robert"}
	})
	var asked []string
	store := newStore(t, dovecot.Config{Socket: socket, Timeout: 20 * time.Second, Identity: func(_ context.Context, login string) (*auth.Identity, error) {
		asked = append(asked, login)
		return &auth.Identity{Login: login, Senders: []string{"bob@example.org"}}, nil
	}})
	if id, err := store.Verify(t.Context(), "bob", "wrong"); !errors.Is(err, auth.ErrCredentials) || len(asked) != 0 {
		t.Errorf("got %+v, %v, asked for %q", id, err, asked)
	}
	if id, err := store.Verify(t.Context(), "bob", "secret"); err != nil || len(id.Senders) != 1 || !slices.Equal(asked, []string{"robert"}) {
		t.Errorf("got %+v, %v, asked for %q", id, err, asked)
	}
}

func TestNewNamesTheField(t *testing.T) {
	for want, cfg := range map[string]dovecot.Config{
		"Config.Socket":  {},
		"Config.Service": {Socket: "x", Service: "smtp\tresp="},
		"Config.Timeout": {Socket: "x", Timeout: -1},
	} {
		if s, err := dovecot.New(cfg); s != nil || err == nil || !strings.HasPrefix(err.Error(), "auth: dovecot: "+want) {
			t.Errorf("%s: %v, %v", want, s, err)
		}
	}
}

package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// written writes a password file with mode.
func written(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// opened is a store of the given text that is not watched.
func opened(t testing.TB, text string) *File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "passwords")
	written(t, path, text, 0o600)
	f, err := OpenFile(FileConfig{Path: path, Unwatched: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestFile(t *testing.T) {
	main, app := weak(t, Argon2id, "secret", "salt of ann"), weak(t, Argon2id, "phone", "salt of ann")
	f := opened(t, fmt.Sprintf(`
# Staff.
Ann@Example.ORG:%s senders=ann@example.org,*@lists.example.org networks=192.0.2.0/24,2001:db8::1 until=2027-01-31
ann@example.org:%s label=phone	mechanisms=plain listeners=submission,submissions
ann@example.org:%s label=old disabled
ann@example.org:%s
jörg@BÜCHER.example:%s
eve:%[1]s disabled
cert@example.org:*
`, main, app, weak(t, Argon2id, "old", "salt of ann"), weak(t, ScramKeysSHA256, "secret", "salt of ann"), weak(t, Bcrypt, "grün", "")))
	check := func(login, password string) *Identity {
		t.Helper()
		login, err := NormalLogin(login)
		if err != nil {
			t.Fatal(err)
		}
		id, err := f.Verify(context.Background(), login, password)
		if (id == nil) != errors.Is(err, ErrCredentials) {
			t.Errorf("%s: %v, %v", login, id, err)
		}
		return id
	}
	ann := &Identity{
		Login: "ann@example.org", Senders: []string{"ann@example.org", "*@lists.example.org"},
		Scope: Scope{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::1/128")}},
		Until: time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC),
	}
	phone := &Identity{Login: "ann@example.org", App: "phone", Within: ann,
		Scope: Scope{Mechanisms: []string{"PLAIN"}, Listeners: []string{"submission", "submissions"}}}
	for _, tt := range []struct {
		login, password string
		want            *Identity
	}{
		{"ann@example.org", "secret", ann},
		{"ANN@EXAMPLE.ORG", "secret", ann},
		{"ann@example.org", "phone", phone},
		{"ann@example.org", "old", nil},
		{"ann@example.org", "wrong", nil},
		{"ann", "secret", nil},
		{"jörg@xn--bcher-kva.example", "grün", &Identity{Login: "jörg@xn--bcher-kva.example"}},
		{"eve", "secret", nil},
		{"cert@example.org", "*", nil},
	} {
		if got := check(tt.login, tt.password); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s %s is %+v, want %+v", tt.login, tt.password, got, tt.want)
		}
	}
	if id, err := f.Identity(context.Background(), "Cert@example.org"); err != nil || id.Login != "cert@example.org" {
		t.Errorf("the account without a password: %v, %v", id, err)
	}
	for _, login := range []string{"eve", "nobody", "", "\x00"} {
		if id, err := f.Identity(context.Background(), login); id != nil || !errors.Is(err, ErrCredentials) {
			t.Errorf("%q has the account %v, %v", login, id, err)
		}
	}
}

func TestFileScram(t *testing.T) {
	ctx := context.Background()
	every := fmt.Sprintf("ann:%s\nann:%s label=phone\neve:%s disabled\ncert:*\n",
		weak(t, ScramKeysSHA256, "secret", "salt of ann"), weak(t, ScramKeysSHA256, "phone", "salt of ann"), weak(t, Argon2id, "x", "salt of eve"))
	f := opened(t, every)
	if got, want := f.ScramTerms(ScramSHA256), (ScramTerms{Every: true, Iterations: minIterations, SaltOctets: 11}); got != want {
		t.Errorf("terms %+v, want %+v", got, want)
	}
	if got := f.ScramTerms(ScramSHA1); got.Every {
		t.Errorf("SHA-1: %+v", got)
	}
	keys, err := f.Scram(ctx, "ann", ScramSHA256)
	if err != nil || len(keys) != 2 || keys[0].Identity.App != "" || keys[1].Identity.App != "phone" {
		t.Errorf("ann's keys are %+v, %v", keys, err)
	}
	for _, login := range []string{"eve", "cert", "nobody"} {
		if keys, err := f.Scram(ctx, login, ScramSHA256); err != nil || keys != nil {
			t.Errorf("%s's keys are %+v, %v", login, keys, err)
		}
	}
	for _, line := range []string{
		"bob:" + weak(t, Argon2id, "x", "salt of bob").String(),
		"ann:" + weak(t, Argon2id, "x", "salt of ann").String() + " label=laptop",
		"bob:" + weak(t, ScramKeysSHA1, "x", "salt of bob").String(),
	} {
		if f := opened(t, every+line); f.ScramTerms(ScramSHA256).Every {
			t.Errorf("every password has keys, with the line %s", line)
		}
	}
	if f := opened(t, "cert:*"); f.ScramTerms(ScramSHA256).Every {
		t.Error("every password has keys, where there are none")
	}
	disabled := opened(t, "ann:"+weak(t, ScramKeysSHA256, "secret", "salt of ann").String()+" disabled")
	if keys, err := disabled.Scram(ctx, "ann", ScramSHA256); err != nil || len(keys) != 1 || keys[0].Identity != nil {
		t.Errorf("a disabled account's keys are %+v, %v", keys, err)
	}
}

func TestBadFiles(t *testing.T) {
	h := weak(t, Argon2id, "x", "salt of ann").String()
	scram, other := weak(t, ScramKeysSHA256, "x", "salt of ann").String(), weak(t, ScramKeysSHA256, "x", "salt of app").String()
	for text, want := range map[string]string{
		"ann":                     "1: not login:hash",
		"\n#\nann:":               "3: not login:hash",
		"ann: ":                   "1: not login:hash",
		":" + h:                   "1: auth: login empty",
		"an n:" + h:               "1: white space",
		"ann:secret":              "1: auth: not a hash",
		"ann:" + h + "\nann:" + h: "2: a second argon2id hash of ann:",
		"ann:" + h + "\nANN:" + h: "2: a second argon2id hash of ann:",
		"ann:" + h + " label=a\nann:" + h + " label=a":          "2: a second argon2id hash of ann (a):",
		"ann:" + scram + "\nann:" + other + " label=a":          "2: SCRAM keys of ann (a) have another salt",
		"ann:" + h + "\nann:" + scram + " disabled":             "2: attributes of ann belong",
		"ann:" + h + " label=a\nann:* label=a disabled":         "2: attributes of ann (a) belong",
		"ann:" + h + " disabled=yes":                            `1: no attribute is called "disabled"`,
		"ann:" + h + " admin":                                   "1: attribute admin without a value",
		"ann:" + h + " admin=yes":                               `1: no attribute is called "admin"`,
		"ann:" + h + " label=":                                  "1: attribute label without a value",
		"ann:" + h + " label=a label=b":                         "1: attribute label twice",
		"ann:" + h + " senders=ann":                             "1: auth: sender",
		"ann:" + h + " senders=ann@example.org,":                "1: attribute senders has an empty",
		"ann:" + h + " networks=192.0.2.0/33":                   `1: "192.0.2.0/33" is no network`,
		"ann:" + h + " networks=::ffff:192.0.2.0/120":           "is no network",
		"ann:" + h + " mechanisms=CRAM-MD5":                     `1: no mechanism is called "CRAM-MD5"`,
		"ann:" + h + " until=tomorrow":                          `1: "tomorrow" is neither`,
		"ann:$argon2id$v=19$m=9999999,t=1,p=1$" + h[len(h)-38:]: "1: auth: ",
	} {
		if _, err := parseFile(text, new(atomic.Int64)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestOpenFileRefuses(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	written(t, open, "", 0o604)
	for path, want := range map[string]string{
		"":                         "FileConfig.Path is empty",
		filepath.Join(dir, "none"): "no such file",
		dir:                        "no regular file",
		open:                       "is open to others",
	} {
		if f, err := OpenFile(FileConfig{Path: path}); err == nil || f != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", path, err, want)
		}
	}
}

// A new version is taken over; a broken one is reported, and is not.
func TestFileReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwords")
	line := func(password string) string {
		return "ann:" + weak(t, Argon2id, password, "salt of ann").String() + "\n"
	}
	written(t, path, line("first"), 0o600)
	var mu sync.Mutex
	var reports []string
	f, err := OpenFile(FileConfig{Path: path, Report: func(err error) {
		mu.Lock()
		defer mu.Unlock()
		reports = append(reports, fmt.Sprint(err))
	}})
	if err != nil {
		t.Fatal(err)
	}
	is := func(password string) bool {
		id, err := f.Verify(context.Background(), "ann", password)
		return id != nil && err == nil
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("waiting for %s; reports are %q", what, reports)
			}
		}
	}
	reported := func(n int) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return len(reports) >= n }
	}
	if !is("first") || f.Version() != 1 {
		t.Error("the first version is not in force")
	}
	replace := func(text string) {
		written(t, path+".new", text, 0o600)
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	replace(line("second"))
	until("the second version", reported(1))
	if !is("second") || is("first") || f.Version() != 2 {
		t.Error("the second version is not in force")
	}
	replace(line("third") + "nonsense")
	until("a report of nonsense", reported(2))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	until("a report that the file is gone", reported(3))
	if !is("second") || is("third") || f.Version() != 2 {
		t.Error("the second version is not in force any more")
	}
	replace(line("fourth"))
	until("the fourth version", reported(4))
	if !is("fourth") || f.Version() != 3 {
		t.Error("the fourth version is not in force")
	}
	f.Close()
	mu.Lock()
	defer mu.Unlock()
	if len(reports) != 4 || reports[0] != "<nil>" || !strings.Contains(reports[1], ":2: not login:hash") || !strings.Contains(reports[2], "no such file") || reports[3] != "<nil>" {
		t.Errorf("reports are %q", reports)
	}
}

// Who has logged in by what the file says no more, is known.
func TestFileStands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwords")
	hash := func(password string) string { return weak(t, Argon2id, password, "salt of all").String() }
	before := "bob:" + hash("bob") + "\nann:" + hash("ann") + " until=2031-01-01T00:00:00+02:00\n"
	phone := "ann:" + hash("phone") + " label=phone\n"
	written(t, path, before+phone, 0o600)
	f, err := OpenFile(FileConfig{Path: path, Unwatched: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	logIn := func(login, password string) *Identity {
		t.Helper()
		id, err := f.Verify(context.Background(), login, password)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	for _, tt := range []struct {
		name, text      string
		bob, ann, phone bool
	}{
		{"nothing", before + phone, true, true, true},
		{"a comment", "# x\n\n" + before + phone, true, true, true},
		{"another login", "carl:" + hash("carl") + "\n" + before + phone, true, true, true},
		{"an app password gone", before, true, false, false},
		{"a login gone", strings.SplitAfter(before, "\n")[0], true, false, false},
		{"a password", strings.Replace(before, hash("ann"), hash("new"), 1) + phone, true, false, false},
		{"an attribute", strings.Replace(before, "2031", "2032", 1) + phone, true, false, false},
		{"disabled", strings.Replace(before, "\nann", " disabled\nann", 1) + phone, false, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			written(t, path, before+phone, 0o600)
			if err := f.Reload(); err != nil {
				t.Fatal(err)
			}
			bob, ann, app := logIn("bob", "bob"), logIn("ann", "ann"), logIn("ann", "phone")
			written(t, path, tt.text, 0o600)
			if err := f.Reload(); err != nil {
				t.Fatal(err)
			}
			if got := [3]bool{f.Stands(bob), f.Stands(ann), f.Stands(app)}; got != [3]bool{tt.bob, tt.ann, tt.phone} {
				t.Errorf("bob, ann and her phone stand: %v", got)
			}
		})
	}
	if f.Stands(nil) || f.Stands(&Identity{Login: "bob"}) {
		t.Error("an identity of elsewhere stands")
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add("ann:$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA senders=a@b.example label=x until=2027-01-01\n# x\nbob:* disabled")
	f.Add("ann:SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE= networks=192.0.2.1,2001:db8::/32 mechanisms=PLAIN")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parseFile(text, new(atomic.Int64))
		if err != nil {
			return
		}
		for login, a := range v.accounts {
			if a.Identity.Login != login || len(a.Passwords) == 0 {
				t.Errorf("%q: %+v", login, a)
			}
			if again, err := NormalLogin(login); err != nil || again != login {
				t.Errorf("%q is not in normal form: %q, %v", login, again, err)
			}
		}
	})
}

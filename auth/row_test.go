package auth

import (
	"strings"
	"testing"
	"time"
)

// hashOf is a hash that costs little.
func hashOf(t *testing.T, like, password string) string {
	t.Helper()
	h, err := ParseHash(like)
	if err != nil {
		t.Fatal(err)
	}
	if h, err = h.Beside(password); err != nil {
		t.Fatal(err)
	}
	return h.String()
}

const (
	cheapArgon2 = "$argon2id$v=19$m=8,t=1,p=1$c2FsdCBvZiBhbm4$AAAAAAAAAAAAAAAAAAAAAA"
	cheapScram  = "SCRAM-SHA-256$4096:c2FsdCBvZiBhbm4gYW5kIG1l$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
)

func TestNewAccount(t *testing.T) {
	a, err := NewAccount("ann@example.org",
		Row{"hash": hashOf(t, cheapArgon2, "secret") + " " + hashOf(t, cheapScram, "secret"), "senders": "ann@example.org,*@lists.example.org", "networks": "", "disabled": ""},
		Row{"hash": hashOf(t, cheapArgon2, "phone"), "label": "phone", "until": "2027-12-31", "mechanisms": "plain"},
		Row{"hash": hashOf(t, cheapArgon2, "lost"), "label": "lost", "disabled": "disabled"},
		Row{"hash": "*", "label": "none"},
	)
	if err != nil {
		t.Fatal(err)
	}
	var c Checker
	for password, app := range map[string]string{"secret": "", "phone": "phone", "lost": "-", "*": "-", "wrong": "-"} {
		id, err := c.Check(t.Context(), a, password)
		if (err != nil) != (app == "-") || err == nil && (id.App != app || id.Login != "ann@example.org") {
			t.Errorf("%q is %+v, %v", password, id, err)
		}
	}
	if id := a.Passwords[1].Identity; id.Until != time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC) || id.Mechanisms[0] != Plain || len(id.Within.Senders) != 2 {
		t.Errorf("the app password is %+v", id)
	}
	if keys := a.Scram(ScramSHA256); len(keys) != 1 {
		t.Errorf("%d SCRAM keys", len(keys))
	}
}

// What is wrong is named, and its value is not.
func TestNewAccountErrors(t *testing.T) {
	good := hashOf(t, cheapArgon2, "secret")
	for _, tt := range []struct {
		name string
		rows []Row
		want string
	}{
		{"no rows", nil, "no rows"},
		{"no hash", []Row{{"hash": "plain-text"}}, `"hash"`},
		{"one of two", []Row{{"hash": good + " plain-text"}}, `"hash"`},
		{"a hash in the wrong place", []Row{{"until": good}}, `"until"`},
		{"as a sender", []Row{{"senders": good}}, `"senders"`},
		{"as a network", []Row{{"networks": good}}, `"networks"`},
		{"as a mechanism", []Row{{"mechanisms": good}}, `"mechanisms"`},
		{"as what disables", []Row{{"disabled": good}}, `"disabled"`},
		{"a column nobody knows", []Row{{"password": good}}, `"password"`},
		{"an empty entry", []Row{{"listeners": "a,,b"}}, `"listeners"`},
		{"two hashes of a kind", []Row{{"hash": good + " " + good}}, "a second argon2id hash"},
		{"the second row", []Row{{"hash": good}, {"hash": good, "until": "2027-01-01"}}, "row 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := NewAccount("ann@example.org", tt.rows...)
			if a != nil || err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "$") || strings.Contains(err.Error(), "plain-text") {
				t.Errorf("got %v, %v", a, err)
			}
		})
	}
}

// Whatever stands in a table, it is an account or an error that shows no value.
func FuzzNewAccount(f *testing.F) {
	f.Add(cheapArgon2+" "+cheapScram, "phone", "ann@example.org,*@lists.example.org", "192.0.2.0/24", "2027-12-31", "disabled")
	f.Add("*", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, hash, label, senders, networks, until, disabled string) {
		a, err := NewAccount("ann@example.org", Row{"hash": hash, "label": label, "senders": senders, "networks": networks, "until": until, "disabled": disabled})
		switch {
		case (a == nil) != (err != nil):
			t.Errorf("got %v, %v", a, err)
		case err != nil && len(hash) > 20 && strings.Contains(err.Error(), hash):
			t.Errorf("%v has a value in it", err)
		case err == nil && (len(a.Passwords) != 1 || (disabled != "") != (a.Disabled || a.Passwords[0].Disabled)):
			t.Errorf("got %+v", a)
		}
	})
}

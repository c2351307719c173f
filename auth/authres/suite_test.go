package authres_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/auth/authres"
	"github.com/smtpguard/smtpguard/internal/require"
)

func readJSON(t *testing.T, path string, to any) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, to); err != nil {
		t.Fatal(err)
	}
}

// TestMox runs the vectors of github.com/mjl-/mox: its inputs lie in testdata,
// what they mean in the suite.
func TestMox(t *testing.T) {
	var inputs struct{ Values []string }
	readJSON(t, "testdata/mox-values.json", &inputs)
	var suite struct {
		TestAuthResultsParse struct {
			Calls []struct {
				A []any
				F string
			}
		}
	}
	readJSON(t, require.Suite(t, "authres", "mox", "authresults.json"), &suite)
	type results struct {
		Hostname string
		Methods  []struct {
			Method, Result, Reason string
			Props                  []struct{ Type, Property, Value string }
		}
	}
	var wanted []results
	for _, call := range suite.TestAuthResultsParse.Calls {
		if call.F != "tcompare" {
			continue
		}
		raw, err := json.Marshal(call.A[2])
		if err != nil {
			t.Fatal(err)
		}
		var r results
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Fatal(err)
		}
		wanted = append(wanted, r)
	}
	// The last input is Outlook's, which they do not read: "action=none" is no
	// property (RFC 8601, section 2.2). We leave it out.
	if len(wanted) != 11 || len(inputs.Values) != 12 {
		t.Fatalf("%d results for %d inputs", len(wanted), len(inputs.Values))
	}
	for i, want := range wanted {
		got, err := authres.Parse(inputs.Values[i])
		if err != nil {
			t.Errorf("%q: %v", inputs.Values[i], err)
			continue
		}
		w := authres.Results{ID: want.Hostname}
		for _, m := range want.Methods {
			method := authres.Method{Name: m.Method, Result: authres.Result(m.Result), Reason: m.Reason}
			for _, p := range m.Props {
				method.Properties = append(method.Properties, authres.Property{Type: p.Type, Name: p.Property, Value: p.Value})
			}
			w.Methods = append(w.Methods, method)
		}
		if text(got) != text(w) {
			t.Errorf("%q\ngot  %s\nwant %s", inputs.Values[i], text(got), text(w))
		}
		again, err := authres.Parse(strings.TrimPrefix(field(t, got), "Authentication-Results:"))
		if err != nil || len(again.Methods) != len(got.Methods) {
			t.Errorf("%q: %v", inputs.Values[i], err)
		}
	}
	if got, err := authres.Parse(inputs.Values[11]); err != nil || len(got.Find("dmarc")) != 1 {
		t.Errorf("Outlook's: %s, %v", text(got), err)
	}
	// mox writes the field of an internationalized name with U-labels, and the
	// A-labels in a comment. We write U-labels where the message may have them
	// (RFC 8616, section 5), A-labels where not, and no comments.
	r := authres.Results{ID: "møx.example", UTF8: true, Methods: []authres.Method{{Name: "dkim", Result: "pass", Properties: []authres.Property{{Type: "header", Name: "d", Value: "møx.example"}}}}}
	if got, want := field(t, r), "Authentication-Results: \"møx.example\";\r\n\tdkim=pass header.d=\"møx.example\"\r\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	r.UTF8 = false
	if got, want := field(t, r), "Authentication-Results: xn--mx-lka.example;\r\n\tdkim=pass header.d=xn--mx-lka.example\r\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestGoMsgauth runs the vectors of github.com/emersion/go-msgauth.
func TestGoMsgauth(t *testing.T) {
	type vector struct {
		Identifier, Value string
		Results           []map[string]string
	}
	var suite struct {
		Parse struct {
			Tests []vector `json:"parseTests"`
		} `json:"parse_test"`
		Both struct {
			Tests []vector `json:"msgauthTests"`
		} `json:"msgauth_test"`
	}
	readJSON(t, require.Suite(t, "authres", "gomsgauth", "parse.json"), &suite)
	vectors := append(suite.Parse.Tests, suite.Both.Tests...)
	if len(vectors) != 13 {
		t.Fatalf("%d vectors", len(vectors))
	}
	// What the suite's fields are called in a property.
	names := map[string]string{"From": "smtp.mailfrom", "Auth": "smtp.auth", "Identifier": "header.i", "HeaderValue": "header.from"}
	for _, v := range vectors {
		got, err := authres.Parse(v.Value)
		if v.Value == "" {
			// RFC 8601, section 2.2: there is always an authserv-id.
			if err == nil {
				t.Error("the empty value parses")
			}
			continue
		}
		if err != nil || got.ID != v.Identifier || len(got.Methods) != len(v.Results) {
			t.Errorf("%q: %s, %v", v.Value, text(got), err)
			continue
		}
		for i, want := range v.Results {
			m := got.Methods[i]
			for key, value := range want {
				found := ""
				switch key {
				case "Value": // a constant's name: ResultPass
					found = "Result" + string(m.Result)
				case "Reason":
					found = m.Reason
				case "HeaderKey":
					found = m.Properties[0].Name
				default:
					ptype, name, _ := strings.Cut(names[key], ".")
					found = m.Value(ptype, name)
				}
				if !strings.EqualFold(found, value) {
					t.Errorf("%q: %s of %s is %q, want %q", v.Value, key, m.Name, found, value)
				}
			}
		}
		// Theirs is one line, ours is folded.
		if slices.ContainsFunc(suite.Both.Tests, func(b vector) bool { return b.Value == v.Value }) {
			line := strings.NewReplacer("\r\n\t", " ", "\r\n", "").Replace(strings.TrimPrefix(field(t, got), "Authentication-Results: "))
			if line != strings.TrimSpace(v.Value) {
				t.Errorf("got  %q\nwant %q", line, v.Value)
			}
		}
	}
}

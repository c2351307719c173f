// Package arch holds the tests that keep the architecture: which package may
// import which, and what no file may contain.
package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/smtpguard/smtpguard"

// row says what the packages that match a pattern may import besides the
// standard library. Patterns are paths below the module, "." being its root;
// "x/..." is everything below x, "x/*" what lies directly in it.
type row struct {
	pkg    string
	module []string // patterns of packages of this module
	others []string // import path prefixes of other modules
}

const (
	goSMTP = "github.com/emersion/go-smtp"
	goSASL = "github.com/emersion/go-sasl"
)

// table is the architecture. The first row that matches a package counts; a
// package without a row fails the test: it must be drawn in before it is built.
// Rows for packages to come are here so that the first to write one finds its
// borders.
var table = []row{
	// Leaves. Free of the root, as all rows are that do not name ".".
	{"internal/dnszone", nil, []string{"github.com/miekg/dns"}},
	{"internal/watch", nil, []string{"github.com/fsnotify/fsnotify"}},
	{"internal/...", []string{"internal/..."}, []string{"golang.org/x/net", "golang.org/x/text"}},

	{".", []string{"internal/..."}, []string{goSMTP, goSASL, "github.com/pires/go-proxyproto"}},
	{"smtpguardtest", []string{".", "internal/..."}, []string{goSMTP, goSASL}},

	// The middle row: never one another. What one needs of another it declares
	// as a small interface, and the examples wire it.
	{"auth", []string{".", "internal/..."}, []string{goSMTP, goSASL, "golang.org/x/crypto"}},
	{"relay", []string{".", "internal/..."}, []string{goSMTP}},
	{"limiter", []string{".", "internal/..."}, []string{goSMTP, "golang.org/x/time"}},
	{"limiter/storetest", []string{"limiter", "internal/..."}, nil},
	{"blocklist", []string{".", "internal/..."}, []string{goSMTP}},
	{"dnsbl", []string{".", "internal/..."}, []string{goSMTP}},
	{"surbl", []string{".", "internal/..."}, []string{goSMTP, "github.com/emersion/go-message", "golang.org/x/crypto/sha3", "golang.org/x/net", "golang.org/x/text"}},
	{"outbound", []string{".", "internal/..."}, []string{goSMTP}},
	{"tlsconf", []string{".", "internal/..."}, []string{goSMTP, "golang.org/x/crypto"}},
	{"captcha", []string{"internal/..."}, nil},
	{"resolver", []string{"internal/..."}, []string{"github.com/miekg/dns"}},

	{"auth/storetest", []string{".", "auth", "internal/..."}, []string{goSMTP, goSASL}},
	{"auth/sqlstore", []string{"auth", "internal/..."}, nil},
	{"auth/ldapstore", []string{"auth", "internal/..."}, []string{"github.com/go-ldap/ldap"}},
	{"auth/dovecot", []string{"auth", "internal/..."}, nil},
	{"auth/oauth", []string{"auth", "internal/..."}, []string{"github.com/go-jose/go-jose"}},

	{"tlsconf/mtasts", []string{"internal/..."}, nil},
	{"tlsconf/dane", []string{"internal/..."}, nil},
	{"tlsconf/tlsrpt", []string{"internal/..."}, nil},

	{"auth/spf", []string{"internal/..."}, nil},
	{"auth/dkim", []string{"internal/..."}, []string{"golang.org/x/crypto"}},
	{"auth/arc", []string{"internal/..."}, []string{"golang.org/x/crypto"}},
	{"auth/dmarc", []string{"internal/..."}, []string{"golang.org/x/net/publicsuffix"}},
	{"auth/dmarc/report", []string{"auth/dmarc", "internal/..."}, []string{"golang.org/x/net/publicsuffix"}},
	{"auth/dmarc/report/failure", []string{"auth/dmarc", "auth/dmarc/report", "internal/..."}, []string{"golang.org/x/net/publicsuffix"}},
	{"auth/dmarc/report/boltstore", []string{"auth/dmarc/report", "internal/..."}, []string{"go.etcd.io/bbolt"}},
	{"auth/authres", []string{"internal/..."}, nil},
	{"auth/iprev", []string{".", "internal/..."}, []string{goSMTP}},
	{"auth/verify", []string{".", "internal/...", "auth/spf", "auth/dkim", "auth/arc", "auth/dmarc", "auth/authres"}, []string{goSMTP}},

	{"surbl/pdf", []string{"surbl"}, nil},
	{"surbl/qr", []string{"surbl"}, []string{"github.com/makiuchi-d/gozxing"}},
	{"surbl/follow", []string{"surbl", "internal/..."}, nil},
	{"limiter/redisstore", []string{"limiter", "internal/..."}, []string{"github.com/redis/go-redis"}},
	{"blocklist/boltstore", []string{"blocklist", "internal/..."}, []string{"go.etcd.io/bbolt"}},
	{"blocklist/redisstore", []string{"blocklist", "internal/..."}, []string{"github.com/redis/go-redis"}},
	{"blocklist/storetest", []string{"blocklist", "internal/..."}, nil},
	{"telemetry/prometheus", []string{".", "internal/..."}, []string{"github.com/prometheus/client_golang"}},
	{"telemetry/otel", []string{".", "internal/..."}, []string{"go.opentelemetry.io/otel"}},
	{"telemetry/*", []string{".", "internal/..."}, nil},
	{"status", []string{".", "internal/..."}, nil},
	{"milter", []string{".", "internal/..."}, []string{"github.com/d--j/go-milter"}},

	// Examples wire everything; that nothing imports them is said by no row
	// naming them.
	{"examples/...", []string{"..."}, []string{""}},
}

// optional are libraries that not everyone needs. Only a package that nobody
// but an example imports may import one, so that who imports anything else
// compiles nothing of it.
var optional = []string{
	"github.com/redis/go-redis",
	"github.com/go-ldap/ldap",
	"github.com/go-jose/go-jose",
	"go.etcd.io/bbolt",
	"github.com/prometheus/",
	"go.opentelemetry.io/",
	"github.com/emersion/go-imap",
	"github.com/d--j/go-milter",
	"github.com/makiuchi-d/gozxing",
}

// graph is what each package of the module imports, the standard library left
// out: full import paths.
type graph map[string][]string

// violations lists what in g breaks the rules, sorted.
func violations(g graph, table []row, optional []string) []string {
	var bad []string
	report := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	for pkg, imports := range g {
		name := local(pkg)
		i := slices.IndexFunc(table, func(r row) bool { return match(r.pkg, name) })
		if i < 0 {
			report("%s has no row in the table", name)
			continue
		}
		for _, imp := range imports {
			to := local(imp)
			switch {
			case to == "": // another module
				if !slices.ContainsFunc(table[i].others, func(prefix string) bool { return within(imp, prefix) }) {
					report("%s imports %s", name, imp)
				}
			case match("examples/...", to):
				if example(to) != example(name) {
					report("%s imports %s", name, to)
				}
			case !slices.ContainsFunc(table[i].module, func(p string) bool { return match(p, to) }):
				report("%s imports %s", name, to)
			case !match("examples/...", name):
				for _, lib := range g[imp] {
					if slices.ContainsFunc(optional, func(prefix string) bool { return within(lib, prefix) }) {
						report("%s imports %s, which imports the optional %s", name, to, lib)
					}
				}
			}
		}
	}
	slices.Sort(bad)
	return bad
}

// local returns the path of a package below the module, "." for its root, ""
// for a package of another module.
func local(pkg string) string {
	if pkg == module {
		return "."
	}
	if name, ok := strings.CutPrefix(pkg, module+"/"); ok {
		return name
	}
	return ""
}

// match reports whether a local package path fits a pattern.
func match(pattern, name string) bool {
	if pattern == "..." {
		return true
	}
	if dir, ok := strings.CutSuffix(pattern, "/..."); ok {
		return strings.HasPrefix(name, dir+"/")
	}
	if dir, ok := strings.CutSuffix(pattern, "/*"); ok {
		return path.Dir(name) == dir
	}
	return name == pattern
}

// within reports whether an import path is prefix or below it.
func within(imp, prefix string) bool {
	return prefix == "" || imp == prefix || strings.HasPrefix(imp, strings.TrimSuffix(prefix, "/")+"/")
}

// example returns the "examples/x" that a package belongs to, "" for none.
func example(name string) string {
	part := strings.SplitN(name, "/", 3)
	if len(part) < 2 || part[0] != "examples" {
		return ""
	}
	return part[0] + "/" + part[1]
}

// TestArrows asserts the table from what go list says of this module. Imports
// of tests are free: nobody else compiles them.
func TestArrows(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Standard", "./...")
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	type pkg struct {
		ImportPath string
		Imports    []string
		Standard   bool
	}
	var all []pkg
	standard := map[string]bool{"C": true, "unsafe": true}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
		standard[p.ImportPath] = p.Standard
	}
	g := graph{}
	for _, p := range all {
		if local(p.ImportPath) != "" {
			g[p.ImportPath] = slices.DeleteFunc(p.Imports, func(imp string) bool { return standard[imp] })
		}
	}
	if _, ok := g[module]; !ok {
		t.Fatalf("go list does not know %s", module)
	}
	for _, v := range violations(g, table, optional) {
		t.Error(v)
	}
}

// TestViolations shows that the rules can fail.
func TestViolations(t *testing.T) {
	const dns, redis = "github.com/miekg/dns", "github.com/redis/go-redis/v9"
	at := func(name string) string { return path.Join(module, name) }
	for _, tt := range []struct {
		name  string
		graph graph
		want  []string
	}{
		{"as drawn", graph{
			at("."):                  {goSMTP, goSASL, at("internal/header")},
			at("internal/header"):    {at("internal/domain")},
			at("dnsbl"):              {at("."), at("internal/domain")},
			at("resolver"):           {dns},
			at("limiter/redisstore"): {at("limiter"), redis},
			at("auth/verify"):        {at("."), at("auth/spf")},
			at("examples/server"):    {at("limiter/redisstore"), at("dnsbl"), at("examples/server/config"), "gopkg.in/yaml.v3"},
		}, nil},
		{"a package not drawn", graph{at("greylist"): nil}, []string{"greylist has no row in the table"}},
		{"a subpackage not drawn", graph{at("dnsbl/zones"): nil}, []string{"dnsbl/zones has no row in the table"}},
		{"the middle row", graph{at("dnsbl"): {at("resolver")}}, []string{"dnsbl imports resolver"}},
		{"up to the root", graph{at("auth/spf"): {at(".")}}, []string{"auth/spf imports ."}},
		{"internal up to the root", graph{at("internal/header"): {at(".")}}, []string{"internal/header imports ."}},
		{"the root down to a check", graph{at("."): {at("relay")}}, []string{". imports relay"}},
		{"a library of somebody else's", graph{at("."): {dns}}, []string{". imports " + dns}},
		{"a library with a name that only begins alike", graph{at("."): {goSMTP + "-extras"}}, []string{". imports " + goSMTP + "-extras"}},
		{"an optional library", graph{at("limiter"): {redis}}, []string{"limiter imports " + redis}},
		{"an example", graph{at("relay"): {at("examples/server")}}, []string{"relay imports examples/server"}},
		{"an example of an example", graph{at("examples/tour"): {at("examples/server/config")}}, []string{"examples/tour imports examples/server/config"}},
		{"an example of a module like ours", graph{at("examples/tour"): {module + "x/examples/server"}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := violations(tt.graph, table, optional); !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
	t.Run("an optional library behind a package that others use", func(t *testing.T) {
		table := []row{
			{"store", nil, []string{redis}},
			{"user", []string{"store"}, nil},
			{"examples/...", []string{"..."}, []string{""}},
		}
		g := graph{at("store"): {redis}, at("user"): {at("store")}, at("examples/x"): {at("store")}}
		want := []string{"user imports store, which imports the optional " + redis}
		if got := violations(g, table, optional); !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

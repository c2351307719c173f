package tlsconf

import (
	"strings"
	"testing"
)

// FuzzAddresses: an entry that is taken fits itself, in whatever case, and
// nothing that is only longer.
func FuzzAddresses(f *testing.F) {
	for _, s := range []string{"ann@example.org", `a"b@c@example.org`, "*.example.org", "bücher.example", "<>", "@", "a@[192.0.2.1]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		var a addresses
		if a.add(entry) != nil {
			if !a.empty() {
				t.Errorf("%q was refused, and taken", entry)
			}
			return
		}
		switch {
		case entry == "<>":
			if !a.has("") || a.has("a@example.org") {
				t.Error("<>")
			}
		case strings.Contains(entry, "@"):
			ascii := !strings.ContainsFunc(entry, func(r rune) bool { return r >= 0x80 })
			if !a.has(entry) || ascii && !a.has(strings.ToUpper(entry)) {
				t.Errorf("%q does not fit itself", entry)
			}
			if a.has("x" + entry) {
				t.Errorf("%q fits another", entry)
			}
		default:
			name, below := strings.CutPrefix(entry, "*.")
			if len(name) > 200 {
				return // with more before it, it would be no name
			}
			if a.has("x@"+name) == below || a.has("x@y."+name) != below {
				t.Errorf("%q does not fit what it names", entry)
			}
		}
	})
}

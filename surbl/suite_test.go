package surbl

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/smtpguard/smtpguard/internal/require"
)

func texts(t *testing.T, in string) (got []string) {
	x, err := NewExtractor(Extraction{})
	if err != nil {
		t.Fatal(err)
	}
	c := newCollector(x)
	c.text([]byte(in))
	for _, u := range c.found.URIs {
		if u.Via == "" {
			got = append(got, u.Text)
		}
	}
	return got
}

func TestXurls(t *testing.T) {
	b, err := os.ReadFile(require.Suite(t, "url", "xurls", "xurls.json"))
	if err != nil {
		t.Fatal(err)
	}
	var tables map[string][][2]any
	if err := json.Unmarshal(b, &tables); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"constantTestCases", "Relaxed2"} {
		for _, c := range tables[name] {
			in := c[0].(string)
			want := ""
			switch w := c[1].(type) {
			case bool:
				want = in
			case string:
				want = w
			}
			got := ""
			if all := texts(t, in); len(all) > 0 {
				got = all[0]
			}
			if got != want {
				t.Errorf("%s: %q: got %q want %q", name, in, got, want)
			}
		}
	}
}

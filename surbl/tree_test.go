package surbl

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// treeLinks are the hosts of links in the tree that a browser builds, with
// scripts or without: those that are written plainly, which is all that matters
// here.
func treeLinks(document []byte) map[string]bool {
	hosts := make(map[string]bool)
	for _, scripting := range []bool{true, false} {
		root, err := html.ParseWithOptions(bytes.NewReader(document), html.ParseOptionEnableScripting(scripting))
		if err != nil {
			continue
		}
		for n := range root.Descendants() {
			for _, a := range n.Attr {
				if host, ok := strings.CutPrefix(a.Val, "http://"); ok && a.Key == "href" && n.Type == html.ElementNode {
					host, _, _ = strings.Cut(host, "/")
					hosts[host] = true
				}
			}
		}
	}
	return hosts
}

// swallowers change how browsers read what comes next.
var swallowers = []string{
	"<!--", "-->", "<!-->", "--!>", "<![CDATA[", "]]>", "<!x ", "<?", "</", "<", ">", `"`, "'", "`", "=", "/", "\x00", "\f", "&", "<a", "<a ", `<a title="`, "<a title='", "<a title=", `" `, "' ",
	"<b>", "</b>", "<p>", "</p>", "<div>", "</div>", "<br>", "</br>", "<img ", "<table>", "</table>", "<tr>", "<td>", "<form>", "</form>", "<select>", "</select>", "<option>", "<button>",
	"<script>", "</script>", "<script><!--", "<style>", "</style>", "<title>", "</title>", "<textarea>", "</textarea>", "<xmp>", "</xmp>", "<iframe>", "</iframe>", "<noembed>", "</noembed>",
	"<noframes>", "</noframes>", "<noscript>", "</noscript>", "<template>", "</template>", "<svg>", "</svg>", "<math>", "</math>", "<mtext>", "<mglyph>", "<desc>", "<foreignObject>", "<annotation-xml encoding='text/html'>",
	"<svg/>", "<title/>", "<style/>", "<script/>", "<textarea/>", "<head>", "</head>", "<body>", "</body>", "<html>", "</html>", "<frameset>", "x", " ", "\n", "{", ";", "//", "/*", "*/",
}

// puzzle is a document of swallowers with links among them, one for each octet.
func puzzle(b []byte) []byte {
	var out []byte
	links := [...]string{`<a href="http://evil%d.com/">x</a>`, `<a href='http://evil%d.com/'>`, `<a href=http://evil%d.com/ >`, `<area x href="http://evil%d.com/"/>`}
	for i, c := range b {
		if int(c) < len(swallowers) {
			out = append(out, swallowers[c]...)
		} else {
			out = fmt.Appendf(out, links[c%4], i)
		}
	}
	return out
}

// TestTree has the tree of x/net's parser as oracle: there is no link in it that
// is not found, however browsers come to it.
func TestTree(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 1))
	links := 0
	for range 5000 {
		b := make([]byte, 2+r.IntN(16))
		for i := range b {
			b[i] = byte(r.IntN(len(swallowers) + len(swallowers)/4))
		}
		links += solve(t, b)
	}
	if links < 5000 {
		t.Errorf("only %d links", links)
	}
}

func solve(t *testing.T, b []byte) int {
	t.Helper()
	document := puzzle(b)
	links, hosts := standard().HTML(document), treeLinks(document)
	for host := range hosts {
		if !sees(links, host) {
			t.Errorf("%q: not %s", document, host)
		}
	}
	return len(hosts)
}

func FuzzTree(f *testing.F) {
	f.Add([]byte{0, 200, 30, 201, 31, 202})
	f.Fuzz(func(t *testing.T, b []byte) {
		solve(t, b[:min(len(b), 60)]) // that many links are kept
	})
}

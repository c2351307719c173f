package surbl

import "strings"

// fangs puts back what people take out of URIs so that nobody follows them.
var fangs = strings.NewReplacer("[.]", ".", "(.)", ".", "{.}", ".", "[dot]", ".", "(dot)", ".", "{dot}", ".", "[DOT]", ".", "(DOT)", ".",
	"[:]", ":", "[://]", "://", "[@]", "@", "(@)", "@", "[at]", "@", "(at)", "@",
	"hxxp", "http", "hXXp", "http", "HXXP", "http", "h**p", "http", "fxp:", "ftp:", "meow:", "http:")

// defanged is scan for text in which words may be defanged.
func (c *collector) defanged(b []byte) {
	base, plain := c.base, 0
	flush := func(to int) {
		if plain < to {
			c.base = base + int64(plain)
			c.scan(b[plain:to], 0)
		}
	}
	for i := 0; i < len(b); {
		if b[i] <= ' ' {
			i++
			continue
		}
		end := i
		for end < len(b) && b[end] > ' ' {
			end++
		}
		if word := b[i:end]; len(word) <= maxText {
			if whole := fangs.Replace(string(word)); len(whole) != len(word) || whole != string(word) {
				flush(i)
				c.base = base + int64(i)
				c.scan([]byte(whole), Defanged)
				plain = end
			}
		}
		i = end
	}
	flush(len(b))
	c.base = base
}

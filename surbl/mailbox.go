package surbl

import (
	"bytes"
	"unicode/utf8"
)

// mail looks for a mail address around the "@" at i. It returns where that
// ends, 0 for none.
func (c *collector) mail(b []byte, floor, i int, hidden Hidden) int {
	begin := i
	for floor = max(floor, i-64); begin > floor && (classes[b[begin-1]]&local != 0 || b[begin-1] >= utf8.RuneSelf); {
		if b[begin-1] < utf8.RuneSelf {
			begin--
			continue
		}
		r, n := utf8.DecodeLastRune(b[floor:begin])
		if !hostRune(r) {
			break
		}
		begin -= n
	}
	for begin < i && b[begin] != '_' && classes[b[begin]]&label == 0 && b[begin] < utf8.RuneSelf {
		begin++
	}
	if begin == i && i > floor && b[i-1] == '"' { // a local part in quotes
		begin = max(floor, i-1-64)
		if n := bytes.LastIndexByte(b[begin:i-1], '"'); n >= 0 {
			begin += n
		} else {
			begin = i
		}
	}
	if begin == i || b[i-1] == '.' {
		return 0
	}
	end := hostEnd(b, i+1, false)
	if end == i+1 || bytes.IndexByte(b[i+1:end], '.') < 0 {
		return 0
	}
	n := c.lookup(b[i+1 : end])
	if !plausible(n) || mixed(b[i+1:end]) {
		for end = i + 1; end < len(b) && (classes[b[end]]&label != 0 || b[end] == '.'); {
			end++
		}
		for end > i+1 && b[end-1] == '.' {
			end--
		}
		n = c.lookup(b[i+1 : end])
	}
	if !plausible(n) || n.addr.IsValid() {
		return 0
	}
	c.add(&pieces{text: b[begin:end], local: b[begin:i], host: b[i+1 : end], kind: Mail, hidden: hidden, off: c.offset(begin)}, 0)
	return end
}

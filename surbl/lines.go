package surbl

import "bytes"

// unfolded undoes the folding of calendars and cards (RFC 5545, section 3.1):
// a line end and one space or tab.
func unfolded(b []byte) []byte {
	out := b[:0]
	for i := 0; i < len(b); i++ {
		if b[i] == '\r' && i+2 < len(b) && b[i+1] == '\n' && (b[i+2] == ' ' || b[i+2] == '\t') {
			i += 2
			continue
		}
		if b[i] == '\n' && i+1 < len(b) && (b[i+1] == ' ' || b[i+1] == '\t') {
			i++
			continue
		}
		if b[i] == '\\' && i+1 < len(b) && (b[i+1] == 'n' || b[i+1] == 'N') { // section 3.3.11
			out = append(out, '\n')
			i++
			continue
		}
		out = append(out, b[i])
	}
	return out
}

// flowed joins lines where a space at the end is deleted (RFC 3676, section
// 4.2, DelSp).
func flowed(b []byte) []byte {
	out := b[:0]
	for i := 0; i < len(b); i++ {
		if b[i] == ' ' && i+1 < len(b) {
			if b[i+1] == '\n' {
				i++
				continue
			}
			if b[i+1] == '\r' && i+2 < len(b) && b[i+2] == '\n' {
				i += 2
				continue
			}
		}
		out = append(out, b[i])
	}
	return out
}

// lastBreak is the end of the last line of b whose next line does not belong to
// it, whatever breaks lines.
func lastBreak(b []byte) int {
	for end := len(b); end > 1; {
		i := bytes.LastIndexByte(b[:end], '\n')
		if i < 1 {
			return 0
		}
		before := bytes.TrimRight(b[:i], "\r")
		if i+1 < len(b) && b[i+1] > ' ' && len(before) > 0 && before[len(before)-1] != ' ' {
			return i + 1
		}
		end = i
	}
	return 0
}

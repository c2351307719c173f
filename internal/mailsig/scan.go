package mailsig

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

const (
	low7  = 0x7f7f7f7f7f7f7f7f
	high  = 0x8080808080808080
	space = 0x2020202020202020
	tabs  = 0x0909090909090909
	lines = 0x0a0a0a0a0a0a0a0a
	above = 0x5f5f5f5f5f5f5f5f // added to seven bits, sets the eighth from 0x21 on
)

// cleanRun returns how many octets at the start of p relaxed canonicalisation
// leaves alone, whatever follows: p up to the first space that may stand before
// white space or a line end, or up to tab, where p has its first tab, or its end.
// p must not begin with white space. Most mail has no more of it than spaces
// between words and CRLF: what takes time is to pass those.
func cleanRun(p []byte, tab int) int {
	i := bytes.IndexByte(p[:tab], ' ')
	if i < 0 {
		return tab
	}
	for q := p[i:tab]; len(q) >= 15; q = q[14:] {
		// Pairs of octets up to 0x20, in two words that share an octet so that no
		// pair is between them.
		a, b := binary.LittleEndian.Uint64(q), binary.LittleEndian.Uint64(q[7:])
		a, b = (a&low7+above)|a, (b&low7+above)|b
		a, b = ^(a | a>>8), ^(b | b>>8)
		if (a|b)&pairs != 0 {
			if n := firstSpace(q, a&pairs, b&pairs); n >= 0 {
				return i + n
			}
		}
		i += 14
	}
	for ; i < tab; i++ {
		if p[i] == ' ' && (i+1 == len(p) || p[i+1] <= ' ') {
			return i
		}
	}
	return tab
}

// pairs are the eighth bits of all octets that have another behind them.
const pairs = high >> 8

// firstSpace returns where the first space is that begins a pair; -1 if none is one.
// a and b have a bit for each pair in the first and the second word of p.
func firstSpace(p []byte, a, b uint64) int {
	for ; a != 0; a &= a - 1 {
		if i := bits.TrailingZeros64(a) / 8; p[i] == ' ' {
			return i
		}
	}
	for ; b != 0; b &= b - 1 {
		if i := 7 + bits.TrailingZeros64(b)/8; p[i] == ' ' {
			return i
		}
	}
	return -1
}

// fieldEnd returns where the first line of p ends, behind its LF, that is not
// continued by white space in the next one; 0 if p does not have it, or not what
// comes behind it.
func fieldEnd(p []byte) int {
	i := 0
	for ; i+9 <= len(p); i += 8 {
		w, next := binary.LittleEndian.Uint64(p[i:])^lines, binary.LittleEndian.Uint64(p[i+1:])
		s, t := next^space, next^tabs
		isLF := (w&low7 + low7) | w // the eighth bit of an octet is clear where it is one
		isSpace := (s&low7 + low7) | s
		isTab := (t&low7 + low7) | t
		if ends := ^isLF & isSpace & isTab & high; ends != 0 {
			return i + bits.TrailingZeros64(ends)/8 + 1
		}
	}
	for ; i+1 < len(p); i++ {
		if p[i] == '\n' && p[i+1] != ' ' && p[i+1] != '\t' {
			return i + 1
		}
	}
	return 0
}

// fourEnds are four line ends.
const fourEnds = 0x0a0d0a0d0a0d0a0d

// leadingEnds returns how many line ends p begins with.
func leadingEnds(p []byte) int64 {
	i := 0
	for ; i+8 <= len(p) && binary.LittleEndian.Uint64(p[i:]) == fourEnds; i += 8 {
	}
	for ; i+2 <= len(p) && p[i] == '\r' && p[i+1] == '\n'; i += 2 {
	}
	return int64(i / 2)
}

// trailingEnds returns how many line ends p ends with.
func trailingEnds(p []byte) int64 {
	i := len(p)
	for ; i >= 8 && binary.LittleEndian.Uint64(p[i-8:]) == fourEnds; i -= 8 {
	}
	for ; i >= 2 && p[i-2] == '\r' && p[i-1] == '\n'; i -= 2 {
	}
	return int64((len(p) - i) / 2)
}

// leadingBlanks returns how many spaces and tabs p begins with.
func leadingBlanks(p []byte) int {
	i := 0
	for ; i+8 <= len(p) && binary.LittleEndian.Uint64(p[i:]) == space; i += 8 {
	}
	for ; i < len(p) && (p[i] == ' ' || p[i] == '\t'); i++ {
	}
	return i
}

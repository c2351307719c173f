package mailsig

import "slices"

// AppendField appends the canonical form of f, line end included (RFC 6376,
// sections 3.4.1 and 3.4.2).
func AppendField(dst []byte, f Field, c Canon) []byte {
	if c == Simple {
		return append(dst, f.Raw...)
	}
	dst = appendLower(dst, f.Name)
	dst = append(dst, ':')
	return append(appendRelaxed(dst, f.Raw[f.value:]), '\r', '\n')
}

// AppendSigned appends the canonical form of the field that holds a signature,
// as it is hashed itself: without the line end, and without the value of its b=
// tag, which stands in its value from start to end (section 3.7).
func AppendSigned(dst []byte, f Field, c Canon, start, end int) []byte {
	value := f.Value()
	if c == Simple {
		dst = append(dst, f.Raw[:f.value+start]...)
		return append(dst, value[end:]...)
	}
	dst = appendLower(dst, f.Name)
	dst = append(dst, ':')
	mark := len(dst)
	dst = append(append(dst, value[:start]...), value[end:]...)
	n := len(relaxInto(dst[mark:mark], dst[mark:]))
	return dst[:mark+n]
}

// AppendNew appends the canonical form of a field that is being made, as it is
// hashed itself: its b= tag ends it, and is empty.
func AppendNew(dst []byte, name, value string, c Canon) []byte {
	f := Field{Name: name, Raw: name + ":" + value, value: len(name) + 1}
	return AppendSigned(dst, f, c, len(value), len(value))
}

// appendRelaxed appends value unfolded, its white space reduced to single
// spaces, and none at either end.
func appendRelaxed(dst []byte, value string) []byte { return relaxInto(dst, value) }

// relaxInto appends as appendRelaxed says. dst may share its memory with value
// from the start: it is never ahead of what has been read.
func relaxInto[T string | []byte](dst []byte, value T) []byte {
	begin := len(dst)
	dst = slices.Grow(dst, len(value))
	out := dst[begin : begin+len(value)]
	n := 0
	blank := false
	for i := range len(value) {
		c := value[i]
		if c <= ' ' {
			switch {
			case c == ' ' || c == '\t':
				blank = true
				continue
			case c == '\n', c == '\r' && i+1 < len(value) && value[i+1] == '\n':
				continue
			}
		}
		if blank {
			blank = false
			if n > 0 {
				out[n] = ' '
				n++
			}
		}
		out[n] = c
		n++
	}
	return dst[:begin+n]
}

package surbl

// words has text scanned that comes in pieces, beside another reading of it.
type words struct {
	c    *collector
	buf  []byte
	base int64

	strict bool // only what has a scheme
}

func (w *words) write(b []byte) {
	for len(b) > 0 {
		n := min(len(b), maxShown-len(w.buf))
		w.buf, b = append(w.buf, b[:n]...), b[n:]
		if len(w.buf) < maxShown {
			return
		}
		end := len(w.buf)
		for end > 0 && w.buf[end-1] > ' ' && len(w.buf)-end < 2*maxText {
			end--
		}
		if end == 0 || len(w.buf)-end == 2*maxText {
			end = len(w.buf)
		}
		w.flush(end)
	}
}

func (w *words) flush(end int) {
	base, strict := w.c.base, w.c.strict
	w.c.base, w.c.strict = w.base, w.strict
	w.c.text(w.buf[:end])
	w.c.base, w.c.strict = base, strict
	w.base += int64(end)
	w.buf = append(w.buf[:0], w.buf[end:]...)
}

package blocklist

import (
	"strings"
	"time"
)

// note is what entries have in common that say the same. Most lists have few.
type note struct {
	word           Word
	reason, source string
	when           *when // nil when neither is known
}

type when struct{ added, expires time.Time }

// live reports whether entries with the note have not expired.
func (n *note) live() bool {
	return n.when == nil || n.when.expires.IsZero() || time.Now().Before(n.when.expires)
}

// outlives reports whether entries with the note are there when those of m have gone.
func (n *note) outlives(m *note) bool {
	if m.when == nil || m.when.expires.IsZero() {
		return false
	}
	return n.when == nil || n.when.expires.IsZero() || n.when.expires.After(m.when.expires)
}

// entry is an entry with the note.
func (n *note) entry(kind Kind, value string) Entry {
	e := Entry{Kind: kind, Value: value, Word: n.word, Reason: n.reason, Source: n.source}
	if n.when != nil {
		e.Added, e.Expires = n.when.added, n.when.expires
	}
	return e
}

// noteKey is a note by its value.
type noteKey struct {
	word           Word
	reason, source string
	when
}

// notebook numbers notes, the same one always the same.
type notebook struct {
	notes   []note
	numbers map[noteKey]uint32
	last    noteKey // most entries say what the one before said
	lastNum uint32
}

// number returns the number of e's note; ok is false when there are too many.
func (b *notebook) number(e *Entry) (n uint32, ok bool) {
	key := noteKey{e.Word, e.Reason, e.Source, when{plain(e.Added), plain(e.Expires)}}
	if key == b.last && len(b.notes) > 0 {
		return b.lastNum, true
	}
	n, ok = b.numbers[key]
	if !ok {
		if len(b.notes) == maxNotes {
			return 0, false
		}
		if b.numbers == nil {
			b.numbers = make(map[noteKey]uint32)
		}
		// What is kept must not hold on to the line, or the file, it was cut from.
		key.reason, key.source = strings.Clone(key.reason), strings.Clone(key.source)
		n = uint32(len(b.notes))
		kept := note{word: key.word, reason: key.reason, source: key.source}
		if key.when != (when{}) {
			kept.when = &when{key.added, key.expires}
		}
		b.notes = append(b.notes, kept)
		b.numbers[key] = n
	}
	b.last, b.lastNum = key, n
	return n, true
}

// plain is t so that equal times are equal values.
func plain(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Round(0)
}

// words are the notes of entries with one value, by the order of their words:
// of each word the one that stays longest, as its number plus 1.
type words [4]uint32

func (w *words) add(number uint32, notes []note) {
	at := &w[notes[number].word.order()]
	if *at == 0 || notes[number].outlives(&notes[*at-1]) {
		*at = number + 1
	}
}

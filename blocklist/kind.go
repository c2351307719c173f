package blocklist

import "fmt"

// kindNames and wordNames are stable: files, stores and JSON have them.
var (
	kindNames = [...]string{"", "addr", "domain", "hello", "mailbox", "fingerprint"}
	wordNames = [...]string{"none", "block", "allow", "except"}
)

// String returns the kind's name in lower case.
func (k Kind) String() string {
	if k < Addr || int(k) >= len(kindNames) {
		return "invalid"
	}
	return kindNames[k]
}

// MarshalText makes a kind a word in JSON.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (k *Kind) UnmarshalText(text []byte) error {
	for i := Addr; int(i) < len(kindNames); i++ {
		if kindNames[i] == string(text) {
			*k = i
			return nil
		}
	}
	return fmt.Errorf("blocklist: no kind %.20q", text)
}

// String returns the word in lower case.
func (w Word) String() string {
	if int(w) >= len(wordNames) {
		return "invalid"
	}
	return wordNames[w]
}

// MarshalText makes it a word in JSON.
func (w Word) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (w *Word) UnmarshalText(text []byte) error {
	for i, name := range wordNames {
		if name == string(text) {
			*w = Word(i)
			return nil
		}
	}
	return fmt.Errorf("blocklist: no word %.20q", text)
}

package blocklist

import (
	"encoding/json"
	"time"
)

// jsonItem is the stable form of an Item: stores and the HTTP interface have
// it. Fields may be added, none is renamed.
type jsonItem struct {
	Kind    Kind      `json:"kind"`
	Value   string    `json:"value"`
	Word    Word      `json:"word"`
	Reason  string    `json:"reason,omitempty"`
	Source  string    `json:"source,omitempty"`
	Added   time.Time `json:"added,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	Auto    bool      `json:"auto,omitempty"`
}

// jsonChange is the same for a Change.
type jsonChange struct {
	Seq  uint64    `json:"seq,omitempty"`
	Time time.Time `json:"time"`
	Op   Op        `json:"op"`
	Item Item      `json:"entry"`
	By   string    `json:"by,omitempty"`
	Why  string    `json:"why,omitempty"`
}

// MarshalJSON writes the stable form.
func (it Item) MarshalJSON() ([]byte, error) {
	return json.Marshal(jsonItem{it.Kind, it.Value, it.Word, it.Reason, it.Source, it.Added, it.Expires, it.Auto})
}

// UnmarshalJSON reads what MarshalJSON writes. The entry is as it was written,
// not checked.
func (it *Item) UnmarshalJSON(b []byte) error {
	var j jsonItem
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*it = Item{Entry{j.Kind, j.Value, j.Word, j.Reason, j.Source, j.Added, j.Expires}, j.Auto}
	return nil
}

// MarshalJSON writes the stable form.
func (c Change) MarshalJSON() ([]byte, error) { return json.Marshal(jsonChange(c)) }

// UnmarshalJSON reads what MarshalJSON writes.
func (c *Change) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, (*jsonChange)(c)) }

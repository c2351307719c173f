package dkim

import "time"

// EventKind says what has happened to a key.
type EventKind string

const (
	KeyLoaded EventKind = "loaded" // [Folder]: it signs from now on
	KeyGone   EventKind = "gone"   // [Folder]: its file is no more
	KeyBroken EventKind = "broken" // its file can not be used; one that was loaded before stays

	KeyCreated   EventKind = "created"   // [Rotation]: publish its record
	KeyPublished EventKind = "published" // [Rotation]: DNS has its record
	KeyMissing   EventKind = "missing"   // [Rotation]: DNS does not, and it is to sign, or does
	KeyActive    EventKind = "active"    // [Rotation]: it signs from now on
	KeyRetired   EventKind = "retired"   // [Rotation]: it does not sign any more; leave its record
	KeyWithdrawn EventKind = "withdrawn" // [Rotation]: it is deleted; take its record away, or publish an empty p=
)

// Event is what has happened to a key.
type Event struct {
	Time     time.Time `json:"time"`
	Kind     EventKind `json:"kind"`
	Domain   string    `json:"domain,omitempty"`
	Selector string    `json:"selector,omitempty"`
	Record   string    `json:"record,omitempty"` // of KeyCreated and KeyMissing: the text of the TXT record
	Error    string    `json:"error,omitempty"`
}

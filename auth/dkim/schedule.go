package dkim

import "time"

// phase is where a key is in its life.
type phase string

const (
	next    phase = "next"    // made; to be published, and then to sign
	active  phase = "active"  // signs
	retired phase = "retired" // signs no more; what it signed may still be on its way
)

// stage is a key in rotation.
type stage struct {
	Selector string    `json:"selector"`
	Type     KeyType   `json:"type"`
	Phase    phase     `json:"phase"`
	Since    time.Time `json:"since"`         // of Phase
	Seen     time.Time `json:"seen,omitzero"` // in DNS, ever since; zero: it is not there
}

// schedule says when a key goes on to its next phase.
type schedule struct {
	life   time.Duration // of active
	notice time.Duration // before the end of life, the next key is made
	lead   time.Duration // a key must have been seen for that long before it takes over
	linger time.Duration // of retired
}

// lookup is what DNS says of a key.
type lookup uint8

const (
	unknown lookup = iota // DNS could not be asked
	there
	missing
)

// step is what is to be done.
type step struct {
	kind EventKind
	key  stage
}

// advance takes the keys of one domain and type to now. published says what DNS
// has of a key; create names a new one. It returns the keys and what has become of
// them; withdrawn keys are left out.
//
// No key signs that has not been seen in DNS, none is retired before another can
// take over, and none is withdrawn while its signatures may be looked at.
func (s schedule) advance(keys []stage, now time.Time, published func(stage) lookup, create func() stage) ([]stage, []step) {
	var steps []step
	tell := func(kind EventKind, k stage) { steps = append(steps, step{kind, k}) }
	var left []stage
	for _, k := range keys {
		if k.Phase == retired {
			if !now.Before(k.Since.Add(s.linger)) {
				tell(KeyWithdrawn, k)
				continue
			}
			left = append(left, k)
			continue
		}
		switch published(k) {
		case there:
			if k.Seen.IsZero() {
				k.Seen = now
				tell(KeyPublished, k)
			}
		case missing:
			if k.Phase == active || !k.Seen.IsZero() {
				tell(KeyMissing, k)
			}
			k.Seen = time.Time{}
		}
		left = append(left, k)
	}
	signs, follows := find(left, active), find(left, next)
	if follows >= 0 && s.ready(left, signs, follows, now) {
		if signs >= 0 {
			left[signs].Phase, left[signs].Since = retired, now
			tell(KeyRetired, left[signs])
		}
		left[follows].Phase, left[follows].Since = active, now
		tell(KeyActive, left[follows])
		signs, follows = follows, -1
	}
	if follows < 0 && (signs < 0 || !now.Before(left[signs].Since.Add(s.life-s.notice))) {
		k := create()
		k.Phase, k.Since = next, now
		left = append(left, k)
		tell(KeyCreated, k)
	}
	return left, steps
}

// ready reports whether the next key takes over now. The first need not wait:
// there is nothing it could take over from, and nobody has asked for it.
func (s schedule) ready(keys []stage, signs, follows int, now time.Time) bool {
	seen := keys[follows].Seen
	if seen.IsZero() {
		return false
	}
	return signs < 0 || !now.Before(seen.Add(s.lead)) && !now.Before(keys[signs].Since.Add(s.life))
}

func find(keys []stage, p phase) int {
	for i := range keys {
		if keys[i].Phase == p {
			return i
		}
	}
	return -1
}

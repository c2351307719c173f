package limiter

import "time"

// Limit is a token bucket, kept as GCRA: N units each Per, Burst of them at
// once. The zero Limit limits nothing.
type Limit struct {
	N     int           // units each Per; 0 means no limit
	Per   time.Duration // the window: a minute, an hour, a day
	Burst int           // units at once; 0 means N
}

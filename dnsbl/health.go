package dnsbl

import (
	"context"

	"github.com/smtpguard/smtpguard/internal/dnslist"
)

// Run tests every zone, at once and then as Config.Health has it, until ctx
// ends. A test asks for what is always listed, for what never is, and for an
// unpredictable name, which no list has; all of it past what zones list. A zone
// that fails is set aside until it passes again. Run returns ctx's error.
//
// Without Run only what lookups show sets a zone aside, for Health.Retry at a
// time: refusals, and failures in a row.
func (l *Lists) Run(ctx context.Context) error {
	lists := make([]*dnslist.List, len(l.zones))
	for i, z := range l.zones {
		lists[i] = &z.list
	}
	return l.asker.Run(ctx, lists, func(i int) { l.zones[i].state.tests.Add(1) })
}

package limiter

import (
	"fmt"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
)

// exceeded is what a rule has to say of an ask that is over its limit; need is
// how many units would have had to be left, where that was the question.
func exceeded(rule *Rule, a *Ask, need int, st State, stage smtpguard.Stage) smtpguard.Verdict {
	limit := fmt.Sprintf("%d %s/%v", a.Limit.burst(), rule.Unit, a.Limit.Per)
	v := smtpguard.Verdict{
		Action: rule.Effect.action(),
		Reply:  rule.Reply,
		Reason: fmt.Sprintf("rule %q: %s used up, room in %s", rule.Name, limit, rough(st.Retry)),
		Facts:  map[string]string{"rule": rule.Name, "key": a.Key, "limit": limit, "retry": rough(st.Retry)},
	}
	switch {
	case rule.Effect.soft():
		return v
	case max(a.N, need) > a.Limit.burst() && !rule.Unit.happened(): // to try again would never help
		v.Action, v.Reply = smtpguard.Reject, reply(552, 5, 3, 4, "Message too big for what you may send")
		v.Reason = fmt.Sprintf("rule %q: %d %s are more than %s ever has room for", rule.Name, max(a.N, need), rule.Unit, limit)
	case v.Reply == nil:
		v.Reply = rule.reply(stage)
	}
	return v
}

// reply is what the client reads where the rule has no words of its own; nil is
// the root's default, for the stages that have codes of their own.
func (r *Rule) reply(stage smtpguard.Stage) *smtp.SMTPError {
	text := "Too many " + r.Unit.String() + ", try again later"
	if r.Unit == Octets {
		text = "Too much data, try again later"
	}
	switch {
	case r.Effect == Disconnect || r.Effect == Defer && stage == smtpguard.StageConnect:
		return reply(421, 4, 7, 0, text)
	case r.Effect != Defer || stage == smtpguard.StageAuth:
		return nil
	case stage == smtpguard.StageMail || stage == smtpguard.StageRcpt:
		return reply(450, 4, 7, 1, text)
	}
	return reply(451, 4, 7, 1, text)
}

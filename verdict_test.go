package smtpguard

import (
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
)

func TestReply(t *testing.T) {
	own := func(code int, ec smtp.EnhancedCode, text string) *smtp.SMTPError { return reply(code, ec, text) }
	for _, tt := range []struct {
		name    string
		v       Verdict
		stage   Stage
		contact string
		want    string
	}{
		{"default refusal", Verdict{Action: Reject}, StageRcpt, "", "550 5.7.1 Refused by policy"},
		{"default deferral", Verdict{Action: Defer}, StageMail, "", "451 4.7.1 Try again later"},
		{"default at the banner", Verdict{Action: Reject}, StageConnect, "", "554 5.7.1 No service for you"},
		{"default at AUTH", Verdict{Action: Reject}, StageAuth, "", "535 5.7.8 Authentication refused"},
		{"default hang-up", Verdict{Action: Disconnect}, StageData, "", "421 4.7.0 Closing connection"},
		{"own", Verdict{Action: Reject, Reply: own(553, smtp.EnhancedCode{5, 7, 1}, "No")}, StageMail, "", "553 5.7.1 No"},
		{"own, wrong class", Verdict{Action: Defer, Reply: own(550, smtp.EnhancedCode{5, 7, 1}, "No")}, StageMail, "", "451 4.7.1 Try again later"},
		{"own, wrong enhanced class", Verdict{Action: Reject, Reply: own(550, smtp.EnhancedCode{4, 7, 1}, "No")}, StageMail, "", "550 No"},
		{"a 421 hangs up, and nothing else", Verdict{Action: Defer, Reply: own(421, smtp.EnhancedCode{4, 7, 0}, "No")}, StageMail, "", "451 4.7.1 Try again later"},
		{"contact", Verdict{Action: Reject}, StageRcpt, "see https://example.org", "550 5.7.1 Refused by policy; see https://example.org"},
		{"remote text", Verdict{Action: Reject, Reply: own(550, smtp.EnhancedCode{5, 7, 1}, "a\r\n250 ok\x00\x1b[31m\u202e")}, StageRcpt, "", "550 5.7.1 a 250 ok??[31m?"},
	} {
		if got := replyText(tt.v.reply(tt.stage, tt.contact)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	v := Verdict{Action: Reject, Reply: own(550, smtp.EnhancedCode{5, 7, 1}, strings.Repeat("x", 2000))}
	if n := len(replyText(v.reply(StageRcpt, strings.Repeat("y", 2000)))) + 2; n > 512 {
		t.Errorf("a reply line of %d octets, RFC 5321, section 4.5.3.1.5 allows 512", n)
	}
}

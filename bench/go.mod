module github.com/smtpguard/smtpguard/bench

go 1.26

require (
	github.com/emersion/go-smtp v0.25.1
	github.com/smtpguard/smtpguard v0.0.0
)

replace github.com/smtpguard/smtpguard => ../

module github.com/smtpguard/smtpguard/integration

go 1.26.0

require (
	github.com/emersion/go-smtp v0.25.1
	github.com/smtpguard/smtpguard v0.0.0
)

require (
	github.com/emersion/go-sasl v0.0.0-20241020182733-b788ff22d5a6 // indirect
	github.com/pires/go-proxyproto v0.15.0 // indirect
)

replace github.com/smtpguard/smtpguard => ../

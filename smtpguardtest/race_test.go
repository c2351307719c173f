//go:build race

package smtpguardtest

const raceEnabled = true

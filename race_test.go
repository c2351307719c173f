//go:build race

package smtpguard_test

const raceDetector = true

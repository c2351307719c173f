//go:build !race

package smtpguard_test

const raceDetector = false

// Package bench compares smtpguard with its peers, all in one run: figures
// drift from machine to machine, ratios do not. Its benchmarks are named
// Benchmark<What>/<case>/<who>.
package bench

// Package blocklist answers: is it on my own list?
package blocklist

// Package limiter answers: how much, how often, how many at once?
package limiter

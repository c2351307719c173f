// Package auth answers: who is the client, and who may send as whom?
package auth

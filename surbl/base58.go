package surbl

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"golang.org/x/crypto/sha3"
)

const (
	bitcoinAlphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	rippleAlphabet  = "rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz"
)

// base58 reads a number written in 58 digits into out, of at most 28 octets. ok is
// false for what is no such number, and for one that out has no room for.
func base58(word []byte, alphabet string, out []byte) (ok bool) {
	var limbs [7]uint32
	for _, c := range word {
		digit := strings.IndexByte(alphabet, c)
		if digit < 0 {
			return false
		}
		carry := uint64(digit)
		for i := len(limbs) - 1; i >= 0; i-- {
			carry += uint64(limbs[i]) * 58
			limbs[i] = uint32(carry)
			carry >>= 32
		}
		if carry != 0 {
			return false
		}
	}
	var all [28]byte
	for i, limb := range limbs {
		binary.BigEndian.PutUint32(all[4*i:], limb)
	}
	room := len(all) - len(out)
	copy(out, all[room:])
	for _, c := range all[:room] {
		if c != 0 {
			return false
		}
	}
	return true
}

// base58Check returns the version of an address of 20 octets, of which four
// octets of a sum are behind, and whether it is one: a digit for zero stands for
// each octet of zero that it begins with.
func base58Check(word []byte, alphabet string) (version byte, ok bool) {
	var b [25]byte
	if len(word) > 35 || !base58(word, alphabet, b[:]) {
		return 0, false
	}
	for i, c := range word {
		if zero := c == alphabet[0]; i >= len(b) || zero != (b[i] == 0) {
			return 0, false
		} else if !zero {
			break
		}
	}
	sum := sha256.Sum256(b[:21])
	sum = sha256.Sum256(sum[:])
	return b[0], [4]byte(b[21:]) == [4]byte(sum[:])
}

// moneroSizes are the octets that so many characters of a block stand for.
var moneroSizes = [...]int{11: 8, 7: 5}

// monero reports whether word is an address of Monero's main network: a network
// octet, two keys, for an integrated address a payment id of 8 octets, and four
// octets of a sum. Blocks of 11 characters stand for 8 octets each.
func monero(word []byte) bool {
	if len(word) != 95 && len(word) != 106 {
		return false
	}
	var room [80]byte
	n := 0
	for len(word) > 0 {
		block := word[:min(11, len(word))]
		word = word[len(block):]
		size := moneroSizes[len(block)]
		if !base58(block, bitcoinAlphabet, room[n:n+size]) {
			return false
		}
		n += size
	}
	b := room[:n]
	switch network := b[0]; {
	case n == 69 && (network == 18 || network == 42): // an address, a subaddress
	case n == 77 && network == 19:
	default:
		return false
	}
	sum := keccak(b[:n-4])
	return [4]byte(b[n-4:]) == [4]byte(sum[:])
}

// ethereum reports whether word is "0x" and 40 digits: in one case, or in those
// that ERC-55 makes a checksum of.
func ethereum(word []byte) bool {
	if len(word) != 42 || word[1] != 'x' {
		return false
	}
	var lower [40]byte
	var cases [2]bool
	for i, c := range word[2:] {
		if unhex(c) > 15 {
			return false
		}
		lower[i] = c
		if letter(c) {
			lower[i] = c | 0x20
			cases[c&0x20>>5] = true
		}
	}
	if !cases[0] || !cases[1] {
		return true
	}
	sum := keccak(lower[:])
	for i, c := range word[2:] {
		if letter(c) && (c&0x20 == 0) != (sum[i/2]>>(4*(1-i%2))&8 != 0) {
			return false
		}
	}
	return true
}

func keccak(b []byte) (sum [32]byte) {
	h := sha3.NewLegacyKeccak256()
	h.Write(b)
	h.Sum(sum[:0])
	return sum
}

package surbl

import "strings"

const bech32Alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

// bech32Digits are the values of characters that are all of one case. ok is
// false where they are not, or are no digits.
func bech32Digits(word []byte, digits []byte) (ok bool) {
	var cases [2]bool
	for i, c := range word {
		if letter(c) {
			cases[c&0x20>>5] = true
			c |= 0x20
		}
		d := strings.IndexByte(bech32Alphabet, c)
		if d < 0 {
			return false
		}
		digits[i] = byte(d)
	}
	return !cases[0] || !cases[1]
}

// segwit reports whether word, which begins with prefix and "1" in whatever
// case, is the address of a witness program (BIP 173; BIP 350 for versions
// above 0).
func segwit(word []byte, prefix string) bool {
	data := word[len(prefix)+1:]
	upper := word[0]&0x20 == 0
	for _, c := range word[:len(prefix)] {
		if (c&0x20 == 0) != upper {
			return false
		}
	}
	var digits [90]byte
	if len(word) > len(digits) || len(data) < 8 || !bech32Digits(data, digits[:]) {
		return false
	}
	for _, c := range data {
		if letter(c) && (c&0x20 == 0) != upper {
			return false
		}
	}
	d := digits[:len(data)]
	sum := uint32(1)
	for i := range prefix {
		sum = bech32Step(sum, prefix[i]>>5)
	}
	sum = bech32Step(sum, 0)
	for i := range prefix {
		sum = bech32Step(sum, prefix[i]&31)
	}
	for _, v := range d {
		sum = bech32Step(sum, v)
	}
	version, program := d[0], d[1:len(d)-6]
	n := len(program) * 5
	if n%8 > 4 || program[len(program)-1]<<(5-n%8)&31 != 0 { // what pads it
		return false
	}
	switch n /= 8; version {
	case 0:
		return sum == 1 && (n == 20 || n == 32)
	default:
		return sum == 0x2bc830a3 && version <= 16 && n >= 2 && n <= 40
	}
}

func bech32Step(sum uint32, v byte) uint32 {
	top := sum >> 25
	sum = sum&0x1ffffff<<5 ^ uint32(v)
	for i, g := range [...]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
		if top>>i&1 == 1 {
			sum ^= g
		}
	}
	return sum
}

// cashAddr reports whether word is an address of Bitcoin Cash without its prefix
// (https://github.com/bitcoincashorg/bitcoincash.org, cashaddr.md): 20 octets
// with their type in front, and a sum of 40 bits.
func cashAddr(word []byte) bool {
	var digits [42]byte
	if len(word) != len(digits) || !bech32Digits(word, digits[:]) {
		return false
	}
	sum := uint64(1)
	step := func(v byte) {
		top := sum >> 35
		sum = sum&0x07ffffffff<<5 ^ uint64(v)
		for i, g := range [...]uint64{0x98f2bc8e61, 0x79b76d99e2, 0xf33e5fb3c4, 0xae2eabe2a8, 0x1e4f43e470} {
			if top>>i&1 == 1 {
				sum ^= g
			}
		}
	}
	for i := range len(cashPrefix) - 1 {
		step(cashPrefix[i] & 31)
	}
	step(0)
	for _, v := range digits {
		step(v)
	}
	return sum == 1
}

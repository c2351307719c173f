package surbl

import "bytes"

// Wallet is the address of a cryptocurrency that a message names. Its checksum
// is right where the form has one: not any word counts.
type Wallet struct {
	Currency Currency

	// Text is the address as lists hash it: as written, but in lower case where
	// case tells nothing (Bech32 and Ethereum), and with "bitcoincash:".
	Text string

	Part   int   // as in URI
	Offset int64 // likewise
	Times  int
}

// Currency is what a Wallet holds.
type Currency string

const (
	Bitcoin     Currency = "BTC" // Base58Check of versions 0 and 5, and Bech32 (BIP 173, BIP 350)
	BitcoinCash Currency = "BCH" // CashAddr
	Ethereum    Currency = "ETH" // ERC-55
	Litecoin    Currency = "LTC" // Base58Check of versions 48 and 50, and Bech32
	Monero      Currency = "XMR"
	Ripple      Currency = "XRP"
)

const (
	minWallet = 26 // characters of an address
	maxWallet = 106

	// maxWallets bounds those of one message that are kept.
	maxWallets = 20
)

const cashPrefix = "bitcoincash:"

// wallets takes the wallets of text. An address is a word, so that it looks at
// one octet in minWallet, and around those that may be in one.
func (c *collector) wallets(b []byte) {
	for i := minWallet - 1; i < len(b); {
		if !alphanumeric(b[i]) {
			i += minWallet
			continue
		}
		begin, end := i, i+1
		for begin > 0 && alphanumeric(b[begin-1]) {
			begin--
		}
		for end < len(b) && alphanumeric(b[end]) {
			end++
		}
		if n := end - begin; n >= minWallet && n <= maxWallet {
			if currency, text := wallet(b[begin:end]); currency != "" {
				if currency == BitcoinCash && bytes.HasSuffix(b[:begin], []byte(cashPrefix)) {
					begin -= len(cashPrefix)
				}
				c.wallet(currency, text, begin)
			}
		}
		i = end + minWallet
	}
}

func alphanumeric(c byte) bool { return letter(c) || c >= '0' && c <= '9' }

func (c *collector) wallet(currency Currency, text string, at int) {
	for i := range c.found.Wallets {
		if w := &c.found.Wallets[i]; w.Text == text {
			w.Times++
			return
		}
	}
	if len(c.found.Wallets) == maxWallets {
		c.found.More++
		c.found.Unseen++
		return
	}
	c.found.Wallets = append(c.found.Wallets, Wallet{currency, text, c.part, c.offset(at), 1})
}

// wallet tells what a word is the address of, and its Text; "" for none.
func wallet(word []byte) (Currency, string) {
	switch c := word[0]; {
	case c == '1' || c == '3':
		if version, ok := base58Check(word, bitcoinAlphabet); ok && (version == 0 || version == 5) {
			return Bitcoin, string(word)
		}
	case hasPrefixFold(word, "bc1"):
		if segwit(word, "bc") {
			return Bitcoin, string(bytes.ToLower(word))
		}
	case hasPrefixFold(word, "ltc1"):
		if segwit(word, "ltc") {
			return Litecoin, string(bytes.ToLower(word))
		}
	case c == 'L' || c == 'M':
		if version, ok := base58Check(word, bitcoinAlphabet); ok && (version == 48 || version == 50) {
			return Litecoin, string(word)
		}
	case c == '0':
		if ethereum(word) {
			return Ethereum, string(bytes.ToLower(word))
		}
	case c == '4' || c == '8':
		if monero(word) {
			return Monero, string(word)
		}
	case c == 'q' || c == 'p' || c == 'Q' || c == 'P':
		if cashAddr(word) {
			return BitcoinCash, cashPrefix + string(bytes.ToLower(word))
		}
	case c == 'r':
		if version, ok := base58Check(word, rippleAlphabet); ok && version == 0 {
			return Ripple, string(word)
		}
	}
	return "", ""
}

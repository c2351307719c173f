package surbl

import (
	"bytes"
	"strings"
	"testing"
)

// addresses are of the documents that define them: Bitcoin's wiki and BIP 173
// and 350, ERC-55, cashaddr.md, Monero's documentation and XRPL's.
var addresses = []struct {
	currency Currency
	text     string
}{
	{Bitcoin, "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"},
	{Bitcoin, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"},
	{Bitcoin, "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"},
	{Bitcoin, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"},
	{Bitcoin, "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"},
	{Bitcoin, "1111111111111111111114oLvT2"},
	{BitcoinCash, "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a"},
	{BitcoinCash, "bitcoincash:ppm2qsznhks23z7629mms6s4cwef74vcwvn0h829pq"},
	{Ethereum, "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"},
	{Ethereum, "0xfb6916095ca1df60bb79ce92ce3ea74c37c5d359"},
	{Litecoin, "LhK2kQwiaAvhjWY799cZvMyYwnQAcxkarr"},
	{Litecoin, "MVcg9uEvtWuP5N6V48EHfEtbz48qR8TKZ9"},
	{Litecoin, "ltc1qg42tkwuuxefutzxezdkdel39gfstuap288mfea"},
	{Monero, "4AdUndXHHZ6cfufTMvppY6JwXNouMBzSkbLYfpAV5Usx3skxNgYeYTRj5UzqtReoS44qo9mtmXCqY45DJ852K5Jv2684Rge"},
	{Monero, "888tNkZrPN6JsEgekjMnABU4TBzc2Dt29EPAvkRxbANsAnjyPbb3iQ1YBRk1UXcdRsiKc9dhwMVgN5S9cQUiyoogDavup3H"},
	{Ripple, "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh"},
	{Ripple, "rDTXLQ7ZKZVKz33zJbHjgVShjsBnqMBhmN"},
}

func TestWallets(t *testing.T) {
	x, err := NewExtractor(Extraction{Wallets: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		for _, around := range []string{"%", "send to %, now", "(%)", "<b>%</b>", "bitcoin:%?amount=1", "x\r\n%\r\nand a text that goes on for some time"} {
			got := x.Text([]byte(strings.ReplaceAll(around, "%", a.text))).Wallets
			if len(got) != 1 || got[0].Currency != a.currency || got[0].Text != a.text || got[0].Offset != int64(strings.Index(around, "%")) {
				t.Errorf("%s in %q: %+v", a.text, around, got)
			}
		}
		if got := x.HTML([]byte(`<a href="bitcoin:` + a.text + `">pay</a>`)).Wallets; len(got) != 1 || got[0].Text != a.text {
			t.Errorf("%s in a link: %+v", a.text, got)
		}
		// One letter in place of another is none.
		bare := strings.TrimPrefix(a.text, cashPrefix)
		for i := 3; i < len(bare); i++ {
			other := []byte(bare)
			for _, c := range []byte("a2") {
				if other[i] = c; string(other) == bare || a.currency == Ethereum {
					continue
				}
				if got := x.Text(other).Wallets; len(got) != 0 {
					t.Errorf("%s, for %s: %+v", other, bare, got)
				}
			}
		}
		for _, no := range []string{bare + "1", "1" + bare, bare[:len(bare)-1], bare + bare} {
			if got := x.Text([]byte(no)).Wallets; len(got) != 0 {
				t.Errorf("%s: %+v", no, got)
			}
		}
		off, err := NewExtractor(Extraction{})
		if err != nil {
			t.Fatal(err)
		}
		if got := off.Text([]byte(a.text)).Wallets; len(got) != 0 {
			t.Errorf("not asked for: %+v", got)
		}
	}
	for written, text := range map[string]string{
		"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed":                     "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
		"0x5AAEB6053F3E94C9B9A09F33669435E7EF1BEAED":                     "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
		"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD":                     "", // a letter in the other case
		"BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4":                     "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
		"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7KV8F3T4":                     "",
		"BC1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4":                     "",
		"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd": "", // BIP 350: the sum of BIP 173
		"bc1qr508d6qejxtdg4y5r3zarvaryv98gj9p":                           "", // BIP 173: of 16 octets
		"bc1zw508d6qejxtdg4y5r3zarvaryvqyzf3du":                          "", // likewise
		"qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a":                     "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a",
		"mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn":                             "", // of a test network
	} {
		var got string
		if w := x.Text([]byte(written)).Wallets; len(w) > 0 {
			got = w[0].Text
		}
		if got != text {
			t.Errorf("%s: %q, want %q", written, got, text)
		}
	}
}

// More wallets than are kept are counted, and one that comes again is one.
func TestManyWallets(t *testing.T) {
	x, err := NewExtractor(Extraction{Wallets: true})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for i := range 3 * maxWallets {
		b.WriteString("0x")
		for range 40 {
			b.WriteByte('a' + byte(i%6))
		}
		b.WriteString(strings.Repeat(" ", i%3+1))
		b.WriteString("0x" + strings.Repeat("0", 38) + string('0'+byte(i/10)) + string('0'+byte(i%10)) + "\r\n")
	}
	got := x.Text(b.Bytes())
	if len(got.Wallets) != maxWallets || got.Wallets[0].Times < 2 || got.More == 0 || got.Unseen != got.More {
		t.Errorf("%d wallets, %d more, %d unseen", len(got.Wallets), got.More, got.Unseen)
	}
}

func FuzzWallet(f *testing.F) {
	for _, a := range addresses {
		f.Add([]byte("x " + a.text + " y"))
	}
	x, err := NewExtractor(Extraction{Wallets: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got := x.Text(b)
		// Every word that is one is found, whatever is around it.
		words := bytes.FieldsFunc(b, func(r rune) bool { return r > 0x7f || !alphanumeric(byte(r)) })
		want := make(map[string]bool)
		for _, word := range words {
			if len(word) < minWallet || len(word) > maxWallet {
				continue
			}
			if currency, text := wallet(word); currency != "" {
				want[text] = true
			}
		}
		for _, w := range got.Wallets {
			if !want[w.Text] {
				t.Errorf("%q is no word of %q", w.Text, b)
			}
		}
		if len(got.Wallets) != min(len(want), maxWallets) {
			t.Errorf("%d wallets of %d in %q", len(got.Wallets), len(want), b)
		}
	})
}

package qr_test

import (
	"bytes"
	"encoding/base64"
	"fmt"

	"github.com/smtpguard/smtpguard/surbl"
	"github.com/smtpguard/smtpguard/surbl/qr"
)

func Example() {
	pictures, err := qr.New(qr.Config{})
	if err != nil {
		panic(err)
	}
	x, err := surbl.NewExtractor(surbl.Extraction{Decoders: []surbl.Decoder{pictures}})
	if err != nil {
		panic(err)
	}
	message := bytes.NewReader([]byte("Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		base64.StdEncoding.EncodeToString(evil) + "\r\n"))
	links, err := x.Extract(message)
	if err != nil {
		panic(err)
	}
	for _, u := range links.URIs {
		fmt.Println(u.Kind, u.Host, u.Hidden)
	}
	// Output: link www.evil.com picture
}

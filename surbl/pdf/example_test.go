package pdf_test

import (
	"bytes"
	"encoding/base64"
	"fmt"

	"github.com/smtpguard/smtpguard/surbl"
	"github.com/smtpguard/smtpguard/surbl/pdf"
)

func Example() {
	documents, err := pdf.New(pdf.Config{})
	if err != nil {
		panic(err)
	}
	x, err := surbl.NewExtractor(surbl.Extraction{Decoders: []surbl.Decoder{documents}})
	if err != nil {
		panic(err)
	}
	invoice := "%PDF-1.4\n1 0 obj\n<</S/URI/URI(http://bank.example@evil.example/login)>>\nendobj\n"
	message := bytes.NewReader([]byte("Content-Type: application/pdf; name=invoice.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		base64.StdEncoding.EncodeToString([]byte(invoice)) + "\r\n"))
	links, err := x.Extract(message)
	if err != nil {
		panic(err)
	}
	for _, u := range links.URIs {
		fmt.Println(u.Kind, u.Host, u.Hidden)
	}
	// Output: link evil.example userinfo
}

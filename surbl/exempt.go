package surbl

import (
	"fmt"
	"io"
	"strings"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// DefaultExempt are registered domains so common in mail that no list has them,
// and that are not worth a question, as of 2026. Shorteners and hosts of what
// others upload are not among them.
func DefaultExempt() []string {
	return strings.Fields(`
		amazon.com amazon.de amazon.co.uk apache.org apple.com aol.com baidu.com bbc.co.uk bbc.com bing.com booking.com
		cnn.com debian.org dhl.com ebay.com ebay.de ebay.co.uk facebook.com fbcdn.net fedex.com gmail.com gmx.de gmx.net
		gnu.org googlemail.com gstatic.com hotmail.com ibm.com ietf.org instagram.com intel.com
		kernel.org licdn.com linkedin.com mastercard.com microsoft.com microsoftonline.com mozilla.org msn.com
		netflix.com nytimes.com office.com office365.com openssl.org oracle.com outlook.com paypal.com pinterest.com postfix.org
		proton.me python.org qq.com reddit.com redhat.com samsung.com slack.com spotify.com stackoverflow.com
		tiktok.com twitter.com ubuntu.com ups.com usps.com visa.com w3.org web.de whatsapp.com wikipedia.org wikimedia.org x.com
		yahoo.com yahoo.co.jp yahoo.co.uk youtube.com zoom.us`)
}

// ReadExempt reads domains from a file for Config.Exempt, one a line, "#"
// beginning a comment.
func ReadExempt(r io.Reader) (domains []string, err error) {
	err = lines(r, func(n int, line string) error {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			return nil
		}
		name, err := domain.Normal(line)
		if err != nil {
			return fmt.Errorf("surbl: exempt domains: line %d: %w", n, err)
		}
		domains = append(domains, name)
		return nil
	})
	return domains, err
}

package surbl

import (
	"fmt"
	"io"
	"strings"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// DefaultExempt are registered domains so common in mail that no list has them,
// and that are not worth a question: as of November 2026, next to what rspamd 3.4
// and SpamAssassin 4.0 skip. Shorteners and hosts of what others upload are not
// among them.
func DefaultExempt() []string {
	return strings.Fields(`
		adobe.com amazon.co.uk amazon.com amazon.de aol.com apache.org apple.com att.net baidu.com bbc.co.uk bbc.com
		bing.com booking.com cnn.com comcast.net debian.org dell.com dhl.com earthlink.net ebay.co.uk ebay.com ebay.de
		ebayimg.com ebaystatic.com facebook.com fbcdn.net fedex.com freebsd.org gentoo.org gmail.com gmx.de gmx.net gnu.org
		googlemail.com gstatic.com hotmail.com hp.com ibm.com ietf.org instagram.com intel.com kernel.org licdn.com
		linkedin.com mac.com mastercard.com microsoft.com microsoftonline.com mozilla.com mozilla.org msn.com netflix.com
		nytimes.com office.com office365.com openssl.org openxmlformats.org oracle.com outlook.com paypal.com
		paypalobjects.com pinterest.com postfix.org proton.me python.org qq.com reddit.com redhat.com samsung.com sec.gov
		slack.com spotify.com stackoverflow.com t-online.de tiktok.com twitter.com ubuntu.com ups.com usps.com verizon.net
		visa.com w3.org washingtonpost.com web.de whatsapp.com wikimedia.org wikipedia.org wsj.com x.com xmlsoap.org
		yahoo.ca yahoo.co.jp yahoo.co.uk yahoo.com yahoo.com.br yimg.com youtube.com zoom.us`)
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

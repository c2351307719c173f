package blocklist

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

// hostsLine reads a line of FormatHosts.
func (p *parsing) hostsLine(text string) error {
	text, comment, _ := strings.Cut(text, "#")
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return nil
	}
	addr, err := netip.ParseAddr(fields[0])
	if err != nil {
		return fmt.Errorf("%.80q is no address", fields[0])
	}
	if !addr.IsUnspecified() && !addr.IsLoopback() {
		return nil // where a name really is
	}
	var errs []error
	for _, name := range fields[1:] {
		if !everyHost(name) {
			errs = append(errs, p.emit(Entry{Kind: p.Kind.or(Domain), Value: name, Reason: strings.TrimSpace(comment)}))
		}
	}
	return cmp.Or(errs...)
}

// everyHost reports whether name is one that every hosts file has.
func everyHost(name string) bool {
	switch name {
	case "localhost", "localhost.localdomain", "localhost4", "localhost6", "local", "broadcasthost", "0.0.0.0":
		return true
	}
	return strings.HasPrefix(name, "ip6-") && strings.IndexByte(name, '.') < 0
}

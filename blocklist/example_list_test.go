package blocklist_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/smtpguard/smtpguard/blocklist"
)

func ExampleList() {
	dir, err := os.MkdirTemp("", "blocklist")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "partners")
	write := func(text string) { // beside it, and then in its place
		os.WriteFile(file+".new", []byte(text), 0o644)
		os.Rename(file+".new", file)
	}
	write("192.0.2.0/24 # Example Ltd\n")

	happened := make(chan blocklist.ListEvent, 10)
	partners, err := blocklist.NewList(blocklist.ListConfig{
		File:    file,
		Parse:   blocklist.ParseConfig{Word: blocklist.Allow},
		Observe: func(e blocklist.ListEvent) { happened <- e },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer partners.Close()
	report := func() {
		e := <-happened
		m, listed := partners.Find(blocklist.Query{Kind: blocklist.Addr, Addr: netip.MustParseAddr("192.0.2.7")})
		fmt.Println(e.List, e.Kind, e.Entries, "entries;", listed, m.Entry.Word, m.Entry.Value)
	}
	report()
	write("192.0.2.7\n198.51.100.7\n")
	report()
	write("<html>Error</html>\n")
	report()
	// Output:
	// partners loaded 1 entries; true allow 192.0.2.0/24
	// partners loaded 2 entries; true allow 192.0.2.7
	// partners kept 2 entries; true allow 192.0.2.7
}

package auth

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Row is one password of an account as a table keeps it, by the names of its
// columns: "hash" has its forms (see [ParseHash]) with white space between them,
// "*" or nothing for none; the others are the attributes of a line of a [File],
// where "disabled" may be "disabled". What has no value is as if it were not
// there.
type Row map[string]string

// NewAccount makes an account of its rows, as a [File] does of its lines. login
// is in normal form. An error names the row and its column, never a value: that
// may be a secret in the wrong place.
func NewAccount(login string, rows ...Row) (*Account, error) {
	b := builder{apps: make(map[*Account]map[string]int)}
	b.accounts = map[string]*Account{}
	for i, row := range rows {
		var attr attributes
		var forms []Hash
		for _, name := range slices.Sorted(maps.Keys(row)) {
			value := row[name]
			var err error
			switch {
			case value == "":
			case name == "hash":
				if value != "*" {
					forms, err = parseHashes(value)
				}
			case name == "disabled" && value == name:
				attr.disabled, attr.any = true, true
			default:
				err = attr.set(name, value)
			}
			if err != nil {
				return nil, fmt.Errorf("auth: row %d of %s: column %q cannot be read", i+1, login, name)
			}
		}
		if err := b.add(login, attr, forms...); err != nil {
			return nil, fmt.Errorf("auth: row %d: %w", i+1, err)
		}
	}
	if a := b.accounts[login]; a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("auth: %s has no rows", login)
}

func parseHashes(s string) (all []Hash, err error) {
	for text := range strings.FieldsSeq(s) {
		h, err := ParseHash(text)
		if err != nil {
			return nil, err
		}
		all = append(all, h)
	}
	return all, nil
}

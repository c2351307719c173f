package sqlstore

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/auth"
)

// Bounds of what a query may return for one login.
const (
	maxRows  = 64
	maxValue = 16 << 10 // octets
)

// columns that may be there.
var columns = []string{"login", "hash", "label", "senders", "networks", "mechanisms", "listeners", "until", "disabled"}

// read reads the rows of a login; those of other logins are left out.
func read(rows *sql.Rows, login string) ([]auth.Row, error) {
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	names = slices.Clone(names) // the driver's own, which it may show to others too
	for i, name := range names {
		names[i] = strings.ToLower(name)
		if !slices.Contains(columns, names[i]) {
			return nil, fmt.Errorf("the query returns a column %q, which means nothing", name)
		}
		if slices.Contains(names[:i], names[i]) {
			return nil, fmt.Errorf("the query returns the column %q twice", name)
		}
	}
	for _, name := range []string{"login", "hash"} {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("the query returns no column %q", name)
		}
	}
	values := make([]any, len(names))
	into := make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	var all []auth.Row
	for n := 1; rows.Next(); n++ {
		if n > maxRows {
			return nil, fmt.Errorf("the query returns over %d rows", maxRows)
		}
		if err := rows.Scan(into...); err != nil {
			return nil, fmt.Errorf("row %d cannot be read", n) // the error may have a value in it
		}
		row := auth.Row{}
		for i, name := range names {
			value, err := text(name, values[i])
			if err != nil {
				return nil, fmt.Errorf("row %d: column %q %w", n, name, err)
			}
			row[name] = value
		}
		whose, err := auth.NormalLogin(row["login"])
		if err != nil || whose != login {
			continue
		}
		delete(row, "login")
		all = append(all, row)
	}
	return all, rows.Err()
}

// text is a value of a column as auth.NewAccount reads it. Errors do not have
// it in them.
func text(column string, value any) (string, error) {
	if column == "disabled" {
		return disabled(value)
	}
	var s string
	switch v := value.(type) {
	case nil:
	case string:
		s = v
	case []byte:
		s = string(v)
	case time.Time:
		s = v.Format(time.RFC3339)
	default:
		return "", errors.New("is no text")
	}
	if len(s) > maxValue {
		return "", fmt.Errorf("has over %d octets", maxValue)
	}
	return s, nil
}

// disabled reads what databases have for a truth value. Nothing is a guess: what
// is neither true nor false is an error.
func disabled(value any) (string, error) {
	truth := "?"
	switch v := value.(type) {
	case nil:
		truth = ""
	case bool:
		truth = fmt.Sprint(v)
	case int64:
		truth = fmt.Sprint(v)
	case string:
		truth = strings.ToLower(v)
	case []byte:
		if truth = strings.ToLower(string(v)); len(v) == 1 && v[0] <= 1 { // MySQL's BIT(1)
			truth = fmt.Sprint(v[0])
		}
	}
	switch truth {
	case "", "false", "0", "f", "n", "no":
		return "", nil
	case "true", "1", "t", "y", "yes":
		return "disabled", nil
	}
	return "", errors.New("is neither true nor false")
}

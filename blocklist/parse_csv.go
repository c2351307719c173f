package blocklist

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// csvFile reads FormatCSV.
type csvFile struct {
	*parsing
	value, reason int // the columns, from 1; 0 is none, or not known yet
	header        bool
	fields        []string
}

func (f *csvFile) format() (format, error) {
	f.header = f.Header
	if f.Column == "" {
		f.Column = "1"
	}
	var errs []error
	for _, c := range []struct {
		field, name string
		at          *int
	}{{"Column", f.Column, &f.value}, {"ReasonColumn", f.ReasonColumn, &f.reason}} {
		n, err := strconv.Atoi(c.name)
		if c.name != "" && err != nil {
			f.header = true
		} else if c.name != "" && n < 1 {
			errs = append(errs, fmt.Errorf("blocklist: %s counts from 1", c.field))
		}
		*c.at = n
	}
	return format{line: f.line}, errors.Join(errs...)
}

func (f *csvFile) line(text string) (err error) {
	if strings.TrimSpace(text) == "" || text[0] == '#' {
		return nil
	}
	if f.fields, err = splitCSV(f.fields[:0], text, f.Comma); err != nil {
		return err
	}
	if f.header {
		f.header = false
		return errors.Join(f.find(f.Column, &f.value), f.find(f.ReasonColumn, &f.reason))
	}
	if f.value > len(f.fields) {
		return fmt.Errorf("has %d columns and its value in column %d", len(f.fields), f.value)
	}
	e := Entry{Value: strings.TrimSpace(f.fields[f.value-1])}
	if f.reason > 0 && f.reason <= len(f.fields) {
		e.Reason = strings.TrimSpace(f.fields[f.reason-1])
	}
	if e.Value == "" {
		return errors.New("has no value")
	}
	return f.emit(e)
}

// find looks for a column by its name, where that is none that is a number.
func (f *csvFile) find(name string, at *int) error {
	if *at > 0 || name == "" {
		return nil
	}
	for i, field := range f.fields {
		if strings.EqualFold(strings.TrimSpace(field), name) {
			*at = i + 1
			return nil
		}
	}
	return fatal{fmt.Errorf("has no column %.80q", name)}
}

// splitCSV appends the fields of a line (RFC 4180, section 2).
func splitCSV(fields []string, line string, comma byte) ([]string, error) {
	for {
		if !strings.HasPrefix(line, `"`) {
			i := strings.IndexByte(line, comma)
			if i < 0 {
				return append(fields, line), nil
			}
			fields, line = append(fields, line[:i]), line[i+1:]
			continue
		}
		var field strings.Builder
		for line = line[1:]; ; {
			i := strings.IndexByte(line, '"')
			if i < 0 {
				return nil, errors.New("has a quoted field without an end")
			}
			field.WriteString(line[:i])
			if line = line[i+1:]; !strings.HasPrefix(line, `"`) {
				break
			}
			field.WriteByte('"')
			line = line[1:]
		}
		fields = append(fields, field.String())
		switch {
		case line == "":
			return fields, nil
		case line[0] != comma:
			return nil, errors.New("has a quoted field with more behind its end")
		}
		line = line[1:]
	}
}

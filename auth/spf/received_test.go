package spf_test

import (
	"strings"
	"testing"
)

// fieldValue returns what stands behind the name of a field, and asserts that
// the field is one.
func fieldValue(t testing.TB, field string) string {
	t.Helper()
	value, ok := strings.CutPrefix(field, "Received-SPF:")
	if !ok || !strings.HasSuffix(value, "\r\n") {
		t.Fatalf("not a field: %q", field)
	}
	for i, line := range strings.Split(strings.TrimSuffix(field, "\r\n"), "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n\x00") || i > 0 && line[0] != '\t' {
			t.Fatalf("line %d of %q", i, field)
		}
	}
	return value
}

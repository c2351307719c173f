package smtpguardtest

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/require"
)

func TestVectors(t *testing.T) {
	cases, err := Vectors(os.DirFS(require.Suite(t, "smtp")))
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, k := range cases {
		kind, _, _ := strings.Cut(k.Name, "/")
		counts[kind]++
	}
	// 10 + 7 + 9 sequences in 4 cases each, 2 messages, 19 dialogues less 4.
	if counts["smuggling"] != 106 || counts["dialogue"] != 15 {
		t.Errorf("the suites have %v", counts)
	}

	findings, err := CheckCases(context.Background(), bareTarget(t), cases)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range findings {
		got = append(got, f.Case.Name)
	}
	if want := list(t, "testdata/bare-vectors.txt"); !slices.Equal(got, want) {
		t.Errorf("bare go-smtp fails in\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

package smtpguardtest

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Vectors returns the cases of three collections of other projects, laid out in
// fsys as in this project's conformance suites:
//
//	smuggling-hannob-login/eod-sequences.json  false ends of data (smtpsmug, SMTP-Smuggling-Tools)
//	smuggling-gosmtp-mox/go-smtp.json          messages with a false end of data (go-smtp)
//	chasquid-dialogs/*/*.cmy                   dialogues (chasquid)
//
// A collection that is not there is an error.
func Vectors(fsys fs.FS) ([]Case, error) {
	sequences, err := sequenceVectors(fsys)
	if err != nil {
		return nil, fmt.Errorf("smtpguardtest: %w", err)
	}
	messages, err := messageVectors(fsys)
	if err != nil {
		return nil, fmt.Errorf("smtpguardtest: %w", err)
	}
	dialogues, err := dialogueVectors(fsys)
	if err != nil {
		return nil, fmt.Errorf("smtpguardtest: %w", err)
	}
	return slices.Concat(sequences, messages, dialogues), nil
}

func sequenceVectors(fsys fs.FS) ([]Case, error) {
	var file struct {
		Hannob   map[string][]byte `json:"hannob_smtpsmug"`
		Inbound  [][]byte          `json:"login_inbound"`
		Outbound [][]byte          `json:"login_outbound"`
	}
	if err := readJSON(fsys, "smuggling-hannob-login/eod-sequences.json", &file); err != nil {
		return nil, err
	}
	var cases []Case
	add := func(source string, octets []byte) {
		cases = append(cases, EndOfData(source+"-"+sequenceName(string(octets)), string(octets))...)
	}
	for _, octets := range file.Hannob {
		add("hannob", octets)
	}
	for _, octets := range file.Inbound {
		add("login-inbound", octets)
	}
	for _, octets := range file.Outbound {
		add("login-outbound", octets)
	}
	slices.SortFunc(cases, func(a, b Case) int { return strings.Compare(a.Name, b.Name) })
	return cases, nil
}

func messageVectors(fsys fs.FS) ([]Case, error) {
	var file []struct {
		Name  string   `json:"name"`
		Lines []string `json:"lines"`
	}
	if err := readJSON(fsys, "smuggling-gosmtp-mox/go-smtp.json", &file); err != nil {
		return nil, err
	}
	var cases []Case
	for _, v := range file {
		cases = append(cases, Case{
			Name: "smuggling/go-smtp/" + v.Name,
			Rule: "only CRLF.CRLF ends DATA, and nothing before it is a command",
			RFC:  "RFC 5321, sections 2.3.8 and 4.1.1.4",
			Run: func(c *Client) error {
				if err := c.Envelope(); err != nil {
					return err
				}
				if err := c.ask("DATA", "354"); err != nil {
					return err
				}
				if err := c.Write(c.Content(strings.Join(v.Lines, "")) + "QUIT\r\n"); err != nil {
					return err
				}
				return c.oneMessage()
			},
		})
	}
	return cases, nil
}

func readJSON(fsys fs.FS, name string, v any) error {
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func dialogueVectors(fsys fs.FS) ([]Case, error) {
	names, err := fs.Glob(fsys, "chasquid-dialogs/*/*.cmy")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no dialogues under chasquid-dialogs: %w", fs.ErrNotExist)
	}
	var cases []Case
	for _, name := range names {
		short := path.Base(path.Dir(name)) + "/" + strings.TrimSuffix(path.Base(name), ".cmy")
		if _, own := chasquidOwn[short]; own {
			continue
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		d, err := parseDialogue(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		k := Case{
			Name: "dialogue/" + short, Rule: "this dialogue goes as it does with chasquid", RFC: "RFC 5321, section 4.3.2",
			Needs: NeedPublic | NeedSMTP, Run: d.run,
		}
		if d.tls {
			k.Needs |= NeedTLS | NeedLogin
		}
		if short == "t-12-minor_dialogs/auth_not_tls" {
			k.Needs |= NeedStartTLS | NeedLogin
		}
		cases = append(cases, k)
	}
	return cases, nil
}

// chasquidOwn are dialogues about chasquid rather than SMTP, and why.
var chasquidOwn = map[string]string{
	"t-04-aliases/test_chasquid_util":                    "runs chasquid's command-line tool",
	"t-12-minor_dialogs/message_too_big":                 "its 1 MiB is chasquid's configuration; size/message asks for the server's own limit",
	"t-12-minor_dialogs/bad_data_dot_on_message_too_big": "the same",
	"t-12-minor_dialogs/auth_too_many_failures":          "three is chasquid's number; auth/failures has one to configure",
}

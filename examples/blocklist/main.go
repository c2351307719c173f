// Blocklist lists, adds and removes the dynamic entries of a server.
//
//	blocklist -db FILE list
//	blocklist -redis ADDRESS[,ADDRESS] [-name NAME] add addr 192.0.2.1
//	blocklist -url http://127.0.0.1:8025 -token-file FILE audit
//
// Commands:
//
//	list                                          all entries
//	add [-allow] [-for 24h] [-why TEXT] KIND VALUE    block or allow somebody
//	remove [-why TEXT] KIND VALUE                 take an entry back
//	audit [-n 50]                                 who changed what, newest first
//
// KIND is addr, domain, hello, mailbox or fingerprint; VALUE is written as the
// package blocklist says. A file is in the hands of one process: while the server
// runs, ask it, at the address where it serves blocklist.Handler.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"os/user"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/blocklist"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "blocklist:", strings.TrimPrefix(err.Error(), "blocklist: "))
		os.Exit(1)
	}
}

// entries is what a command works on: a *blocklist.Dynamic or a server.
type entries interface {
	list(ctx context.Context) ([]blocklist.Item, error)
	add(ctx context.Context, e blocklist.Entry) error
	remove(ctx context.Context, kind blocklist.Kind, value, by, why string) error
	audit(ctx context.Context, n int) ([]blocklist.Change, error)
	close() error
}

// run carries out one command line.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("blocklist", flag.ContinueOnError)
	var where place
	flags.StringVar(&where.db, "db", "", "`file` of a server that is not running")
	flags.StringVar(&where.redis, "redis", "", "`addresses` of a Redis server or cluster, with commas")
	flags.StringVar(&where.name, "name", "", "of the list in Redis")
	flags.StringVar(&where.url, "url", "", "where a running server answers")
	flags.StringVar(&where.tokenFile, "token-file", "", "`file` with the token for -url")
	by := flags.String("by", whoami(), "who you are, for the record")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "blocklist -db FILE | -redis ADDRESSES | -url URL -token-file FILE [-by WHO] list | add | remove | audit")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	cmd, err := parse(flags.Args(), *by)
	if err != nil {
		return err
	}
	es, err := where.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, es.close()) }()
	return cmd(ctx, es, out)
}

// whoami is a guess that -by corrects.
func whoami() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

// command is what is to be done, and what to say of it.
type command func(ctx context.Context, es entries, out io.Writer) error

// parse reads a command and its arguments.
func parse(args []string, by string) (command, error) {
	if len(args) == 0 {
		return nil, errors.New("one of list, add, remove and audit is needed")
	}
	name := args[0]
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	switch name {
	case "list":
		return list, only(flags, args, 0)
	case "audit":
		n := flags.Int("n", 50, "how many changes")
		err := only(flags, args, 0)
		if err == nil && *n < 1 {
			err = errors.New("-n has to be positive")
		}
		return func(ctx context.Context, es entries, out io.Writer) error { return audit(ctx, es, out, *n) }, err
	case "add":
		allow := flags.Bool("allow", false, "let in, instead of refusing")
		ttl := flags.Duration("for", 0, "how long; the default is the server's")
		why := flags.String("why", "", "the reason, for the record")
		kind, err := kindOf(flags, args)
		if err == nil && *ttl < 0 {
			err = errors.New("-for has to be positive")
		}
		return func(ctx context.Context, es entries, out io.Writer) error {
			e := blocklist.Entry{Kind: kind, Value: flags.Arg(1), Word: blocklist.Block, Reason: *why, Source: by}
			if *allow {
				e.Word = blocklist.Allow
			}
			if *ttl > 0 {
				e.Expires = time.Now().Add(*ttl)
			}
			return es.add(ctx, e)
		}, err
	case "remove":
		why := flags.String("why", "", "the reason, for the record")
		kind, err := kindOf(flags, args)
		return func(ctx context.Context, es entries, out io.Writer) error {
			return es.remove(ctx, kind, flags.Arg(1), by, *why)
		}, err
	}
	return nil, fmt.Errorf("no command is called %q", name)
}

// only parses the flags of a command that takes n arguments.
func only(flags *flag.FlagSet, args []string, n int) error {
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() != n {
		return fmt.Errorf("%s takes %d arguments, not %d", args[0], n, flags.NArg())
	}
	return nil
}

// kindOf does so for one that takes a kind and a value.
func kindOf(flags *flag.FlagSet, args []string) (kind blocklist.Kind, err error) {
	if err := only(flags, args, 2); err != nil {
		return 0, err
	}
	return kind, kind.UnmarshalText([]byte(flags.Arg(0)))
}

func list(ctx context.Context, es entries, out io.Writer) error {
	items, err := es.list(ctx)
	for _, it := range items {
		how := ""
		if it.Auto {
			how = " (automatic)"
		}
		fmt.Fprintf(out, "%v %v %s until %s by %s%s%s\n", it.Word, it.Kind, it.Value, stamp(it.Expires), it.Source, how, because(it.Reason))
	}
	return err
}

func audit(ctx context.Context, es entries, out io.Writer, n int) error {
	cs, err := es.audit(ctx, n)
	for _, c := range cs {
		fmt.Fprintf(out, "%d %s %s %v %v %s by %s%s\n", c.Seq, stamp(c.Time), c.Op, c.Item.Word, c.Item.Kind, c.Item.Value, c.By, because(c.Why))
	}
	return err
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func because(why string) string {
	if why = strings.TrimSpace(why); why == "" {
		return ""
	}
	return ": " + why
}

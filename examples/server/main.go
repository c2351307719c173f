// The server is smtpguard's reference server: it takes mail for its own
// domains into Maildirs, and mail to elsewhere from those who may send it.
//
//	go run ./examples/server
//
// listens on 127.0.0.1: 2525 for mail from anybody, 2587 (STARTTLS) and 2465
// (TLS) for mail from the login demo, whose password is printed at first start.
// All that it keeps is in ./smtpguard-data, or where -data says. What can be
// configured, and how, is in server.yaml. SIGHUP makes it read its
// configuration and certificate again, SIGTERM ends it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/relay"
)

// policy is what the server asks of every client and message, in order.
func policy(rules *relay.Relay, limits limits, own *lists, auth, asking, last []smtpguard.Check) []smtpguard.Check {
	return slices.Concat([]smtpguard.Check{
		limits.overload.Check(),
		limits.concurrency.Check(),
		own.check,
		limits.rates.Check(),
	}, auth, own.traps, []smtpguard.Check{
		rules.Check(),
	}, asking, []smtpguard.Check{
		ownReturnPath(),
		limits.logins.Check(), // behind all that have a word at AUTH
	}, last)
}

func main() {
	switch err := run(os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, flag.ErrHelp): // and the help is out
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string, out, errs io.Writer) error {
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	flags.SetOutput(errs)
	data := flags.String("data", "smtpguard-data", "`folder` for mail, passwords and the certificate")
	file := flags.String("config", "", "configuration `file`; without one the defaults hold")
	only := flags.Bool("check", false, "check the configuration, and serve nothing")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("server: %q is no flag", flags.Arg(0))
	}
	cfg, err := load(*file)
	if err != nil {
		return err
	}
	if *only {
		if err := check(cfg); err != nil {
			return err
		}
		fmt.Fprintln(out, "configuration: valid")
		return nil
	}
	dir, err := filepath.Abs(*data)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "data folder:", dir)

	hangup, end := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	signal.Notify(end, syscall.SIGTERM, os.Interrupt)
	s, err := newService(*file, dir, cfg, out, errs)
	if err != nil {
		return err
	}
	for {
		log := logger(s.gen.cfg, errs)
		select {
		case sig := <-end:
			log.Info("stopping: open transactions may end", "signal", sig.String(), "within", s.gen.cfg.Shutdown.String())
			s.stop()
			log.Info("stopped")
			return nil
		case <-hangup:
			if err := s.reload(); err != nil {
				log.Error("configuration not reloaded: the old one stays in force", "error", err.Error())
			} else {
				log.Info("configuration reloaded")
			}
		}
	}
}

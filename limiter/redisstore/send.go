package redisstore

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"fmt"

	"github.com/redis/go-redis/v9"
)

//go:embed take.lua
var script string

// scriptName is how the server calls a script that it has seen.
func scriptName() string {
	sum := sha1.Sum([]byte(script))
	return hex.EncodeToString(sum[:])
}

// command is one run of the script. It is never repeated by the client: it may
// have been run although its connection broke.
type command struct{ *redis.IntSliceCmd }

func (command) NoRetry() bool { return true }

// send has calls decided in one round trip, in order, and ends them. Its error
// is that of the round trip, or the server's refusal to decide any of them.
func (s *Store) send(ctx context.Context, calls []*call) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if s.lanes.cluster == nil {
		return s.run(ctx, [][]*call{calls})
	}
	// The keys of one script must be in one slot.
	runs := make([][]*call, len(calls))
	for i := range calls {
		runs[i] = calls[i : i+1]
	}
	return s.run(ctx, runs)
}

// run runs the script once for each of runs.
func (s *Store) run(ctx context.Context, runs [][]*call) error {
	commands := make([]redis.Cmder, len(runs))
	for i, calls := range runs {
		commands[i] = newCommand(ctx, "evalsha", s.script, calls)
	}
	s.exec(ctx, commands)
	// A server that has not seen the script yet, or was restarted.
	var again []redis.Cmder
	for i, calls := range runs {
		if redis.HasErrorPrefix(commands[i].Err(), "NOSCRIPT") {
			commands[i] = newCommand(ctx, "eval", script, calls)
			again = append(again, commands[i])
		}
	}
	if again != nil {
		s.exec(ctx, again)
	}
	decided := false
	var failure error
	for i, calls := range runs {
		reply, err := commands[i].(command).Result()
		if err == nil {
			err = check(calls, reply)
		}
		if err == nil {
			decided = true
		} else if failure == nil {
			failure = err
		}
		for _, c := range calls {
			if err != nil {
				c.end(nil, err)
				continue
			}
			c.end(reply[:len(c.asks)], nil)
			reply = reply[len(c.asks):]
		}
	}
	if decided {
		s.lanes.known.Store(true)
		return nil
	}
	return failure
}

// check reports what is wrong with the script's reply to calls.
func check(calls []*call, reply []int64) error {
	n := 0
	for _, c := range calls {
		for i := range c.asks {
			if n < len(reply) && !c.asks[i].possible(reply[n]) {
				return fmt.Errorf("the script answered %d", reply[n])
			}
			n++
		}
	}
	if n != len(reply) {
		return fmt.Errorf("the script answered %d of %d asks", len(reply), n)
	}
	return nil
}

// exec sends commands in one round trip, on a cluster one to each node. Their
// errors say how it went.
func (s *Store) exec(ctx context.Context, commands []redis.Cmder) {
	if s.lanes.cluster == nil {
		_ = s.client.Process(ctx, commands[0])
		return
	}
	pipe := s.client.Pipeline()
	for _, c := range commands {
		_ = pipe.Process(ctx, c)
	}
	_, _ = pipe.Exec(ctx)
}

// newCommand is EVAL or EVALSHA of calls, as the script wants them.
func newCommand(ctx context.Context, verb, which string, calls []*call) command {
	keys, size := 0, 3
	for _, c := range calls {
		keys += len(c.asks)
		size += 1 + 5*len(c.asks)
	}
	args := make([]any, 3, size)
	args[0], args[1], args[2] = verb, which, keys
	for _, c := range calls {
		for i := range c.asks {
			args = append(args, c.asks[i].key)
		}
	}
	for _, c := range calls {
		args = append(args, len(c.asks))
		for i := range c.asks {
			w := &c.asks[i]
			args = append(args, w.kind, w.cost, w.window, w.debt)
		}
	}
	cmd := command{redis.NewIntSliceCmd(ctx, args...)}
	cmd.SetFirstKeyPos(3)
	return cmd
}

package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// Net is the conversation with the firewall about one container.
type Net struct {
	Home   home.Home
	Daemon *Daemon // nil: none that we know of
	Want   run.Net
}

// OpenNet goes on with the conversation about a container that has a wanted
// file, or starts a new one. Generations go on from what both sides last wrote.
func OpenNet(h home.Home, container string) *Net {
	n := &Net{Home: h, Want: run.Net{SchemaVersion: run.Schema, Container: container}}
	var old run.Net
	if run.Read(h.Run(container+run.NetFile), &old) == nil {
		n.Want = old
	}
	var status run.NetStatus
	if run.Read(h.Run(container+run.NetStatusFile), &status) == nil {
		n.Want.Generation = max(n.Want.Generation, status.Generation)
	}
	return n
}

// Ask writes the wanted state with this phase.
func (n *Net) Ask(phase string) error {
	n.Want.Generation++
	n.Want.Phase = phase
	return run.Write(n.Home.Run(n.Want.Container+run.NetFile), n.Want)
}

// Answer waits for the state asked for last to be in force. A guard that says
// "failed", does not answer within AnswerTimeout or is gone is an error with
// its own words.
func (n *Net) Answer(ctx context.Context) (run.NetStatus, error) {
	ctx, stop := context.WithTimeout(ctx, AnswerTimeout)
	defer stop()
	var st run.NetStatus
	err := n.wait(ctx, n.Home.Run(n.Want.Container+run.NetStatusFile), func(b []byte) bool {
		var s run.NetStatus
		if json.Unmarshal(b, &s) != nil || s.Generation < n.Want.Generation {
			return false
		}
		st = s
		return s.State == run.NetFailed || s.Phase == n.Want.Phase && (s.State == run.NetEnforcing || s.State == run.NetDegraded)
	})
	switch {
	case err == nil && st.State == run.NetFailed:
		return st, errors.New(said(st))
	case errors.Is(err, context.DeadlineExceeded):
		why := fmt.Sprintf("no answer within %s", AnswerTimeout)
		if st.Generation > 0 {
			why += ": " + said(st)
		}
		return st, errors.New(why)
	}
	return st, err
}

func said(st run.NetStatus) string {
	words := st.Problems
	if st.Error != "" {
		words = append([]string{st.Error}, words...)
	}
	if len(words) == 0 {
		return "state " + st.State
	}
	return strings.Join(words, "; ")
}

func (n *Net) wait(ctx context.Context, path string, done func([]byte) bool) error {
	return waitFor(ctx, n.Daemon, path, done)
}

// waitFor is run.Wait that gives up when a daemon we started ends.
func waitFor(ctx context.Context, d *Daemon, path string, done func([]byte) bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if gone := d.ended(); gone != nil {
		go func() {
			select {
			case <-gone:
				cancel(d.why())
			case <-ctx.Done():
			}
		}()
	}
	err := run.Wait(ctx, path, done)
	if c := context.Cause(ctx); err != nil && c != nil && !errors.Is(err, c) {
		return c
	}
	return err
}

// Remove takes the wanted file away, which ends the guard's work for this
// container. Only to be called when the container is gone.
func (n *Net) Remove() error { return remove(n.Home.Run(n.Want.Container + run.NetFile)) }

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Command watch measures coi-watch on this machine and prints each figure
// beside its bar: from exec to verdict, from exec to frozen, losses, processor
// and memory. It needs root and no Incus: the containers are control groups
// with the names that Incus would give them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

func main() { os.Exit(run()) }

func run() int {
	bin := flag.String("bin", "bin/coi-watch", "program to measure")
	rate := flag.Int("rate", 5000, "programs a second in the storm")
	secs := flag.Int("seconds", 10, "length of the storm")
	rounds := flag.Int("rounds", 50, "freezes to measure")
	storm := flag.String("storm", "", "internal: start programs of this file")
	spin := flag.String("spin", "", "internal: stamp the time into this file until stopped")
	tell := flag.String("tell", "", "internal: write the number of started programs into this file")
	hostile := flag.String("hostile", "", "internal: stamp the time, then become this program with hostile arguments")
	flag.Parse()
	switch {
	case *storm != "":
		return exitCode(stormMain(*storm, *rate, *secs, *tell))
	case *hostile != "":
		return exitCode(hostileMain(*hostile, *tell))
	case *spin != "":
		return exitCode(spinMain(*spin))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	path, err := filepath.Abs(*bin)
	if err != nil {
		return exitCode(err)
	}
	return exitCode(measureAll(ctx, path, *rate, time.Duration(*secs)*time.Second, *rounds))
}

func exitCode(err error) int {
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench watch:", err)
		return 1
	}
	return 0
}

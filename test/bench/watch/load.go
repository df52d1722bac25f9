package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tiny returns the smallest static program that ends at once: what the watch
// sees of it is the price of a program start and nothing else.
func tiny() ([]byte, error) {
	code := map[string][]byte{
		"amd64": {0x31, 0xff, 0xb8, 0x3c, 0, 0, 0, 0x0f, 0x05},                // xor edi,edi; mov eax,60; syscall
		"arm64": {0, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0, 0, 0xd4}, // mov x0,0; mov x8,93; svc 0
	}[runtime.GOARCH]
	machine := map[string]uint16{"amd64": 62, "arm64": 183}[runtime.GOARCH]
	if code == nil {
		return nil, fmt.Errorf("no program for %s", runtime.GOARCH)
	}
	const base, head = 0x400000, 64 + 56
	le := binary.LittleEndian
	b := make([]byte, head, head+len(code))
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[16:], 2)
	le.PutUint16(b[18:], machine)
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[24:], base+head)
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 1)
	size := uint64(head + len(code))
	le.PutUint32(b[64:], 1)
	le.PutUint32(b[68:], 5)
	le.PutUint64(b[80:], base)
	le.PutUint64(b[88:], base)
	le.PutUint64(b[96:], size)
	le.PutUint64(b[104:], size)
	le.PutUint64(b[112:], 4096)
	return append(b, code...), nil
}

// stormMain starts programs at a rate for some seconds, each with arguments of
// its own, and writes how many there were.
func stormMain(program string, rate, secs int, tell string) error {
	var started atomic.Int64
	var wg sync.WaitGroup
	end := time.Now().Add(time.Duration(secs) * time.Second)
	workers := runtime.NumCPU()
	gap := time.Duration(workers) * time.Second / time.Duration(rate)
	for w := range workers {
		wg.Go(func() {
			next := time.Now()
			for i := 0; time.Now().Before(end); i++ {
				if wait := time.Until(next); wait > 0 {
					time.Sleep(wait) //nolint:forbidigo // the rate of the load
				}
				next = next.Add(gap)
				pid, err := syscall.ForkExec(program, []string{"build-step", strconv.Itoa(w), strconv.Itoa(i)}, nil)
				if err != nil {
					continue
				}
				started.Add(1)
				_, _ = syscall.Wait4(pid, nil, 0, nil)
			}
		})
	}
	wg.Wait()
	return os.WriteFile(tell, []byte(strconv.FormatInt(started.Load(), 10)), 0o600)
}

// spinMain writes the monotonic time into a shared file as fast as it can: the
// last value is the moment at which it was frozen.
func spinMain(file string) error {
	mem, err := stamp(file)
	if err != nil {
		return err
	}
	for {
		atomic.StoreInt64(mem, monotonic())
	}
}

// hostileMain notes the time and becomes a listener that hands out a shell.
func hostileMain(program, file string) error {
	mem, err := stamp(file)
	if err != nil {
		return err
	}
	atomic.StoreInt64(mem, monotonic())
	return syscall.Exec(program, []string{"nc", "-l", "-p", "12345", "-e", "/bin/sh"}, nil)
}

// stamp maps eight bytes of a file.
func stamp(file string) (*int64, error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if err := f.Truncate(4096); err != nil {
		return nil, err
	}
	b, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return (*int64)(unsafe.Pointer(&b[0])), nil
}

func monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

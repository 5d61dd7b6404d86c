// Package filelock provides locks between processes that the kernel releases
// when their holder ends, however it ends.
package filelock

import (
	"context"
	"errors"
	"time"
)

// ErrLocked is returned by Try when another holder has the lock.
var ErrLocked = errors.New("file is locked")

// Lock takes an exclusive lock on a file, which it creates if needed. If the
// lock is taken it calls waiting once and waits until ctx ends.
func Lock(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	unlock, err = Try(path)
	if !errors.Is(err, ErrLocked) {
		return unlock, err
	}
	waiting()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ticker.C:
		}
		unlock, err = Try(path)
		if !errors.Is(err, ErrLocked) {
			return unlock, err
		}
	}
}

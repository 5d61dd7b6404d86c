//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package filelock

import "errors"

// Try reports that this operating system has no support for locks.
func Try(string) (unlock func(), err error) {
	return nil, errors.ErrUnsupported
}

// Package pairs reads KEY=VALUE arguments.
package pairs

import (
	"errors"
	"fmt"
	"strings"
)

// Pairs are KEY=VALUE arguments, of which there may be several. It is a flag.Value.
type Pairs map[string]string

// String is part of flag.Value.
func (p Pairs) String() string { return "" }

// Set adds one.
func (p Pairs) Set(text string) error {
	key, value, ok := strings.Cut(text, "=")
	if !ok || key == "" {
		return errors.New("give KEY=VALUE")
	}
	if _, twice := p[key]; twice {
		return fmt.Errorf("%s is given twice", key)
	}
	p[key] = value
	return nil
}

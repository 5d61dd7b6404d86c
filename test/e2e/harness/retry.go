package harness

import (
	"strings"
	"time"
)

// Answered tries again, as a user would, what a busy machine had no time for: a webhook that
// was not answered in time, and a replacement of what a controller wrote meanwhile.
func Answered(try func() error) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		err := try()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		text := err.Error()
		late := strings.Contains(text, "failed calling webhook") && strings.Contains(text, "deadline exceeded")
		overtaken := strings.Contains(text, "error when replacing") && strings.Contains(text, "the object has been modified")
		if !late && !overtaken {
			return err
		}
	}
}

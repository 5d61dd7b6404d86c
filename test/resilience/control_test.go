package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestWhatFailsWhileTheControlStandsStillIsNotOurs(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(sent, took time.Duration, failure string) request {
		return request{sent: begin.Add(sent), took: took, failure: failure}
	}
	control := []request{
		at(20*time.Second, 10*time.Millisecond, ""),
		at(11*time.Second, 3*time.Second, ""),
		at(10*time.Second, 2*time.Second, ""),
		at(30*time.Second, time.Millisecond, "the API server was away"),
	}
	spans := standstills(control)
	assert.Equal(t, []span{{begin.Add(10 * time.Second), begin.Add(14 * time.Second)}, {begin.Add(30 * time.Second), begin.Add(30*time.Second + time.Millisecond)}}, spans)
	for name, tt := range map[string]struct {
		request request
		during  bool
	}{
		"before it":                    {at(8*time.Second, time.Second, "x"), false},
		"under way when it began":      {at(9*time.Second, 2*time.Second, "x"), true},
		"within it":                    {at(12*time.Second, time.Millisecond, "x"), true},
		"sent as it ended":             {at(14*time.Second, time.Second, "x"), true},
		"between two":                  {at(15*time.Second, time.Second, "x"), false},
		"over all of the second":       {at(29*time.Second, 2*time.Second, "x"), true},
		"after the control was well":   {at(31*time.Second, time.Second, "x"), false},
		"while it was quick meanwhile": {at(20*time.Second, time.Millisecond, "x"), false},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tt.during, tt.request.during(spans)) })
	}
}

package controlplane

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// asOwner makes the test binary start a control plane and wait to be killed.
const asOwner = "CONTROLPLANE_TEST_AS_OWNER"

// TestMain lets the test binary play other programs in its own tests.
func TestMain(m *testing.M) {
	var err error
	switch {
	case os.Getenv(asOwner) != "":
		err = ownControlPlane()
	case os.Getenv(asWebhook) != "":
		err = serveWebhook(os.Getenv(asWebhook), os.Args[2:])
	default:
		os.Exit(m.Run())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// ownControlPlane prints the process ids of a control plane on one line.
func ownControlPlane() error {
	c, err := Start(context.Background(), Options{WithoutKnative: true})
	if err != nil {
		return err
	}
	var pids []string
	for _, p := range c.Processes() {
		pids = append(pids, strconv.Itoa(p.PID()))
	}
	fmt.Println(strings.Join(pids, " "))
	select {}
}

// Program verdicts says what one release of Knative Serving, the one that it is built with, refuses in Services: it reads
// JSON lines of a configuration and a Service, and writes for each a JSON text, empty where Knative takes it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	authenticationv1 "k8s.io/api/authentication/v1"
	"knative.dev/pkg/apis"
	"knative.dev/serving/pkg/apis/config"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	autoscalerconfig "knative.dev/serving/pkg/autoscaler/config"
)

type input struct {
	Config  map[string]map[string]string
	Service json.RawMessage
}

// verdict does what Knative's webhooks do to a new Service.
func verdict(in input) (string, error) {
	a, err := autoscalerconfig.NewConfigFromMap(in.Config["config-autoscaler"])
	if err != nil {
		return "", err
	}
	d, err := config.NewDefaultsConfigFromMap(in.Config["config-defaults"])
	if err != nil {
		return "", err
	}
	f, err := config.NewFeaturesConfigFromMap(in.Config["config-features"])
	if err != nil {
		return "", err
	}
	ctx := config.ToContext(context.Background(), &config.Config{Autoscaler: a, Defaults: d, Features: f})
	ctx = apis.WithinCreate(apis.WithUserInfo(ctx, &authenticationv1.UserInfo{Username: "somebody"}))
	s := &servingv1.Service{}
	if err := json.Unmarshal(in.Service, s); err != nil {
		return "it cannot be read: " + err.Error(), nil
	}
	s.SetDefaults(ctx)
	if err := s.Validate(ctx).Filter(apis.ErrorLevel); err != nil {
		return err.Error(), nil
	}
	return "", nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	lines, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var in input
		if err := json.Unmarshal(lines.Bytes(), &in); err != nil {
			return err
		}
		text, err := verdict(in)
		if err != nil {
			return err
		}
		if err := out.Encode(text); err != nil {
			return err
		}
	}
	return lines.Err()
}

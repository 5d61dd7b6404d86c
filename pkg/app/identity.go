package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
)

// ownUser is who this process is to the API server, as the API server says. Requests of
// that user are the controller's own.
type ownUser struct {
	client authenticationclient.SelfSubjectReviewInterface

	mu      sync.Mutex
	user    string
	problem error
}

// name is the user's name; empty until it is known.
func (i *ownUser) name() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.user
}

// known is nil once the name is.
func (i *ownUser) known() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.user != "":
		return nil
	case i.problem == nil:
		return errors.New("waiting for the API server to tell this process's user name")
	}
	return fmt.Errorf("asking the API server for this process's user name: %w", i.problem)
}

// NeedLeaderElection tells a manager that every replica asks.
func (*ownUser) NeedLeaderElection() bool { return false }

// Start asks until there is an answer.
func (i *ownUser) Start(ctx context.Context) error {
	_ = wait.PollUntilContextCancel(ctx, retryReading/20, true, func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		review, err := i.client.Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.problem = err; err != nil {
			return false, nil
		}
		i.user = review.Status.UserInfo.Username
		return i.user != "", nil
	})
	return nil
}

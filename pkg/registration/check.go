package registration

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Check looks once, from outside, and changes nothing. Its error says all that is not as it
// should be.
func Check(ctx context.Context, o RegistrarOptions) error {
	r := &Registrar{RegistrarOptions: o}
	var problems []error
	for _, kind := range []string{mutating, validating} {
		_, expected, entries, err := r.read(ctx, kind)
		if apierrors.IsNotFound(err) {
			problems = append(problems, errors.New("the "+kind+" webhook configuration "+o.Configuration+" is missing"))
			continue
		}
		if err != nil {
			return err
		}
		for _, problem := range o.Expected.compare(expected, entries(), o.Verifies).Problems {
			problems = append(problems, errors.New(problem))
		}
	}
	return errors.Join(problems...)
}

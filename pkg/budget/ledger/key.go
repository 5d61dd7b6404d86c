package ledger

import (
	"crypto/sha256"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/types"
)

// Key identifies a claim. Two objects that exist at the same time never share one,
// except a Deployment and the Knative Service that is made from it.
type Key [16]byte

// String is the form that a Reservation has it in; an object's own UID reads as it is.
func (k Key) String() string { return uuid.UUID(k).String() }

// ParseKey reads what String wrote.
func ParseKey(text string) (Key, error) {
	id, err := uuid.Parse(text)
	return Key(id), err
}

// ForUID is the key of an object by itself.
func ForUID(uid types.UID) Key {
	if id, err := uuid.Parse(string(uid)); err == nil {
		return Key(id)
	}
	return derived("uid", string(uid))
}

// ForMade is the key of the Knative Service of a name that is made, or is to be made, from
// the Deployment with a UID. At any time there is at most one Knative Service of the name,
// so the Deployment's plan and the Service itself are one claim, and a forged owner gains
// nothing: nobody else has the same key.
func ForMade(deployment types.UID, namespace, service string) Key {
	return derived("made", string(deployment), namespace, service)
}

// ForName is the key of an object whose UID is not known, as without a cluster.
func ForName(kind, namespace, name string) Key { return derived("name", kind, namespace, name) }

func derived(parts ...string) Key {
	h := sha256.New()
	for _, part := range parts {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return Key(h.Sum(nil)[:16])
}

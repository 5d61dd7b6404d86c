package certificate

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Keys of the Secret. A CA that is being introduced or taken out stands beside the one that
// signs, so that it can be in the caBundle before the first and after the last certificate
// of it is served.
const (
	signingCertKey = corev1.TLSCertKey       // the CA that signs
	signingKeyKey  = corev1.TLSPrivateKeyKey // its key
	signingCAKey   = corev1.ServiceAccountRootCAKey
	nextCertKey    = "next.crt"     // the CA that will sign
	nextKeyKey     = "next.key"     // its key
	previousKey    = "previous.crt" // CAs that signed certificates that may still be served
)

const (
	// RotateAnnotation on the Secret asks for a new CA each time its value changes.
	RotateAnnotation = "kubetorch.com/rotate-ca"
	// RotatedAnnotation is the value of RotateAnnotation that the latest new CA answered.
	RotatedAnnotation = "kubetorch.com/rotated-ca"
	// RenewAnnotation on the Secret has every replica renew its certificate each time its
	// value changes.
	RenewAnnotation = "kubetorch.com/renew-certificates"
)

// authorities is the content of the Secret.
type authorities struct {
	signing  *authority // nil if there is none that can sign
	next     *authority // nil if none is being introduced
	previous [][]byte
	problem  error // why signing is nil
}

// readAuthorities reads the Secret's data. What is damaged counts as missing.
func readAuthorities(data map[string][]byte, now time.Time) authorities {
	var s authorities
	s.signing, s.problem = readAuthority(data[signingCertKey], data[signingKeyKey], now)
	s.next, _ = readAuthority(data[nextCertKey], data[nextKeyKey], now)
	s.previous = certificates(data[previousKey], now)
	return s.tidy()
}

// tidy drops what is said twice.
func (s authorities) tidy() authorities {
	if s.next != nil && s.signing != nil && bytes.Equal(s.next.crt, s.signing.crt) {
		s.next = nil
	}
	var previous [][]byte
	for _, crt := range s.previous {
		if !holds(previous, crt) && (s.signing == nil || !bytes.Equal(crt, s.signing.crt)) && (s.next == nil || !bytes.Equal(crt, s.next.crt)) {
			previous = append(previous, crt)
		}
	}
	s.previous = previous
	return s
}

// trusted are the CAs that belong in the caBundle.
func (s authorities) trusted() (all [][]byte) {
	for _, a := range []*authority{s.signing, s.next} {
		if a != nil {
			all = append(all, a.crt)
		}
	}
	return append(all, s.previous...)
}

// write sets the keys of the Secret and leaves others alone. It tells whether that changed
// anything.
func (s authorities) write(data map[string][]byte) (changed bool) {
	wanted := map[string][]byte{previousKey: bytes.Join(s.previous, nil)}
	if s.signing != nil {
		wanted[signingCertKey], wanted[signingKeyKey], wanted[signingCAKey] = s.signing.crt, s.signing.key, s.signing.crt
	}
	wanted[nextCertKey], wanted[nextKeyKey] = nil, nil
	if s.next != nil {
		wanted[nextCertKey], wanted[nextKeyKey] = s.next.crt, s.next.key
	}
	for key, value := range wanted {
		before, there := data[key]
		switch {
		case len(value) == 0 && there:
			delete(data, key)
			changed = true
		case len(value) > 0 && !bytes.Equal(before, value):
			data[key] = value
			changed = true
		}
	}
	return changed
}

// observation is what the next step of a rotation depends on.
type observation struct {
	now time.Time
	// serving is the CA of the certificate that this replica serves; nil if there is none.
	serving *authority
	// requested is whether somebody asked for a new CA.
	requested bool
	// introduced is whether all API servers trust the next CA by now.
	introduced bool
	// moved is whether every replica serves, and has for some time, from the CA that signs.
	moved bool
	// make makes a CA.
	make func() (*authority, error)
}

// advance is what the Secret should hold next, and why if that differs. At each step
// everything that a replica may serve is trusted.
func (s authorities) advance(o observation) (authorities, string, error) {
	if s.signing == nil {
		return s.recover(o)
	}
	if o.serving.valid(o.now) && !holds(s.trusted(), o.serving.crt) {
		// The Secret was replaced. What is served until this replica moves stays trusted.
		s.previous = append(slices.Clone(s.previous), o.serving.crt)
		return s, "trusting the CA that replicas still serve from", nil
	}
	switch {
	case s.next != nil && o.introduced:
		s.previous = append([][]byte{s.signing.crt}, s.previous...)
		s.signing, s.next = s.next, nil
		return s.tidy(), "signing with the new CA", nil
	case s.next != nil:
		return s, "", nil
	case len(s.previous) > 0 && o.moved:
		s.previous = nil
		return s, "every replica serves from the new CA, dropping the old one", nil
	case len(s.previous) == 0 && (o.requested || s.signing.due(o.now)):
		next, err := o.make()
		if err != nil {
			return s, "", err
		}
		s.next = next
		return s, "introducing a new CA", nil
	}
	return s, "", nil
}

// recover puts a Secret in order that has no CA that can sign. The CA that this replica
// serves from goes on signing while a new one is introduced: whoever took the old one away
// gets a new one, and no API server meets a certificate that it does not trust yet.
func (s authorities) recover(o observation) (authorities, string, error) {
	why := fmt.Sprintf("the CA Secret is unusable (%v), ", s.problem)
	s.problem = nil
	if !o.serving.valid(o.now) {
		if s.signing, s.next = s.next, nil; s.signing != nil {
			return s.tidy(), why + "signing with the CA that was being introduced", nil
		}
		made, err := o.make()
		if err != nil {
			return s, "", err
		}
		s.signing = made
		return s.tidy(), why + "making a new CA", nil
	}
	s.signing = o.serving
	if s.next == nil || bytes.Equal(s.next.crt, s.signing.crt) {
		made, err := o.make()
		if err != nil {
			return s, "", err
		}
		s.next = made
	}
	return s.tidy(), why + "going on with the CA in use and introducing a new one", nil
}

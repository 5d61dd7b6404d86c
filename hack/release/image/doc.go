// Package image puts static programs into container images, without a container engine.
//
// An image has one layer of a few small files (CA certificates, the user that it runs as) and
// one with the program of a platform. The images of all platforms are one OCI index. The same
// programs and options give the same bytes, and so the same digest: nothing of the machine or
// of the moment goes in.
package image

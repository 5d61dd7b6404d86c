// Package bundle puts a release together: image and chart as OCI layouts, the manifests for
// kubectl, the programs for a kubectl plug-in, what they are made of, and what is new.
package bundle

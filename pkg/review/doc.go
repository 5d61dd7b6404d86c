// Package review turns an admission request into an answer: it reads the object, has
// pkg/expand expand it or pkg/policy judge it, and words the verdict. It is pure; the
// World it is given holds everything else that the verdict depends on.
package review

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const plainResults = `commit: abc
date: 2026-01-02
cpus: 2
cpu: some
goos: linux
goarch: amd64
go: go1.26
count: 1
time: 1s
BenchmarkPlain/webhook=with/clients=1 10 3 p50-ms 0 calls
BenchmarkPlain/webhook=without/clients=1 10 2 p50-ms 0 calls
`

// TestPartsWithoutResultsStayOnThePage renders the results of one part over the page as it was
// committed: all else that it says is still there.
func TestPartsWithoutResultsStayOnThePage(t *testing.T) {
	committed, err := os.ReadFile("../../../docs/benchmarks.md")
	require.NoError(t, err)
	results, docs := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(docs, "benchmarks.md"), committed, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(results, "plain.txt"), []byte(plainResults), 0o644))
	require.NoError(t, render(results, docs))
	text, err := os.ReadFile(filepath.Join(docs, "benchmarks.md"))
	require.NoError(t, err)

	was, is := written(committed), written(text)
	engine, err := was.section("engine")
	require.NoError(t, err)
	require.NotEmpty(t, engine)
	for _, p := range parts {
		before, err := was.section(p.name)
		require.NoError(t, err)
		after, err := is.section(p.name)
		require.NoError(t, err)
		if p.name != "plain" {
			assert.Equal(t, before, after, p.name)
			assert.Equal(t, was.row("`"+p.name+"`"), is.row("`"+p.name+"`"), p.name)
		}
	}
	for _, a := range aims {
		if a.part != "plain" {
			assert.Equal(t, was.row(a.what), is.row(a.what), a.what)
		}
	}
	assert.Equal(t, "| median create of a plain pod: with the webhook, to without, 1 client | at most 1.05 x | 1.50 x | **missed** |",
		is.row("median create of a plain pod: with the webhook, to without, 1 client"))
	require.NoError(t, render(results, docs))
	again, err := os.ReadFile(filepath.Join(docs, "benchmarks.md"))
	require.NoError(t, err)
	assert.Equal(t, string(text), string(again), "rendered again")
}

package app

import (
	"crypto/tls"
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestASlowCallerIsCutOff(t *testing.T) {
	t.Parallel()
	r := start(t, 0)
	t.Cleanup(func() { r.stop(); r.await(t, 2*time.Second) })
	for name, sent := range map[string]string{
		"a header that does not end":           "POST /validate HTTP/1.1\r\nHost: x\r\n",
		"a body that does not come in 3 s":     "POST /validate?timeout=3s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
		"a header that is larger than it need": "POST /validate HTTP/1.1\r\nHost: x\r\nX: " + string(make([]byte, maxHeader+8<<10)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			connection, err := tls.Dial("tcp", r.url[len("https://"):], r.config)
			require.NoError(t, err)
			defer connection.Close()
			_, err = io.WriteString(connection, sent)
			require.NoError(t, err)
			began := time.Now()
			require.NoError(t, connection.SetReadDeadline(began.Add(4*headerTimeout)))
			_, err = io.ReadAll(connection)
			assert.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection is closed")
			assert.Less(t, time.Since(began), headerTimeout+2*time.Second)
		})
	}
}

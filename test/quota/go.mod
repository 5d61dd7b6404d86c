module github.com/kubetorch/webhook/test/quota

go 1.27.0

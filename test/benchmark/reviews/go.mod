module github.com/kubetorch/webhook/test/benchmark/reviews

go 1.26.0

require github.com/evanphx/json-patch/v5 v5.9.11

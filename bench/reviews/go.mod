module github.com/kubetorch/webhook/bench/reviews

go 1.26.0

require github.com/evanphx/json-patch/v5 v5.9.11

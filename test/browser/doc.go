// Package browser opens the HTML that commands write in a headless Chromium. Its tests need a
// program chromium (make test-browser); KUBETORCH_CHROMIUM names another one.
package browser

package options

import (
	"io"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// Log says what is logged and how.
type Log struct {
	Level  string
	Format string
}

var logLevels = map[string]zapcore.Level{"debug": zapcore.DebugLevel, "info": zapcore.InfoLevel, "error": zapcore.ErrorLevel}

func (o *Log) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.Level, "log-level", "info", "debug (every request), info or error")
	flags.StringVar(&o.Format, "log-format", "json", "json or text")
}

func (o *Log) validate() (errs field.ErrorList) {
	if _, ok := logLevels[o.Level]; !ok {
		errs = append(errs, field.NotSupported(flag("log-level"), o.Level, []string{"debug", "info", "error"}))
	}
	if o.Format != "json" && o.Format != "text" {
		errs = append(errs, field.NotSupported(flag("log-format"), o.Format, []string{"json", "text"}))
	}
	return errs
}

// Logger writes to out. The options must be valid.
func (o *Log) Logger(out io.Writer) logr.Logger {
	encoder := zap.JSONEncoder(func(c *zapcore.EncoderConfig) { c.EncodeTime = zapcore.RFC3339NanoTimeEncoder })
	if o.Format == "text" {
		encoder = zap.ConsoleEncoder()
	}
	return zap.New(zap.WriteTo(out), zap.Level(logLevels[o.Level]), encoder,
		zap.StacktraceLevel(zapcore.PanicLevel)) // errors say where they come from in words
}

package redisproxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/redis-proxy/caddy-redis-proxy/internal/suggest"
)

// UnmarshalJSON is as strict as Caddy is with modules that have none, and says
// of a mistake what to write instead.
func (h *Handler) UnmarshalJSON(data []byte) error {
	type plain Handler // without this method
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	err := decoder.Decode((*plain)(h))
	if err == nil {
		return nil
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		if name, err := strconv.Unquote(name); err == nil {
			return errors.New(suggest.Unknown("setting", name, settingNames()))
		}
	}
	if err := checkDurationsIn(data); err != nil {
		return err
	}
	if mistake, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: it takes no %s; write %s", mistake.Field, mistake.Value, kindOf(mistake.Type))
	}
	return err
}

func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return "a whole number without quotes; sizes are in bytes"
	case reflect.Bool:
		return "true or false, without quotes"
	case reflect.Slice:
		return "a list of strings"
	default:
		return "a string in quotes"
	}
}

// checkDurationsIn names the first setting that is no duration, which Caddy's own
// error does not.
func checkDurationsIn(data []byte) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(data, &values); err != nil {
		return err
	}
	for _, s := range settings {
		value, isThere := values[s.name]
		if _, isDuration := s.kind.(durationSetting); !isThere || !isDuration {
			continue
		}
		if json.Unmarshal(value, new(caddy.Duration)) != nil {
			return fmt.Errorf(`%s: %s is no duration; write a string such as "30s", "250ms" or "1d"`, s.name, value)
		}
	}
	return nil
}

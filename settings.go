package redisproxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
	"github.com/redis-proxy/caddy-redis-proxy/internal/suggest"
)

const (
	noCacheHonor  = "honor"
	noCacheIgnore = "ignore"

	mostValueSize = 512 << 20

	defaultPathPrefix = "/cache"
	defaultNamespace  = "cache"
	defaultMaxKeys    = 10_000
)

// setting is a row of the table.
type setting struct {
	name string // in JSON and in a Caddyfile
	typ  settingType
}

// settings lists all settings of the directive, in the order of the fields of Handler.
// The code that reads, checks, compares or shows settings uses this table. A new setting
// is a field of Handler, a row here, and its documentation. A setting of HTTP is also a
// field of httpapi.Config, which Provision sets.
var settings = []setting{
	{"store", secretSetting{
		field:     func(h *Handler) *string { return &h.Store },
		valid:     checkStore,
		byDefault: running.Embedded,
	}},
	{"redis_username", secretSetting{
		field: func(h *Handler) *string { return &h.RedisUsername },
		valid: checkNotEmpty,
	}},
	{"redis_password", secretSetting{
		field: func(h *Handler) *string { return &h.RedisPassword },
		valid: checkNotEmpty,
	}},
	{"redis_ca", listSetting{
		field:        func(h *Handler) *[]string { return &h.RedisCA },
		valid:        checkFiles,
		ofConnection: true,
	}},
	{"redis_cert", listSetting{
		field:        func(h *Handler) *[]string { return &h.RedisCert },
		valid:        checkCertFiles,
		ofConnection: true,
	}},
	{"redis_server_name", textSetting{
		field:        func(h *Handler) *string { return &h.RedisServerName },
		valid:        redisstore.CheckServerName,
		ofConnection: true,
	}},
	{"path_prefix", textSetting{
		field:     func(h *Handler) *string { return &h.PathPrefix },
		valid:     keypath.CheckPathPrefix,
		byDefault: defaultPathPrefix,
	}},
	{"namespace", textSetting{
		field:     func(h *Handler) *string { return &h.Namespace },
		valid:     store.CheckNamespace,
		byDefault: defaultNamespace,
	}},
	{"key_prefix", textSetting{
		field:      func(h *Handler) *string { return &h.KeyPrefix },
		valid:      httpapi.CheckKeyPrefix,
		perRequest: true,
	}},
	{"methods", listSetting{
		field:     func(h *Handler) *[]string { return &h.Methods },
		valid:     checkMethods,
		byDefault: []string{http.MethodGet, http.MethodHead, http.MethodPost},
	}},
	{"partitions", countSetting{
		field:     func(h *Handler) **int { return &h.Partitions },
		most:      redisstore.MaxPartitions,
		byDefault: 1,
		fixed:     true,
	}},
	{"max_keys", countSetting{
		field:     func(h *Handler) **int { return &h.MaxKeys },
		byDefault: defaultMaxKeys,
		shared:    func(s *engine.Settings) *int { return &s.Limits.MaxKeys },
	}},
	{"max_bytes", sizeSetting[int64]{
		field: func(h *Handler) **int64 { return &h.MaxBytes },
		// Without a default, the store could fill the memory of the process.
		ifEmbedded: 256 << 20,
		shared:     func(s *engine.Settings) *int64 { return &s.Limits.MaxBytes },
	}},
	{"eviction", textSetting{
		field:     func(h *Handler) *string { return &h.Eviction },
		valid:     store.CheckPolicy,
		byDefault: store.Policies[0].Name,
		shared:    func(s *engine.Settings) *string { return &s.Limits.Eviction },
	}},
	{"rank_local_hits", flagSetting{
		field:  func(h *Handler) *bool { return &h.RankLocalHits },
		shared: func(s *engine.Settings) *bool { return &s.RankLocalHits },
	}},
	{"local_ttl", durationSetting{
		field:     func(h *Handler) **caddy.Duration { return &h.LocalTTL },
		zero:      orZero,
		byDefault: 30 * time.Second,
		shared:    func(s *engine.Settings) *time.Duration { return &s.LocalTTL },
	}},
	{"local_max_bytes", sizeSetting[int64]{
		field:     func(h *Handler) **int64 { return &h.LocalMaxBytes },
		least:     1,
		byDefault: 64 << 20,
		shared:    func(s *engine.Settings) *int64 { return &s.LocalMaxBytes },
	}},
	{"max_queue_jobs", countSetting{
		field:     func(h *Handler) **int { return &h.MaxQueueJobs },
		byDefault: 4096,
		shared:    func(s *engine.Settings) *int { return &s.MaxQueueJobs },
	}},
	{"max_queue_bytes", sizeSetting[int64]{
		field:     func(h *Handler) **int64 { return &h.MaxQueueBytes },
		least:     1,
		byDefault: 64 << 20,
		shared:    func(s *engine.Settings) *int64 { return &s.MaxQueueBytes },
	}},
	{"max_key_size", sizeSetting[int]{
		field:     func(h *Handler) **int { return &h.MaxKeySize },
		least:     1,
		most:      keypath.MaxKeySize,
		byDefault: 512,
	}},
	{"max_value_size", sizeSetting[int64]{
		field:     func(h *Handler) **int64 { return &h.MaxValueSize },
		least:     1,
		most:      mostValueSize,
		byDefault: 1 << 20,
	}},
	{"max_answer_bytes", sizeSetting[int64]{
		field:     func(h *Handler) **int64 { return &h.MaxAnswerBytes },
		least:     1,
		byDefault: 8 << 20,
	}},
	{"body_timeout", durationSetting{
		field:     func(h *Handler) **caddy.Duration { return &h.BodyTimeout },
		byDefault: 30 * time.Second,
	}},
	{"redis_timeout", durationSetting{
		field:     func(h *Handler) **caddy.Duration { return &h.RedisTimeout },
		byDefault: time.Second,
		shared:    func(s *engine.Settings) *time.Duration { return &s.Timeout },
	}},
	{"durability", wordsSetting{
		field: func(h *Handler) *string { return &h.Durability },
		valid: checkDurability,
		set: func(s *engine.Settings, value string) any {
			s.Durability, _ = store.ParseDurability(value)
			return s.Durability.String()
		},
	}},
	{"drain_timeout", durationSetting{
		field:     func(h *Handler) **caddy.Duration { return &h.DrainTimeout },
		byDefault: 5 * time.Second,
		shared:    func(s *engine.Settings) *time.Duration { return &s.DrainTimeout },
	}},
	{"stale_if_error", durationSetting{
		field:  func(h *Handler) **caddy.Duration { return &h.StaleIfError },
		zero:   orZero,
		shared: func(s *engine.Settings) *time.Duration { return &s.StaleIfError },
	}},
	{"unsubscribed_ttl", durationSetting{
		field:     func(h *Handler) **caddy.Duration { return &h.UnsubscribedTTL },
		zero:      orZero,
		byDefault: time.Second,
		shared:    func(s *engine.Settings) *time.Duration { return &s.UnsubscribedTTL },
	}},
	{"default_ttl", durationSetting{
		field: func(h *Handler) **caddy.Duration { return &h.DefaultTTL },
		zero:  orZero,
	}},
	{"max_ttl", durationSetting{
		field: func(h *Handler) **caddy.Duration { return &h.MaxTTL },
		zero:  orZero,
	}},
	{"cache_control", clearableSetting{
		field:     func(h *Handler) **string { return &h.CacheControl },
		valid:     checkHeaderValue,
		byDefault: "no-cache",
	}},
	{"client_no_cache", textSetting{
		field:     func(h *Handler) *string { return &h.ClientNoCache },
		valid:     checkClientNoCache,
		byDefault: noCacheHonor,
	}},
	{"respond_with", textSetting{
		field:     func(h *Handler) *string { return &h.RespondWith },
		valid:     httpapi.CheckRespondWith,
		byDefault: httpapi.RespondMinimal,
	}},
	{"trusted_origins", listSetting{
		field: func(h *Handler) *[]string { return &h.TrustedOrigins },
		valid: checkOrigins,
	}},
	{"trusted_credentials", flagSetting{field: func(h *Handler) *bool { return &h.TrustedCredentials }}},
	{"listing", flagSetting{field: func(h *Handler) *bool { return &h.Listing }}},
	{"watch", countSetting{
		field: func(h *Handler) **int { return &h.Watch },
		orOff: true,
	}},
	{"pass_errors", flagSetting{field: func(h *Handler) *bool { return &h.PassErrors }}},
	{"placeholders", flagSetting{field: func(h *Handler) *bool { return &h.Placeholders }}},
}

func settingNames() []string {
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = s.name
	}
	return names
}

// resolve replaces the global placeholders in all settings that are strings.
func (h *Handler) resolve(repl *caddy.Replacer) error {
	for _, s := range settings {
		if err := s.typ.resolve(h, repl); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func (h *Handler) setDefaults() {
	if h.DefaultTTL == nil {
		h.DefaultTTL = h.MaxTTL
	}
	for _, s := range settings {
		s.typ.setDefault(h)
	}
}

// Validate checks all settings. Provision must have set the defaults.
func (h *Handler) Validate() error {
	for _, s := range settings {
		if err := s.typ.check(h); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return h.checkTogether()
}

// sharedSettings returns the settings that all handlers of a cache share. It reads the
// files of redis_ca and redis_cert.
func (h *Handler) sharedSettings() (running.SharedSettings, error) {
	s := running.SharedSettings{Connection: h.connection(), Namespace: h.Namespace, Partitions: *h.Partitions}
	for _, row := range settings {
		if value := row.typ.share(h, &s.Settings); value != nil {
			s.Named = append(s.Named, running.Setting{Name: row.name, Value: value, OfConnection: isOfConnection(row.typ)})
		}
	}
	var err error
	if s.Target, err = h.target(); err != nil {
		return running.SharedSettings{}, err
	}
	if s.Target, err = h.withCertificates(s.Target); err != nil {
		return running.SharedSettings{}, err
	}
	return s, nil
}

// UnmarshalJSON is as strict as Caddy is with other modules. Its errors also say what to
// write instead.
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
		return fmt.Errorf("%s: it takes no %s; write %s", mistake.Field, mistake.Value, howToWrite(mistake.Type))
	}
	return err
}

// howToWrite says how JSON writes a value of a type.
func howToWrite(t reflect.Type) string {
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

// checkDurationsIn returns an error with the name of the first setting that should be a
// duration and is not. Caddy's own error does not name it.
func checkDurationsIn(data []byte) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(data, &values); err != nil {
		return err
	}
	for _, s := range settings {
		value, isThere := values[s.name]
		if _, isDuration := s.typ.(durationSetting); !isThere || !isDuration {
			continue
		}
		if json.Unmarshal(value, new(caddy.Duration)) != nil {
			return fmt.Errorf(`%s: %s is no duration; write a string such as "30s", "250ms" or "1d"`, s.name, value)
		}
	}
	return nil
}

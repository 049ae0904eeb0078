package redisstore

import (
	"crypto/tls"
	"errors"
	"io"
	"regexp"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// wrapping is what may stand before the words of a server. An error of a command
// within a script comes in several coats: Redis 6.2 says "ERR Error running script
// (call to f_…): @user_script:3: @user_script: 3: -READONLY You can't …\r\n".
var wrapping = regexp.MustCompile(`^(?:\s|-|ERR |Error running script \(call to \w+\): |@?user_script: ?\d+: )+`)

// plain returns the words of a server alone: they begin with the code of the
// error, or for one that has no code but ERR, with its text. Whatever compares
// them takes this form.
func plain(said string) string {
	if at := strings.LastIndex(said, " script: "); at >= 0 && strings.Contains(said[at:], "user_script:") {
		said = said[:at] // where it happened, as Redis 7 says it
	}
	return strings.TrimRight(said[len(wrapping.FindString(said)):], "\r\n ")
}

// said returns the words of the server in err, in their plain form; "" if no
// server said anything.
func said(err error) string {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return ""
	}
	return plain(reply.Error())
}

// code returns the first of plain words.
func code(words string) string {
	first, _, _ := strings.Cut(words, " ")
	return first
}

// replyCauses are told by how the plain words of a server begin.
var replyCauses = []struct {
	begins string
	cause  store.Cause
}{
	{"NOAUTH ", store.Credentials},
	{"WRONGPASS ", store.Credentials},
	{"Protocol error: unauthenticated", store.Credentials},
	{"AUTH <password> called without", store.Credentials},
	{"invalid password", store.Credentials},
	{"NOPERM ", store.Permission},
	{"The user executing the script can't", store.Permission},
	{"OOM ", store.Full},
	{"READONLY ", store.ReadOnly},
	{"MISCONF ", store.NotSaved},
	{"NOREPLICAS ", store.TooFewReplicas},
	{"LOADING ", store.Busy},
	{"MASTERDOWN ", store.Busy},
	{"CLUSTERDOWN ", store.Busy},
	{"BUSY ", store.Busy},
	{"TRYAGAIN ", store.Busy},
	{"max number of clients reached", store.Busy},
	{"DB index is out of range", store.NoDatabase},
	{"invalid DB index", store.NoDatabase},
	{"SELECT is not allowed in cluster mode", store.NoDatabase},
	{"unknown command", store.NotRedis},
	{"MOVED ", store.Elsewhere},
	{"ASK ", store.Elsewhere},
	{"LAYOUT ", store.UnknownLayout},
	{"POLICY ", store.UnknownEviction},
	{"WRONGTYPE ", store.WrongType},
}

// causeOfWords returns the cause that plain words of a server tell.
func causeOfWords(words string) store.Cause {
	for _, c := range replyCauses {
		if strings.HasPrefix(words, c.begins) {
			return c.cause
		}
	}
	return ""
}

// diagnose is diagnosed of an error of this store.
func (s *Store) diagnose(err error) error {
	if err == nil {
		return nil
	}
	s.mu.Lock()
	target := s.target
	s.mu.Unlock()
	return diagnosed(err, target, s.greeted.Load())
}

// diagnosed gives an error its cause, and an advice, where they are known. If no
// connection to the target ever got as far as its greeting, it is no outage that
// began meanwhile.
func diagnosed(err error, target *Target, greeted bool) error {
	if err == nil || store.CauseOf(err) != "" {
		return err
	}
	var cause store.Cause
	advice := ""
	handshake, isHandshake := errors.AsType[*handshakeError](err)
	switch {
	case isReply(err):
		cause = causeOfWords(said(err))
	case isHandshake:
		cause, advice = store.TLS, handshake.advice()
	case greeted:
	case isTimeout(err) && target.shaking.Load() > 0:
		cause, advice = store.TLS, silentAdvice
	case strings.HasPrefix(err.Error(), "redis: can't parse"), strings.HasPrefix(err.Error(), "redis: invalid reply"):
		cause = store.NotRedis
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		cause, advice = store.TLS, "the server closes connections before it says anything: "+
			"if its port speaks TLS, write rediss:// in store; else see whether it is a proxy whose server is down"
	}
	if cause == "" {
		return err
	}
	if advice == "" {
		advice = advices[cause]
	}
	return &store.CausedError{Cause: cause, Err: err, Advice: advice}
}

// advices say what to do about a cause.
var advices = map[store.Cause]string{
	store.Credentials:     "check the user and the password: redis_username and redis_password, or those in store",
	store.Permission:      "give the user of Redis the right: docs/redis.md has a line with all that are needed",
	store.Full:            "raise maxmemory of Redis, or lower max_keys or max_bytes",
	store.ReadOnly:        "give store the address of the primary: this server is a replica, or was not promoted yet",
	store.NotSaved:        "see in the log of Redis why it cannot save to disk",
	store.TooFewReplicas:  "see why Redis has fewer replicas than its min-replicas-to-write asks for",
	store.Busy:            "wait until Redis has loaded its data, or has a primary, a free connection, or time again",
	store.NoDatabase:      "choose a database that Redis has: it is the number at the end of store, and 0 is always there",
	store.NotRedis:        "check host and port in store: they lead to something else than a Redis server, such as a web server or a Sentinel",
	store.Elsewhere:       "give store the node of the cluster that has the keys of this namespace",
	store.UnknownLayout:   "run the version of this module that wrote the namespace or a later one, or choose another namespace",
	store.UnknownEviction: "run the version of this module that set the policy or a later one, or choose another namespace",
	store.WrongType:       "find out which program keeps its data under a key of this namespace, and choose another namespace for one of them",
}

// silentAdvice is for a server that takes connections and does not answer to TLS.
// So does a Redis on a plain port: it waits for the end of a line.
const silentAdvice = "the server does not answer to TLS: if its port is a plain one, write redis:// in store in place of rediss://"

// handshakeError says that a connection came about, and TLS on it did not.
type handshakeError struct{ error }

func (e *handshakeError) Unwrap() error { return e.error }

func (e *handshakeError) advice() string {
	if _, ok := errors.AsType[tls.RecordHeaderError](e.error); ok {
		return "the port does not speak TLS: write redis:// in store in place of rediss://, or the port that does"
	}
	if isTimeout(e.error) || errors.Is(e.error, io.EOF) || errors.Is(e.error, syscall.ECONNRESET) {
		return silentAdvice
	}
	return "the TLS handshake failed: see whether the certificate is one that this machine trusts, for the host in store"
}

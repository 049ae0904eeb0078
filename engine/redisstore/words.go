package redisstore

import (
	"errors"
	"regexp"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Only this file reads the texts of errors. Servers and go-redis give no other sign of
// which error it is. All other code uses the functions below, errors.Is or store.CauseOf.

// wrapping matches the text before the words of a server. An error of a command
// within a script is wrapped several times: Redis 6.2 says "ERR Error running script
// (call to f_…): @user_script:3: @user_script: 3: -READONLY You can't …\r\n".
var wrapping = regexp.MustCompile(`^(?:\s|-|ERR |Error running script \(call to \w+\): |@?user_script: ?\d+: )+`)

// scriptName is in every error of a command within a script, of every version.
const scriptName = "user_script"

// plain returns the words of a server alone. They begin with the code of the error,
// or with its text if the code is ERR.
func plain(text string) string {
	if at := strings.LastIndex(text, " script: "); at >= 0 && strings.Contains(text[at:], scriptName+":") {
		text = text[:at] // Redis 7 adds the place
	}
	return strings.TrimRight(text[len(wrapping.FindString(text)):], "\r\n ")
}

// rawWords returns the text of the server in err as it came; "" if no server said
// anything.
func rawWords(err error) string {
	var reply redis.Error
	if errors.As(err, &reply) {
		return reply.Error()
	}
	if away, ok := errors.AsType[*turnedAwayError](err); ok {
		return away.words
	}
	return ""
}

// said returns the plain words of the server in err; "" if no server said anything.
func said(err error) string { return plain(rawWords(err)) }

// code returns the first of plain words.
func code(words string) string {
	first, _, _ := strings.Cut(words, " ")
	return first
}

// errorType returns the code of the server's error in err, and ERR for one that has
// no other.
func errorType(err error) string {
	first := code(said(err))
	if first == "" || strings.Trim(first, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "ERR"
	}
	return first
}

// isReply reports whether a server said err.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// isForgotten reports whether a script refused its batch because it does not know
// the writer; see apply.lua.
func isForgotten(err error) bool { return code(said(err)) == "REFUSED" }

// isHalfWay reports whether a script may have written something before it failed.
// The scripts make their own refusals before their first write, and meet a wrong type
// there too, since they read every key first. Another error of a command may come
// anywhere, above all when the user lacks the right to one command.
func isHalfWay(err error) bool {
	return strings.Contains(rawWords(err), scriptName) && replyCause(err) != store.WrongType
}

// isUnnamedRight reports whether the user lacks the right to a command that the
// server does not name. Redis 7.0 and older name none for a script.
func isUnnamedRight(err error) bool {
	return strings.Contains(said(err), "executing the script")
}

// isNotRESP reports whether go-redis could not read an answer, since it came from
// no Redis.
func isNotRESP(err error) bool {
	text := err.Error()
	return strings.Contains(text, "redis: can't parse") || strings.Contains(text, "redis: invalid reply")
}

// isProtected reports whether the server takes no clients of other machines without a
// password (protected-mode).
func isProtected(err error) bool { return code(said(err)) == "DENIED" }

// replies tell errors of a server by how its plain words begin.
var replies = []struct {
	begins string
	cause  store.Cause
	// isPassing says that the server did nothing, and will soon work.
	isPassing bool
}{
	{begins: "NOAUTH ", cause: store.Credentials},
	{begins: "WRONGPASS ", cause: store.Credentials},
	{begins: "Protocol error: unauthenticated", cause: store.Credentials},
	{begins: "AUTH <password> called without", cause: store.Credentials},
	{begins: "invalid password", cause: store.Credentials},
	{begins: "DENIED ", cause: store.Credentials}, // protected mode: no password is set
	{begins: "NOPERM ", cause: store.Permission},
	{begins: "The user executing the script can't", cause: store.Permission}, // up to Redis 7.0
	{begins: "ACL failure in script: ", cause: store.Permission},             // from Redis 7.2 on
	{begins: "OOM ", cause: store.Full},
	{begins: "READONLY ", cause: store.ReadOnly},
	{begins: "MISCONF ", cause: store.NotSaved},
	{begins: "NOREPLICAS ", cause: store.TooFewReplicas},
	{begins: "LOADING ", cause: store.Busy, isPassing: true},
	{begins: "MASTERDOWN ", cause: store.Busy, isPassing: true},
	{begins: "CLUSTERDOWN ", cause: store.Busy, isPassing: true},
	{begins: "max number of clients reached", cause: store.Busy, isPassing: true},
	{begins: "BUSY ", cause: store.Busy},
	{begins: "TRYAGAIN ", cause: store.Busy},
	{begins: "DB index is out of range", cause: store.NoDatabase},
	{begins: "invalid DB index", cause: store.NoDatabase},
	{begins: "SELECT is not allowed in cluster mode", cause: store.NoDatabase},
	{begins: "unknown command 'WAITAOF'", cause: store.TooOld},
	{begins: "unknown command `WAITAOF`", cause: store.TooOld}, // 6.2
	{begins: "WAITAOF cannot be used when numlocal", cause: store.NoAppendOnly},
	{begins: "WAITAOF cannot be used with replica", cause: store.ReadOnly},
	{begins: "WAIT cannot be used with replica", cause: store.ReadOnly},
	{begins: "UNBLOCKED ", cause: store.ReadOnly}, // it became a replica during WAIT
	{begins: "unknown command", cause: store.NotRedis},
	{begins: "MOVED ", cause: store.Elsewhere},
	{begins: "ASK ", cause: store.Elsewhere},
	{begins: "LAYOUT ", cause: store.UnknownLayout},
	{begins: "POLICY ", cause: store.UnknownEviction},
	{begins: "PARTITIONS ", cause: store.OtherPartitions},
	{begins: "WRONGTYPE ", cause: store.WrongType},
}

// replyCause returns the cause that the words of the server in err tell.
func replyCause(err error) store.Cause {
	words := said(err)
	for _, r := range replies {
		if strings.HasPrefix(words, r.begins) {
			return r.cause
		}
	}
	return ""
}

// isPassing reports whether the server said that it cannot work for a while, and
// did nothing.
func isPassing(err error) bool {
	words := said(err)
	for _, r := range replies {
		if strings.HasPrefix(words, r.begins) {
			return r.isPassing
		}
	}
	return false
}

// isMoving reports whether a node of a cluster refused since the keys are on another
// node, or on their way there. It did nothing. ASK and TRYAGAIN come while a slot moves:
// a script with a key that does not exist then runs on neither node.
func isMoving(err error) bool {
	switch code(said(err)) {
	case "MOVED", "ASK", "TRYAGAIN":
		return true
	}
	return false
}

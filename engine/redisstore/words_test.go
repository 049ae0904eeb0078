package redisstore

import (
	"errors"
	"fmt"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

func TestTheWordsOfEachVersionOfRedisTellTheCause(t *testing.T) {
	for _, c := range []struct {
		said  string
		cause store.Cause
		plain string
	}{
		{"READONLY You can't write against a read only replica.", store.ReadOnly, ""},
		{"@user_script: 668: -READONLY You can't write against a read only replica.\r\n", store.ReadOnly, "READONLY You can't write against a read only replica."},
		{"-READONLY You can't write against a read only replica.\r\n", store.ReadOnly, "READONLY You can't write against a read only replica."},
		{"ERR Error running script (call to f_0123456789abcdef): @user_script:3: @user_script: 3: -OOM command not allowed when used memory > 'maxmemory'.\r\n", store.Full, "OOM command not allowed when used memory > 'maxmemory'."},
		{"OOM command not allowed when used memory > 'maxmemory'. script: a4e2868000d4, on @user_script:1.", store.Full, "OOM command not allowed when used memory > 'maxmemory'."},
		{"ERR The user executing the script can't run this command or subcommand script: a4e2868000d4, on @user_script:1.", store.Permission, "The user executing the script can't run this command or subcommand"},
		{"ERR Error running script (call to f_01): @user_script:1: @user_script: 1: The user executing the script can't run this command or subcommand", store.Permission, "The user executing the script can't run this command or subcommand"},
		{"NOPERM ACL failure in script: User cache has no permissions to run the 'hset' command script: ab, on @user_script:1.", store.Permission, "NOPERM ACL failure in script: User cache has no permissions to run the 'hset' command"},
		{"ERR ACL failure in script: User default has no permissions to run the 'hmget' command script: da64, on @user_script:142.", store.Permission, "ACL failure in script: User default has no permissions to run the 'hmget' command"},
		{"NOPERM No permissions to access a key", store.Permission, ""},
		{"NOPERM this user has no permissions to run the 'evalsha' command", store.Permission, ""},
		{"ERR Protocol error: unauthenticated multibulk length", store.Credentials, "Protocol error: unauthenticated multibulk length"},
		{"NOAUTH Authentication required.", store.Credentials, ""},
		{"WRONGPASS invalid username-password pair or user is disabled.", store.Credentials, ""},
		{"ERR invalid password", store.Credentials, "invalid password"},
		{"MISCONF Redis is configured to save RDB snapshots, but …", store.NotSaved, ""},
		{"NOREPLICAS Not enough good replicas to write.", store.TooFewReplicas, ""},
		{"LOADING Redis is loading the dataset in memory", store.Busy, ""},
		{"ERR max number of clients reached", store.Busy, "max number of clients reached"},
		{"ERR DB index is out of range", store.NoDatabase, "DB index is out of range"},
		{"ERR unknown command 'evalsha', with args beginning with: ", store.NotRedis, "unknown command 'evalsha', with args beginning with:"},
		{"MOVED 9427 127.0.0.1:7302", store.Elsewhere, ""},
		{"LAYOUT this version knows layout 1, the namespace has 9", store.UnknownLayout, ""},
		{"POLICY this version does not know the eviction policy x", store.UnknownEviction, ""},
		{"ERR Error running script (call to f_01): @user_script:5: WRONGTYPE Operation against a key holding the wrong kind of value", store.WrongType, "WRONGTYPE Operation against a key holding the wrong kind of value"},
		{"ERR unknown command 'WAITAOF', with args beginning with: '1' '0' '1' ", store.TooOld, "unknown command 'WAITAOF', with args beginning with: '1' '0' '1'"},
		{"ERR unknown command `WAITAOF`, with args beginning with: `1`, `0`, `1`, ", store.TooOld, "unknown command `WAITAOF`, with args beginning with: `1`, `0`, `1`,"},
		{"ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.", store.NoAppendOnly, "WAITAOF cannot be used when numlocal is set but appendonly is disabled."},
		{"ERR WAIT cannot be used with replica instances. Please also note …", store.ReadOnly, "WAIT cannot be used with replica instances. Please also note …"},
		{"UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)", store.ReadOnly, ""},
		{"ERR something else", "", "something else"},
	} {
		if c.plain == "" {
			c.plain = c.said
		}
		err := fmt.Errorf("on the way: %w", saidByServer(c.said))
		if got := said(err); got != c.plain {
			t.Errorf("%q: got %q, want %q", c.said, got, c.plain)
		}
		diagnosed := diagnosed(err, new(Target), true)
		if got := store.CauseOf(diagnosed); got != c.cause {
			t.Errorf("%q: got the cause %q, want %q", c.said, got, c.cause)
		}
	}
}

func TestTheWordsOfAServerTellWhatBecameOfABatch(t *testing.T) {
	const inScript = "ERR Error running script (call to f_01): @user_script:5: @user_script: 5: -"
	for _, c := range []struct {
		said                        string
		passing, forgotten, halfWay bool
		errorType                   string
	}{
		{said: "LOADING Redis is loading the dataset in memory", passing: true, errorType: "LOADING"},
		{said: "MASTERDOWN Link with MASTER is down", passing: true, errorType: "MASTERDOWN"},
		{said: "CLUSTERDOWN The cluster is down", passing: true, errorType: "CLUSTERDOWN"},
		{said: "ERR max number of clients reached", passing: true, errorType: "ERR"},
		{said: "BUSY Redis is busy running a script", errorType: "BUSY"},
		{said: "TRYAGAIN Multiple keys request during rehashing of slot", errorType: "TRYAGAIN"},
		{said: "REFUSED this writer is unknown", forgotten: true, errorType: "REFUSED"},
		{said: inScript + "OOM command not allowed", halfWay: true, errorType: "OOM"},
		{said: "OOM command not allowed script: a4e2, on @user_script:1.", halfWay: true, errorType: "OOM"},
		{said: inScript + "WRONGTYPE Operation against a key", errorType: "WRONGTYPE"},
		{said: "NOPERM this user has no permissions to run the 'evalsha' command", errorType: "NOPERM"},
		{said: "ERR something else", errorType: "ERR"},
	} {
		// Neither the advice nor the words around it may count.
		err := diagnosed(fmt.Errorf("user_script: LOADING: %w", saidByServer(c.said)), new(Target), true)
		if isPassing(err) != c.passing || isForgotten(err) != c.forgotten || isHalfWay(err) != c.halfWay || errorType(err) != c.errorType || !isReply(err) {
			t.Errorf("%q: passing %t, forgotten %t, half way %t, %s", c.said, isPassing(err), isForgotten(err), isHalfWay(err), errorType(err))
		}
	}
	if err := errors.New("LOADING: user_script: REFUSED"); isPassing(err) || isForgotten(err) || isHalfWay(err) || isReply(err) {
		t.Error("an error that no server said was read as one")
	}
}

// saidByServer returns an error of the server, as go-redis makes it.
type saidByServer string

func (e saidByServer) Error() string { return string(e) }

func (saidByServer) RedisError() {}

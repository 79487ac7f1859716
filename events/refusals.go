package events

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// refusals says in a person's words what an answer of Redis means that begins
// so, and what to do.
var refusals = []struct{ prefix, meaning string }{
	{"READONLY ", "this server is a read-only replica; give the address of its primary"},
	{"MASTERDOWN ", "this server is a replica that has lost its primary; give the address of the primary"},
	{"NOREPLICAS ", "this server refuses writes, because fewer replicas follow it than its min-replicas-to-write; " +
		"bring them back, or give the address of the new primary"},
	{"MISCONF ", "this server refuses writes, because it cannot save to its disk; look into its log"},
	{"OOM ", "this server refuses writes, because its maxmemory is used up; raise that or delete what is not ridehail's"},
	{"LOADING ", "this server is still loading its data; try again when it has"},
	{"BUSY ", "this server is busy with another program's script; end that with SCRIPT KILL"},
	{"NOAUTH ", "this server wants a password: redis://:PASSWORD@HOST:PORT/DB"},
	{"WRONGPASS ", "this server does not accept the user or the password in the URL"},
	{"ERR AUTH ", "this server does not accept the password in the URL"},
	{"ERR invalid password", "this server does not accept the password in the URL"},
	{"NOPERM ", "this server's ACL does not let the user do what a node must; allow it all commands, keys and channels of its prefix"},
	{"CLUSTERDOWN ", "the cluster is down: slots are served by no master; look at redis-cli --cluster check"},
	{"MOVED ", isMoving}, {"ASK ", isMoving}, {"TRYAGAIN ", isMoving},
	{"CROSSSLOT ", "this server is a proxy before a Redis Cluster; give the addresses of its servers: redis+cluster://HOST:PORT,HOST:PORT"},
	{"ERR SELECT is not allowed in cluster mode", hasNoDatabases},
	{"ERR DB index", "this server has no database of the number in the URL; most have 0 to 15"},
	{"ERR max number of clients", "this server takes no more connections; raise its maxclients"},
	{"ERR unknown command", tooOld}, {"ERR syntax error", tooOld}, {"ERR Unknown subcommand", tooOld},
}

const (
	isMoving              = "the cluster moves slots; try again when it has"
	hasNoDatabases        = "a Redis Cluster has only the database 0; leave the number out of the URL"
	isNoCluster           = "this server belongs to no Redis Cluster; use redis:// instead of redis+cluster://"
	isSentinel            = "this is a Sentinel; use redis+sentinel://HOST:PORT/MASTER, or give the address of the server that it watches"
	isNoSentinel          = "this is no Sentinel; use redis:// instead of redis+sentinel://"
	wantsSentinelPassword = "the Sentinel does not accept the user or the password for itself: redis+sentinel://...?sentinel_user=USER&sentinel_password=PASSWORD"
	isReplica             = "this server is a replica; give the address of its primary"
	tooOld                = "this server does not know what a node needs; use Redis 6.2 or later"
)

// explained is an error with its meaning in front.
type explained struct {
	meaning string
	cause   error
}

func (e explained) Unwrap() error { return e.cause }

func (e explained) Error() string {
	if e.cause == errUnfit {
		return e.meaning
	}
	return fmt.Sprintf("%s (%v)", e.meaning, e.cause)
}

// errUnfit is the cause where a server answers well and is of a wrong kind.
var errUnfit = errors.New("unfit")

// isRefusal reports whether Redis answered, although not as wished.
func isRefusal(err error) bool {
	answer := redis.Error(nil)
	return errors.As(err, &answer)
}

// explainRefusal puts in front of an error what it means and what to do.
func explainRefusal(err error) error {
	done := explained{}
	switch {
	case err == nil, errors.As(err, &done):
		return err
	case !isRefusal(err):
		return explained{explainConnection(err), err}
	}

	for _, r := range refusals {
		if strings.HasPrefix(err.Error(), r.prefix) {
			return explained{r.meaning, err}
		}
	}
	return explained{"this server does not do what a node must", err}
}

// explainDenied puts in front of an error what it means. If the user lacks a
// right, it names the command and what ACL SETUSER must allow.
func (r *Redis) explainDenied(command string, err error) error {
	if err == nil || !strings.Contains(err.Error(), "NOPERM ") { // behind EXECABORT it may be
		return explainRefusal(err)
	}

	command = strings.ToUpper(command)
	_, denied, _ := strings.Cut(err.Error(), "'")
	denied, _, _ = strings.Cut(denied, "'")
	allow := "+" + denied
	switch {
	case strings.Contains(err.Error(), "key"):
		allow = "~" + r.prefix + "*"
	case strings.Contains(err.Error(), "channel"):
		allow = "&" + r.prefix + "*"
	}
	return explained{fmt.Sprintf("%s: this server's ACL does not let the user do what a node must; allow it with ACL SETUSER <user> %s",
		command, allow), err}
}

// explainConnection says what an error means that is not an answer of Redis.
func explainConnection(err error) string {
	noTLS, untrusted, noName := tls.RecordHeaderError{}, new(tls.CertificateVerificationError), x509.HostnameError{}
	switch {
	case errors.As(err, &noTLS):
		return "this server speaks no TLS; use redis:// instead of rediss://"
	case errors.As(err, &untrusted), errors.As(err, &noName):
		return "this server's certificate is not trusted on this machine"
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return "it does not answer; is it running?"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "this server hangs up; it speaks TLS (use rediss://) or is not a Redis"
	case strings.Contains(err.Error(), "can't parse"), strings.Contains(err.Error(), "invalid reply"):
		return "this server is not a Redis"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("it does not answer within %v; is it running?", replyTimeout)
	}
	return "it cannot be reached"
}

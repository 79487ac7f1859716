package events

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/ridehail/ridehail/lab/process"
	"github.com/ridehail/ridehail/lab/process/processtest"
)

// administrator is a client of a server for commands that a node never sends.
type administrator struct {
	t      testing.TB
	client *redis.Client
}

func newAdministrator(t testing.TB, address string) administrator {
	client := redis.NewClient(&redis.Options{Addr: address, Protocol: 2, MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	return administrator{t, client}
}

// do sends a command whose words are separated by spaces; "" stands for an
// empty one.
func (a administrator) do(command string) any {
	a.t.Helper()
	var args []any
	for _, word := range strings.Fields(command) {
		args = append(args, strings.Trim(word, `"`))
	}
	v, err := a.client.Do(context.Background(), args...).Result()
	if err != nil {
		a.t.Fatalf("%s: %v", command, err)
	}
	return v
}

// follow makes a server a replica of another one and waits until it has its
// data.
func (a administrator) follow(primary string) {
	a.t.Helper()
	a.do("REPLICAOF " + strings.ReplaceAll(primary, ":", " "))
	waitUntil(a.t, "the replica to have the data", func() bool {
		return strings.Contains(fmt.Sprint(a.do("INFO replication")), "master_link_status:up")
	})
}

// openError returns what a person reads who gives a node this address.
func openError(t *testing.T, address string) string {
	t.Helper()
	r, err := Open(t.Context(), address, WithLog(slog.New(slog.DiscardHandler)))
	if err == nil {
		_ = r.Close()
		return ""
	}
	if text := err.Error(); !strings.Contains(text, "\n") && strings.Count(text, "server") < 4 && strings.Count(text, "(") < 3 {
		return text
	}
	t.Errorf("more than one clear line: %v", err)
	return err.Error()
}

// Each trouble befalls a server that was good, and ends.
var serverTroubles = []struct{ name, begins, ends, want string }{
	{"replica", "REPLICAOF PRIMARY", "REPLICAOF NO ONE", "give the address of its primary"},
	{"replica that takes writes and forgets them", "CONFIG SET replica-read-only no; REPLICAOF PRIMARY",
		"REPLICAOF NO ONE; CONFIG SET replica-read-only yes", "give the address of its primary"},
	{"replica without its primary", "CONFIG SET replica-serve-stale-data no; REPLICAOF 127.0.0.1 1",
		"REPLICAOF NO ONE; CONFIG SET replica-serve-stale-data yes", "give the address of its primary"},
	{"full", "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "maxmemory is used up"},
	{"full, and deletes what expires", "CONFIG SET maxmemory-policy volatile-lru maxmemory 1",
		"CONFIG SET maxmemory 0 maxmemory-policy noeviction", "maxmemory is used up"},
	{"too few replicas", "CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0", "min-replicas-to-write"},
	{"user may not write", "ACL SETUSER default -set", "ACL SETUSER default +set", "ACL does not let the user"},
}

func TestANodeIsToldWhatIsWrongWithItsRedis(t *testing.T) {
	primary, server := processtest.Redis(t, "--save", ""), processtest.Redis(t, "--save", "")
	admin := newAdministrator(t, server.Address)
	doAll := func(commands string) {
		for _, c := range strings.Split(commands, ";") {
			admin.do(strings.ReplaceAll(c, "PRIMARY", strings.ReplaceAll(primary.Address, ":", " ")))
		}
	}

	for _, trouble := range serverTroubles {
		t.Run(trouble.name, func(t *testing.T) {
			running, err := Open(t.Context(), server.URL, WithLog(slog.New(slog.DiscardHandler)))
			if err != nil {
				t.Fatal(err)
			}
			defer running.Close()

			doAll(trouble.begins)
			if got := openError(t, server.URL); !strings.Contains(got, trouble.want) || !strings.Contains(got, server.Address) {
				t.Errorf("at the start it says %q, want %q", got, trouble.want)
			}
			if err := running.CheckWritable(t.Context()); err == nil || !strings.Contains(err.Error(), trouble.want) {
				t.Errorf("while it runs it says %v, want %q", err, trouble.want)
			}

			doAll(trouble.ends)
			if err := running.CheckWritable(t.Context()); err != nil {
				t.Errorf("after the end it says %v", err)
			}
			if got := openError(t, server.URL); got != "" {
				t.Errorf("after the end a start says %q", got)
			}
		})
	}
}

func TestARedisThatCannotSaveIsNotReady(t *testing.T) {
	server := processtest.Redis(t, "--save", "3600 1")
	admin := newAdministrator(t, server.Address)
	running, err := Open(t.Context(), server.URL, WithLog(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()

	if err := os.RemoveAll(admin.client.ConfigGet(t.Context(), "dir").Val()["dir"]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.do(`CONFIG SET save ""`) }) // or it would not end without saving
	admin.do("SET something 1")
	_ = admin.client.BgSave(t.Context())
	waitUntil(t, "a save to fail", func() bool {
		return strings.Contains(fmt.Sprint(admin.do("INFO persistence")), "rdb_last_bgsave_status:err")
	})

	const want = "it cannot save to its disk"
	if got := openError(t, server.URL); !strings.Contains(got, want) {
		t.Errorf("at the start it says %q", got)
	}
	if err := running.CheckWritable(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("while it runs it says %v", err)
	}
}

func TestANodeDoesWithoutRightsThatItDoesNotNeed(t *testing.T) {
	server := processtest.Redis(t, "--save", "")
	admin := newAdministrator(t, server.Address)
	allowed := "ACL SETUSER city on >pw resetkeys resetchannels ~ridehail:* &ridehail:* "
	at := strings.Replace(server.URL, "redis://", "redis://city:pw@", 1)

	for rights, want := range map[string]string{
		"+@all":                       "",
		"+@all -@dangerous -@admin":   "",
		"+@all -set":                  "ACL",
		"+@all -xclaim":               "XCLAIM: this server's ACL",
		"+@all -@scripting":           "EVAL: this server's ACL",
		"+@all -publish":              "PUBLISH: this server's ACL",
		"+@all -subscribe":            "SUBSCRIBE: this server's ACL",
		"+@all resetchannels &other*": "PUBLISH: this server's ACL",
		"+@all resetkeys ~other:*":    "ACL",
		"+@all -@stream":              "this server's ACL",
		"-@all +ping +info +role":     "ACL",
		"off":                         "does not accept the user or the password",
	} {
		admin.do("ACL DELUSER city")
		admin.do(allowed + rights)
		if got := openError(t, at); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", rights, got, want)
		}
	}

	for _, key := range admin.client.Keys(t.Context(), "*").Val() {
		if key != "ridehail:probe" {
			t.Errorf("the examinations left the key %s", key)
		}
	}
}

func TestANodeIsToldThatItsPasswordIsWrong(t *testing.T) {
	server := processtest.Redis(t, "--save", "")
	newAdministrator(t, server.Address).do("CONFIG SET requirepass secret")
	for user, want := range map[string]string{
		"": "wants a password", ":wrong@": "does not accept the user or the password",
		"city:secret@": "does not accept the user or the password", ":secret@": "", "default:secret@": "",
	} {
		got := openError(t, strings.Replace(server.URL, "redis://", "redis://"+user, 1))
		if !strings.Contains(got, want) || want == "" && got != "" || strings.Contains(got, "wrong@") {
			t.Errorf("%q: %q, want %q", user, got, want)
		}
	}
}

func TestAnAddressThatLeadsElsewhereIsNamed(t *testing.T) {
	server := processtest.Redis(t, "--save", "")
	sentinel := processtest.Sentinel(t, server)
	cluster := processtest.Redis(t, "--save", "", "--cluster-enabled", "yes")
	website := httptest.NewServer(http.NotFoundHandler())
	defer website.Close()

	troubles := map[string]string{
		sentinel.URL: "this is a Sentinel",
		strings.TrimSuffix(sentinel.URL, "0") + "1": "this is a Sentinel",
		cluster.URL: "none of the cluster's slots is served",
		strings.TrimSuffix(cluster.URL, "0") + "1":                                       "has only the database 0",
		strings.TrimSuffix(server.URL, "0") + "99":                                       "no database of the number",
		"redis://" + website.Listener.Addr().String():                                    "is not a Redis",
		"redis://" + answering(t, "SSH-2.0-OpenSSH_9.2\r\n"):                             "is not a Redis",
		"redis://" + answering(t, ""):                                                    "hangs up",
		"redis://" + answering(t, "-LOADING Redis is loading the dataset in memory\r\n"): "still loading",
		"redis://" + answering(t, "-ERR unknown command\r\n"):                            "use Redis 6.2 or later",
		"redis://" + answering(t, "-ERR max number of clients reached\r\n"):              "maxclients",
		"rediss://" + website.Listener.Addr().String():                                   "speaks no TLS",
		"redis://127.0.0.1:1":                                                            "is it running?",
		"redis://nowhere.invalid:1":                                                      "cannot be reached",
		"unix:///nowhere.sock":                                                           "is it running?",
		strings.Replace(server.URL, "redis", "rediss", 1):                                "does it speak TLS?",
		"http://x":              "want redis://HOST:PORT/DB",
		"redis://:p%zzw@h":      "want redis://HOST:PORT/DB",
		"redis://u:p zzw@h:1/0": "want redis://HOST:PORT/DB",
	}
	if at, err := url.Parse(os.Getenv("RIDEHAIL_TEST_POSTGRES")); err == nil && at.Host != "" {
		troubles["redis://"+at.Host] = "hangs up"
	}

	for address, want := range troubles {
		if got := openError(t, address); !strings.Contains(got, want) || strings.Contains(got, "zzw") {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

// answering is the address of a server that answers each command so and hangs
// up after an empty answer.
func answering(t *testing.T, answer string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })

	serve := func(conn net.Conn) {
		defer conn.Close()
		in := make([]byte, 4096)
		for {
			n, err := conn.Read(in)
			if err != nil || answer == "" {
				return
			}
			// Each command begins with the number of its words.
			_, _ = conn.Write(bytes.Repeat([]byte(answer), max(1, bytes.Count(in[:n], []byte("*")))))
		}
	}
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return l.Addr().String()
}

func TestARedisIsReachedByTLSAndByASocketInTheFileSystem(t *testing.T) {
	dir := t.TempDir()
	cert, key, socket := writeCertificate(t, dir), dir+"/key.pem", dir+"/redis.sock"
	at, err := process.FreeAddresses(1)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(at[0])
	processtest.Redis(t, "--save", "", "--unixsocket", socket, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key,
		"--tls-ca-cert-file", cert, "--tls-auth-clients", "no")

	for address, want := range map[string]string{
		"unix://" + socket:                          "",
		"rediss://" + at[0] + "/0?skip_verify=true": "",
		"rediss://" + at[0]:                         "certificate is not trusted",
		"redis://" + at[0]:                          "hangs up; it speaks TLS",
	} {
		got := openError(t, address)
		for try := 0; try < 20 && strings.Contains(got, "no TLS within"); try++ { // a busy machine is slow to shake hands
			got = openError(t, address)
		}
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

// writeCertificate writes a certificate for this machine and returns its path;
// its key is beside it.
func writeCertificate(t *testing.T, dir string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{{127, 0, 0, 1}}}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}

	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir + "/cert.pem"
}

func TestARedisThatMayDeleteJobsIsWarnedOf(t *testing.T) {
	server := processtest.Redis(t, "--save", "")
	admin := newAdministrator(t, server.Address)
	for config, warns := range map[string]bool{
		"maxmemory 100mb maxmemory-policy allkeys-lru":  true,
		"maxmemory 100mb maxmemory-policy volatile-lru": false,
		"maxmemory 100mb maxmemory-policy noeviction":   false,
		"maxmemory 0 maxmemory-policy allkeys-random":   false,
	} {
		admin.do("CONFIG SET " + config)
		var log bytes.Buffer
		r, err := Open(t.Context(), server.URL, WithLog(slog.New(slog.NewTextHandler(&log, nil))))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
		if got := strings.Contains(log.String(), "set its maxmemory-policy to noeviction"); got != warns {
			t.Errorf("%s: warned %t\n%s", config, got, &log)
		}
	}
}

func TestTheEmbeddedRedisPassesTheExamination(t *testing.T) {
	if got := openError(t, "redis://"+miniredis.RunT(t).Addr()); got != "" {
		t.Error(got)
	}
}

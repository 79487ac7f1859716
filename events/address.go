package events

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/redis/go-redis/v9"
)

// ErrAddress says that the address of a server cannot be read.
var ErrAddress = errors.New("redis address")

// AddressForms are the forms of an address, for a person.
const AddressForms = "redis://[USER:PASSWORD@]HOST:PORT/DB, unix:///SOCKET, redis+sentinel://[USER:PASSWORD@]HOST:PORT,HOST:PORT/MASTER/DB " +
	"or redis+cluster://[USER:PASSWORD@]HOST:PORT,HOST:PORT; rediss instead of redis for TLS"

// mode is how many servers there are, and how they are found.
type mode int

const (
	modeAlone    mode = iota // one server
	modeSentinel             // the one that Sentinels name
	modeCluster
)

// address is what a person says of the servers.
type address struct {
	mode    mode
	options redis.Options // user, password, database and TLS; the place of one server
	hosts   []string      // HOST:PORT of each seed; one server's too

	// For Sentinels.
	master                         string
	sentinelUser, sentinelPassword string
}

// String names the servers without a password.
func (a address) String() string { return strings.Join(a.hosts, ",") }

// parseAddress reads one of AddressForms. Its error has no password in it.
func parseAddress(text string) (address, error) {
	a, err := readAddress(text)
	if err == nil {
		return a, nil
	}

	// The whole address may have a password in it.
	if bad := new(url.Error); errors.As(err, &bad) {
		err = bad.Err
	}
	if !strings.Contains(text, "+") {
		return a, fmt.Errorf("%w: %w (want redis://HOST:PORT/DB; or %s)", ErrAddress, err, "redis+sentinel://... or redis+cluster://...")
	}
	return a, fmt.Errorf("%w: %w (want %s)", ErrAddress, err, AddressForms)
}

func readAddress(text string) (a address, err error) {
	scheme, rest, _ := strings.Cut(text, "://")
	plain, many, _ := strings.Cut(scheme, "+")
	switch many {
	case "sentinel":
		a.mode = modeSentinel
	case "cluster":
		a.mode = modeCluster
	default:
		o, err := redis.ParseURL(text)
		if err != nil {
			return a, err
		}
		a.options, a.hosts = *o, []string{o.Addr}
		return a, nil
	}

	if plain != "redis" && plain != "rediss" {
		return a, fmt.Errorf("%q begins no address", scheme)
	}
	return a, a.readHosts(plain, rest)
}

// readHosts reads [USER:PASSWORD@]HOST:PORT,HOST:PORT[/PATH][?QUERY].
func (a *address) readHosts(scheme, rest string) error {
	rest, query, _ := strings.Cut(rest, "?")
	user := ""
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		user, rest = rest[:at+1], rest[at+1:]
	}
	hosts, path, _ := strings.Cut(rest, "/")

	path, err := a.readPath(strings.TrimSuffix(path, "/"))
	if err != nil {
		return err
	}
	if query, err = a.readQuery(query); err != nil {
		return err
	}

	for _, host := range strings.Split(hosts, ",") {
		if host == "" || strings.HasPrefix(host, ":") {
			return errors.New("a host is missing")
		}
		if a.mode == modeSentinel && !strings.Contains(host, ":") {
			host += ":26379"
		}
		o, err := redis.ParseURL(scheme + "://" + user + host + "/" + path + query)
		if err != nil {
			return err
		}
		a.options = *o
		a.hosts = append(a.hosts, o.Addr)
	}

	// Each server is held to the name that its own address has.
	if a.options.TLSConfig != nil {
		a.options.TLSConfig.ServerName = ""
	}
	return nil
}

// readPath reads MASTER/DB for Sentinels and nothing for a cluster. It returns
// the database.
func (a *address) readPath(path string) (db string, err error) {
	if a.mode == modeCluster {
		if path != "" && path != "0" {
			return "", errors.New("a Redis Cluster has only the database 0")
		}
		return "", nil
	}

	name, db, _ := strings.Cut(path, "/")
	if a.master, err = url.PathUnescape(name); err != nil || name == "" {
		return "", errors.New("the name of the master that the Sentinels watch is missing")
	}
	return db, nil
}

// readQuery takes what is for the Sentinels out of a query.
func (a *address) readQuery(query string) (string, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", errors.New("what follows the ? cannot be read")
	}
	if a.mode == modeSentinel {
		a.sentinelUser, a.sentinelPassword = values.Get("sentinel_user"), values.Get("sentinel_password")
		values.Del("sentinel_user")
		values.Del("sentinel_password")
	}

	if len(values) == 0 {
		return "", nil
	}
	return "?" + values.Encode(), nil
}

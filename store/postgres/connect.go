package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrAddress says that the address of a database cannot be read.
var ErrAddress = errors.New("postgres address")

// directParameter is a startup parameter of our own. Postgres takes it, as any
// name with a dot. A pooler such as PgBouncer refuses or drops what it does not
// know, and that is how a node finds out that one stands between.
const directParameter = "ridehail.direct"

// server is what a node found out about the server before it opens sessions.
type server struct {
	config      *pgxpool.Config // of its sessions
	hasPoolSize bool            // by the address
	direct      bool            // no pooler stands between

	inRecovery, onlyReads bool
	schema                schema
	timeoutAdvice         string // statements that give the role its missing timeouts; empty: it has all
}

// inspectServer connects once and asks what kind of server it is and which
// schema it has. It writes nothing.
func inspectServer(ctx context.Context, url string) (*server, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrAddress, toOneLine(err))
	}

	cfg.ConnConfig.ConnectTimeout = dialTimeout
	s := &server{config: cfg, hasPoolSize: strings.Contains(url, "pool_max_conns=")}
	if err := s.inspect(ctx); err != nil {
		return nil, explainError(cfg.ConnConfig, err)
	}
	if !s.direct {
		s.avoidSessionState()
	}
	return s, nil
}

func (s *server) inspect(ctx context.Context) error {
	conn, err := s.connectOnce(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))

	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()

	err = conn.QueryRow(ctx, inspectSQL, directParameter).Scan(&s.inRecovery, &s.onlyReads, &s.direct, &s.timeoutAdvice)
	if err != nil {
		return err
	}
	s.schema, err = readSchema(ctx, conn)
	return err
}

// inspectSQL asks what kind of server answers, and which of our timeouts its
// role lacks.
const inspectSQL = `
SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::bool,
  coalesce(current_setting($1::text, true), '') = 'on',
  coalesce((SELECT string_agg(format('ALTER ROLE %I SET %s = %L;', current_user, t.name, t.wanted), ' ')
    FROM (VALUES ('lock_timeout', '` + lockTimeout + `'), ('statement_timeout', '` + statementTimeout + `'),
      ('idle_in_transaction_session_timeout', '` + idleTxTimeout + `')) AS t (name, wanted)
    WHERE current_setting(t.name) = '0'), '')`

// connectOnce connects with our parameter, or without it where a pooler refuses
// it. Its statements work through a pooler as well.
func (s *server) connectOnce(ctx context.Context) (*pgx.Conn, error) {
	cfg := s.config.ConnConfig.Copy()
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	cfg.RuntimeParams[directParameter] = "on"

	conn, err := pgx.ConnectConfig(ctx, cfg)
	if refusal := new(pgconn.PgError); errors.As(err, &refusal) && refusal.Code == protocolViolation {
		delete(cfg.RuntimeParams, directParameter)
		conn, err = pgx.ConnectConfig(ctx, cfg)
	}
	return conn, err
}

// avoidSessionState makes sessions that a pooler may move from one server
// connection to another between two transactions. Each statement is planned
// anew, so that no prepared statement is left behind on a connection. Its types
// are asked for once, so that values travel as they do without a pooler.
func (s *server) avoidSessionState() {
	s.config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
}

// checkWritable returns an error if the server only reads.
func (s *server) checkWritable() error {
	return checkRole(s.config.ConnConfig, s.inRecovery, s.onlyReads)
}

// checkRole says what to do about a server that takes no writes.
func checkRole(cfg *pgx.ConnConfig, inRecovery, onlyReads bool) error {
	switch {
	case inRecovery:
		return fmt.Errorf("postgres %s is a standby (in recovery): name the primary, or all servers and target_session_attrs=read-write",
			listHosts(cfg))
	case onlyReads:
		return fmt.Errorf("postgres %s only reads (default_transaction_read_only is on): turn that off, or name another server",
			listHosts(cfg))
	}
	return nil
}

// listHosts returns the servers and the database of an address.
func listHosts(cfg *pgx.ConnConfig) string {
	hosts := []string{joinHostPort(cfg.Host, cfg.Port)}
	for _, f := range cfg.Fallbacks {
		// A host occurs twice if TLS is only preferred.
		if host := joinHostPort(f.Host, f.Port); host != hosts[len(hosts)-1] {
			hosts = append(hosts, host)
		}
	}
	return strings.Join(hosts, ",") + "/" + cfg.Database
}

func joinHostPort(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// advice is what to do about each code of the server's errors.
var advice = map[string]string{
	"3D000":              "create the database, or correct its name",
	"28000":              "correct the user, or let it in with pg_hba.conf",
	"28P01":              "correct the user or the password",
	insufficientRight:    "grant the right to the role, or name another role",
	tooManyConnections:   "raise max_connections, or give the nodes fewer with --database-connections",
	cannotConnectNow:     "wait until it has started",
	protocolViolation:    "a pooler stands between and refuses: set the parameter on the role instead of in the address, or look into the pooler's log",
	readOnlyTransaction:  "name a server that takes writes, or all servers and target_session_attrs=read-write",
	diskFull:             "free space on the server's disk, nothing committed is lost",
	adminShutdown:        "wait until it has started again",
	undefinedTable:       "run `ridehail migrate` on it",
	duplicateTable:       "it has tables of another program under our names: name another database",
	"42704":              "correct the parameters in the address",
	"42P06":              "it has a schema of another program under our name: name another database",
	statementWasCanceled: "look what keeps the server busy, or raise the role's statement_timeout",
}

// explainError puts an error into one line that names the database and says
// what to do. It keeps what the error wraps.
func explainError(cfg *pgx.ConnConfig, err error) error {
	what := "is it running, and is the address right?"
	var refusal *pgconn.PgError
	switch {
	case errors.As(err, &refusal) && advice[refusal.Code] != "":
		what = advice[refusal.Code]
	case errors.Is(err, pgconn.ErrReadOnlyConnection), errors.Is(err, pgconn.ErrStandbyConnection):
		what = "none of these servers takes writes now: promote one, or wait"
	case errors.Is(err, context.DeadlineExceeded):
		what = "it does not answer in time"
	case refusal != nil:
		what = "look into the server's log"
	}
	return &explainedError{fmt.Sprintf("postgres %s: %s (%s)", listHosts(cfg), what, toOneLine(err)), err}
}

// explainedError is an error in words of our own.
type explainedError struct {
	text  string
	cause error
}

func (e *explainedError) Error() string { return e.text }
func (e *explainedError) Unwrap() error { return e.cause }

// toOneLine joins the lines of an error. The driver repeats a line for a host
// that it tries with and without TLS.
func toOneLine(err error) string {
	var lines []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " ")
}

// Limits of one statement. The server gives up before the client does, so that
// a statement that ran too long is known to have been rolled back.
const (
	lockTimeout      = "2s"
	statementTimeout = "3s"
	idleTxTimeout    = "10s"
	answerTimeout    = 4 * time.Second // when the server says nothing
	dialTimeout      = 2 * time.Second
	pingTimeout      = time.Second
)

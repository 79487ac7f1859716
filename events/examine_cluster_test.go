package events

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/process"
	"github.com/ridehail/ridehail/lab/process/processtest"
)

func TestAClusterIsFoundByAnyOfItsSeeds(t *testing.T) {
	slowtest.Require(t)
	c := processtest.RedisCluster(t, 3, 1)
	alone := processtest.Redis(t)
	seeds := c.Addresses()
	for address, want := range map[string]string{
		c.URL(): "",
		"redis+cluster://127.0.0.1:1," + seeds[5]: "",
		"redis+cluster://" + seeds[0] + "/0":      "",
		"redis://" + seeds[0]:                     "",
		"redis://" + seeds[5] + "/0":              "",
		"redis://" + seeds[0] + "/1":              "has only the database 0",
		"redis+cluster://" + seeds[0] + "/1":      "has only the database 0",
		"redis+cluster://127.0.0.1:1,127.0.0.1:2": "is it running?",
		"redis+cluster://" + alone.Address:        "belongs to no Redis Cluster",
		"redis+sentinel://" + seeds[0] + "/main":  "is no Sentinel",
		"redis+sentinel://" + seeds[0]:            "name of the master",
		"redis+cluster://,":                       "a host is missing",
		"redis+cluster://:secret@h:x":             "want redis",
		"redis+raft://h:1":                        "want redis",
		"http+cluster://h:1":                      "want redis",
		"redis+sentinel://h:1/main/x":             "want redis",
		"redis+cluster://:secret@h:1/?nonsense=1": "want redis",
	} {
		got := openError(t, address)
		if !strings.Contains(got, want) || want == "" && got != "" || strings.Contains(got, "secret") {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
		if _, err := Open(t.Context(), address); strings.HasPrefix(want, "want redis") != errors.Is(err, ErrAddress) &&
			!strings.Contains(want, "missing") && !strings.Contains(want, "name of") && !strings.Contains(want, "database") {
			t.Errorf("%s: %v wraps ErrAddress: %t", address, err, errors.Is(err, ErrAddress))
		}
	}
}

func TestAClusterWithoutAMasterForSomeSlotsIsNotReady(t *testing.T) {
	slowtest.Require(t)
	c := processtest.RedisCluster(t, 3, 0)
	running := openCluster(t, c, nil)
	admin := newAdministrator(t, c.Masters()[1])
	admin.do("CLUSTER DELSLOTS 6000 6001 7000")
	for _, address := range c.Addresses() { // or it would hear of an owner again
		newAdministrator(t, address).do("CONFIG SET cluster-require-full-coverage no")
	}

	const want = "3 of the cluster's 16384 slots are served by no master (6000-6001, 7000-7000)"
	waitUntil(t, "the node to notice it", func() bool {
		err := running.CheckWritable(t.Context())
		return err != nil && strings.Contains(err.Error(), want)
	})
	waitUntil(t, "a start to be refused", func() bool { return strings.Contains(openError(t, c.URL()), want) })

	admin.do("CLUSTER ADDSLOTS 6000 6001 7000")
	if err := c.AwaitHealthy(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the node to be ready again", func() bool { return running.CheckWritable(t.Context()) == nil })

	if _, err := c.KillMaster(2); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the node to notice that a master is gone", func() bool {
		err := running.CheckWritable(t.Context())
		return err != nil && strings.Contains(err.Error(), "5462 of the cluster's 16384 slots are served by no master (10922-16383)")
	})
}

// TestTheRightsOfTheDocumentationAreEnough gives a user the rights that
// docs/security.md names, and takes each one away.
func TestTheRightsOfTheDocumentationAreEnough(t *testing.T) {
	slowtest.Require(t)
	alone, cluster := processtest.Redis(t), processtest.RedisCluster(t, 2, 0)
	for name, place := range map[string]struct {
		servers []string
		url     string
	}{
		"ACL SETUSER":              {[]string{alone.Address}, strings.Replace(alone.URL, "redis://", "redis://ridehail:PASSWORD@", 1)},
		"ACL SETUSER in a cluster": {cluster.Addresses(), strings.Replace(cluster.URL(), "://", "://ridehail:PASSWORD@", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			rights := documentedRights(t, len(place.servers) > 1)
			set := func(without string) {
				for _, server := range place.servers {
					admin := newAdministrator(t, server)
					admin.do("ACL DELUSER ridehail")
					admin.do(strings.Replace(rights+" ", " "+without+" ", " ", 1))
				}
			}

			set("nothing")
			if got := openError(t, place.url); got != "" {
				t.Fatalf("the documented rights are not enough: %s", got)
			}
			for _, right := range strings.Fields(rights)[6:] {
				set(right)
				if got := openError(t, place.url); !strings.Contains(got, "ACL does not let") || !strings.Contains(got, right+" ") {
					t.Errorf("without %s a start says %q", right, got)
				}
			}
		})
	}
}

// documentedRights returns the command of docs/security.md.
func documentedRights(t *testing.T, cluster bool) string {
	page, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`ACL SETUSER ridehail .*`).FindAllString(string(page), -1)
	if len(found) != 2 {
		t.Fatalf("docs/security.md names rights %d times", len(found))
	}
	if cluster {
		return found[1]
	}
	return found[0]
}

func TestAClusterIsReachedByTLS(t *testing.T) {
	slowtest.Require(t)
	dir := t.TempDir()
	cert := writeCertificate(t, dir)
	c := processtest.RedisCluster(t, 3, 0, "--tls-port", process.FreePort, "--tls-cluster", "yes", "--tls-cert-file", cert,
		"--tls-key-file", dir+"/key.pem", "--tls-ca-cert-file", cert, "--tls-auth-clients", "no")
	var hosts []string
	for _, address := range c.Addresses() {
		hosts = append(hosts, "127.0.0.1:"+c.Flag(address, "--tls-port"))
	}
	seeds := strings.Join(hosts, ",")

	for address, want := range map[string]string{
		"rediss+cluster://" + seeds + "?skip_verify=true":         "",
		"rediss+cluster://" + seeds + "/0?skip_verify=true":       "",
		"rediss://" + hosts[1] + "/0?skip_verify=true":            "",
		"rediss+cluster://" + seeds:                               "certificate is not trusted",
		"redis+cluster://" + seeds:                                "hangs up; it speaks TLS",
		"rediss+cluster://" + c.Addresses()[0] + "?skip_verify=1": "does it speak TLS?",
	} {
		got := openError(t, address)
		for try := 0; try < 20 && strings.Contains(got, "no TLS within") && want != "does it speak TLS?"; try++ { // a busy machine is slow to shake hands
			got = openError(t, address)
		}
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

func TestAReplicaThatWouldRefuseTheNodeIsWarnedOf(t *testing.T) {
	slowtest.Require(t)
	c := processtest.RedisCluster(t, 1, 1)
	master := c.Masters()[0]
	admin := newAdministrator(t, master)
	admin.do("SET something replicated")
	waitUntil(t, "the master to name its replica", func() bool {
		slots := admin.do("CLUSTER SLOTS").([]any)
		return len(slots) == 1 && len(slots[0].([]any)) == 4 // begin, end, master, replica
	})

	address := "redis://ridehail:PASSWORD@" + master
	for rights, want := range map[string]string{
		"":                                  "WRONGPASS",
		" ~* &* on >PASSWORD +@all -xclaim": "XCLAIM: this server's ACL",
		" ~* &* on >PASSWORD +@all":         "",
	} {
		for _, server := range c.Addresses() {
			admin := newAdministrator(t, server)
			admin.do("ACL DELUSER ridehail")
			if server == master {
				admin.do(documentedRights(t, true))
			} else if rights != "" {
				admin.do("ACL SETUSER ridehail" + rights)
			}
		}

		var log bytes.Buffer
		r, err := Open(t.Context(), address, WithLog(slog.New(slog.NewTextHandler(&log, nil))))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
		if got := log.String(); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%q: warned %q, want %q", rights, got, want)
		}
	}
}

package events

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/lab/process/processtest"
)

// watched is a primary with a replica and three Sentinels.
type watched struct {
	primary, replica *pairServer
	sentinels        []*processtest.Server
}

func newWatched(t *testing.T) *watched {
	w := &watched{primary: startPairServer(t), replica: startPairServer(t)}
	w.replica.admin.follow(w.primary.Address)
	for range 3 {
		s := processtest.Sentinel(t, w.primary.Server)
		w.sentinels = append(w.sentinels, s)
		admin := newAdministrator(t, s.Address)
		admin.do("SENTINEL SET main down-after-milliseconds 1000")
		// After an election that none won, they wait twice as long.
		admin.do("SENTINEL SET main failover-timeout 2000")
	}

	for _, s := range w.sentinels {
		admin := newAdministrator(t, s.Address)
		waitUntil(t, "the Sentinels to know each other and the replica", func() bool {
			return len(admin.do("SENTINEL SENTINELS main").([]any)) == 2 && len(admin.do("SENTINEL REPLICAS main").([]any)) == 1
		})
	}
	return w
}

// url is the address with the form SCHEME://USER and the given path and query.
func (w *watched) url(prefix, suffix string) string {
	var hosts []string
	for _, s := range w.sentinels {
		hosts = append(hosts, s.Address)
	}
	return prefix + "127.0.0.1:1," + strings.Join(hosts, ",") + suffix
}

func TestANodeGoesOnWithTheMasterThatTheSentinelsName(t *testing.T) {
	slowtest.Require(t)
	for _, way := range []string{"killed", "hung", "hung, with a Sentinel"} {
		t.Run(way, func(t *testing.T) {
			w := newWatched(t)
			r, err := Open(t.Context(), w.url("redis+sentinel://", "/main"), WithLog(slog.New(slog.DiscardHandler)))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			done := make(chan string, 1000)
			worker := &Worker{Redis: r, Stream: "settlements", Consumer: "a",
				Handle: func(_ context.Context, id string, _ []byte) error { done <- id; return nil }}
			startWork(t, worker.Run)
			enqueue := func(id string) bool { return r.EnqueueJob(t.Context(), "settlements", id, nil) == nil }
			waitUntil(t, "a job to be queued", func() bool { return enqueue("before") })
			receiveFrom(t, "it to be done", done)

			began := time.Now()
			switch way {
			case "killed":
				w.primary.Kill()
			case "hung, with a Sentinel":
				w.sentinels[0].Pause()
				w.primary.Pause()
			case "hung":
				w.primary.Pause()
			}
			waitUntil(t, "the replica to be the primary", func() bool {
				// The Sentinels close all connections at that moment.
				return strings.Contains(w.replica.admin.client.Info(t.Context(), "replication").Val(), "role:master")
			})
			over := time.Now()

			waitUntil(t, "a job to be queued again", func() bool { return enqueue("after") })
			for receiveFrom(t, "it to be done", done) != "after" {
			}
			limit := 3 * time.Second
			if way == "hung, with a Sentinel" {
				limit += 2 * time.Second // another one is asked after this one did not answer twice
			}
			t.Logf("the replica became primary after %v, a job was done %v later", over.Sub(began), time.Since(over))
			if late := time.Since(over); late > limit {
				t.Errorf("jobs flow %v after the failover", late)
			}
			if err := r.CheckWritable(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnAddressOfSentinelsIsExamined(t *testing.T) {
	slowtest.Require(t)
	w := newWatched(t)
	w.primary.admin.do("ACL SETUSER city on >pw ~* &* +@all")
	w.primary.admin.do("ACL SETUSER default resetpass >hidden")
	for _, s := range w.sentinels {
		newAdministrator(t, s.Address).do("ACL SETUSER default resetpass >guarded")
	}

	for address, want := range map[string]string{
		w.url("redis+sentinel://city:pw@", "/main?sentinel_password=guarded"):                         "",
		w.url("redis+sentinel://city:pw@", "/main/3?sentinel_user=default&sentinel_password=guarded"): "",
		w.url("redis+sentinel://:hidden@", "/main/0?sentinel_password=guarded"):                       "",
		w.url("redis+sentinel://city:pw@", "/main"):                                                   "the Sentinel does not accept",
		w.url("redis+sentinel://city:pw@", "/main?sentinel_password=zzw"):                             "the Sentinel does not accept",
		w.url("redis+sentinel://city:zzw@", "/main?sentinel_password=guarded"):                        "does not accept the user or the password",
		w.url("redis+sentinel://", "/main?sentinel_password=guarded"):                                 "wants a password",
		w.url("redis+sentinel://city:pw@", "/other?sentinel_password=guarded"):                        `watches no master "other", only ["main"]`,
		w.url("redis+sentinel://city:pw@", "/main/99?sentinel_password=guarded"):                      "no database of the number",
		w.url("redis+sentinel://city:pw@", "?sentinel_password=zzw"):                                  "the name of the master",
		"redis+sentinel://127.0.0.1:1,127.0.0.1:2/main":                                               "is it running?",
		"redis+sentinel://:hidden@127.0.0.1:1," + w.replica.Address + "/main":                         "is no Sentinel",
	} {
		got := openError(t, address)
		if !strings.Contains(got, want) || want == "" && got != "" || strings.Contains(got, "zzw") {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

package journal_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/ridehail/ridehail/simulators/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func readAll(t *testing.T, text string) (kept []journal.Record) {
	t.Helper()
	err := journal.Read(strings.NewReader(text), func(r journal.Record) error {
		kept = append(kept, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

func TestAJournalKeepsWhatManyPhonesTellInTheOrderOfItsClock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	j, err := journal.Create(path)
	if err != nil {
		t.Fatal(err)
	}

	var phones sync.WaitGroup
	for range 8 {
		phones.Go(func() {
			for range 100 {
				j.AddRecord(journal.Record{What: journal.Event, Who: "rider:ada", Trip: "t", Seq: 1})
			}
		})
	}

	phones.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	kept := readAll(t, string(text))
	if len(kept) != 802 || kept[0].What != journal.Begin || kept[801].What != journal.Close || kept[5].Trip != "t" {
		t.Fatalf("%d records, from %+v", len(kept), kept[0])
	}
	if !slices.IsSortedFunc(kept, func(a, b journal.Record) int { return int(a.Mono - b.Mono) }) {
		t.Error("a later line has an earlier time")
	}
}

func TestANilJournalKeepsNothing(t *testing.T) {
	var j *journal.Journal
	j.AddRecord(journal.Record{What: journal.Event})
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

func TestALineTornByAKillIsLeftOutAndAnyOtherIsAnError(t *testing.T) {
	if kept := readAll(t, `{"what":"event","seq":3}`+"\n"+`{"what":"ev`); len(kept) != 1 || kept[0].Seq != 3 {
		t.Errorf("%+v", kept)
	}
	err := journal.Read(strings.NewReader("{}\n}\n"), func(journal.Record) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Error(err)
	}
}

func TestAJournalThatCannotBeWrittenSaysSoInTheEnd(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this system has no /dev/full")
	}
	j, err := journal.Create("/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	if j.Close() == nil {
		t.Error("a full disk kept a journal")
	}
}

func FuzzReadingAJournalNeverPanicsAndKeepsWhatItYields(f *testing.F) {
	f.Add("{\"what\":\"ok\",\"seq\":3,\"at_ms\":1.5}\n{}\n")
	f.Add("{\"what\":1}\n")
	f.Add("{\"seq\":-1}\nnull\n\n")

	f.Fuzz(func(t *testing.T, text string) {
		lines := 0
		err := journal.Read(strings.NewReader(text), func(journal.Record) error { lines++; return nil })
		if whole := strings.Count(text, "\n"); lines > whole || err == nil && lines != whole {
			t.Errorf("%d records of %d lines, and %v", lines, whole, err)
		}
	})
}

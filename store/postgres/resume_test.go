package postgres

import (
	"strings"
	"testing"
)

func TestResumeStatesAreLookedUpByIndex(t *testing.T) {
	s := openStore(t, createDatabase(t))
	rows, err := s.pool.Query(t.Context(), "EXPLAIN "+resumeStatesSQL, []string{"rider"}, []string{"r"}, []string{""})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()

	var line string
	for rows.Next() {
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		for _, whole := range []string{"Seq Scan", "Hash", "Merge"} {
			if strings.Contains(line, whole) {
				t.Errorf("the plan reads a whole table: %s", line)
			}
		}
	}

	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

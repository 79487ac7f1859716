package chaos

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/ridehail/ridehail/simulators/journal"
)

// Sessions is how phones got their connections back, in milliseconds, faults and pauses between tries included.
type Sessions struct {
	Count  int       `json:"count"`
	Resume Quantiles `json:"resume_ms"` // from a hello that was answered to its welcome
	Back   Quantiles `json:"back_ms"`   // from the loss of a connection to the next welcome
}

// Quantiles of some values.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func (q Quantiles) String() string {
	return fmt.Sprintf("p50 %.0f ms, p99 %.0f ms, max %.0f ms", q.P50, q.P99, q.Max)
}

func quantiles(values []float64) Quantiles {
	if len(values) == 0 {
		return Quantiles{}
	}
	slices.Sort(values)
	at := func(q float64) float64 { return values[min(len(values)-1, int(q*float64(len(values))))] }
	return Quantiles{P50: at(.5), P99: at(.99), Max: values[len(values)-1]}
}

// sessions reads from the journals how long phones were without a connection.
func sessions(journals []string) (Sessions, error) {
	var resume, back []float64
	for _, path := range journals {
		lost, hello := map[string]float64{}, map[string]float64{} // by phone, ms
		f, err := os.Open(path)
		if err != nil {
			return Sessions{}, err
		}
		err = journal.Read(f, func(r journal.Record) error {
			switch r.What {
			case journal.Lost:
				lost[r.Phone] = r.AtMs
			case journal.Hello:
				hello[r.Phone] = r.AtMs
			case journal.Welcome:
				if at, ok := lost[r.Phone]; ok {
					back, resume = append(back, r.AtMs-at), append(resume, r.AtMs-hello[r.Phone])
				}
			}
			return nil
		})
		if err := errors.Join(err, f.Close()); err != nil {
			return Sessions{}, fmt.Errorf("%s: %w", path, err)
		}
	}
	return Sessions{Count: len(back), Resume: quantiles(resume), Back: quantiles(back)}, nil
}

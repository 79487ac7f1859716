package finding

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestAGuessIsALetter(t *testing.T) {
	e := queueExperiment()
	for text, want := range map[string]int{"": NoGuess, "A": 0, "b": 1, " B ": 1} {
		if got, err := e.ParseGuess(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"C", "AB", "1", "?", "@"} {
		if _, err := e.ParseGuess(text); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "choose A or B") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAGuessIsAskedForUntilItIsAnOption(t *testing.T) {
	for name, c := range map[string]struct {
		typed string
		want  int
		asked int
	}{
		"a letter":          {"b\n", 1, 1},
		"Enter":             {"\n", NoGuess, 1},
		"two wrong letters": {"c\nyes\na\n", 0, 3},
		"nothing more":      {"", NoGuess, 1},
		"without a newline": {"A", 0, 1},
	} {
		var out bytes.Buffer
		got, err := queueExperiment().AskGuess(t.Context(), strings.NewReader(c.typed), &out)
		if err != nil || got != c.want {
			t.Errorf("%s: %d, %v; want %d", name, got, err, c.want)
		}
		if n := strings.Count(out.String(), "Your guess (A or B; Enter skips it): "); n != c.asked {
			t.Errorf("%s: asked %d times, want %d: %s", name, n, c.asked, &out)
		}
		for _, want := range []string{"A queue or a direct message?", "away for a second", "  A  Both lose messages.", "  B  Only direct"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in %s", name, want, &out)
			}
		}
	}
}

func TestAnInterruptEndsTheQuestion(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in, typing := io.Pipe() // a person who types nothing
	defer func() { _ = typing.Close() }()
	out := writerFunc(func(p []byte) {
		if strings.Contains(string(p), "Your guess") {
			cancel()
		}
	})
	if _, err := queueExperiment().AskGuess(ctx, in, out); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

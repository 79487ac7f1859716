package finding

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ParseGuess returns the number of the option that a letter names, and NoGuess
// for an empty text. The error wraps ErrUsage.
func (e Experiment) ParseGuess(text string) (int, error) {
	letter := strings.ToUpper(strings.TrimSpace(text))
	if letter == "" {
		return NoGuess, nil
	}
	for i := range e.Options {
		if Letter(i) == letter {
			return i, nil
		}
	}
	return NoGuess, fmt.Errorf("%w: the guess %q is no option of %s; choose %s", ErrUsage, text, e.Name, e.listLetters())
}

// listLetters returns the letters of the options, such as "A, B or C".
func (e Experiment) listLetters() string {
	names := make([]string, len(e.Options))
	for i := range names {
		names[i] = Letter(i)
	}
	return joinOr(names)
}

// joinOr returns "A, B or C".
func joinOr(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// AskGuess shows the question and its options and reads a guess. An empty line
// or the end of the input is NoGuess; a letter that is no option is asked for
// again. When ctx ends first it returns ctx's error, and a goroutine goes on
// waiting for a line.
func (e Experiment) AskGuess(ctx context.Context, in io.Reader, out io.Writer) (int, error) {
	fmt.Fprintf(out, "%s\n%s\n", e.Question, strings.Join(wrapText(e.Situation, ""), "\n"))
	for i, option := range e.Options {
		fmt.Fprintf(out, "  %s  %s\n", Letter(i), option)
	}

	lines, failed := make(chan string), make(chan error, 1)
	go func() {
		scanner := bufio.NewScanner(in)
		for scanner.Scan() {
			select {
			case lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
		failed <- errors.Join(io.EOF, scanner.Err())
	}()

	for {
		fmt.Fprintf(out, "Your guess (%s; Enter skips it): ", e.listLetters())
		select {
		case line := <-lines:
			guess, err := e.ParseGuess(line)
			if err == nil {
				return guess, nil
			}
			fmt.Fprintf(out, "There is no option %q.\n", line)
		case <-failed:
			fmt.Fprintln(out)
			return NoGuess, nil
		case <-ctx.Done():
			fmt.Fprintln(out)
			return NoGuess, ctx.Err()
		}
	}
}

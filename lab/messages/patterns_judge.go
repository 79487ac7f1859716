package messages

import (
	"fmt"
	"slices"

	"github.com/ridehail/ridehail/lab/finding"
)

// findWay returns the figures of a way.
func findWay(all []Way, name string) Way {
	i := slices.IndexFunc(all, func(w Way) bool { return w.Name == name })
	if i < 0 {
		return Way{Name: name}
	}
	return all[i]
}

// leastPollingAge is the least mean age by polling, in milliseconds. Messages
// come at even steps, and two polls are at least an interval apart: in each
// interval of k messages the last is 0 old at best, the one before it a step,
// and so on.
func (p plan) leastPollingAge() float64 {
	inOne := p.poll / p.every
	return toMilliseconds(max(0, inOne-1)*p.every) / 2
}

// judgePatterns says which laws held.
func judgePatterns(p plan, all []Way) []finding.Claim {
	plain, numbered, queue, polling := findWay(all, plainWay), findWay(all, numberedWay), findWay(all, queueWay), findWay(all, pollingWay)
	unacked := min(1, p.messagesAway()) // the worker died between one effect and its ack
	return []finding.Claim{
		{Text: "publish/subscribe loses just those sent meanwhile", Law: "at most once", Source: "Eugster 2003", Exact: true,
			Want: fmt.Sprint(p.messagesAway()), Got: fmt.Sprint(plain.Lost), Holds: plain.Lost == p.messagesAway() && plain.Twice == 0},
		{Text: "with numbers: lost, read again", Law: "end to end", Source: "Saltzer 1984", Exact: true,
			Want: fmt.Sprintf("0, %d", p.messagesAway()), Got: fmt.Sprintf("%d, %d", numbered.Lost, numbered.Reads),
			Holds: numbered.Lost == 0 && numbered.Twice == 0 && numbered.Reads == p.messagesAway()},
		{Text: "queue: lost, given twice (done, not acked)", Law: "at least once", Source: "Bernstein 1990", Exact: true,
			Want: fmt.Sprintf("0, %d", unacked), Got: fmt.Sprintf("%d, %d", queue.Lost, queue.Twice),
			Holds: queue.Lost == 0 && queue.Twice == unacked},
		{Text: "polling's mean age", Law: "(interval - step) / 2", Source: "Kleinrock 1975",
			Want: fmt.Sprintf(">= %.0f ms", p.leastPollingAge()), Got: fmt.Sprintf("%.0f ms", polling.AgeMeanThere),
			Holds: polling.Lost == 0 && polling.AgeMeanThere >= p.leastPollingAge()},
	}
}

// seenPattern returns which of the options came true.
func seenPattern(all []Way) int {
	losing := 0
	for _, w := range all {
		if w.Lost > 0 {
			losing++
		}
	}

	switch {
	case losing == len(all)-1 && findWay(all, queueWay).Lost == 0:
		return 0
	case losing == 2:
		return 1
	case losing == 0:
		return 2
	case losing == 1:
		return 3
	}
	return finding.NoGuess
}

// subjects are what the ways carry, for each trade.
var subjects = map[string]map[string]string{
	"ride": {plainWay: "where the cars are", numberedWay: "trip events, chat", queueWay: "rides to settle",
		directWay: "travel times", pollingWay: "lists that a page asks for"},
	"hospital": {plainWay: "a result is in", numberedWay: "the patient's record", queueWay: "alerts",
		directWay: "stock of a drug", pollingWay: "the waiting list"},
	"video": {plainWay: "who is live (YouTube)", numberedWay: "chat (Telegram)", queueWay: "videos to encode",
		directWay: "open this video", pollingWay: "new comments"},
}

// patternTable is what people read, a row for each way.
func patternTable(p plan, all []Way) finding.Table {
	t := finding.Table{Columns: []string{"way", "received", "twice", "lost", "age p50", "worst", "it took"}}
	for _, w := range all {
		cost := fmt.Sprintf("%d commands", w.Commands)
		switch w.Name {
		case directWay:
			cost = fmt.Sprintf("%d calls", w.Calls)
		case pollingWay:
			cost = fmt.Sprintf("%d reads", w.Reads)
		}
		t.Rows = append(t.Rows, []string{w.Name + ": " + subjects[p.as][w.Name], fmt.Sprintf("%d of %d", w.Received, w.Sent),
			fmt.Sprint(w.Twice), fmt.Sprint(w.Lost), formatAge(w.AgeP50), formatAge(w.AgeWorst), cost})
	}
	return t
}

func formatAge(ms float64) string {
	if ms < 10 {
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

// noticePatterns words the figures.
func noticePatterns(p plan, all []Way) []string {
	plain, numbered, queue, direct := findWay(all, plainWay), findWay(all, numberedWay), findWay(all, queueWay), findWay(all, directWay)
	return []string{
		fmt.Sprintf("Publish/subscribe lost %d and told no one; the direct call lost %d, and its caller saw %d errors.",
			plain.Lost, direct.Lost, direct.Refused),
		fmt.Sprintf("Numbers make a loss a delay: %d were read again, the oldest after %.0f ms. The queue gave %d twice.",
			numbered.Reads, numbered.AgeWorst, queue.Twice),
		adviceFor(p.as, plain, queue, direct, findWay(all, pollingWay)),
	}
}

// adviceFor says what the figures mean for one trade.
func adviceFor(trade string, plain, queue, direct, polling Way) string {
	switch trade {
	case "hospital":
		return fmt.Sprintf("Alerts: queue, lost %d. Stock: call, the nurse saw %d fail. Results: topic lost %d; ask the record.",
			queue.Lost, direct.Refused, plain.Lost)
	case "video":
		return fmt.Sprintf("To encode: queue, lost %d. Who is live: topic, lost %d, more is coming. Comments: polled, %.0f ms old.",
			queue.Lost, plain.Lost, polling.AgeMeanThere)
	}
	return fmt.Sprintf("Must be done, may be late: a queue lost %d, a call %d. Polling lost %d, but comes %.0f ms late.",
		queue.Lost, direct.Lost, polling.Lost, polling.AgeMeanThere)
}

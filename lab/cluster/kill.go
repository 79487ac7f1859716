package cluster

import (
	"context"
	"fmt"
	"strings"
)

// Kill is how long a killed node, and a killed master, were felt.
type Kill struct {
	Node   string `json:"node"`
	Master string `json:"master,omitempty"` // "" for none

	Positions Gap `json:"positions"`
	News      Gap `json:"news"`
	Offers    Gap `json:"offers"`
}

// Gap is the longest time without an arrival at any probe, in seconds.
type Gap struct {
	BeforeS float64 `json:"before_s"` // while nothing was broken
	AfterS  float64 `json:"after_s"`  // from the kill on
	Probes  int     `json:"probes"`
}

func (m *measurement) measureKill(context.Context) error { return nil }

func (k *Kill) write(b *strings.Builder) {
	if k == nil {
		return
	}
	fmt.Fprintf(b, "  killed %s", k.Node)
}

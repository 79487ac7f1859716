package demo

import "testing"

func TestThisMachineFindsTheNodeHoweverItListens(t *testing.T) {
	for listen, want := range map[string]string{"127.0.0.1:8080": "127.0.0.1:8080", "0.0.0.0:80": "localhost:80",
		"[::]:8080": "localhost:8080", ":8080": "localhost:8080", "demo.local:1": "demo.local:1"} {
		if got := localURL(listen); got != "http://"+want {
			t.Errorf("%s: %s", listen, got)
		}
	}
}

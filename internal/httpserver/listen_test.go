package httpserver

import (
	"errors"
	"strings"
	"testing"
)

func TestAnAddressThatIsTakenIsNamedWithItsFlag(t *testing.T) {
	first, err := Listen("--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()

	address := first.Addr().String()
	_, err = Listen("--admin", address)
	want := `--admin "` + address + `": no server can listen there: another program has this address`
	if !errors.Is(err, ErrAddress) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v", err)
	}
}

func TestNoAddressIsNotAnyAddress(t *testing.T) {
	for _, address := range []string{"", "8080", ":99999", ":-1", "foo:bar", "localhost", "::1:80", "no.such.host.invalid:80"} {
		l, err := Listen("--listen", address)
		if err == nil {
			l.Close()
		}
		if !errors.Is(err, ErrAddress) || !strings.Contains(err.Error(), "give HOST:PORT") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestAPortMayBeLeftToTheSystemAndTheHostToo(t *testing.T) {
	for _, address := range []string{":0", "localhost:0", "127.0.0.1:0", "127.0.0.1:"} {
		l, err := Listen("--listen", address)
		if err != nil {
			t.Errorf("%q: %v", address, err)
			continue
		}
		l.Close()
	}
}

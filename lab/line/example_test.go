package line_test

import (
	"fmt"
	"io"
	"net"

	"github.com/ridehail/ridehail/lab/line"
)

func Example() {
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer far.Close()
	go func() {
		if conn, err := far.Accept(); err == nil {
			_, _ = io.Copy(conn, conn)
			_ = conn.Close()
		}
	}()

	spec, err := line.Parse("5ms,0%")
	if err != nil {
		panic(err)
	}
	l, err := line.Open(far.Addr().String(), spec, 1)
	if err != nil {
		panic(err)
	}
	defer l.Close()

	conn, err := net.Dial("tcp", l.Address())
	if err != nil {
		panic(err)
	}
	defer conn.Close()

	_, _ = conn.Write([]byte("hello"))
	heard := make([]byte, 5)
	_, _ = io.ReadFull(conn, heard)
	fmt.Printf("%s over %s: %d bytes up\n", heard, spec.Describe(), l.Stats().Up.Bytes)
	// Output: hello over 5ms and 0 % loss each way; a round trip takes 10ms: 5 bytes up
}

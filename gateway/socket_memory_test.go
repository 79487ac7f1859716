package gateway

// phonesChild makes this test binary the phones of BenchmarkIdleRiderSocket.
const phonesChild = "RIDEHAIL_TEST_PHONES"

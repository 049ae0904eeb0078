// Package binary tests the built caddy as users run it, with a real redis-server. It kills,
// stops, reloads and overloads it.
//
// CADDY_BIN names the binary to test; without it, the one at the root of the checkout. SOAK
// makes the runs long. SEED repeats the random choices of a run.
package binary

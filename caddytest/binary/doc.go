// Package binary tests the built caddy as users run it: it is killed, stopped,
// reloaded and overloaded, with a real redis-server behind it.
//
// CADDY_BIN names another binary than the one at the root of the checkout.
// SOAK, if set, makes for long runs, and SEED repeats the choices of a run.
package binary

// Package docs runs what the documentation shows: every Caddyfile is adapted,
// every command is typed into a shell, and what it prints is compared with what
// the page says.
//
// A block of commands begins with ```console. Lines that begin with "$ " are
// typed, with those that follow after a backslash or begin with "> "; other
// lines are what is printed, where … stands for anything. A block that has
// file=NAME in its first line is written to that file. One with ends=ctrl-c goes on
// until it is interrupted, which is done once it has printed what the page says. One
// with needs=WHAT is only shown, since a test does not have what it needs; that the
// commands, flags and targets in it exist is looked at all the same.
//
// What is answered to a curl without a word on what it prints must be no error.
package docs

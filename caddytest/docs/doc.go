// Package docs runs the documentation. It adapts every Caddyfile, types every command into a
// shell, and compares the output with the page.
//
// A block of commands begins with ```console. Lines that begin with "$ " are typed, with
// continuation lines after a backslash or with "> ". Other lines are the expected output; …
// stands for any text. A block with file=NAME in its first line is written to that file. A
// block with ends=ctrl-c runs until the test interrupts it, once it has printed the expected
// output. A block with needs=WHAT is not run, since the test lacks something; the test still
// checks that its commands, flags and targets exist.
//
// If a page shows no output of a curl, the answer must not be an error.
package docs

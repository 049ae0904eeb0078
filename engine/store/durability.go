package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Durability says which failures a batch of writes must survive before it is answered. It
// is a number of replicas of the store that must have the writes, or one of the constants.
type Durability int

const (
	// Fsync demands that the writes are on the disk of the store.
	Fsync Durability = -1
	// InMemory demands nothing more than that the store has the writes.
	InMemory Durability = 0
)

// ErrNotDurable says that the store has the writes, but did not make them as durable in
// time as Batch.Durability demands.
var ErrNotDurable = errors.New("the store has the writes, but may lose them")

const writeDurability = "write none, replicas and a number such as 1, or fsync"

// ParseDurability reads the text that String writes.
func ParseDurability(text string) (Durability, error) {
	words := strings.Fields(text)
	switch {
	case len(words) == 1 && words[0] == "none":
		return InMemory, nil
	case len(words) == 1 && words[0] == "fsync":
		return Fsync, nil
	case len(words) == 1 && words[0] == "replicas":
		return 0, errors.New("replicas takes a number; write replicas 1, for example")
	case len(words) != 2 || words[0] != "replicas":
		return 0, fmt.Errorf("it does not take %q; %s", text, writeDurability)
	}
	n, err := strconv.ParseInt(words[1], 10, 32)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is no number of replicas; write a whole number from 1 on", words[1])
	}
	return Durability(n), nil
}

// String returns "none", "fsync", or "replicas" and a number.
func (d Durability) String() string {
	switch {
	case d == Fsync:
		return "fsync"
	case d == InMemory:
		return "none"
	}
	return "replicas " + strconv.Itoa(int(d))
}

package store

import (
	"strings"
	"testing"
)

func TestADurabilityIsReadAsItIsWritten(t *testing.T) {
	for text, want := range map[string]Durability{
		"none": InMemory, "fsync": Fsync, "replicas 1": 1, "replicas 12": 12,
	} {
		got, err := ParseDurability(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s is %d, written %s (%v)", text, got, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                    "write none, replicas and a number",
		"always":              `it does not take "always"; write none, replicas and a number such as 1, or fsync`,
		"fsync 1":             `it does not take "fsync 1"`,
		"replicas":            "replicas takes a number",
		"replicas 0":          `"0" is no number of replicas`,
		"replicas -1":         `"-1" is no number of replicas`,
		"replicas all":        `"all" is no number of replicas`,
		"replicas 9999999999": `is no number of replicas`,
		"replicas 1 2":        "write none, replicas and a number",
	} {
		if got, err := ParseDurability(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %s (%v), want the error %s", text, got, err, want)
		}
	}
}

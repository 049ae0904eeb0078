package store

import (
	"fmt"
	"strings"
)

// CheckNamespace says what is wrong with the name of a namespace, if anything is.
func CheckNamespace(namespace string) error {
	ok := len(namespace) >= 1 && len(namespace) <= 64
	for _, c := range []byte(namespace) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			strings.IndexByte("_.:-", c) >= 0)
	}
	if !ok {
		return fmt.Errorf("%q is no namespace; write 1 to 64 of A-Z a-z 0-9 _ . : -", namespace)
	}
	return nil
}

package redisproxy

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// methodSet is a set of the methods that can be switched on.
type methodSet uint8

const (
	methodGet methodSet = 1 << iota
	methodHead
	methodPost
	methodPut
	methodDelete
)

// methodNames are in the order of the bits, which is the order in Allow.
var methodNames = [...]string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete}

// methodOf returns the bit of a method, or 0 for one that nothing switches on.
func methodOf(name string) methodSet {
	switch name {
	case http.MethodGet:
		return methodGet
	case http.MethodHead:
		return methodHead
	case http.MethodPost:
		return methodPost
	case http.MethodPut:
		return methodPut
	case http.MethodDelete:
		return methodDelete
	}
	return 0
}

// parseMethods reads the names in the setting of the same name.
func parseMethods(names []string) (methodSet, error) {
	if len(names) == 0 {
		return 0, errors.New("there is none; write some of GET, HEAD, POST, PUT, DELETE")
	}
	var set methodSet
	for _, name := range names {
		m := methodOf(name)
		switch {
		case m == 0:
			return 0, fmt.Errorf("there is no method %q; write some of %s", name, strings.Join(methodNames[:], ", "))
		case set&m != 0:
			return 0, fmt.Errorf("%s is there twice; write it once", name)
		}
		set |= m
	}
	return set, nil
}

func checkMethods(names []string) error {
	_, err := parseMethods(names)
	return err
}

func (s methodSet) has(m methodSet) bool { return s&m != 0 }

// allow returns the set as an Allow header, with OPTIONS, which is always on.
func (s methodSet) allow() string {
	var b strings.Builder
	for i, name := range methodNames {
		if s.has(1 << i) {
			b.WriteString(name)
			b.WriteString(", ")
		}
	}
	b.WriteString(http.MethodOptions)
	return b.String()
}

package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Methods is a set of the methods that can be switched on.
type Methods uint8

const (
	methodGet Methods = 1 << iota
	methodHead
	methodPost
	methodPut
	methodDelete
)

// methodNames are in the order of the bits, which is the order in Allow.
var methodNames = [...]string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete}

// methodOf returns the bit of a method, or 0 if `methods` cannot have it.
func methodOf(name string) Methods {
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

// ParseMethods reads the names in the setting `methods`.
func ParseMethods(names []string) (Methods, error) {
	if len(names) == 0 {
		return 0, errors.New("there is none; write some of GET, HEAD, POST, PUT, DELETE")
	}
	var set Methods
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

func (s Methods) has(m Methods) bool { return s&m != 0 }

// allow returns the set as an Allow header, with OPTIONS, which is always on.
func (s Methods) allow() string {
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

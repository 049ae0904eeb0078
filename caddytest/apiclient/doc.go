// Package apiclient is the client that oapi-codegen writes from docs/openapi.yaml. Tests use it
// for every operation, so they show that a generated client works.
package apiclient

//go:generate go tool -modfile=../../tools/go.mod oapi-codegen -config oapi-codegen.yaml -o client.gen.go ../../docs/openapi.yaml

// Command probe answers two questions of `make app` by its exit status, without curl: are
// these addresses free, and does this URL answer?
//
//	probe free ADDRESS...
//	probe get URL ROOT_CERTIFICATE
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) > 1 && args[0] == "free":
		err = free(args[1:])
	case len(args) == 3 && args[0] == "get":
		err = get(args[1], args[2])
	default:
		err = errors.New("usage: probe free ADDRESS... | probe get URL ROOT_CERTIFICATE")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// free returns an error if a process listens on one of the addresses. Caddy would not notice:
// it sets SO_REUSEPORT, so two of them share a port, and each gets some of the connections.
// Caddy reports other mistakes in addresses itself.
func free(addresses []string) error {
	for _, address := range addresses {
		ln, err := net.Listen("tcp", address)
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("another process listens on %s; stop it first, if it is yours (`./caddy stop` stops whatever Caddy has its admin endpoint on localhost:2019)", address)
		}
		if err == nil {
			ln.Close()
		}
	}
	return nil
}

// get returns an error unless the URL answers 200 over TLS. It trusts only the given root,
// and uses no proxy, since the URL is on this machine.
func get(url, root string) error {
	pem, err := os.ReadFile(root)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("no certificate in %s", root)
	}
	client := http.Client{
		Timeout:   2 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return nil
}

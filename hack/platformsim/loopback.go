package main

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
)

// loopbackAddress refuses a host:port that is not on this machine's loopback. Of names
// only localhost is taken: others may resolve to anything later.
func loopbackAddress(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not host:port", address)
	}
	return loopbackHost(host)
}

// loopbackURL refuses a base URL that is not http on loopback.
func loopbackURL(base string) error {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%q is not an http URL of a host and a path", base)
	}
	return loopbackHost(u.Hostname())
}

func loopbackHost(host string) error {
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%q is not a loopback address", host)
}

// writeFile writes beside and renames, so that a reader never sees half of it.
func writeFile(path, text string, mode os.FileMode) error {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // it is gone if the rename succeeded
	_, err = file.WriteString(text)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Chmod(file.Name(), mode)
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	return err
}

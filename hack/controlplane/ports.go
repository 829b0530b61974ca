package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/laidoulaile/channel-operator/hack/loopback"
)

// ports of one cluster; they stay its own across restarts.
type ports struct {
	EtcdClient int `json:"etcdClient"`
	EtcdPeer   int `json:"etcdPeer"`
	APIServer  int `json:"apiServer"`
}

func (p ports) all() []int { return []int{p.EtcdClient, p.EtcdPeer, p.APIServer} }

// pickPorts finds free ones.
func pickPorts() (ports, error) {
	free, err := loopback.FreePorts(3)
	if err != nil {
		return ports{}, err
	}
	return ports{EtcdClient: free[0], EtcdPeer: free[1], APIServer: free[2]}, nil
}

// loadPorts are those the cluster had, or new ones.
func loadPorts(dir string) (ports, error) {
	file := filepath.Join(dir, "ports.json")
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return newPorts(file)
	}
	if err != nil {
		return ports{}, err
	}
	var known ports
	if err := json.Unmarshal(data, &known); err != nil {
		return ports{}, fmt.Errorf("%s: %w", file, err)
	}
	return known, nil
}

func newPorts(file string) (ports, error) {
	picked, err := pickPorts()
	if err != nil {
		return ports{}, err
	}
	data, err := json.Marshal(picked)
	if err != nil {
		return ports{}, err
	}
	return picked, writeFile(file, append(data, '\n'))
}

// waitFree gives the children of a parent that was just killed a moment to go.
func waitFree(p ports, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for _, port := range p.all() {
		for {
			listener, err := listen(port)
			if err == nil {
				_ = listener.Close()
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("port %d of this cluster is taken by another process: %w (end it, or remove ports.json for new ports)", port, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return nil
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp4", loopback.Address(port))
}

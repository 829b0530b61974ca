package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"

	"github.com/laidoulaile/channel-operator/hack/loopback"
)

const (
	namespace = "travel"
	channel   = "fliggy"
	account   = "20001"
	// token that pushes must carry here; a real one is random and lives in a Secret only.
	token = "local-stack"
)

func (s *stack) startControlPlane(ctx context.Context) error {
	if err := s.start("controlplane", "up", "--dir", filepath.Join(s.dir, "controlplane")); err != nil {
		return err
	}
	return until(ctx, startTimeout, func(context.Context) error {
		_, err := os.Stat(s.kubeconfig)
		return err
	})
}

func (s *stack) startPlatforms(ctx context.Context) error {
	free, err := loopback.FreeAddresses(3)
	if err != nil {
		return err
	}
	s.push, s.metrics, s.probes = free[0], free[1], free[2]
	file := filepath.Join(s.dir, "platforms.address")
	if err := s.start("platformsim", "--listen", "127.0.0.1:0", "--address-file", file,
		"--push-base", "http://"+s.push, "--push-token", token, "--seed-catalogue", fmt.Sprint(catalogueSize),
		"--fliggy-account", account, "--fliggy-private-key-out", s.keyFile(),
		"--douyin-client-key", douyinClientKey, "--douyin-account", douyinAccount,
		"--douyin-client-secret-out", s.secretFile(), "--douyin-retry-scale", "0.01",
		"--sctt-account", scttAccount, "--sctt-secret-out", s.scttSecretFile(),
		"--sctt-channel-path", "/api/channels/"+namespace+"/"+scttChannel); err != nil {
		return err
	}
	return until(ctx, startTimeout, func(context.Context) error {
		address, err := os.ReadFile(file)
		s.platforms = strings.TrimSpace(string(address))
		return err
	})
}

func (s *stack) keyFile() string    { return filepath.Join(s.dir, "fliggy-private-key.txt") }
func (s *stack) secretFile() string { return filepath.Join(s.dir, "douyin-client-secret.txt") }

func (s *stack) scttSecretFile() string { return filepath.Join(s.dir, "sctt-secret.txt") }

// applySamples installs the CRDs and the samples, the accounts' keys and endpoints being
// the fake platforms'.
func (s *stack) applySamples(ctx context.Context) error {
	if _, err := s.kubectl(ctx, "", "apply", "-k", "config/crd"); err != nil {
		return err
	}
	if _, err := s.kubectl(ctx, "", "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"); err != nil {
		return err
	}
	key, err1 := os.ReadFile(s.keyFile())
	secret, err2 := os.ReadFile(s.secretFile())
	scttSecret, err3 := os.ReadFile(s.scttSecretFile())
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	objects := fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: v1
kind: Secret
metadata: {name: fliggy-credentials, namespace: %[1]s}
stringData: {privateKey: %[2]q}
---
apiVersion: v1
kind: Secret
metadata: {name: fliggy-push, namespace: %[1]s}
stringData: {token: %[3]q}
---
apiVersion: v1
kind: Secret
metadata: {name: douyin-credentials, namespace: %[1]s}
stringData: {clientSecret: %[4]q}
---
apiVersion: v1
kind: Secret
metadata: {name: sctt-credentials, namespace: %[1]s}
stringData: {secret: %[5]q}
---
apiVersion: v1
kind: Secret
metadata: {name: sctt-push, namespace: %[1]s}
stringData: {token: %[3]q}
`, namespace, strings.TrimSpace(string(key)), token, strings.TrimSpace(string(secret)), strings.TrimSpace(string(scttSecret)))
	if _, err := s.kubectl(ctx, objects, "apply", "-f", "-"); err != nil {
		return err
	}
	sample, err := s.kubectl(ctx, "", "kustomize", "config/samples/local")
	if err != nil {
		return err
	}
	_, err = s.kubectl(ctx, strings.ReplaceAll(sample, "http://platform.invalid", "http://"+s.platforms), "apply", "-f", "-")
	return err
}

func (s *stack) startManager(ctx context.Context) error {
	if err := s.start("manager", "--kubeconfig", s.kubeconfig, "--push-bind-address", s.push,
		"--metrics-bind-address", s.metrics, "--metrics-secure=false", "--health-probe-bind-address", s.probes,
		"--leader-elect=false", "--allow-private-endpoints", "--journal-dir", filepath.Join(s.dir, "journal")); err != nil {
		return err
	}
	return until(ctx, startTimeout, func(ctx context.Context) error { return loopback.Answers(ctx, "http://"+s.probes+"/readyz") })
}

// waitForCatalogue waits until each Channel has listed its catalogue, and made its products.
func (s *stack) waitForCatalogue(ctx context.Context) error {
	return until(ctx, readyTimeout, func(ctx context.Context) error {
		var channels v1alpha1.ChannelList
		var products v1alpha1.ProductSyncList
		if err := errors.Join(s.list(ctx, "channels", &channels), s.list(ctx, "products", &products)); err != nil {
			return err
		}
		made := map[string]int64{}
		for _, product := range products.Items {
			made[product.Spec.ChannelRef.Name]++
		}
		var behind []error
		for _, c := range channels.Items {
			switch catalogue := c.Status.Catalogue; {
			case catalogue == nil:
				behind = append(behind, fmt.Errorf("%s has not listed its catalogue", c.Name))
			case made[c.Name] < catalogue.Products:
				behind = append(behind, fmt.Errorf("%s: %d of %d products discovered", c.Name, made[c.Name], catalogue.Products))
			}
		}
		return errors.Join(behind...)
	})
}

// object is an object and a push of a fake platform.
type object = map[string]any

// deed is something that happens on a fake platform.
type deed struct {
	path string
	what object
}

// sendFliggyPushes makes things happen on the fake Fliggy, so that it sends each of its ten
// push types once at least.
func (s *stack) sendFliggyPushes(ctx context.Context) error {
	big := "9007199254740995"
	return s.tellAll(ctx, []deed{
		{"fliggy/products/88/price", object{"price": "365.50", "push": true}}, // PRICE_STOCK or PRICE
		{"fliggy/products/88/push", object{"pushType": "VACATION_RESOURCE_INFO_CHANGE"}},
		{"fliggy/products/88/push", object{"pushType": "VACATION_RESOURCE_VALID_CHANGE"}},
		{"fliggy/products/88/push", object{"pushType": "VACATION_RESOURCE_PRICE_STOCK_CHANGE"}},
		{"fliggy/products/88/push", object{"pushType": "VACATION_RESOURCE_PRICE_CHANGE"}},
		{"fliggy/products/88/push", object{"pushType": "VACATION_RESOURCE_STOCK_CHANGE"}},
		{"fliggy/products/102/off", object{"push": true}}, // INVALID

		{"fliggy/orders", order(big, "T-1", 2)}, // issued, half used
		{"fliggy/orders/" + big + "/pay", object{"push": true}},
		{"fliggy/orders/" + big + "/issue", codes("LOCAL-A1", "LOCAL-A2")},
		{"fliggy/orders/" + big + "/use", object{"code": "LOCAL-A1", "count": 1, "push": true}},

		{"fliggy/orders", order("5002", "T-2", 2)}, // partly refunded
		{"fliggy/orders/5002/pay", object{"push": true}},
		{"fliggy/orders/5002/issue", codes("LOCAL-B1", "LOCAL-B2")},
		{"fliggy/orders/5002/refund", object{"fee": 12345, "quantity": 1, "full": false, "push": true}},

		{"fliggy/orders", order("5003", "T-3", 1)}, // refunded in full
		{"fliggy/orders/5003/pay", object{"push": true}},
		{"fliggy/orders/5003/issue", codes("LOCAL-C1")},
		{"fliggy/orders/5003/refund", object{"fee": 36550, "quantity": 1, "full": true, "push": true}},

		{"fliggy/orders", order("5004", "T-4", 1)}, // never paid
		{"fliggy/orders/5004/close", object{"push": true}},
	})
}

func order(id, outOrderID string, quantity int) object {
	return object{"id": id, "outOrderID": outOrderID, "productID": "88", "quantity": quantity, "price": 36550}
}

func codes(texts ...string) object {
	var list []object
	for _, text := range texts {
		list = append(list, object{"code": text, "persons": 1})
	}
	return object{"codes": list, "push": true}
}

// waitReady waits until every object speaks of its newest generation and is Ready.
func (s *stack) waitReady(ctx context.Context) error {
	return until(ctx, readyTimeout, func(ctx context.Context) error {
		var list struct {
			Items []struct {
				Kind     string `json:"kind"`
				Metadata struct {
					Name       string `json:"name"`
					Generation int64  `json:"generation"`
				} `json:"metadata"`
				Status v1alpha1.ChannelStatus `json:"status"`
			} `json:"items"`
		}
		if err := s.list(ctx, "channels,products,orders", &list); err != nil {
			return err
		}
		var behind []error
		for _, item := range list.Items {
			if is, why := ready(item.Status, item.Metadata.Generation); !is {
				behind = append(behind, fmt.Errorf("%s %s is not Ready%s", item.Kind, item.Metadata.Name, why))
			}
		}
		return errors.Join(behind...)
	})
}

// ready tells whether a status is of the newest generation and Ready, and else why not.
func ready(status v1alpha1.ChannelStatus, generation int64) (is bool, why string) {
	for _, c := range status.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			return c.Status == "True" && status.ObservedGeneration == generation, fmt.Sprintf(": %s: %s", c.Reason, c.Message)
		}
	}
	return false, ""
}

func (s *stack) list(ctx context.Context, kinds string, into any) error {
	out, err := s.kubectl(ctx, "", "get", kinds, "--namespace", namespace, "--output", "json")
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

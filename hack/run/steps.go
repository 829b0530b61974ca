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
	for _, address := range []*string{&s.push, &s.metrics, &s.probes} {
		free, err := freeAddress()
		if err != nil {
			return err
		}
		*address = free
	}
	file := filepath.Join(s.dir, "platforms.address")
	if err := s.start("platformsim", "--listen", "127.0.0.1:0", "--address-file", file,
		"--push-base", "http://"+s.push, "--push-token", token, "--seed-catalogue", fmt.Sprint(catalogueSize),
		"--fliggy-account", account, "--fliggy-private-key-out", s.keyFile()); err != nil {
		return err
	}
	return until(ctx, startTimeout, func(context.Context) error {
		address, err := os.ReadFile(file)
		s.platforms = strings.TrimSpace(string(address))
		return err
	})
}

func (s *stack) keyFile() string { return filepath.Join(s.dir, "fliggy-private-key.txt") }

// applySamples installs the CRDs and the samples, the account's key and endpoint being
// the fake platform's.
func (s *stack) applySamples(ctx context.Context) error {
	if _, err := s.kubectl(ctx, "", "apply", "-k", "config/crd"); err != nil {
		return err
	}
	if _, err := s.kubectl(ctx, "", "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"); err != nil {
		return err
	}
	key, err := os.ReadFile(s.keyFile())
	if err != nil {
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
`, namespace, strings.TrimSpace(string(key)), token)
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
		"--leader-elect=false", "--allow-private-endpoints"); err != nil {
		return err
	}
	return until(ctx, startTimeout, func(ctx context.Context) error { return httpOK(ctx, "http://"+s.probes+"/readyz") })
}

func (s *stack) waitForCatalogue(ctx context.Context) error {
	return until(ctx, readyTimeout, func(ctx context.Context) error {
		var products v1alpha1.ProductSyncList
		if err := s.list(ctx, "products", &products); err != nil {
			return err
		}
		if len(products.Items) < listed {
			return fmt.Errorf("%d of %d products discovered", len(products.Items), listed)
		}
		return nil
	})
}

// object is an object and a push of the fake platform.
type object = map[string]any

// sendPushes makes things happen on the fake platform, so that it sends each of its ten
// push types once at least.
func (s *stack) sendPushes(ctx context.Context) error {
	big := "9007199254740995"
	for _, step := range []struct {
		path string
		what object
	}{
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
	} {
		if err := s.tell(ctx, step.path, step.what); err != nil {
			return err
		}
	}
	return nil
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
			if !ready(item.Status, item.Metadata.Generation) {
				behind = append(behind, fmt.Errorf("%s %s is not Ready", item.Kind, item.Metadata.Name))
			}
		}
		return errors.Join(behind...)
	})
}

func ready(status v1alpha1.ChannelStatus, generation int64) bool {
	for _, c := range status.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			return c.Status == "True" && status.ObservedGeneration == generation
		}
	}
	return false
}

func (s *stack) list(ctx context.Context, kinds string, into any) error {
	out, err := s.kubectl(ctx, "", "get", kinds, "--namespace", namespace, "--output", "json")
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

// show prints what people look at.
func (s *stack) show(ctx context.Context) {
	if _, err := os.Stat(s.kubeconfig); err != nil {
		return
	}
	for _, kinds := range []string{"channels", "products", "orders"} {
		fmt.Printf("\n$ kubectl get %s -n %s\n", kinds, namespace)
		out, err := s.kubectl(ctx, "", "get", kinds, "--namespace", namespace)
		fmt.Print(out)
		if err != nil {
			fmt.Println(err)
		}
	}
}

func (s *stack) explain() {
	fmt.Printf(`
Everything is up; interrupt (ctrl-c) to stop and remove it.

  export KUBECONFIG=%[1]s
  kubectl:          %[2]s
  pushes:           http://%[3]s/api/webhooks/fliggy/product-change?token=%[4]s
  fake platforms:   http://%[5]s   (control: /admin/fliggy/…)
  metrics:          http://%[6]s/metrics
  logs:             %[7]s

Try: curl -d '{"price":"299.00","push":true}' http://%[5]s/admin/fliggy/products/88/price
`, s.kubeconfig, filepath.Join(assets(), "kubectl"), s.push, token, s.platforms, s.metrics, s.dir)
}

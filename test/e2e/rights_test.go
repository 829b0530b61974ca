package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
	"github.com/laidoulaile/channel-operator/test/env"
)

// A namespace whose Secrets the manager may not read: the Channel says so, pushes are to be sent
// again, and the command in its message, as it stands there, mends it.
func TestCommandOfTheMessageOpensTheNamespace(t *testing.T) {
	t.Parallel()
	w := openWorld(t)
	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "channel-operator-channel-secrets"}}
	if err := api.Delete(w.ctx, binding); err != nil {
		t.Fatal(err)
	}
	w.eventually(w.mayNotReadSecrets)
	w.account = strconv.FormatInt(9007199254740993+accountIDs.Add(1), 10)
	fake, err := platformtest.NewFliggy(platformtest.FliggyConfig{Account: w.account})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "credentials"}, StringData: map[string]string{"privateKey": fake.PrivateKey()}})
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Name: "fliggy"}, Spec: v1alpha1.ChannelSpec{Platform: v1alpha1.PlatformFliggy,
		Account: w.account, Endpoint: server.URL, CredentialsRef: v1alpha1.SecretReference{Name: "credentials"}}}
	w.create(channel)
	w.eventually(func() error {
		if err := w.get(channel); err != nil {
			return err
		}
		if reason, is := conditions.Of(channel.Status.Conditions); is || reason != v1alpha1.ReasonSecretsForbidden {
			return fmt.Errorf("Ready=%v (%s)", is, reason)
		}
		return conditions.Check(channel.Status.Conditions, channel.Generation, channel.Status.ObservedGeneration)
	})
	push := fake.ProductPush("VACATION_RESOURCE_INFO_CHANGE", "88", time.Now())
	if status, reply := w.post(productPath, "application/json", string(push)); status != http.StatusServiceUnavailable || reply == "success" || reply == "error" {
		t.Errorf("a push: %d %q", status, reply)
	}
	_, command, found := strings.Cut(messageOf(channel.Status.Conditions), "kubectl ")
	if !found {
		t.Fatalf("no command in %q", messageOf(channel.Status.Conditions))
	}
	w.kubectl(strings.Fields(command)...)
	w.eventually(func() error {
		if err := w.get(channel); err != nil {
			return err
		}
		return ready(channel.Status.Conditions, channel.Generation, channel.Status.ObservedGeneration)
	})
	w.eventually(func() error {
		if status, reply := w.post(productPath, "application/json", string(push)); status != http.StatusOK {
			return fmt.Errorf("a push: %d %q", status, reply)
		}
		return nil
	})
}

// mayNotReadSecrets: the API server has seen that the right was taken away.
func (w *world) mayNotReadSecrets() error {
	switch reason, may, err := w.may(env.ManagerNamespace, authorizationv1.ResourceAttributes{Verb: "get", Resource: "secrets"}); {
	case err != nil:
		return err
	case may:
		return fmt.Errorf("allowed: %s", reason)
	}
	return nil
}

// mayBegin: the API server, which learns of Roles by watching them, knows what the manager of the world's
// own namespace may do there.
func (w *world) mayBegin() error {
	for _, right := range []authorizationv1.ResourceAttributes{
		{Verb: "list", Group: v1alpha1.GroupName, Resource: "channels"},
		{Verb: "get", Resource: "secrets"},
		{Verb: "create", Group: "coordination.k8s.io", Resource: "leases"},
	} {
		switch reason, may, err := w.may(w.namespace, right); {
		case err != nil:
			return err
		case !may:
			return fmt.Errorf("the manager may not %s %s: %s", right.Verb, right.Resource, reason)
		}
	}
	return nil
}

// may reports whether the manager of a namespace may do something in the world's.
func (w *world) may(manager string, right authorizationv1.ResourceAttributes) (reason string, may bool, err error) {
	right.Namespace = w.namespace
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: "system:serviceaccount:" + manager + ":channel-operator-manager", ResourceAttributes: &right}}
	err = api.Create(w.ctx, review)
	return review.Status.Reason, review.Status.Allowed, err
}

// A manager with the rights of config/overlays/namespaced, and no others, does all of its work in
// its namespace. What is in another is not there for it.
func TestNamespacedInstall(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t), newWorld(t)
	root := env.MustRoot(t)
	overlay := w.kubectl("kustomize", root+"/config/overlays/namespaced")
	for _, name := range []string{env.ManagerNamespace, "travel"} {
		overlay = strings.ReplaceAll(overlay, "namespace: "+name, "namespace: "+w.namespace)
	}
	file := t.TempDir() + "/namespaced.yaml"
	if err := os.WriteFile(file, []byte(overlay), 0o600); err != nil {
		t.Fatal(err)
	}
	w.kubectl("apply", "-f", file)
	w.eventually(w.mayBegin) // the API server learns of Roles by watching them, too
	m, err := env.StartManager(env.ManagerOptions{InstalledIn: w.namespace, Flags: []string{
		"--watch-namespaces", w.namespace, "--leader-elect", "--leader-elect-namespace", w.namespace}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Stop() })
	w.manager, other.manager = m, m
	w.fake.AimPushes("http://"+m.Push, "")
	w.putProduct("88")
	w.send(productPath, w.fake.ProductPush("VACATION_RESOURCE_INFO_CHANGE", "88", time.Now()))
	w.productReady("88", func(*v1alpha1.ProductSync) error { return nil })
	w.putOrder("5001")
	w.issue("5001")
	w.orderReady("5001", v1alpha1.OrderIssued)

	push := other.fake.ProductPush("VACATION_RESOURCE_INFO_CHANGE", "88", time.Now())
	if status, reply := other.post(productPath, "application/json", string(push)); status != http.StatusNotFound {
		t.Errorf("a push for a Channel in another namespace: %d %q", status, reply)
	}
	w.eventually(func() error { // it has looked at the product and at the Channel too
		if done := scrape(t, m); !strings.Contains(done, `controller_runtime_reconcile_total{controller="ordervoucher",result="`) {
			return fmt.Errorf("the controllers do not run")
		}
		return nil
	})
	if log := m.Log.String(); strings.Contains(log, "forbidden") {
		t.Errorf("it lacks a right:\n%s", lastLines(log, 20))
	}
}

// /metrics is for those who may read it: who does not say who they are, or may not, sees nothing.
func TestMetricsAreForThoseWhoMay(t *testing.T) {
	t.Parallel()
	w := openWorld(t)
	m, err := env.StartManager(env.ManagerOptions{Flags: []string{"--metrics-secure=true", "--leader-elect", "--leader-elect-namespace", env.ManagerNamespace}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Stop() })
	w.kubectl("create", "serviceaccount", "reader")
	w.kubectl("create", "serviceaccount", "stranger")
	w.kubectl("create", "clusterrolebinding", w.namespace, "--clusterrole=channel-operator-metrics-reader", "--serviceaccount="+w.namespace+":reader")
	insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // a self-signed pair
	ask := func(token string) int {
		request, err := http.NewRequestWithContext(context.WithoutCancel(w.ctx), http.MethodGet, "https://"+m.Metrics+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := insecure.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	for who, want := range map[string]int{"": http.StatusUnauthorized, "stranger": http.StatusForbidden, "reader": http.StatusOK} {
		token := ""
		if who != "" {
			token = strings.TrimSpace(w.kubectl("create", "token", who))
		}
		w.eventually(func() error { // the right was given a moment ago
			if got := ask(token); got != want {
				return fmt.Errorf("%q: %d, want %d", who, got, want)
			}
			return nil
		})
	}
	if got := ask("no token of anybody's"); got == http.StatusOK {
		t.Errorf("an invented token: %d", got)
	}
	old := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if conn, err := tls.Dial("tcp", m.Metrics, old); err == nil {
		_ = conn.Close()
		t.Error("it speaks TLS 1.1")
	}
	if response, err := http.Get("http://" + m.Metrics + "/metrics"); err == nil {
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			t.Error("plain HTTP shows metrics")
		}
	}
}

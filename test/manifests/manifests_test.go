// Package manifests tests what config/ deploys: with the real kubectl, against a real
// API server, whose pod security admission judges the pods.
package manifests

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/test/env"
)

const (
	namespace      = "channel-operator-system"
	serviceAccount = "system:serviceaccount:" + namespace + ":channel-operator-manager"
)

func TestMain(m *testing.M) { os.Exit(env.Main(m)) }

// kubectl runs it in this module's root as a cluster admin.
func kubectl(t *testing.T, args ...string) []byte {
	t.Helper()
	assets, err := env.Assets()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(assets, "kubectl"), args...)
	cmd.Dir = env.MustRoot(t)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig(t))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	if strings.Contains(stderr.String(), "PodSecurity") {
		t.Errorf("kubectl %s warns:\n%s", strings.Join(args, " "), stderr.Bytes())
	}
	return out
}

func kubeconfig(t *testing.T) string {
	t.Helper()
	config := env.Config()
	out := clientcmdapi.NewConfig()
	out.Clusters["test"] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	out.AuthInfos["test"] = &clientcmdapi.AuthInfo{ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}
	out.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test"}
	out.CurrentContext = "test"
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*out, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// build is a kustomization's objects.
func build(t *testing.T, dir string) []*unstructured.Unstructured {
	t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(kubectl(t, "kustomize", dir)), 4096)
	var objects []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		objects = append(objects, object)
	}
}

func find(objects []*unstructured.Unstructured, kind string) *unstructured.Unstructured {
	for _, object := range objects {
		if object.GetKind() == kind {
			return object
		}
	}
	return nil
}

func statefulSet(t *testing.T, dir string) *appsv1.StatefulSet {
	t.Helper()
	object := find(build(t, dir), "StatefulSet")
	if object == nil {
		t.Fatalf("%s has no StatefulSet", dir)
	}
	set := &appsv1.StatefulSet{}
	decode(t, object, set)
	return set
}

// decode an object; a field that its kind does not have is an error.
func decode(t *testing.T, object *unstructured.Unstructured, into any) {
	t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, into, true); err != nil {
		t.Fatalf("%s %s: %v", object.GetKind(), object.GetName(), err)
	}
}

func TestEveryKustomizationBuilds(t *testing.T) {
	built := 0
	err := fs.WalkDir(os.DirFS(env.MustRoot(t)), "config", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "kustomization.yaml" {
			return err
		}
		dir := filepath.Dir(path)
		if slices.Contains([]string{"config/hardened", "config/ingress", "config/ephemeral-journal", "config/channel-secrets"}, dir) { // components: built by who uses them
			return nil
		}
		built++
		if len(build(t, dir)) == 0 {
			t.Errorf("%s builds to nothing", dir)
		}
		return nil
	})
	if err != nil || built < 7 {
		t.Errorf("built %d kustomizations, %v", built, err)
	}
}

// TestApply installs as a user would. Without controllers nothing runs of it.
func TestApply(t *testing.T) {
	kubectl(t, "apply", "-k", "config/crd")
	kubectl(t, "apply", "-k", "config/default")
	for _, dir := range []string{"config/default", "config/overlays/production"} {
		kubectl(t, "apply", "--dry-run=server", "-k", dir)
	}
	// The API server lets no StatefulSet change its claims: one without comes after one with.
	kubectl(t, "delete", "statefulset", "-n", namespace, "channel-operator")
	kubectl(t, "apply", "--dry-run=server", "-k", "config/overlays/dev")
	kubectl(t, "apply", "-n", "default", "-k", "config/samples")

	c, err := client.New(env.Config(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("pods pass admission", func(t *testing.T) { checkAdmission(t, c) })
	t.Run("the pod of operations.md", checkDocumentedPod)
	t.Run("rights", func(t *testing.T) { checkRights(t, c) })
	t.Run("rights in some namespaces only", func(t *testing.T) { checkNamespaced(t, c) })
}

// checkAdmission: the namespace enforces the restricted standard, so the API server
// itself says whether the pods keep it, and whether it looks at all.
func checkAdmission(t *testing.T, c client.Client) {
	for _, dir := range []string{"config/default", "config/overlays/dev", "config/overlays/production", "config/overlays/namespaced"} {
		pod := podOf(statefulSet(t, dir))
		if err := c.Create(t.Context(), pod.DeepCopy(), client.DryRunAll); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
		pod.Spec.SecurityContext.RunAsNonRoot = nil
		err := c.Create(t.Context(), pod, client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), "restricted") {
			t.Errorf("%s, as root: %v, want a refusal by the restricted standard", dir, err)
		}
	}
}

// checkDocumentedPod: the pod that operations.md has people make, to see a journal's volume,
// passes admission, and the claim in it is one of the set's.
func checkDocumentedPod(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(env.MustRoot(t), "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "```yaml\napiVersion: v1\nkind: Pod\n")
	text, _, found := strings.Cut(text, "```")
	if !found {
		t.Fatal("operations.md has no Pod")
	}
	file := filepath.Join(t.TempDir(), "pod.yaml")
	if err := os.WriteFile(file, []byte("apiVersion: v1\nkind: Pod\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	var pod corev1.Pod
	if err := yaml.Unmarshal(kubectl(t, "create", "--dry-run=server", "-o", "json", "-f", file), &pod); err != nil {
		t.Fatal(err)
	}
	set := statefulSet(t, "config/default")
	claim := pod.Spec.Volumes[0].PersistentVolumeClaim
	if want := set.Spec.VolumeClaimTemplates[0].Name + "-" + set.Name + "-1"; claim == nil || claim.ClaimName != want {
		t.Errorf("it mounts %+v, want the claim %s", pod.Spec.Volumes[0], want)
	}
}

// podOf is a pod as the controller makes it: each claim is a volume.
func podOf(set *appsv1.StatefulSet) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: set.Spec.Template.ObjectMeta, Spec: set.Spec.Template.Spec}
	pod.GenerateName, pod.Namespace = "probe-", namespace
	for _, claim := range set.Spec.VolumeClaimTemplates {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: claim.Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name + "-" + set.Name + "-0"},
		}})
	}
	return pod
}

// everyVerb that RBAC knows of these resources.
var everyVerb = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}

// managed is what the manager does in a namespace with Channels: verbs by group/resource.
var managed = map[string][]string{
	group + "/channels":             {"get", "list", "watch"},
	group + "/channels/status":      {"patch"},
	group + "/productsyncs":         {"get", "list", "watch", "create", "patch", "delete"},
	group + "/productsyncs/status":  {"patch"},
	group + "/ordervouchers":        {"get", "list", "watch", "create", "patch", "delete"},
	group + "/ordervouchers/status": {"patch"},
	"events.k8s.io/events":          {"create", "patch"},
	"/secrets":                      {"get", "list", "watch", "create", "patch"},
}

// elsewhere is what it never does, beside the other verbs on the above.
var elsewhere = []string{"/pods", "/pods/exec", "/configmaps", "/serviceaccounts/token", "/namespaces", "/nodes", "apps/statefulsets",
	"rbac.authorization.k8s.io/clusterrolebindings", "rbac.authorization.k8s.io/roles", "apiextensions.k8s.io/customresourcedefinitions"}

const group = "channel.laidoulaile.online"

// checkRights of config/default: in the whole cluster all but Secrets, these where config/channel-secrets
// is, and leases in its own namespace.
func checkRights(t *testing.T, c client.Client) {
	soon(t, c, rights("list", "", "secrets", "default"))
	without := maps.Clone(managed)
	delete(without, "/secrets")
	may(t, c, "", without)
	may(t, c, namespace, without)
	may(t, c, "default", managed) // where config/samples is applied
	for where, want := range map[string]map[string]bool{
		namespace: {"get": true, "update": true, "create": true}, "kube-system": {},
	} {
		for _, verb := range everyVerb {
			lease := rights(verb, "coordination.k8s.io", "leases", where)
			if verb != "create" { // which cannot be limited to a name
				lease.Name = "channel-operator." + group
			}
			if got := allowed(t, c, lease); got != want[verb] {
				t.Errorf("%s the lease in %s: %v", verb, where, got)
			}
		}
	}
	if allowed(t, c, rights("update", "coordination.k8s.io", "leases", namespace)) {
		t.Error("it may hold any lease")
	}
	for _, review := range []string{"authentication.k8s.io/tokenreviews", "authorization.k8s.io/subjectaccessreviews"} {
		group, resource, _ := strings.Cut(review, "/")
		if !allowed(t, c, rights("create", group, resource, "")) {
			t.Errorf("it may not make %s: who reads /metrics cannot be asked", resource)
		}
	}
}

// rule is one of a Role: resources, verbs and names in one string each.
func rule(group, resources, verbs string, names ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: strings.Fields(resources), Verbs: strings.Fields(verbs), ResourceNames: names}
}

// What is asked above are some rights of many: these are all that config/default gives anybody, and
// all that the overlay for some namespaces does.
func TestRulesAreTheseAndNoOthers(t *testing.T) {
	inNamespaces := []rbacv1.PolicyRule{
		rule(group, "channels", "get list watch"),
		rule(group, "channels/status ordervouchers/status productsyncs/status", "patch"),
		rule(group, "ordervouchers productsyncs", "create delete get list patch watch"),
		rule("events.k8s.io", "events", "create patch"),
	}
	secrets := rule("", "secrets", "get list watch create patch")
	election := []rbacv1.PolicyRule{
		rule("coordination.k8s.io", "leases", "create"),
		rule("coordination.k8s.io", "leases", "get update", "channel-operator."+group),
		rule("", "events", "create patch"),
	}
	const manager, electing = "ServiceAccount " + namespace + "/channel-operator-manager", "Role " + namespace + "/channel-operator-leader-election-role"
	compareRules(t, "config/default", map[string][]rbacv1.PolicyRule{
		"ClusterRole channel-operator-manager-role":    inNamespaces,
		"ClusterRole channel-operator-channel-secrets": {secrets},
		"ClusterRole channel-operator-metrics-auth-role": {
			rule("authentication.k8s.io", "tokenreviews", "create"),
			rule("authorization.k8s.io", "subjectaccessreviews", "create"),
		},
		"ClusterRole channel-operator-metrics-reader": {{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}},
		electing: election,
	}, map[string]string{
		"ClusterRole channel-operator-manager-role":      manager,
		"ClusterRole channel-operator-metrics-auth-role": manager,
		electing: manager,
	})
	compareRules(t, "config/overlays/namespaced", map[string][]rbacv1.PolicyRule{
		"Role travel/channel-operator-manager": append(inNamespaces, secrets),
		electing:                               election,
	}, map[string]string{"Role travel/channel-operator-manager": manager, electing: manager})
}

// compareRules compares all rules of a folder, and who has them.
func compareRules(t *testing.T, dir string, want map[string][]rbacv1.PolicyRule, wantBound map[string]string) {
	t.Helper()
	got, bound := map[string][]rbacv1.PolicyRule{}, map[string]string{}
	for _, object := range build(t, dir) {
		switch object.GetKind() {
		case "Role", "ClusterRole":
			var role rbacv1.ClusterRole // a Role has no more than it
			decode(t, object, &role)
			if role.AggregationRule != nil {
				t.Errorf("%s takes what other roles have", role.Name)
			}
			got[role.Kind+" "+within(object.GetNamespace(), role.Name)] = role.Rules
		case "RoleBinding", "ClusterRoleBinding":
			var binding rbacv1.ClusterRoleBinding
			decode(t, object, &binding)
			for _, to := range binding.Subjects {
				bound[binding.RoleRef.Kind+" "+within(binding.Namespace, binding.RoleRef.Name)] += to.Kind + " " + to.Namespace + "/" + to.Name
			}
			if wide := binding.RoleRef.Kind == "ClusterRole"; wide != (binding.Kind == "ClusterRoleBinding") || wide != (binding.Namespace == "") {
				t.Errorf("%s %s/%s binds a %s", binding.Kind, binding.Namespace, binding.Name, binding.RoleRef.Kind)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: rules (-want +got):\n%s", dir, diff)
	}
	if diff := cmp.Diff(wantBound, bound); diff != "" {
		t.Errorf("%s: who has them (-want +got):\n%s", dir, diff)
	}
}

// within is a name in a namespace; without one, the name.
func within(namespace, name string) string { return strings.TrimPrefix(namespace+"/"+name, "/") }

// may checks that the manager may do just this in a namespace; empty: in the whole cluster.
func may(t *testing.T, c client.Client, where string, want map[string][]string) {
	t.Helper()
	for _, name := range slices.Concat(slices.Collect(maps.Keys(managed)), elsewhere) {
		group, resource, _ := strings.Cut(name, "/")
		for _, verb := range everyVerb {
			if got := allowed(t, c, rights(verb, group, resource, where)); got != slices.Contains(want[name], verb) {
				t.Errorf("%s %s in %q: %v", verb, name, where, got)
			}
		}
	}
}

// soon waits until the API server has seen a right that was given a moment ago.
func soon(t *testing.T, c client.Client, right authorizationv1.ResourceAttributes) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !allowed(t, c, right); {
		if time.Now().After(deadline) {
			t.Fatalf("it may not %s %s in %s", right.Verb, right.Resource, right.Namespace)
		}
		select {
		case <-t.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func allowed(t *testing.T, c client.Client, attributes authorizationv1.ResourceAttributes) bool {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: serviceAccount, ResourceAttributes: &attributes,
	}}
	if err := c.Create(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

// checkNamespaced: the overlay alone gives the manager in its namespace what config/default does,
// and nothing anywhere else. It runs when nothing else is applied.
func checkNamespaced(t *testing.T, c client.Client) {
	for _, object := range build(t, "config/overlays/namespaced") {
		if strings.HasPrefix(object.GetKind(), "Cluster") || object.GetNamespace() == "" {
			t.Errorf("%s %s takes a cluster administrator", object.GetKind(), object.GetName())
		}
	}
	kubectl(t, "delete", "clusterrolebinding", "channel-operator-manager-role-binding", "channel-operator-metrics-auth-role-binding")
	kubectl(t, "create", "namespace", "travel")
	kubectl(t, "apply", "-k", "config/overlays/namespaced")
	soon(t, c, rights("list", "", "secrets", "travel"))
	may(t, c, "travel", managed)
	may(t, c, "", nil)
	may(t, c, namespace, nil)
	may(t, c, "kube-system", nil)
	args := statefulSet(t, "config/overlays/namespaced").Spec.Template.Spec.Containers[0].Args
	if !slices.Contains(args, "--watch-namespaces=travel") || !slices.Contains(args, "--metrics-bind-address=0") ||
		slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--metrics") && arg != "--metrics-bind-address=0" }) {
		t.Errorf("args %v", args)
	}
}

func rights(verb, group, resource, namespace string) authorizationv1.ResourceAttributes {
	resource, subresource, _ := strings.Cut(resource, "/")
	return authorizationv1.ResourceAttributes{
		Verb: verb, Group: group, Resource: resource, Subresource: subresource, Namespace: namespace,
	}
}

// Beside what the restricted standard asks for, and that itself: admission is the cluster's matter.
func TestHardening(t *testing.T) {
	for _, dir := range []string{"config/default", "config/overlays/dev", "config/overlays/production", "config/overlays/namespaced"} {
		t.Run(dir, func(t *testing.T) { checkHardening(t, statefulSet(t, dir).Spec.Template.Spec) })
	}
}

func checkHardening(t *testing.T, pod corev1.PodSpec) {
	if len(pod.Containers) != 1 || len(pod.InitContainers) != 0 {
		t.Fatalf("%d containers, and %d before them", len(pod.Containers), len(pod.InitContainers))
	}
	manager := pod.Containers[0]
	want := &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	if diff := cmp.Diff(want, manager.SecurityContext); diff != "" {
		t.Errorf("the container (-want +got):\n%s", diff)
	}
	of := pod.SecurityContext
	if of.RunAsNonRoot == nil || !*of.RunAsNonRoot || of.SeccompProfile == nil || of.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("the pod: %+v", of)
	}
	if pod.ServiceAccountName != "channel-operator-manager" {
		t.Errorf("its account is %q: what others have, it has", pod.ServiceAccountName)
	}
	if pod.HostNetwork || pod.HostPID || pod.HostIPC {
		t.Error("it sees the host's network or processes")
	}
	if manager.Resources.Limits.Memory().IsZero() || manager.Resources.Requests.Cpu().IsZero() {
		t.Error("no memory limit, or no request")
	}
	if manager.LivenessProbe == nil || manager.ReadinessProbe == nil {
		t.Error("a probe is missing")
	}
	pause := manager.Lifecycle.PreStop.Sleep.Seconds
	if grace := *pod.TerminationGracePeriodSeconds; pause <= 0 || grace < pause+shutdownSeconds+10 {
		t.Errorf("a pause of %d s before the stop, of %d s in all", pause, grace)
	}
}

// The image is the binary and certificates: no shell, no package manager, no root. Each line that
// makes it is one of these.
func TestImageHasNoShell(t *testing.T) {
	file, err := os.ReadFile(filepath.Join(env.MustRoot(t), "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(file)
	last := regexp.MustCompile(`(?m)^\s*(#.*)?\n`).ReplaceAllString(text[strings.LastIndex(text, "\nFROM ")+1:], "")
	want := `FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /manager /manager
USER 65532:65532
ENTRYPOINT ["/manager"]
`
	if diff := cmp.Diff(want, last); diff != "" {
		t.Errorf("the image is made by other lines (-want +got):\n%s", diff)
	}
}

// hardened are the overlays for real accounts.
var hardened = []string{"config/overlays/production", "config/overlays/namespaced"}

// What the policy of those for real accounts lets out: DNS, the API server, and https to public
// addresses.
func TestNetworkPolicy(t *testing.T) {
	for _, dir := range hardened {
		t.Run(dir, func(t *testing.T) { checkNetworkPolicy(t, dir) })
	}
}

func checkNetworkPolicy(t *testing.T, dir string) {
	objects := slices.DeleteFunc(build(t, dir), func(o *unstructured.Unstructured) bool { return o.GetKind() != "NetworkPolicy" })
	if len(objects) != 1 {
		t.Fatalf("%d NetworkPolicies: what any of them lets through passes", len(objects))
	}
	var policy networkingv1.NetworkPolicy
	decode(t, objects[0], &policy)
	set := statefulSet(t, dir)
	if policy.Namespace != set.Namespace {
		t.Errorf("it is in %s, the pods are in %s", policy.Namespace, set.Namespace)
	}
	if diff := cmp.Diff(theWays(*set.Spec.Selector), policy.Spec); diff != "" {
		t.Errorf("ways in and out (-want +got):\n%s", diff)
	}
	for address, want := range map[string]bool{
		"8.8.8.8": true, "203.119.0.1": true, "172.32.0.1": true, "2400:3200::1": true,
		"10.96.0.1": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false, "100.64.0.1": false,
		"127.0.0.1": false, "169.254.169.254": false, "0.0.0.0": false, "224.0.0.1": false, "255.255.255.255": false, "198.18.0.1": false,
		"::1": false, "fe80::1": false, "fd00:ec2::254": false, "ff02::1": false, "::ffff:10.0.0.1": false, "64:ff9b::a00:1": false,
	} {
		if got := letsOut(t, &policy, netip.MustParseAddr(address), 443); got != want {
			t.Errorf("%s:443: %v", address, got)
		}
		if letsOut(t, &policy, netip.MustParseAddr(address), 80) {
			t.Errorf("%s:80 is let out", address)
		}
	}
}

// theWays in and out of the pods: all of them.
func theWays(pods metav1.LabelSelector) networkingv1.NetworkPolicySpec {
	port := func(port intstr.IntOrString) networkingv1.NetworkPolicyPort {
		return networkingv1.NetworkPolicyPort{Port: &port}
	}
	dns := func(protocol corev1.Protocol) networkingv1.NetworkPolicyPort {
		return networkingv1.NetworkPolicyPort{Port: ptr.To(intstr.FromInt32(53)), Protocol: &protocol}
	}
	labelled := func(key, value string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
	}
	from := func(namespaces *metav1.LabelSelector, to string) networkingv1.NetworkPolicyIngressRule {
		return networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: namespaces}},
			Ports: []networkingv1.NetworkPolicyPort{port(intstr.FromString(to))}}
	}
	block := func(cidr string, except ...string) networkingv1.NetworkPolicyPeer {
		return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr, Except: except}}
	}
	return networkingv1.NetworkPolicySpec{
		PodSelector: pods,
		PolicyTypes: []networkingv1.PolicyType{"Ingress", "Egress"},
		Ingress: []networkingv1.NetworkPolicyIngressRule{
			from(labelled("kubernetes.io/metadata.name", "ingress-nginx"), "push"),
			from(labelled("metrics", "enabled"), "metrics"),
		},
		Egress: []networkingv1.NetworkPolicyEgressRule{
			{To: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: labelled("kubernetes.io/metadata.name", "kube-system"), PodSelector: labelled("k8s-app", "kube-dns")}},
				Ports: []networkingv1.NetworkPolicyPort{dns("UDP"), dns("TCP")}},
			{To: []networkingv1.NetworkPolicyPeer{block("192.0.2.1/32")}, Ports: []networkingv1.NetworkPolicyPort{port(intstr.FromInt32(6443))}},
			{To: []networkingv1.NetworkPolicyPeer{
				block("0.0.0.0/0", "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
					"172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"),
				block("2000::/3"),
			}, Ports: []networkingv1.NetworkPolicyPort{port(intstr.FromInt32(443))}},
		},
	}
}

// letsOut reports whether a block of addresses of the policy has this one and its port.
func letsOut(t *testing.T, policy *networkingv1.NetworkPolicy, address netip.Addr, port int) bool {
	t.Helper()
	has := func(cidr string) bool { return netip.MustParsePrefix(cidr).Contains(address) }
	for _, out := range policy.Spec.Egress {
		if len(out.To) == 0 || len(out.Ports) == 0 {
			t.Fatalf("lets out anywhere: %+v", out)
		}
		if !slices.ContainsFunc(out.Ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port.IntValue() == port && p.EndPort == nil }) {
			continue
		}
		for _, to := range out.To {
			if to.IPBlock != nil && has(to.IPBlock.CIDR) && !slices.ContainsFunc(to.IPBlock.Except, has) {
				return true
			}
		}
	}
	return false
}

// shutdownSeconds is how long the manager takes to end (main.go's shutdownTimeout); the journal
// is closed after that.
const shutdownSeconds = 25

// The heap's limit is the container's, less what is no heap.
func TestMemoryLimits(t *testing.T) {
	for _, overlay := range []string{"config/default", "config/overlays/dev", "config/overlays/production", "config/overlays/namespaced"} {
		manager := statefulSet(t, overlay).Spec.Template.Spec.Containers[0]
		if len(manager.Env) != 1 || manager.Env[0].Name != "GOMEMLIMIT" {
			t.Fatalf("%s: environment %v", overlay, manager.Env)
		}
		heap := resource.MustParse(strings.TrimSuffix(manager.Env[0].Value, "B"))
		limit := manager.Resources.Limits.Memory().Value()
		if share := float64(heap.Value()) / float64(limit); share < 0.8 || share > 0.9 {
			t.Errorf("%s: GOMEMLIMIT is %.2f of the limit", overlay, share)
		}
	}
}

func TestDefault(t *testing.T) {
	got := statefulSet(t, "config/default")
	if got.Name != "channel-operator" || got.Namespace != namespace || *got.Spec.Replicas != 2 {
		t.Errorf("%s/%s with %d replicas", got.Namespace, got.Name, *got.Spec.Replicas)
	}
	want := []string{
		"--push-bind-address=:8080",
		"--metrics-bind-address=:8081",
		"--health-probe-bind-address=:8082",
		"--journal-dir=/var/lib/channel-operator",
		"--key-dir=/run/channel-operator",
		"--leader-elect",
	}
	if diff := cmp.Diff(want, got.Spec.Template.Spec.Containers[0].Args); diff != "" {
		t.Errorf("args (-want +got):\n%s", diff)
	}
}

// Two replicas, each with a journal that outlives it; while one is replaced the other receives.
func TestJournals(t *testing.T) {
	for _, dir := range []string{"config/default", "config/overlays/production", "config/overlays/namespaced"} {
		set := statefulSet(t, dir)
		checkClaim(t, set)
		retention := set.Spec.PersistentVolumeClaimRetentionPolicy
		want := &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
			WhenDeleted: appsv1.RetainPersistentVolumeClaimRetentionPolicyType, WhenScaled: appsv1.RetainPersistentVolumeClaimRetentionPolicyType,
		}
		if diff := cmp.Diff(want, retention); diff != "" {
			t.Errorf("%s: retention of claims (-want +got):\n%s", dir, diff)
		}
		if volumes := set.Spec.Template.Spec.Volumes; len(volumes) != 1 {
			t.Errorf("%s: volumes beside the claims: %v", dir, volumes)
		}
		checkReplacement(t, dir, set)
	}
}

// checkClaim: one small claim of one node's, and its user may write where it is mounted.
func checkClaim(t *testing.T, set *appsv1.StatefulSet) {
	t.Helper()
	if len(set.Spec.VolumeClaimTemplates) != 1 {
		t.Fatalf("%d claims", len(set.Spec.VolumeClaimTemplates))
	}
	claim := set.Spec.VolumeClaimTemplates[0]
	if diff := cmp.Diff([]corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, claim.Spec.AccessModes); diff != "" {
		t.Errorf("access (-want +got):\n%s", diff)
	}
	if size := claim.Spec.Resources.Requests.Storage(); size.Cmp(resource.MustParse("2Gi")) != 0 {
		t.Errorf("the claim is for %s", size)
	}
	checkMount(t, set, claim.Name)
}

// checkMount: the volume is where --journal-dir says, and the image's group may write there.
func checkMount(t *testing.T, set *appsv1.StatefulSet, volume string) {
	t.Helper()
	manager := set.Spec.Template.Spec.Containers[0]
	if len(manager.VolumeMounts) != 2 {
		t.Fatalf("%d mounts", len(manager.VolumeMounts))
	}
	checkKeys(t, set, manager.VolumeMounts[1])
	mount := manager.VolumeMounts[0]
	if mount.Name != volume || mount.ReadOnly || !slices.Contains(manager.Args, "--journal-dir="+mount.MountPath) {
		t.Errorf("%s is mounted at %s, read-only %v; args %v", mount.Name, mount.MountPath, mount.ReadOnly, manager.Args)
	}
	image, err := os.ReadFile(filepath.Join(env.MustRoot(t), "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	group := set.Spec.Template.Spec.SecurityContext.FSGroup
	if group == nil || !strings.Contains(string(image), fmt.Sprintf("\nUSER %d:%[1]d\n", *group)) {
		t.Errorf("the volume's group %v is not that of the image's user", group)
	}
}

// checkKeys: the key of what lies beside the journal is in memory, on no disk.
func checkKeys(t *testing.T, set *appsv1.StatefulSet, mount corev1.VolumeMount) {
	t.Helper()
	volumes := set.Spec.Template.Spec.Volumes
	i := slices.IndexFunc(volumes, func(v corev1.Volume) bool { return v.Name == mount.Name })
	if i < 0 || volumes[i].EmptyDir == nil || volumes[i].EmptyDir.Medium != corev1.StorageMediumMemory || volumes[i].EmptyDir.SizeLimit.IsZero() {
		t.Errorf("the volume %s of %+v is not in bounded memory", mount.Name, volumes)
	}
	if args := set.Spec.Template.Spec.Containers[0].Args; mount.ReadOnly || !slices.Contains(args, "--key-dir="+mount.MountPath) {
		t.Errorf("%s is mounted at %s, read-only %v; args %v", mount.Name, mount.MountPath, mount.ReadOnly, args)
	}
}

// checkReplacement: one pod at a time, none waits for another to start, and the budget leaves one.
func checkReplacement(t *testing.T, dir string, set *appsv1.StatefulSet) {
	t.Helper()
	rolling := set.Spec.UpdateStrategy.RollingUpdate
	if *set.Spec.Replicas < 2 || set.Spec.UpdateStrategy.Type != appsv1.RollingUpdateStatefulSetStrategyType ||
		rolling != nil && rolling.MaxUnavailable != nil && rolling.MaxUnavailable.String() != "1" {
		t.Errorf("%s: %d replicas are replaced by %+v", dir, *set.Spec.Replicas, set.Spec.UpdateStrategy)
	}
	if set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement {
		t.Errorf("%s: pods are started %s", dir, set.Spec.PodManagementPolicy)
	}
	object := find(build(t, dir), "PodDisruptionBudget")
	if object == nil {
		t.Fatalf("%s: no disruption budget", dir)
	}
	var budget policyv1.PodDisruptionBudget
	decode(t, object, &budget)
	if diff := cmp.Diff(set.Spec.Selector, budget.Spec.Selector); diff != "" || budget.Spec.MinAvailable.IntValue() != 1 {
		t.Errorf("%s: the budget keeps %s of\n%s", dir, budget.Spec.MinAvailable, diff)
	}
}

func TestServices(t *testing.T) {
	set, headless := statefulSet(t, "config/default"), ""
	for _, object := range build(t, "config/default") {
		if object.GetKind() != "Service" {
			continue
		}
		var service corev1.Service
		decode(t, object, &service)
		checkService(t, &service, set)
		if service.Spec.ClusterIP == corev1.ClusterIPNone {
			headless = service.Name
		}
	}
	if headless == "" || set.Spec.ServiceName != headless {
		t.Errorf("the set names Service %q, the headless one is %q", set.Spec.ServiceName, headless)
	}
}

func checkService(t *testing.T, service *corev1.Service, set *appsv1.StatefulSet) {
	t.Helper()
	selector := metav1.LabelSelector{MatchLabels: service.Spec.Selector}
	if diff := cmp.Diff(&selector, set.Spec.Selector); diff != "" {
		t.Errorf("%s selects other pods:\n%s", service.Name, diff)
	}
	for _, port := range service.Spec.Ports {
		if !slices.ContainsFunc(set.Spec.Template.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool {
			return p.Name == port.TargetPort.StrVal && p.ContainerPort == port.Port
		}) {
			t.Errorf("%s: no container port is %s", service.Name, port.TargetPort.String())
		}
	}
}

func TestOverlays(t *testing.T) {
	dev := statefulSet(t, "config/overlays/dev")
	args := dev.Spec.Template.Spec.Containers[0].Args
	if *dev.Spec.Replicas != 1 || !slices.Contains(args, "--allow-private-endpoints") || !slices.Contains(args, "--metrics-secure=false") {
		t.Errorf("dev: %d replicas, %v", *dev.Spec.Replicas, args)
	}
	if find(build(t, "config/overlays/dev"), "PodDisruptionBudget") != nil {
		t.Error("dev: a disruption budget over one replica")
	}
	checkEphemeral(t, dev)

	for _, dir := range hardened {
		t.Run(dir, func(t *testing.T) { checkHardened(t, dir) })
	}
}

func checkHardened(t *testing.T, dir string) {
	objects := build(t, dir)
	for _, kind := range []string{"Ingress", "NetworkPolicy", "PodDisruptionBudget"} {
		if find(objects, kind) == nil {
			t.Errorf("no %s", kind)
		}
	}
	manager := statefulSet(t, dir).Spec.Template.Spec.Containers[0]
	if !strings.Contains(manager.Image, "@sha256:") {
		t.Errorf("the image %s is not named by digest", manager.Image)
	}
	if !slices.Contains(manager.Args, "--require-proof") {
		t.Errorf("senders need not be proven: %v", manager.Args)
	}
	if !slices.ContainsFunc(manager.Args, func(arg string) bool { return strings.HasPrefix(arg, "--trusted-proxies=") }) {
		t.Errorf("production: no place for the ingress's addresses, so nobody who guesses is slowed: %v", manager.Args)
	}
	for _, arg := range manager.Args {
		if strings.Contains(arg, "allow-private") || strings.Contains(arg, "metrics-secure=false") {
			t.Errorf("%s", arg)
		}
	}
	checkLabels(t, dir, find(objects, "Namespace"))
}

// checkLabels: the namespace has what holds pods to the restricted standard; an overlay that makes
// none says so.
func checkLabels(t *testing.T, dir string, namespace *unstructured.Unstructured) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(env.MustRoot(t), dir, "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"enforce", "audit", "warn"} {
		label := "pod-security.kubernetes.io/" + mode
		if namespace != nil && namespace.GetLabels()[label] != "restricted" {
			t.Errorf("the namespace's labels: %v", namespace.GetLabels())
		}
		if namespace == nil && !strings.Contains(string(file), label+": restricted\n") {
			t.Errorf("it does not say that the namespace is to have %s", label)
		}
	}
}

// checkEphemeral: no claim, so no storage class is needed, and the journal in a bounded emptyDir.
func checkEphemeral(t *testing.T, set *appsv1.StatefulSet) {
	t.Helper()
	if len(set.Spec.VolumeClaimTemplates) != 0 || set.Spec.PersistentVolumeClaimRetentionPolicy != nil {
		t.Errorf("claims: %v, %v", set.Spec.VolumeClaimTemplates, set.Spec.PersistentVolumeClaimRetentionPolicy)
	}
	volumes := set.Spec.Template.Spec.Volumes
	if len(volumes) != 2 || volumes[1].EmptyDir == nil || volumes[1].EmptyDir.SizeLimit.IsZero() {
		t.Fatalf("volumes: %+v", volumes)
	}
	checkMount(t, set, volumes[1].Name)
}

// A token stands in the query, and the access log of ingress-nginx holds queries.
func TestIngressLogsNoTokens(t *testing.T) {
	ingress := find(build(t, "config/overlays/production"), "Ingress")
	if ingress == nil || ingress.GetAnnotations()["nginx.ingress.kubernetes.io/enable-access-log"] != "false" {
		t.Error("it logs them")
	}
}

// Every push path of the operator has a way in, and nothing else has.
func TestIngressPaths(t *testing.T) {
	for _, dir := range hardened {
		t.Run(dir, func(t *testing.T) { checkIngress(t, dir) })
	}
}

func checkIngress(t *testing.T, dir string) {
	ingress := find(build(t, dir), "Ingress")
	if ingress == nil {
		t.Fatal("no Ingress")
	}
	rules, _, err := unstructured.NestedSlice(ingress.Object, "spec", "rules")
	if err != nil || len(rules) != 1 {
		t.Fatalf("%d rules, %v", len(rules), err)
	}
	paths, _, err := unstructured.NestedSlice(rules[0].(map[string]any), "http", "paths")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, path := range paths {
		got = append(got, path.(map[string]any)["path"].(string))
	}
	if diff := cmp.Diff([]string{"/api/webhooks/", "/api/channels/"}, got); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	if _, found, _ := unstructured.NestedSlice(ingress.Object, "spec", "tls"); !found {
		t.Error("no TLS")
	}
}

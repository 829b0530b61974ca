package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
	"github.com/laidoulaile/channel-operator/test/env"
)

// strict is the manager as it runs for real accounts, and a namespace with Channels.
type strict struct {
	*testing.T
	api       client.Client
	namespace string
	manager   *env.Manager
	fakes     map[string]*platformtest.Fliggy // by Channel
}

// What the flags of an install with real accounts promise, the manager that has them keeps.
func TestFlagsReachWhatTheyProtect(t *testing.T) {
	api, err := client.New(env.Config(), client.Options{Scheme: newScheme()})
	if err != nil {
		t.Fatal(err)
	}
	manager, err := env.StartManager(env.ManagerOptions{PublicOnly: true, Flags: []string{"--leader-elect", "--leader-elect-namespace", env.ManagerNamespace,
		"--require-proof", "--trusted-proxies", "127.0.0.1/32", "--denied-cidrs", "203.0.113.0/24"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = manager.Stop() }()
	s := &strict{T: t, api: api, namespace: env.Namespace(t, api), manager: manager, fakes: map[string]*platformtest.Fliggy{}}
	inside, calls := listen(t)

	guarded := v1alpha1.ChannelReceive{AllowedCIDRs: []string{"198.51.100.0/24"}}
	s.channel("machine", "https://127.0.0.1:"+inside, guarded)
	s.channel("disguised", "https://１２７.0.0.1:"+inside, guarded) // passes for a name, and is an address when it is dialled
	s.channel("denied", "https://203.0.113.1", guarded)
	s.channel("unproven", "https://203.0.113.1", v1alpha1.ChannelReceive{})

	s.says("machine", v1alpha1.ReasonEndpointNotAllowed, "spec.endpoint")
	s.says("disguised", v1alpha1.ReasonProgressingWithRetry, "it resolves to 127.0.0.1, which is not public")
	s.says("denied", v1alpha1.ReasonProgressingWithRetry, "it resolves to 203.0.113.1, which --denied-cidrs names")
	s.says("unproven", v1alpha1.ReasonSenderNotProven, "acceptUnproven")
	if n := calls.Load(); n != 0 {
		t.Errorf("an address of the machine was called %d times", n)
	}

	const proxy, stranger = "127.0.0.1", "127.0.0.2"
	for _, push := range []struct {
		channel, peer, forwarded string
		status                   int
	}{
		{"machine", proxy, "198.51.100.7", http.StatusOK},
		{"machine", proxy, "192.0.2.7", http.StatusForbidden},
		{"machine", stranger, "198.51.100.7", http.StatusForbidden},
		{"unproven", proxy, "198.51.100.7", http.StatusServiceUnavailable},
	} {
		if status, reply := s.push(push.channel, push.peer, push.forwarded); status != push.status || (reply == "success") != (status == http.StatusOK) {
			t.Errorf("%+v: %d %q", push, status, reply)
		}
	}
}

// listen gives a port of the machine, and counts who connects to it.
func listen(t *testing.T) (port string, calls *atomic.Int64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	calls = &atomic.Int64{}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			calls.Add(1)
			_ = conn.Close()
		}
	}()
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port), calls
}

// channel makes one with an account of its own.
func (s *strict) channel(name, endpoint string, receive v1alpha1.ChannelReceive) {
	s.Helper()
	account := strconv.Itoa(9007199254740993 + len(s.fakes))
	fake, err := platformtest.NewFliggy(platformtest.FliggyConfig{Account: account})
	if err != nil {
		s.Fatal(err)
	}
	s.fakes[name] = fake
	for _, object := range []client.Object{
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, StringData: map[string]string{"privateKey": fake.PrivateKey()}},
		&v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, Spec: v1alpha1.ChannelSpec{Platform: v1alpha1.PlatformFliggy,
			Account: account, Endpoint: endpoint, CredentialsRef: v1alpha1.SecretReference{Name: name}, Receive: receive}},
	} {
		if err := s.api.Create(s.Context(), object); err != nil {
			s.Fatal(err)
		}
	}
}

// says waits until a Channel is not Ready, for this reason and in these words.
func (s *strict) says(name, reason, words string) {
	s.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		var channel v1alpha1.Channel
		if err := s.api.Get(s.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, &channel); err != nil {
			s.Fatal(err)
		}
		ready := meta.FindStatusCondition(channel.Status.Conditions, v1alpha1.ConditionReady)
		if ready != nil && ready.Reason == reason && strings.Contains(ready.Message, words) {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("Channel %s: %+v, want %s and %q", name, ready, reason, words)
		}
		select {
		case <-s.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// push to a Channel's own path, from an address of the machine and, as the header has it, from another.
func (s *strict) push(channel, peer, forwarded string) (status int, reply string) {
	s.Helper()
	body := s.fakes[channel].ProductPush("VACATION_RESOURCE_INFO_CHANGE", "88", time.Now())
	url := fmt.Sprintf("http://%s/api/channels/%s/%s/product-change", s.manager.Push, s.namespace, channel)
	request, err := http.NewRequestWithContext(s.Context(), http.MethodPost, url, strings.NewReader(string(body)))
	if err != nil {
		s.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Forwarded-For", forwarded)
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(peer)}}
	response, err := (&http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}).Do(request)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.Fatal(err)
	}
	return response.StatusCode, string(text)
}

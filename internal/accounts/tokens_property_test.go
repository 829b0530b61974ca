package accounts_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// model is what is known of the tokens of some replicas.
type model struct {
	*rapid.T
	*shared
	platform *issuer
	name     string
	replicas []*replica
	// had is the last token each replica gave, and told which of them each was told are refused.
	had  []sealing.Secret
	told []map[string]bool
	// born and forgiven bound the fetches.
	born    time.Time
	refused map[string]bool
	deleted int
	started int
}

// Whatever replicas ask, whenever the platform refuses, whichever replica starts anew and
// whenever the Secret goes: nobody gets an expired token or one it said was refused, and
// the platform is asked no more often than there are reasons to.
func TestTokensProperty(t *testing.T) {
	s := share(t)
	turn := 0
	rapid.Check(t, func(r *rapid.T) {
		turn++
		m := newModel(r, s, fmt.Sprintf("turn-%d", turn))
		r.Repeat(map[string]func(*rapid.T){
			"ask":     func(r *rapid.T) { m.askAll(r, false) },
			"refuse":  func(r *rapid.T) { m.askAll(r, true) },
			"advance": func(r *rapid.T) { m.advance(r) },
			"restart": func(r *rapid.T) { m.restart(r) },
			"delete":  func(*rapid.T) { m.deleteSecret() },
			"":        func(r *rapid.T) { m.bounded(r) },
		})
	})
}

func newModel(r *rapid.T, s *shared, name string) *model {
	m := &model{T: r, shared: s, name: name, platform: &issuer{clock: s.clock}, born: s.now(), refused: map[string]bool{}}
	for range rapid.IntRange(2, 4).Draw(r, "replicas") {
		m.replicas = append(m.replicas, nil)
		m.had = append(m.had, sealing.Secret{})
		m.told = append(m.told, nil)
		m.start(len(m.replicas) - 1)
	}
	return m
}

func (m *model) start(i int) {
	m.replicas[i] = m.replicaOf(m.owner(m.name), endpoint)
	m.had[i], m.told[i] = sealing.Secret{}, map[string]bool{}
	m.started++
}

func (m *model) advance(r *rapid.T) {
	m.clock.advance(rapid.SampledFrom([]time.Duration{
		time.Second, 20 * time.Second, time.Minute, 4 * time.Minute, 20 * time.Minute, time.Hour, 109 * time.Minute, 3 * time.Hour,
	}).Draw(r, "later"))
}

func (m *model) restart(r *rapid.T) {
	m.start(rapid.IntRange(0, len(m.replicas)-1).Draw(r, "replica"))
}

func (m *model) deleteSecret() {
	m.deleted++
	secret := &corev1.Secret{}
	secret.Namespace, secret.Name = m.namespace, accounts.AccessTokenSecretName(m.name)
	if err := client.IgnoreNotFound(m.api.Delete(m.ctx, secret)); err != nil {
		m.Fatal(err)
	}
}

// askAll asks some of the replicas at once, several times each.
func (m *model) askAll(r *rapid.T, refuse bool) {
	var all sync.WaitGroup
	for i := range m.replicas {
		if !rapid.Bool().Draw(r, fmt.Sprintf("asks %d", i)) {
			continue
		}
		refused := sealing.Secret{}
		if refuse && !m.had[i].IsZero() {
			refused = m.had[i]
			m.told[i][refused.Reveal()] = true
			m.refused[refused.Reveal()] = true
		}
		for range rapid.IntRange(1, 3).Draw(r, "callers") {
			all.Go(func() { m.askOne(i, refused) })
		}
	}
	all.Wait()
}

// askOne asks, and checks what it gets. Only a token that was issued within the last
// minute may be refused with an error.
func (m *model) askOne(i int, refused sealing.Secret) {
	ctx, cancel := context.WithTimeout(m.ctx, time.Minute)
	defer cancel()
	accounts.TryAgain(m.replicas[i].Tokens) // as a reload would: rests take time
	token, err := m.replicas[i].Token(ctx, refused, m.platform.fetch)
	if err != nil {
		if failure := asError(err); failure == nil || failure.Kind != platform.Throttled || !m.recent() {
			m.Errorf("replica %d: %v", i, err)
		}
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.had[i] = token
	if m.told[i][token.Reveal()] {
		m.Errorf("replica %d gave a token that it was told is refused", i)
	}
	if age := m.now().Sub(m.issuedAt(token)); age >= lasts {
		m.Errorf("replica %d gave a token of %s ago", i, age)
	}
}

// issuedAt is when a token was issued.
func (m *model) issuedAt(token sealing.Secret) time.Time {
	m.platform.mu.Lock()
	defer m.platform.mu.Unlock()
	for n, at := range m.platform.issued {
		if token.Equal(tokenText(n + 1)) {
			return at
		}
	}
	m.Error("a token that was never issued")
	return time.Time{}
}

// recent: a token was issued within the last minute.
func (m *model) recent() bool {
	m.platform.mu.Lock()
	defer m.platform.mu.Unlock()
	n := len(m.platform.issued)
	return n > 0 && m.now().Sub(m.platform.issued[n-1]) < time.Minute
}

// bounded: the fetches have reasons, and while nobody deletes the Secret, which is where
// the replicas see when the last was, they are a minute apart.
func (m *model) bounded(r *rapid.T) {
	for _, replica := range m.replicas { // those that renew while the old token is used
		m.until("nothing is under way", func() bool { return accounts.Idle(replica.Tokens) })
	}
	m.platform.mu.Lock()
	defer m.platform.mu.Unlock()
	issued := m.platform.issued
	due := 1 + int(m.now().Sub(m.born)/(lasts-10*time.Minute))
	if most := due + len(m.refused) + m.deleted*len(m.replicas); len(issued) > most {
		r.Errorf("%d fetches, want %d at most", len(issued), most)
	}
	for n := 1; n < len(issued) && m.deleted == 0; n++ {
		if apart := issued[n].Sub(issued[n-1]); apart < time.Minute {
			r.Errorf("fetches %s apart", apart)
		}
	}
	m.noClaim(r)
}

// noClaim: when nothing is under way, nobody claims to be at it.
func (m *model) noClaim(r *rapid.T) {
	var secret corev1.Secret
	err := m.get(&secret, accounts.AccessTokenSecretName(m.name))
	if err != nil && !apierrors.IsNotFound(err) {
		r.Fatal(err)
	}
	if len(secret.Annotations) != 0 {
		r.Errorf("a claim is left: %v", secret.Annotations)
	}
}

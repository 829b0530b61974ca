package accounts

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
	"github.com/laidoulaile/channel-operator/internal/sealing/sealingtest"
)

// Accounts are made of keys, tokens and credentials, and show none however they are printed.
func TestAccountsShowNoSecrets(t *testing.T) {
	const planted = sealingtest.Planted
	secret := sealing.NewSecret(planted)
	values := map[string]map[string][]byte{"credentials": {"clientSecret": []byte(planted)}}
	from := &source{taken: values}
	from.take(&corev1.Secret{Data: map[string][]byte{"token": []byte(planted)}}, "token")
	account := &Account{Namespace: "travel", Name: "main", Guard: Guard{Tokens: []sealing.Secret{secret}},
		Holder: platform.Holder{ID: "1", Credentials: platform.Credentials{"clientSecret": secret}}}
	known := &entry{account: account, keys: values["credentials"], origin: &origin{Secrets: values}}
	for name, value := range map[string]any{
		"Account": account, "Account itself": *account, "source": from, "source itself": *from, "entry": known, "entry itself": *known,
		"Copy": &Copy{dir: "x", key: planted}, "access token": accessToken{text: secret},
	} {
		sealingtest.Hidden(t, name, value)
	}
	// Their JSON is what is sealed.
	for name, value := range map[string]any{
		"origin": known.origin, "origin itself": origin{Secrets: values}, "copied": copied{Channels: []origin{{Secrets: values}}},
	} {
		sealingtest.Unprinted(t, name, value)
	}
}

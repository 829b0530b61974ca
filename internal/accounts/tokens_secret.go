package accounts

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/apierror"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// This file is the Secret in which the replicas share an access token.

// Keys of the operator's own Secret <channel>-access-token.
const (
	tokenKey     = "token"
	expiresAtKey = "expiresAt"
	issuedAtKey  = "issuedAt"
	// accountKey is a hash of what the token was fetched for: platform, account, endpoint.
	accountKey = "account"
)

// AccessTokenSecretName is the name of the Secret in which the operator keeps a
// Channel's access token. It is none of SecretNames: a renewal reloads nothing.
func AccessTokenSecretName(channel string) string { return channel + "-access-token" }

// fill puts the token in memory into the Secret, and takes our claim out.
func (t *accessTokens) fill(secret *corev1.Secret) accessToken {
	t.mu.Lock()
	token := t.current
	t.mu.Unlock()
	if secret.Annotations[renewalByAnnotation] == t.holder {
		release(secret)
	}
	secret.Data = map[string][]byte{
		tokenKey:     []byte(token.text.Reveal()),
		issuedAtKey:  []byte(text(token.issued)),
		expiresAtKey: []byte(text(token.expires)),
		accountKey:   []byte(t.account),
	}
	return token
}

// text is a time as the Secret has it.
func text(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }

// stored reads the token out of the Secret. One that is for another account or endpoint,
// or that cannot be read, is none.
func (t *accessTokens) stored(secret *corev1.Secret) accessToken {
	issued, errIssued := time.Parse(time.RFC3339, string(secret.Data[issuedAtKey]))
	expires, errExpires := time.Parse(time.RFC3339, string(secret.Data[expiresAtKey]))
	token := string(secret.Data[tokenKey])
	if token == "" || string(secret.Data[accountKey]) != t.account || errIssued != nil || errExpires != nil {
		return accessToken{}
	}
	return accessToken{sealing.NewSecret(token), issued, expires}
}

// read reads the Secret from the API server; it is an unmade one if there is none. A
// Secret of that name that is somebody else's gives an error.
func (t *accessTokens) read(ctx context.Context) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := t.reader.Get(ctx, t.key, secret)
	if apierrors.IsNotFound(err) {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: t.key.Namespace, Name: t.key.Name,
			Labels: map[string]string{v1alpha1.LabelChannel: t.owner.Name}}}, nil
	}
	if err != nil {
		return nil, t.failure("read", err)
	}
	if !isOf(secret, t.owner.Name) {
		return nil, fmt.Errorf("the Secret %s is not the operator's: it has no label %s=%s; rename or delete it: %w",
			t.key, v1alpha1.LabelChannel, t.owner.Name,
			&platform.Error{Kind: platform.Refused, Reason: platform.ReasonCredentials, Op: tokenOp, Text: "it cannot be kept"})
	}
	return secret, nil
}

// write makes the Secret, or changes it if nobody else did since it was read. Whatever is
// written belongs to the Channel, and goes with it.
func (t *accessTokens) write(ctx context.Context, before, secret *corev1.Secret) error {
	secret.OwnerReferences = []metav1.OwnerReference{t.owner}
	var err error
	if before.ResourceVersion == "" {
		if err = t.writer.Create(ctx, secret); apierrors.IsAlreadyExists(err) {
			return errRaced
		}
		return err
	}
	err = t.writer.Patch(ctx, secret, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return errRaced
	}
	return err
}

// errRaced: somebody else made, changed or deleted the Secret since it was read.
var errRaced = errors.New("somebody else changed it at the same time")

// failure is an error of the API server's. It is not wrapped: nothing of it is shown that
// could be the token.
func (t *accessTokens) failure(what string, err error) error {
	t.mu.Lock()
	token := t.current.text
	t.mu.Unlock()
	encoded := sealing.NewSecret(base64.StdEncoding.EncodeToString([]byte(token.Reveal())))
	return fmt.Errorf("%s Secret %s: %w", what, t.key, &platform.Error{Kind: platform.Transient, Reason: platform.ReasonUnavailable,
		Op: tokenOp, Text: sealing.Scrub(apierror.Plain(err).Error(), token, encoded)})
}

package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// Keys of the Secret <channel>-sealing: one opens sealed bodies, the other makes codes' ids.
const (
	identityKey = "identity.age"
	codeIDKey   = "code-id.key"
)

// cluster is the API server and the namespace that the flags name.
type cluster struct {
	client.Client
	namespace string
}

func connect(flags *genericclioptions.ConfigFlags) (*cluster, error) {
	namespace, _, err := flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, err
	}
	config, err := flags.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	config.QPS = -1 // what must be bounded is bounded by --rate
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	return &cluster{c, namespace}, nil
}

func (c *cluster) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: c.namespace, Name: name}
}

// keys are the age identities at hand, one a line.
type keys struct {
	identities sealing.Secret
	// vouching are those of them that vouch for their recipients: the file's or, where none is named,
	// the Secret's. Beside a file the Secret's only open: they may be another's, and whom the Channel is
	// sealed for comes from the same Secret.
	vouching sealing.Secret
	// lacking is why the Secret's are not among them; nil if they are.
	lacking error
}

// readKeys reads the identities of a Channel's sealing Secret and of a file, if one is named
// ("-" is standard input). With the file's, those of the Secret are not needed.
func (c *cluster) readKeys(ctx context.Context, channel, file string, in io.Reader) (keys, error) {
	given, err := readIdentities(file, in)
	if err != nil {
		return keys{}, err
	}
	secret, lacking := c.sealingSecret(ctx, channel)
	if lacking != nil {
		if file == "" {
			return keys{}, lacking
		}
		return keys{sealing.NewSecret(given), sealing.NewSecret(given), lacking}, nil
	}
	own := string(secret.Data[identityKey])
	if file == "" {
		return keys{sealing.NewSecret(own), sealing.NewSecret(own), nil}, nil
	}
	return keys{sealing.NewSecret(given + "\n" + own), sealing.NewSecret(given), nil}, nil
}

func readIdentities(file string, in io.Reader) (string, error) {
	if file == "" {
		return "", nil
	}
	read := func() ([]byte, error) { return os.ReadFile(file) }
	if file == "-" {
		read = func() ([]byte, error) { return io.ReadAll(in) }
	}
	text, err := read()
	if err != nil {
		return "", fmt.Errorf("read the identity: %w", err)
	}
	if _, err := sealing.Recipients(string(text)); err != nil {
		return "", fmt.Errorf("--identity %s: it must hold age identities (AGE-SECRET-KEY-…), one a line: %w", file, err)
	}
	return string(text), nil
}

// codeID is how a Channel names codes; nil where the key of it is not there, may not be read, or is another's.
func (c *cluster) codeID(ctx context.Context, channel string, k keys) func(platform.Code) string {
	secret := &corev1.Secret{}
	err := c.Get(ctx, c.key(accounts.SealingSecretName(channel)), secret)
	if err != nil || accounts.CheckOwner(secret, channel) != nil {
		return nil
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(secret.Data[codeIDKey])))
	if err != nil {
		return nil
	}
	// Whom it seals for bears on no id.
	recipient, err := sealing.Recipient(k.identities.Reveal())
	if err != nil {
		return nil
	}
	sealer, err := sealing.NewSealer([]string{recipient}, key)
	if err != nil {
		return nil
	}
	return (&accounts.Account{Sealer: sealer}).CodeID
}

// sealingSecret reads the Secret with a Channel's own identities. It refuses, as the manager does, one
// that is not labelled as the Channel's. Its errors say what to do.
func (c *cluster) sealingSecret(ctx context.Context, channel string) (*corev1.Secret, error) {
	key := c.key(accounts.SealingSecretName(channel))
	secret := &corev1.Secret{}
	err := c.Get(ctx, key, secret)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("the Secret %s does not exist: restore it from its backup, or give the identity with --identity FILE", key)
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("the Secret %s, which holds the identity, may not be read: have somebody allow it (verb get), or give the identity with --identity FILE: %w", key, err)
	case err != nil:
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	}
	if err := accounts.CheckOwner(secret, channel); err != nil {
		return nil, fmt.Errorf("%w; what was sealed before opens with the identity of a backup: --identity FILE", err)
	}
	if strings.TrimSpace(string(secret.Data[identityKey])) == "" {
		return nil, fmt.Errorf("the Secret %s has no %s: the Channel is sealed for recipients of its own (spec.sealing.recipients); give the identity of one with --identity FILE", key, identityKey)
	}
	if _, err := sealing.Recipients(string(secret.Data[identityKey])); err != nil {
		return nil, fmt.Errorf("%s of Secret %s cannot be read: mend it, or give the identity with --identity FILE: %w", identityKey, key, err)
	}
	return secret, nil
}

// open opens a sealed body. Where no identity fits, it says which are not at hand.
func (k keys) open(sealed string) ([]byte, error) {
	body, err := sealing.Open(sealed, k.identities.Reveal())
	if err != nil && k.lacking != nil {
		return nil, fmt.Errorf("%w (the Channel's own identities are not at hand: %w)", err, k.lacking)
	}
	return body, err
}

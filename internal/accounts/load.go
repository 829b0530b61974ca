package accounts

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// Keys of the operator's own Secret <channel>-sealing.
const (
	identityKey = "identity.age"
	codeIDKey   = "code-id.key"
)

// SealingSecretName is the name of the Secret the operator keeps for a Channel.
func SealingSecretName(channel string) string { return channel + "-sealing" }

// SecretNames are the Secrets a Channel depends on.
func SecretNames(channel *v1alpha1.Channel) []string {
	names := []string{channel.Spec.CredentialsRef.Name, SealingSecretName(channel.Name)}
	if ref := channel.Spec.Receive.TokenSecretRef; ref != nil {
		names = append(names, ref.Name)
	}
	return names
}

// build makes the account of a Channel. It returns an error only for what may pass
// (the API server does not answer); what somebody has to change becomes the
// account's Problem, and what stops receiving its Unreadable. That includes the rights
// to read the Channel's Secrets.
func (r *Registry) build(ctx context.Context, channel *v1alpha1.Channel, from *source) (*Account, error) {
	account := &Account{
		Namespace: channel.Namespace, Name: channel.Name,
		Platform: channel.Spec.Platform, Holder: platform.Holder{ID: channel.Spec.Account},
		Suspended:  channel.Spec.Suspend,
		MaxUnknown: int(ptr.Deref(channel.Spec.Receive.UnknownObjects.Max, DefaultMaxUnknown)),
	}
	adapter, known := r.adapters[channel.Spec.Platform]
	if !known {
		account.Problem = &Problem{v1alpha1.ReasonPlatformNotSupported,
			fmt.Sprintf("this manager has no adapter for platform %s; use a version that has", channel.Spec.Platform)}
		account.Unreadable = errors.New(account.Problem.Message)
		return account, nil
	}
	account.Receiver, account.PushesDecide = adapter, adapter.PushesDecide()
	if err := account.addSettings(adapter, channel.Spec); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context, *v1alpha1.Channel, *source, *Account) error{r.addSealer, r.addGuard, r.checkProof, r.addClient} {
		err := step(ctx, channel, from, account)
		if _, missing := errors.AsType[noRights](err); missing {
			r.lock(account)
			return account, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return account, nil
}

// addSettings has the adapter read the Channel's own block of its platform: the field of
// the spec that is named as the platform is, in small letters.
func (a *Account) addSettings(adapter platform.Adapter, spec v1alpha1.ChannelSpec) error {
	blocks := map[string]json.RawMessage{}
	raw, err := json.Marshal(spec)
	if err == nil {
		err = json.Unmarshal(raw, &blocks)
	}
	if err != nil {
		return fmt.Errorf("read the spec: %w", err)
	}
	block := strings.ToLower(string(spec.Platform))
	if a.Settings, err = adapter.Settings(blocks[block]); err != nil {
		a.setProblem(v1alpha1.ReasonSettingsInvalid, fmt.Sprintf("spec.%s: %v", block, err))
	}
	return nil
}

// addSealer reads the sealing Secret and makes what is missing in it.
func (r *Registry) addSealer(ctx context.Context, channel *v1alpha1.Channel, from *source, account *Account) error {
	secret, err := r.sealingSecret(ctx, channel, from)
	if err != nil {
		return err
	}
	var sealer *sealing.Sealer
	problem := CheckOwner(secret, channel.Name)
	if problem == nil {
		from.take(secret, codeIDKey)
		sealer, problem = newSealer(channel.Spec.Sealing.Recipients, secret)
	}
	if problem != nil {
		account.Problem = &Problem{v1alpha1.ReasonSealingInvalid, problem.Error()}
		account.Unreadable = problem
	} else {
		keys := map[string][]byte{codeIDKey: secret.Data[codeIDKey]}
		if needsIdentity(channel) {
			keys[identityKey] = secret.Data[identityKey]
		}
		r.rememberKeys(client.ObjectKeyFromObject(channel), keys)
	}
	account.Sealer = sealer
	return nil
}

// needsIdentity: a Channel with recipients of its own needs none, and whoever removes it there
// means it.
func needsIdentity(channel *v1alpha1.Channel) bool { return len(channel.Spec.Sealing.Recipients) == 0 }

// newSealer makes the sealer from a Channel's recipients, or, without any, from the first
// identity in the sealing Secret: those below it only open. Its errors are somebody's to mend.
func newSealer(recipients []string, secret *corev1.Secret) (*sealing.Sealer, error) {
	if len(recipients) == 0 {
		own, err := sealing.Recipient(string(secret.Data[identityKey]))
		if err != nil {
			return nil, fmt.Errorf("key %s of Secret %s: %w", identityKey, secret.Name, err)
		}
		recipients = []string{own}
	}
	codeKey, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(secret.Data[codeIDKey])))
	if err != nil {
		return nil, fmt.Errorf("key %s of Secret %s is not base64", codeIDKey, secret.Name)
	}
	return sealing.NewSealer(recipients, codeKey)
}

// CheckOwner says what to do about a sealing Secret that is not labelled as the Channel's: somebody else
// made it, and what is sealed with an identity that they chose, they can open. It is nil where the label
// is right. The label itself proves nothing: whoever may make Secrets can set it.
func CheckOwner(secret *corev1.Secret, channel string) error {
	if isOf(secret, channel) {
		return nil
	}
	return fmt.Errorf("the Secret %s is not the operator's, and is neither used nor changed: it has no label %s=%s; "+
		"set the label if its keys are this Channel's, as from a backup, else rename or delete it", secret.Name, v1alpha1.LabelChannel, channel)
}

// isOf reports whether a Secret is labelled as a Channel's.
func isOf(secret *corev1.Secret, channel string) bool {
	return secret.Labels[v1alpha1.LabelChannel] == channel
}

// sealingSecret reads the Channel's sealing Secret, and makes it, or the keys it lacks. One that is not
// ours is given as it is.
// It has no owner: it must outlive its Channel, or sealed bodies could never be read again.
func (r *Registry) sealingSecret(ctx context.Context, channel *v1alpha1.Channel, from *source) (*corev1.Secret, error) {
	key := client.ObjectKey{Namespace: channel.Namespace, Name: SealingSecretName(channel.Name)}
	known := r.keys(client.ObjectKeyFromObject(channel))
	secret, err := from.get(ctx, key.Namespace, key.Name)
	if apierrors.IsNotFound(err) {
		secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name,
			Labels: map[string]string{v1alpha1.LabelChannel: channel.Name}}}
		if err := addMissingKeys(secret, known, needsIdentity(channel)); err != nil {
			return nil, err
		}
		// Another replica may be first: then its keys are the keys, and the next look reads them.
		if err := from.writer.Create(ctx, secret); err != nil {
			return nil, fmt.Errorf("make Secret %s: %w", key, err)
		}
		return secret, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	}
	if !isOf(secret, channel.Name) {
		return secret, nil
	}
	before := secret.DeepCopy()
	if err := addMissingKeys(secret, known, needsIdentity(channel)); err != nil {
		return nil, err
	}
	if len(secret.Data) == len(before.Data) {
		return secret, nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := from.writer.Patch(ctx, secret, patch); err != nil {
		return nil, fmt.Errorf("complete Secret %s: %w", key, err)
	}
	return secret, nil
}

// addMissingKeys never replaces a key: what was sealed and hashed with it would be lost.
// For the same reason a key that is gone, and that this process has known, comes back; but no
// identity where none is needed.
func addMissingKeys(secret *corev1.Secret, known map[string][]byte, withIdentity bool) error {
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	for name, key := range known {
		if _, there := secret.Data[name]; !there && len(key) > 0 && (withIdentity || name != identityKey) {
			secret.Data[name] = key
		}
	}
	if _, there := secret.Data[codeIDKey]; !there {
		secret.Data[codeIDKey] = []byte(base64.StdEncoding.EncodeToString(sealing.NewCodeKey()))
	}
	if _, there := secret.Data[identityKey]; there || !withIdentity {
		return nil
	}
	identity, err := sealing.NewIdentity()
	if err != nil {
		return err
	}
	secret.Data[identityKey] = []byte(identity + "\n")
	return nil
}

// addGuard reads what pushes must satisfy. A token that cannot be read stops receiving:
// a push that cannot be checked must be sent again.
func (r *Registry) addGuard(ctx context.Context, channel *v1alpha1.Channel, from *source, account *Account) error {
	for _, cidr := range channel.Spec.Receive.AllowedCIDRs {
		if network, err := netip.ParsePrefix(cidr); err == nil {
			account.Guard.Networks = append(account.Guard.Networks, network.Masked())
		} else {
			account.Unreadable = fmt.Errorf("spec.receive.allowedCIDRs: %q is no CIDR", cidr)
		}
	}
	ref := channel.Spec.Receive.TokenSecretRef
	if ref == nil {
		return nil
	}
	secret, err := from.get(ctx, channel.Namespace, ref.Name)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("read Secret %s: %w", ref.Name, err)
	}
	from.take(secret, ref.Key)
	for token := range strings.FieldsSeq(string(secret.Data[ref.Key])) {
		account.Guard.Tokens = append(account.Guard.Tokens, sealing.NewSecret(token))
	}
	if len(account.Guard.Tokens) == 0 {
		message := fmt.Sprintf("Secret %s has no key %s with a push token: no push can be accepted; create it or drop spec.receive.tokenSecretRef", ref.Name, ref.Key)
		account.Unreadable = errors.New(message)
		account.setProblem(v1alpha1.ReasonCredentialsMissing, message)
	}
	return nil
}

// checkProof stops receiving where nothing would prove who sends a push, if that is not allowed.
// What is pushed meanwhile is to be sent again: somebody has to say how it is to be proven.
func (r *Registry) checkProof(_ context.Context, channel *v1alpha1.Channel, _ *source, account *Account) error {
	account.MustProve = r.requireProof && !channel.Spec.Receive.AcceptUnproven && !r.adapters[channel.Spec.Platform].SignsPushes()
	if lacks := r.lacksProof(account); account.MustProve && lacks != "" && account.Unreadable == nil {
		message := fmt.Sprintf("platform %s signs no pushes, and %s, or, if anybody may push, acceptUnproven", channel.Spec.Platform, lacks)
		account.Unreadable = errors.New(message)
		account.setProblem(v1alpha1.ReasonSenderNotProven, message)
	}
	return nil
}

// lacksProof says why the guard of an account can prove no sender, and what to do; nothing, if it can.
func (r *Registry) lacksProof(account *Account) string {
	switch {
	case !account.Guard.Proves():
		return "spec.receive has neither a token nor CIDRs that would prove who sends them: no push is accepted; " +
			"set spec.receive.tokenSecretRef or allowedCIDRs (wider than /8, or /16 of IPv6, proves nothing)"
	case !r.proxiesTell && !account.Guard.ProvesDirectly():
		return "the addresses of spec.receive.allowedCIDRs are not public: they may be those of an ingress, and prove nobody as long as " +
			"--trusted-proxies declares none: no push is accepted; declare the proxies, set spec.receive.tokenSecretRef"
	}
	return ""
}

// addClient reads the credentials and makes the client.
func (r *Registry) addClient(ctx context.Context, channel *v1alpha1.Channel, from *source, account *Account) error {
	name := channel.Spec.CredentialsRef.Name
	secret, err := from.get(ctx, channel.Namespace, name)
	if apierrors.IsNotFound(err) {
		account.setProblem(v1alpha1.ReasonCredentialsMissing,
			fmt.Sprintf("Secret %s does not exist; create it with the keys of platform %s", name, channel.Spec.Platform))
		return nil
	} else if err != nil {
		return fmt.Errorf("read Secret %s: %w", name, err)
	}
	from.take(secret, slices.Collect(maps.Keys(secret.Data))...)
	account.Credentials = platform.Credentials{}
	for key, value := range secret.Data {
		account.Credentials[key] = sealing.NewSecret(string(value))
	}
	adapter := r.adapters[channel.Spec.Platform]
	endpoint := channel.Spec.Endpoint
	if endpoint == "" {
		endpoint = adapter.DefaultEndpoint()
	}
	if err := platform.CheckEndpoint(endpoint, r.allowPrivate); err != nil {
		account.setProblem(v1alpha1.ReasonEndpointNotAllowed, fmt.Sprintf("spec.endpoint: %v", err))
		return nil
	}
	asker, err := adapter.NewClient(platform.Account{
		Holder: account.Holder, Endpoint: strings.TrimRight(endpoint, "/"), Tokens: r.tokens(channel, endpoint),
	}, r.transport(channel))
	switch {
	case errors.Is(err, platform.ErrSettings):
		account.setProblem(v1alpha1.ReasonSettingsInvalid, err.Error())
		return nil
	case err != nil:
		account.setProblem(v1alpha1.ReasonCredentialsInvalid, fmt.Sprintf("Secret %s: %v", name, err))
		return nil
	}
	if account.Problem == nil {
		account.Client = asker
	}
	return nil
}

// setProblem keeps the first problem: it is the one to mend first.
func (a *Account) setProblem(reason, message string) {
	if a.Problem == nil {
		a.Problem = &Problem{reason, message}
	}
}

package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
)

// hashSize is how many hex digits of a hash stand in a name: 80 bits.
const hashSize = 20

// ObjectName is the name of the object for an id of a Channel: <channel>-<id> where
// that is a DNS-1123 name, else <channel>-<hash>.
func ObjectName(channel, id string) string {
	if name := channel + "-" + id; len(validation.IsDNS1123Subdomain(name)) == 0 {
		return name
	}
	return hashedName(channel, id)
}

func hashedName(channel, id string) string {
	sum := sha256.Sum256([]byte(channel + "\x00" + id))
	return channel + "-" + hex.EncodeToString(sum[:])[:hashSize]
}

func objectMeta(account *accounts.Account, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: account.Namespace,
		Name:      name,
		Labels: map[string]string{
			v1alpha1.LabelChannel:  account.Name,
			v1alpha1.LabelPlatform: string(account.Platform),
		},
	}
}

// write is one way to record a fact on an object of a given name.
type write func(ctx context.Context, name string) error

// upsert patches the object of an id, or creates it. Two ids may want one name (Channel
// "a" with "b-1", Channel "a-b" with "1"): a patch names the identity it is for, the API
// server refuses it on another's object, and the hashed name is used instead.
func upsert(ctx context.Context, channel, id string, patch, create write) error {
	name := ObjectName(channel, id)
	err := patchOrCreate(ctx, name, patch, create)
	if refusalOf(err) == refusedForeign {
		err = patchOrCreate(ctx, hashedName(channel, id), patch, create)
	}
	return err
}

// patchOrCreate tries the patch first: most pushes are about objects that exist. Others
// may create the object in between, hence the second patch.
func patchOrCreate(ctx context.Context, name string, patch, create write) error {
	return retry.RetryOnConflict(patience, func() error {
		err := patch(ctx, name)
		if !apierrors.IsNotFound(err) {
			return err
		}
		if err = create(ctx, name); apierrors.IsAlreadyExists(err) {
			err = patch(ctx, name)
		}
		return err
	})
}

// patience is for an object that many write to at once: the API server gives a patch up
// as a conflict after a few tries of its own.
var patience = wait.Backoff{Steps: 8, Duration: 10 * time.Millisecond, Factor: 2, Jitter: 1}

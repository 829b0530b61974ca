package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
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

// write is one way to record a fact on an object of a given name.
type write func(ctx context.Context, name string) error

// upsert patches the object of an id, or creates it. Two ids may want one name (Channel
// "a" with "b-1", Channel "a-b" with "1"): a patch names the identity it is for, the API
// server refuses it on another's object, and the hashed name is used instead.
func (l *Ledger) upsert(ctx context.Context, o object, patch, create write) error {
	err := l.patchOrCreate(ctx, o, ObjectName(o.Channel, o.ID), patch, create)
	if refusalOf(err) == refusedForeign {
		err = l.patchOrCreate(ctx, o, hashedName(o.Channel, o.ID), patch, create)
	}
	return err
}

// patchOrCreate tries first what the cache says is needed, so that it takes one request.
// The cache may be behind, and others may create or delete the object in between, hence
// what follows.
func (l *Ledger) patchOrCreate(ctx context.Context, o object, name string, patch, create write) error {
	return retry.RetryOnConflict(patience, func() error {
		there, unseen := l.seen(ctx, o, name)
		if unseen {
			if err := create(ctx, name); !apierrors.IsAlreadyExists(err) {
				return err
			}
		}
		if err := l.vouch(ctx, o, there); err != nil {
			return err
		}
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

// seen is the object of a name as the cache knows it; unseen, that the cache knows none. Until
// the caches are filled it is neither.
func (l *Ledger) seen(ctx context.Context, o object, name string) (there client.Object, unseen bool) {
	if !l.seeing.Load() {
		return nil, false
	}
	there = o.empty()
	if err := l.cache.Get(ctx, o.key(name), there, client.UnsafeDisableDeepCopy); err != nil {
		return nil, apierrors.IsNotFound(err)
	}
	return there, false
}

// sees reports whether the cache can be looked into: to look into one that is not filled is to wait
// for it. A manager that is told to end before it was filled starts its parts all the same.
func (l *Ledger) sees() bool {
	return l.seeing.Load() && !slices.ContainsFunc(l.unknown.synced, func(synced func() bool) bool { return !synced() })
}

// patience is for an object that many write to at once: the API server gives a patch up
// as a conflict after a few tries of its own.
var patience = wait.Backoff{Steps: 8, Duration: 10 * time.Millisecond, Factor: 2, Jitter: 1}

package ledger

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// An API server that never answers takes what the Channels show no longer than one write may take,
// however many they are, and nothing of it is lost.
func TestTimesOfPushesAreNotWaitedForForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newLastPush(deaf{})
		for _, name := range []string{"a", "b", "c"} {
			account := &accounts.Account{Namespace: "travel", Name: name}
			p.note(account, time.Now())
			if name != "a" {
				p.noteCredit(account, time.Now(), &platform.Credit{Amount: "1"})
			}
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		p.write(ctx)
		if took := time.Since(start); took > writeTimeout {
			t.Errorf("it took %s", took)
		}
		if due := p.due(); len(due) != 3 || due[keyOf(&accounts.Account{Namespace: "travel", Name: "b"})].credit == nil {
			t.Errorf("due are %+v", due)
		}
	})
}

// deaf is an API server that holds connections and never answers.
type deaf struct{ client.Client }

func (deaf) Get(ctx context.Context, _ client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	<-ctx.Done()
	return ctx.Err()
}

func (deaf) Status() client.SubResourceWriter { return deafStatus{} }

type deafStatus struct{ client.SubResourceWriter }

func (deafStatus) Patch(ctx context.Context, _ client.Object, _ client.Patch, _ ...client.SubResourcePatchOption) error {
	<-ctx.Done()
	return ctx.Err()
}

package ledger

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// board holds one Channel.
type board struct {
	client.Client
	channel v1alpha1.Channel
}

// chalk writes the status of a board's Channel.
type chalk struct {
	client.SubResourceWriter
	board *board
}

func (b *board) Get(_ context.Context, _ client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	b.channel.DeepCopyInto(o.(*v1alpha1.Channel))
	return nil
}

func (b *board) Status() client.SubResourceWriter { return chalk{board: b} }

func (c chalk) Patch(_ context.Context, o client.Object, _ client.Patch, _ ...client.SubResourcePatchOption) error {
	o.(*v1alpha1.Channel).DeepCopyInto(&c.board.channel)
	return nil
}

// Copies of a notice count once: behind it, and in one group wherever they stand. A copy of what
// is not the newest any more cannot be told from another.
func TestCopiesOfNoticesCountOnce(t *testing.T) {
	notice := func(id, subject string, second int) fact {
		at := metav1.NewMicroTime(time.Unix(int64(second), 0))
		return fact{Object: object{Kind: kindChannel, Channel: "fliggy"},
			Notice: &v1alpha1.ChannelNotice{ID: id, PlatformType: "NEW", Subject: subject, Count: 1, ReceivedAt: at}}
	}
	b := &board{}
	l := New(b, nil, nil)
	for i, write := range []struct {
		facts []fact
		want  string
	}{
		{[]fact{notice("1", "a", 1)}, "[a 1 1]"},
		{[]fact{notice("1", "a", 2)}, "[a 1 1]"},
		{[]fact{notice("2", "a", 3), notice("3", "a", 4), notice("2", "a", 5), notice("3", "a", 6)}, "[a 3 3]"},
		{[]fact{notice("3", "b", 7), notice("3", "a", 8)}, "[b 3 1 a 3 3]"},
		{[]fact{notice("2", "a", 3)}, "[b 3 1 a 3 4]"},
	} {
		results := l.write(t.Context(), write.facts)
		var got []any
		for _, n := range b.channel.Status.Notices {
			got = append(got, n.Subject, n.ID, n.Count)
		}
		if text := fmt.Sprint(got); text != write.want {
			t.Errorf("write %d: %s, want %s", i, text, write.want)
		}
		if i == 2 {
			outcomes := []platform.Outcome{results[0].outcome, results[1].outcome, results[2].outcome, results[3].outcome}
			if want := []platform.Outcome{platform.OutcomeRecorded, platform.OutcomeRecorded, platform.OutcomeDuplicate, platform.OutcomeDuplicate}; !slices.Equal(outcomes, want) {
				t.Errorf("outcomes %q", outcomes)
			}
		}
	}
}

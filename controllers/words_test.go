package controllers

import (
	"context"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/order"
)

// quoting is an API server, or a webhook of its, that quotes what it refuses.
var quoting = &apierrors.StatusError{ErrStatus: metav1.Status{Reason: metav1.StatusReasonInternalError,
	Message: "the guard failed at `AGE-SECRET-KEY-1PLANTED`, `open sesame`, {Value:open sesame}"}}

// refusing is a client of that API server.
type refusing struct{ client.Client }

func (refusing) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return quoting
}

// What the API server quotes stands in no condition and no event: neither of a Channel that cannot be
// loaded, nor of an order whose codes cannot be read, be it to give them or to decide a refund.
func TestConditionsQuoteNothingOfTheAPIServer(t *testing.T) {
	verdict, _ := channelVerdict(newChannel(), seenChannel{loadErr: fmt.Errorf("make Secret travel/main-sealing: %w", quoting)})
	ov := &v1alpha1.OrderVoucher{Spec: v1alpha1.OrderVoucherSpec{CodesSecretRef: &v1alpha1.SecretReference{Name: "codes"}}}
	one := (&OrderVoucherReconciler{Client: refusing{}}).giveCodes(t.Context(), ov, nil, order.Debt{})
	if one.err == nil {
		t.Fatal("the codes were read")
	}
	ov.Spec.Notifications = []v1alpha1.Notification{{Type: v1alpha1.NotificationCodesRequested}}
	_, err := (&OrderVoucherReconciler{Client: refusing{}}).ownCodes(t.Context(), ov, nil)
	if err == nil {
		t.Fatal("the codes of a refund were read")
	}
	for _, text := range []string{verdict.Message, one.err.Error(), err.Error()} {
		if strings.Contains(text, "PLANTED") || strings.Contains(text, "sesame") || !strings.Contains(text, "the guard failed at …") {
			t.Error(text)
		}
	}
	if !strings.Contains(verdict.Message, "make Secret travel/main-sealing: InternalError") {
		t.Error(verdict.Message)
	}
	long := fmt.Errorf("%s: %w", strings.Repeat("because ", 200), quoting)
	if verdict, _ = channelVerdict(newChannel(), seenChannel{loadErr: long}); len(verdict.Message) > 2*maxLoadWords {
		t.Errorf("%d bytes", len(verdict.Message))
	}
}

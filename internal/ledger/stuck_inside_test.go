package ledger

import (
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

// An object that is stuck is told of with what the API server refuses of it, and no value that it quotes.
func TestStuckLineQuotesNoValues(t *testing.T) {
	var lines []string
	log := funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
	refused := apierrors.NewInvalid(v1alpha1.SchemeGroupVersion.WithKind("OrderVoucher").GroupKind(), "main",
		field.ErrorList{field.Invalid(field.NewPath("spec", "orderID"), "PLANTED", "no")})
	newStuck().hold(logr.NewContext(t.Context(), log), "order/travel/main/1", nil, refused)
	if len(lines) != 1 || strings.Contains(lines[0], "PLANTED") || !strings.Contains(lines[0], "Invalid: spec.orderID: FieldValueInvalid") {
		t.Errorf("%q", lines)
	}
}

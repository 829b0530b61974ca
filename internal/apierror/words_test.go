package apierror_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/laidoulaile/channel-operator/internal/apierror"
)

// refusal is what an API server says.
func refusal(code int32, reason metav1.StatusReason, message string, causes ...metav1.StatusCause) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message,
		Details: &metav1.StatusDetails{Causes: causes}}}
}

// Of what API servers, webhooks, policies and proxies say the names stay by which something can be done,
// and no value does, whatever reason is given with it.
func TestWordsKeepNamesAndNoValues(t *testing.T) {
	const denied = `admission webhook "guard.travel.example" denied the request: `
	secrets := corev1.Resource("secrets")
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"rights": {apierrors.NewForbidden(secrets, "douyin2-sealing", errors.New(
			`User "system:serviceaccount:channel-operator:manager" cannot get resource "secrets" in API group "" in the namespace "travel2"`)),
			`Forbidden: secrets "douyin2-sealing" is forbidden: User "system:serviceaccount:channel-operator:manager" cannot get resource "secrets" in API group "" in the namespace "travel2"`},
		"rights to all": {apierrors.NewForbidden(secrets, "", errors.New(`User "manager" cannot list resource "secrets" in API group "" at the cluster scope: RBAC: clusterrole "open sesame" not found`)),
			`Forbidden: secrets is forbidden: User "manager" cannot list resource "secrets" in API group "" at the cluster scope: RBAC: clusterrole … not found`},
		"rights to a path": {refusal(403, "Forbidden", `forbidden: User "system:anonymous" cannot get path "/metrics"`),
			`Forbidden: forbidden: User "system:anonymous" cannot get path "/metrics"`},
		"a quota": {apierrors.NewForbidden(secrets, "main2-sealing", errors.New(`exceeded quota: few, requested: "open sesame"`)),
			`Forbidden: secrets "main2-sealing" is forbidden: exceeded quota: few, requested: …`},
		"not found":      {apierrors.NewNotFound(secrets, "douyin2-sealing"), `NotFound: secrets "douyin2-sealing" not found`},
		"already exists": {apierrors.NewAlreadyExists(secrets, "douyin2-sealing"), `AlreadyExists: secrets "douyin2-sealing" already exists`},
		"a conflict": {apierrors.NewConflict(secrets, "douyin2-sealing", errors.New("the object has been modified; please apply your changes to the latest version and try again")),
			`Conflict: Operation cannot be fulfilled on secrets "douyin2-sealing": the object has been modified; please apply your changes to the latest version and try again`},
		"a webhook that is away": {apierrors.NewInternalError(errors.New(`failed calling webhook "guard2.travel.example": failed to call webhook: Post "https://guard.travel.svc:443/validate?timeout=10s": context deadline exceeded`)),
			`InternalError: failed calling webhook "guard2.travel.example": failed to call webhook: Post …: context deadline exceeded`},
		"a webhook that forbids": {refusal(403, "Forbidden", denied+`Secret "main-sealing" has "open sesame"`),
			`Forbidden: ` + denied + `Secret … has …`},
		"a webhook that finds nothing": {refusal(404, "NotFound", denied+`no such thing as "open sesame"`), `NotFound: ` + denied + `no such thing as …`},
		"a webhook that names another": {refusal(400, "", denied+`the webhook "open sesame", secrets "open sesame" is forbidden`),
			`Refused: ` + denied + `the webhook …, secrets … is forbidden`},
		"a webhook without a word": {refusal(400, "", `admission webhook "guard.travel.example" denied the request without explanation`),
			`Refused: admission webhook "guard.travel.example" denied the request without explanation`},
		"a webhook with causes": {refusal(422, "Invalid", denied+`spec.orderID: Invalid value: "open sesame"`, metav1.StatusCause{Type: "FieldValueInvalid", Field: "spec.orderID", Message: `Invalid value: "open sesame"`}),
			`Invalid: admission webhook "guard.travel.example": spec.orderID: FieldValueInvalid`},
		"a policy": {refusal(422, "Invalid", `ordervouchers.channel.laidoulaile.online "m2" is forbidden: ValidatingAdmissionPolicy 'deny2.example.com' with binding 'all' denied request: 'open sesame' is not allowed, nor "open sesame"`),
			`Invalid: ordervouchers.channel.laidoulaile.online "m2" is forbidden: ValidatingAdmissionPolicy 'deny2.example.com' with binding 'all' denied request: … is not allowed, nor …`},
		"a policy in a cause": {refusal(403, "Forbidden", "no", metav1.StatusCause{Message: `ValidatingAdmissionPolicy 'deny.example.com' with binding 'all' denied request: got 'it's open sesame'`}),
			`Forbidden: ValidatingAdmissionPolicy 'deny.example.com' with binding 'all' denied request: got …`},
		"single quotes":                  {apierrors.NewBadRequest("it can't be 'open' or 'open sesame', really"), "BadRequest: it can't be …, really"},
		"a single quote that never ends": {apierrors.NewBadRequest("got 'open sesame"), "BadRequest: got …"},
		"a proxy's page": {apierrors.NewGenericServerResponse(502, "GET", secrets, "main", "<html>open sesame</html>", 0, true),
			"InternalError: UnexpectedServerResponse (HTTP 502)"},
		"a proxy that forbids": {apierrors.NewGenericServerResponse(403, "GET", secrets, "main", "open sesame", 0, true),
			"Forbidden: UnexpectedServerResponse (HTTP 403)"},
		"nothing but a reason": {refusal(504, "Timeout", ""), "Timeout"},
		"nothing":              {refusal(504, "", ""), "Refused"},
		"a nil pointer":        {(*apierrors.StatusError)(nil), "<nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := apierror.Plain(test.err).Error(); got != test.want {
				t.Errorf("\n%s, want\n%s", got, test.want)
			}
			if got := apierror.Plain(fmt.Errorf("record m: %w", test.err)).Error(); got != "record m: "+test.want {
				t.Errorf("wrapped: %s", got)
			}
			if got := apierror.Reason(test.err, 512); got != test.want {
				t.Errorf("the reason: %s", got)
			}
			text := logged(test.err)
			if strings.Contains(text, "sesame") {
				t.Error(text)
			}
		})
	}
}

// Several errors at once are logged as each would be.
func TestSeveralErrorsAreLoggedAsEach(t *testing.T) {
	var written bytes.Buffer
	all := []error{apierrors.NewBadRequest(`got "open sesame"`), nil, (*apierrors.StatusError)(nil), errors.New("another")}
	apierror.Logger(zap.New(zap.WriteTo(&written), zap.UseDevMode(false))).WithValues("before", all).Info("text", "why", all)
	if text := written.String(); strings.Contains(text, "sesame") || strings.Count(text, "got …") != 2 || strings.Count(text, "another") != 2 {
		t.Error(text)
	}
	if all[0].Error() != `got "open sesame"` {
		t.Error("what is the caller's was changed")
	}
}

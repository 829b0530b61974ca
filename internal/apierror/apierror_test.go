package apierror_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/apierror"
	"github.com/laidoulaile/channel-operator/test/env"
)

// planted has neither a digit nor the look of a code: nothing but being a value gives it away.
const planted = "open sesame"

func TestMain(m *testing.M) {
	ctrl.SetLogger(apierror.Logger(zap.New(zap.WriteTo(&process), zap.UseDevMode(false))))
	os.Exit(env.Main(m))
}

// What a real API server refuses, and quotes, stands neither in the plain error nor in a log, however
// it is wrapped and logged; what was refused, and where, does.
func TestRealRefusalsShowNoValues(t *testing.T) {
	scheme := clientgoscheme.Scheme
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	api, err := client.New(env.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	namespace := env.Namespace(t, api)
	good := &v1alpha1.OrderVoucher{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "good"},
		Spec: v1alpha1.OrderVoucherSpec{ChannelRef: v1alpha1.ChannelReference{Name: "main"}, OrderID: "1"}}
	if err := api.Create(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	patch := func(kind types.PatchType, body string, options ...client.PatchOption) error {
		there := good.DeepCopy()
		return api.Patch(t.Context(), there, client.RawPatch(kind, []byte(body)), options...)
	}
	const head = `{"apiVersion":"channel.laidoulaile.online/v1alpha1","kind":"OrderVoucher",`
	for name, test := range map[string]struct {
		err   error
		shows string
	}{
		"a value that no enum has": {api.Create(t.Context(), &v1alpha1.Channel{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "x"}, Spec: v1alpha1.ChannelSpec{Platform: planted}}), "spec.platform: FieldValueNotSupported"},
		"a label": {patch(types.MergePatchType, `{"metadata":{"labels":{"a":"`+planted+`"}}}`), "metadata.labels: FieldValueInvalid"},
		"an applied value of another type": {patch(types.ApplyPatchType, head+`"metadata":{"name":"good","namespace":"`+namespace+`"},"spec":{"notifications":"`+planted+`"}}`,
			client.FieldOwner("test"), client.ForceOwnership), ".spec.notifications: expected list"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.err == nil {
				t.Fatal("not refused")
			}
			if !strings.Contains(test.err.Error(), planted) {
				t.Errorf("the API server does not quote it: %v", test.err)
			}
			for how, err := range map[string]error{"as it is": test.err, "wrapped": fmt.Errorf("record: %w", test.err),
				"joined": errors.Join(io.EOF, fmt.Errorf("a: %w", test.err)), "among others": utilerrors.NewAggregate([]error{io.EOF, test.err}),
				"in another form": fmt.Errorf("record: %w", misquoted{test.err})} {
				text := apierror.Plain(err).Error() + "\n" + apierror.Reason(err, 256) + "\n" + logged(err)
				if strings.Contains(text, planted) || strings.Count(text, test.shows) < 5 {
					t.Errorf("%s: %s", how, text)
				}
			}
		})
	}
}

// misquoted is an error that shows another otherwise than that does.
type misquoted struct{ error }

func (m misquoted) Error() string { return strings.ReplaceAll(m.error.Error(), `"`, `\"`) }
func (m misquoted) Unwrap() error { return m.error }

// logged is what the manager's logger makes of an error.
func logged(err error) string {
	var written bytes.Buffer
	log := apierror.Logger(zap.New(zap.WriteTo(&written), zap.UseDevMode(false)))
	log.Error(err, "text")
	log.WithName("name").WithValues("why", err).Error(err, "text", "key", err)
	log.WithCallDepth(1).Info("text", "why", err)
	return written.String()
}

// What is no API server's, or nothing, is given back as it is.
func TestPlainLeavesOthersAlone(t *testing.T) {
	if apierror.Plain(nil) != nil {
		t.Error("an error of nothing")
	}
	err := fmt.Errorf("dial 10.0.0.1:443: %w", io.EOF)
	if got := apierror.Plain(err); got != err { //nolint:errorlint // the very same
		t.Errorf("%v", got)
	}
}

// Around what the API server says the words stay, of each that says something.
func TestPlainKeepsWhatIsAround(t *testing.T) {
	quoting := apierrors.NewInternalError(errors.New(`expected "numeric" in ` + "`x`" + `, got &value{Value:"` + planted + `"}`))
	missing := apierrors.NewNotFound(corev1.Resource("secrets"), "main-sealing")
	err := fmt.Errorf("record m: %w (and more)", errors.Join(fmt.Errorf("write: %w", quoting), missing))
	want := "record m: write: InternalError: expected … in …, got &value…\n" +
		`NotFound: secrets "main-sealing" not found (and more)`
	if got := apierror.Plain(err).Error(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	silent := fmt.Errorf("record m: %w", &apierrors.StatusError{ErrStatus: metav1.Status{Reason: "Timeout"}})
	if got := apierror.Plain(silent).Error(); got != "record m: Timeout" {
		t.Errorf("%q", got)
	}
}

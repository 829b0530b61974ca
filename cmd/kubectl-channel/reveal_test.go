package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

func TestRevealShowsTheCodes(t *testing.T) {
	sendCode := []string{"m-2"}
	for name, test := range map[string]struct {
		platform   v1alpha1.Platform
		tail, body string
		want       []shownCode
	}{
		"Fliggy": {v1alpha1.PlatformFliggy, "order-status", sample(t, "fliggy", "push/order-send-code.json"), []shownCode{
			{Code: "A1B2C3D4E5", Persons: ptr.To[int64](2), Used: ptr.To[int64](0), From: sendCode},
			{Code: "9007199254740997", Persons: ptr.To[int64](1), From: sendCode}}},
		"Fliggy, a form": {v1alpha1.PlatformFliggy, "order-status", sample(t, "fliggy", "push/order-send-code.form"), []shownCode{
			{Code: "A1B2C3D4E5", Persons: ptr.To[int64](2), From: sendCode}}},
		"SCTT's printed sample": {v1alpha1.PlatformSCTT, "order-voucher", sample(t, "sctt", "push/seed-order-voucher.json"), []shownCode{
			{Code: "https://", Form: "PDF"}}},
		"SCTT, five kinds": {v1alpha1.PlatformSCTT, "order-voucher", sample(t, "sctt", "push/made-order-voucher-booked-five-kinds.json"), []shownCode{
			{Code: "https://x.test/ticket.pdf", Form: "PDF"}, {Code: "BAR-1", Form: "Barcode"}, {Code: "QR-1", Form: "QRCode"},
			{Code: "CONF-1", Form: "ConfirmationNumber"}, {Code: "https://x.test/show?t=1", Form: "URL"}}},
		"Douyin, the merchant's own code": {v1alpha1.PlatformDouyin, "events", sample(t, "douyin", "push/made-certificate-verify.json"), []shownCode{
			{Code: "S3CRETCODE0001", Ref: "7379746762393143301", From: []string{"made-up-certificate-verify"}}}},
		"Douyin, a refund asked for": {v1alpha1.PlatformDouyin, "spi/refund_apply", sample(t, "douyin", "spi/refund_apply-made-list.json"), []shownCode{
			{Code: "S3CRETCODE0002", Ref: "7379746762393143302"}, {Code: "S3CRETCODE0001", Ref: "7379746762393143301"}}},
		"Douyin, no code": {v1alpha1.PlatformDouyin, "events", sample(t, "douyin", "push/seed-order-notify.json"), []shownCode{}},
	} {
		t.Run(name, func(t *testing.T) {
			l := sit(t).channel("main", test.platform)
			orders, _ := l.push(test.tail, test.body)
			got := l.kubectl("reveal", "order", orders[0], "-o", "json").want(t, exitDone).codes(t)
			for i := range got {
				if i < len(test.want) && test.want[i].From == nil {
					got[i].From = nil // an id made of a keyed hash
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("codes (-want +got):\n%s", diff)
			}
			table := l.kubectl("reveal", "order", orders[0]).want(t, exitDone)
			raw := l.kubectl("reveal", "order", orders[0], "--raw").want(t, exitDone)
			for _, code := range test.want {
				table.want(t, exitDone, code.Code)
			}
			if !strings.Contains(raw.out, test.body) {
				t.Errorf("not the body as it came:\n%s", raw.out)
			}
		})
	}
}

// Codes made here stand in what was answered, and nowhere else.
func TestRevealShowsCodesMadeHere(t *testing.T) {
	for _, file := range []string{"issue_codes-made-certificates.json", "issue_codes-made-count.json"} {
		l := sit(t).channel("main", v1alpha1.PlatformDouyin)
		orders, codes := l.push("spi/issue_codes", sample(t, "douyin", "spi/"+file))
		got := l.kubectl("reveal", "order", orders[0], "-o", "json").want(t, exitDone).codes(t)
		if len(got) != len(codes) || len(got) == 0 {
			t.Fatalf("%s: %d codes, want %d", file, len(got), len(codes))
		}
		for i := range codes {
			if got[i].Code != codes[i].Text.Reveal() || got[i].Code == "" || got[i].Ref != codes[i].ID {
				t.Errorf("%s: code %d is another", file, i)
			}
		}
		l.kubectl("reveal", "order", orders[0], "--raw").want(t, exitDone, "answer of issue_codes", codes[0].Text.Reveal())
	}
}

// Whatever the adapters are tested with, all codes that it names are shown.
func TestRevealReadsEverySample(t *testing.T) {
	d := sit(t)
	for of, is := range map[string]v1alpha1.Platform{"fliggy": v1alpha1.PlatformFliggy, "douyin": v1alpha1.PlatformDouyin, "sctt": v1alpha1.PlatformSCTT} {
		files, err := filepath.Glob(filepath.Join("..", "..", "internal", "platform", of, "testdata", "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		read := 0
		for i, file := range files {
			tail := tailOf(of, file)
			if tail == "" {
				continue
			}
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			l := d.channel(fmt.Sprintf("%s-%d", of, i), is)
			if _, err := l.adapter.Open(platform.Push{Path: tail, Body: body}); err != nil {
				continue
			}
			orders, codes := l.push(tail, string(body))
			if len(orders) == 0 {
				continue
			}
			read++
			got := l.kubectl("reveal", "order", orders[0], "-o", "json").want(t, exitDone)
			for _, code := range codes {
				if text, _ := json.Marshal(code.Text.Reveal()); !strings.Contains(got.out, string(text)) && !code.Text.IsZero() {
					t.Errorf("%s: a code is not shown", file)
				}
			}
			if len(got.codes(t)) < len(codes) {
				t.Errorf("%s: %d codes are shown, it names %d", file, len(got.codes(t)), len(codes))
			}
		}
		if read < 8 {
			t.Errorf("only %d samples of %s were read", read, of)
		}
	}
}

// tailOf is the path that a sample came by; empty if it is no push about orders.
func tailOf(of, file string) string {
	folder, name := filepath.Base(filepath.Dir(file)), filepath.Base(file)
	switch {
	case strings.HasSuffix(name, ".golden") || folder == "api":
		return ""
	case folder == "spi" && strings.HasPrefix(name, "member_info"): // about no order
		return ""
	case folder == "spi":
		scene, _, _ := strings.Cut(name, "-")
		return "spi/" + scene
	case of == "douyin" && !strings.Contains(name, "verify-"):
		return "events"
	case of == "fliggy" && strings.HasPrefix(name, "order-"):
		return "order-status"
	case of == "sctt" && strings.Contains(name, "order-cancel"):
		return "order-cancel"
	case of == "sctt":
		return "order-voucher"
	}
	return ""
}

// How much of a code is used is the status' word; where there is none, the latest push's.
func TestRevealShowsWhatIsUsed(t *testing.T) {
	l := sit(t).channel("main", v1alpha1.PlatformFliggy)
	orders, _ := l.push("order-status", strings.ReplaceAll(sample(t, "fliggy", "push/order-send-code.json"), "9007199254740995", "5"))
	l.push("order-status", sample(t, "fliggy", "push/order-verify.json"))
	first := l.kubectl("reveal", "order", orders[0], "-o", "json").want(t, exitDone).codes(t)[0]
	if diff := cmp.Diff(shownCode{Code: "A1B2C3D4E5", Persons: ptr.To[int64](2), Used: ptr.To[int64](1), From: []string{"m-2", "m-4"}}, first); diff != "" {
		t.Errorf("code (-want +got):\n%s", diff)
	}
	order := l.order(orders[0])
	order.Status.Codes = []v1alpha1.Code{{ID: order.Spec.Notifications[0].Codes[0].ID, Hint: "A•••", Persons: ptr.To[int64](2), Used: ptr.To[int64](2)}}
	if err := l.Status().Update(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	if first := l.kubectl("reveal", "order", orders[0], "-o", "json").codes(t)[0]; *first.Used != 2 {
		t.Errorf("used %d", *first.Used)
	}

	// A code that only the platform's answer knows is in no body.
	order.Status.Codes = append(order.Status.Codes, v1alpha1.Code{ID: "h1:other", Hint: "Z•••"})
	if err := l.Status().Update(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	l.kubectl("reveal", "order", orders[0]).want(t, exitPartly, "A1B2C3D4E5", "code Z•••: no body that is kept, and opens, holds it")
}

// More codes than a notification names are in its body all the same.
func TestRevealShowsCodesThatWereCutOff(t *testing.T) {
	const many = 620
	l := sit(t).channel("main", v1alpha1.PlatformFliggy)
	var infos []string
	for i := range many {
		infos = append(infos, fmt.Sprintf(`{"code":"CODE%04d","num":1}`, i))
	}
	orders, _ := l.push("order-status", fmt.Sprintf(`{"pushType":"ORDER_SEND_CODE_NOTIFY","distributorId":1,"orderId":"1","timestamp":1758600000500,
		"messageId":"m","data":{"success":true,"codeInfos":[%s]}}`, strings.Join(infos, ",")))
	if n := l.order(orders[0]).Spec.Notifications[0]; !n.Truncated {
		t.Fatalf("%d codes are not too many", len(n.Codes))
	}
	got := l.kubectl("reveal", "order", orders[0], "-o", "json").want(t, exitDone).codes(t)
	if len(got) != many || got[many-1].Code != "CODE0619" || got[0].Code != "CODE0000" {
		t.Errorf("%d codes", len(got))
	}
}

// What cannot be opened, or is cut, is named with its reason; the rest is shown.
func TestRevealShowsTheRest(t *testing.T) {
	l := sit(t).channel("main", v1alpha1.PlatformFliggy)
	verify := strings.ReplaceAll(sample(t, "fliggy", "push/order-verify.json"), "A1B2C3D4E5", "OTHER7")
	orders, _ := l.push("order-status", verify)
	good := l.order(orders[0])
	l.push("order-status", strings.ReplaceAll(sample(t, "fliggy", "push/order-send-code.json"), "9007199254740995", "5"))
	whole := l.order(orders[0]).Spec.Notifications[1].Sealed
	stranger, recipient := newIdentity(t)
	_ = stranger
	other := l.channel("other", v1alpha1.PlatformFliggy, recipient)
	other.serve()
	foreign, err := other.account.Sealer.Seal([]byte(verify))
	if err != nil {
		t.Fatal(err)
	}
	said := func(body string) string {
		sealed, err := l.account.Sealer.Seal([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	for name, test := range map[string]struct{ sealed, why string }{
		"cut":                  {whole[:len(whole)-40], "notification m-2: open sealed body"},
		"for somebody else":    {foreign, "notification m-2: open sealed body"},
		"none":                 {"", "notification m-2: it has no body"},
		"no push":              {said("hello"), "notification m-2: its body opens, and cannot be read"},
		"about another order":  {said(sample(t, "fliggy", "push/order-send-code.json")), "it says nothing of this order"},
		"fewer than are named": {said(strings.NewReplacer(`"5"`, `"5"`, "ORDER_VERIFY_NOTIFY", "ORDER_SEND_CODE_NOTIFY", `"codeInfo"`, `"success":true,"codeInfos":[{"code":"LONELY","num":1}],"x"`).Replace(verify)), "notification m-2: it holds 1 codes, and the notification names 2"},
	} {
		t.Run(name, func(t *testing.T) {
			order := good.DeepCopy()
			order.ObjectMeta = metav1.ObjectMeta{Namespace: l.namespace, GenerateName: "broken-"}
			broken := l.order(orders[0]).Spec.Notifications[1]
			broken.Sealed = test.sealed
			order.Spec.Notifications = append([]v1alpha1.Notification{broken}, order.Spec.Notifications...)
			if err := l.Create(t.Context(), order); err != nil {
				t.Fatal(err)
			}
			l.kubectl("reveal", "order", order.Name).want(t, exitPartly, "OTHER7", test.why, "error: not everything could be done")
			shown := l.kubectl("reveal", "order", order.Name, "-o", "json").want(t, exitPartly, test.why)
			if !strings.Contains(shown.out, `"missing"`) || !strings.Contains(shown.out, "OTHER7") {
				t.Errorf("the JSON does not say it: %s", shown.out)
			}
		})
	}
}

// A body that was put in the place of another, or a list that was changed, does not pass for what
// was received: the ids tell, where their key may be read. The codes are shown all the same.
func TestRevealComparesTheIDsOfCodes(t *testing.T) {
	identity, recipient := newIdentity(t)
	d := sit(t)
	for _, l := range []*line{d.channel("main", v1alpha1.PlatformFliggy), d.channel("own", v1alpha1.PlatformFliggy, recipient)} {
		orders, _ := l.push("order-status", sample(t, "fliggy", "push/order-send-code.json"))
		reveal := func() said { return l.kubectl("reveal", "order", orders[0], "--identity", d.file(identity)) }
		reveal().want(t, exitDone, "A1B2C3D4E5")
		order := l.order(orders[0])
		forged, err := l.account.Sealer.Seal([]byte(strings.ReplaceAll(sample(t, "fliggy", "push/order-send-code.json"), "A1B2C3D4E5", "FORGED0001")))
		if err != nil {
			t.Fatal(err)
		}
		order.Spec.Notifications[0].Sealed = forged
		order.ObjectMeta = metav1.ObjectMeta{Namespace: l.namespace, Name: orders[0] + "-forged"}
		if err := l.Create(t.Context(), order); err != nil {
			t.Fatal(err)
		}
		orders[0] = order.Name
		reveal().want(t, exitPartly, "FORGED0001", "9007199254740997", "notification m-2: 1 of the codes that it holds have other ids than it names")

		// Without the key nothing can be said.
		secret := l.secret()
		delete(secret.Data, "code-id.key")
		if err := l.Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		reveal().want(t, exitDone, "FORGED0001")
	}
}

func TestRevealWithRecipientsOfOnesOwn(t *testing.T) {
	identity, recipient := newIdentity(t)
	wrong, _ := newIdentity(t)
	d := sit(t)
	l := d.channel("main", v1alpha1.PlatformFliggy, recipient)
	orders, _ := l.push("order-status", sample(t, "fliggy", "push/order-send-code.json"))
	reveal := []string{"reveal", "order", orders[0]}

	l.kubectl(reveal...).want(t, exitFailed, "Secret "+l.namespace+"/main-sealing has no identity.age", "--identity FILE").without(t, "A1B2C3D4E5")
	l.kubectl(append(reveal, "--identity", d.file("# mine\n"+identity+"\n"))...).want(t, exitDone, "A1B2C3D4E5")
	l.kubectl(append(reveal, "--identity", d.file(wrong))...).
		want(t, exitPartly, "notification m-2: open sealed body", "the Channel's own identities are not at hand").without(t, "A1B2C3D4E5", wrong)
	l.kubectl(append(reveal, "--identity", d.file("AGE-SECRET-KEY-1PLANTED"))...).want(t, exitFailed, "must hold age identities").without(t, "PLANTED")
	l.kubectl(append(reveal, "--identity", filepath.Join(t.TempDir(), "none"))...).want(t, exitFailed, "read the identity")
	l.kubectl(append(reveal, "--raw", "--identity", d.file(wrong))...).want(t, exitPartly, "notification m-2: its body: open sealed body")

	// The Secret's identity is taken as well: it may open what was sealed before.
	secret := l.secret()
	secret.Data["identity.age"] = []byte(identity)
	if err := l.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	l.kubectl(append(reveal, "--identity", d.file(wrong))...).want(t, exitDone, "A1B2C3D4E5")
}

func TestRevealWhereItIsForbidden(t *testing.T) {
	identity, recipient := newIdentity(t)
	d := sit(t)
	l := d.channel("main", v1alpha1.PlatformFliggy)
	own := d.channel("own", v1alpha1.PlatformFliggy, recipient)
	orders, _ := l.push("order-status", sample(t, "fliggy", "push/order-send-code.json"))
	owns, _ := own.push("order-status", sample(t, "fliggy", "push/order-send-code.json"))
	asClerk := func(args ...string) said { return d.kubectl(append(args, "--as", "clerk")...) }

	asClerk("reveal", "order", orders[0]).want(t, exitFailed, "read OrderVoucher", "forbidden")
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: d.namespace, Name: "clerk"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"ordervouchers"}, Verbs: []string{"get"}}}}
	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: d.namespace, Name: "clerk"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "clerk"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "clerk"}}}
	for _, object := range []client.Object{role, binding} {
		if err := d.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	d.eventually(func() bool {
		return strings.Contains(asClerk("reveal", "order", orders[0]).err, "Secret")
	}, "the role does not count")
	asClerk("reveal", "order", orders[0]).want(t, exitFailed, "Secret "+d.namespace+"/main-sealing, which holds the identity, may not be read", "--identity FILE").without(t, "A1B2C3D4E5")
	asClerk("reveal", "order", owns[0], "--identity", d.file(identity)).want(t, exitDone, "A1B2C3D4E5")
}

func TestRevealWhatIsNotThere(t *testing.T) {
	d := sit(t)
	l := d.channel("main", v1alpha1.PlatformFliggy)
	orders, _ := l.push("order-status", sample(t, "fliggy", "push/order-send-code.json"))
	d.kubectl("reveal", "order", "none").want(t, exitFailed, "none")
	d.kubectl("reveal", "order", orders[0], "-n", "elsewhere").want(t, exitFailed, "elsewhere/"+orders[0])
	d.kubectl("reveal", "order").want(t, exitFailed)
	d.kubectl("reveal", "order", orders[0], "-o", "yaml").want(t, exitFailed, "--output")
	d.kubectl("reveal", "order", orders[0], "-o", "json", "--raw").want(t, exitFailed, "--raw")

	// The Channel may be gone: the Secret outlives it, and the order says whose it was.
	if err := d.Delete(t.Context(), &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Namespace: d.namespace, Name: "main"}}); err != nil {
		t.Fatal(err)
	}
	d.kubectl("reveal", "order", orders[0]).want(t, exitDone, "A1B2C3D4E5")
	if err := d.Delete(t.Context(), l.secret()); err != nil {
		t.Fatal(err)
	}
	d.kubectl("reveal", "order", orders[0]).want(t, exitFailed, "Secret "+d.namespace+"/main-sealing does not exist", "restore it")
}

// A code may not move the cursor of whoever looks at it.
func TestRevealShowsNoEscapes(t *testing.T) {
	l := sit(t).channel("main", v1alpha1.PlatformFliggy)
	orders, _ := l.push("order-status", `{"pushType":"ORDER_SEND_CODE_NOTIFY","distributorId":1,"orderId":"1","timestamp":1758600000500,"messageId":"m",
		"data":{"success":true,"codeInfos":[{"code":"A\u001b[2J\u009b1mB","num":1},{"code":"C\nD\u202eE","num":1}]}}`)
	for _, args := range [][]string{{}, {"-o", "json"}} {
		got := l.kubectl(append([]string{"reveal", "order", orders[0]}, args...)...).want(t, exitDone, `1b[2J`)
		got.without(t, "\x1b", "\u009b", "\u202e", "C\nD")
	}
	codes := l.kubectl("reveal", "order", orders[0], "-o", "json").codes(t)
	if codes[0].Code != "A\x1b[2J\u009b1mB" || codes[1].Code != "C\nD\u202eE" {
		t.Errorf("the JSON holds other codes: %+v", codes)
	}
	if got, want := visibleLines("a\x1b\nb\n"), "\"a\\x1b\"\nb\n"; got != want {
		t.Errorf("a raw body is shown as %q", got)
	}
}

// Codes made elsewhere stand in the Secret that the order names.
func TestRevealShowsCodesMadeElsewhere(t *testing.T) {
	l := sit(t).channel("main", v1alpha1.PlatformDouyin)
	order := &v1alpha1.OrderVoucher{ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: "main-1"}, Spec: v1alpha1.OrderVoucherSpec{
		ChannelRef: v1alpha1.ChannelReference{Name: "main"}, OrderID: "1", CodesSecretRef: &v1alpha1.SecretReference{Name: "brought"},
		Notifications: []v1alpha1.Notification{{ID: "spi", Type: v1alpha1.NotificationCodesRequested, PlatformType: "issue_codes",
			ReceivedAt: metav1.NowMicro()}}}}
	l.serve()
	order.Spec.Notifications[0].Codes = l.account.Mask([]platform.Code{{ID: "c-1"}, {ID: "c-2"}})
	sealed, err := l.account.Sealer.Seal([]byte(`{"order_id":"1","certificates":[{"certificate_id":"c-1"},{"certificate_id":"c-2"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	order.Spec.Notifications[0].Sealed = sealed
	if err := l.Create(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	l.kubectl("reveal", "order", "main-1").want(t, exitPartly, "c-1", "Secret brought")
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: "brought"}, Data: map[string][]byte{"codes": []byte("B1\n\nB2\n")}}
	if err := l.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	got := l.kubectl("reveal", "order", "main-1", "-o", "json").want(t, exitDone).codes(t)
	if len(got) != 2 || got[0].Code != "B1" || got[1].Code != "B2" || got[1].Ref != "c-2" {
		t.Errorf("%+v", got)
	}
	secret.Data["codes"] = []byte("B1\n")
	if err := l.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	l.kubectl("reveal", "order", "main-1").want(t, exitPartly, "it has 1 codes, and 2 are asked for")
}

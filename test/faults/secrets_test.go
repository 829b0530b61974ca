package faults

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
	"github.com/laidoulaile/channel-operator/test/env"
)

// pushToken is the token of the Channels here, and wrongToken one that somebody tries.
const pushToken, wrongToken = "tok-8fK2mQ7xW4pL9vB3", planted + "-wrong-token"

// Codes, document and telephone numbers, links, credentials and tokens come in pushes, good
// ones and bad ones, in platforms' answers and in the words of their failures. They come to
// rest nowhere in clear. This is the last test of the package, so that it also looks at what
// all others left in etcd.
func TestWhatIsSecretComesToRestNowhereInClear(t *testing.T) {
	w, weather := newAwayWorld(t, "--zap-log-level", "10")
	codes := w.sellDouyin(t, &gossip{enough: 2})
	hall := w.openHall(&gossip{enough: 2})
	w.namespace = env.Namespace(t, w.api)
	telling := &gossip{enough: 2 * numFailures}
	m := w.openMarketWith("hush", "770061", marketOptions{token: pushToken, before: telling.before(fliggyFails)})
	sender := newSender(w.push)
	sender.query = "?token=" + pushToken

	var kept []*message
	for i := range 2 * numFailures {
		if i == numFailures { // half of it goes through the journal
			weather.turn(away)
		}
		kept = append(kept, m.vouchers(t, sender, fmt.Sprintf("77006%03d", i))...)
	}
	w.refusesBad(kept[1].body)
	booked := hall.book(t, platformtest.SCTTOrderID)
	if n, err := w.gauge("channel_operator_journal_records"); err != nil || n == 0 {
		t.Errorf("the journal has %v records: %v", n, err)
	}
	w.showsNothing(append(codes, booked...)...)
	weather.turn(fair)
	w.drained()
	booked = append(booked, hall.book(t, platformtest.SCTTSecondOrderID)...)
	m.check(kept)
	if told := telling.told(); told < telling.enough {
		t.Errorf("only %d failures, not in all forms", told)
	}
	w.showsNothing(append(codes, booked...)...)
	if !strings.Contains(w.logs[0].String(), `"level":"debug"`) {
		t.Error("the manager does not log all that it can")
	}
}

// vouchers is an order with a code that shows who travels, of which a part was used, and of
// which a refund failed with careless words. All of it must be acknowledged at once.
func (m *market) vouchers(t *testing.T, s *sender, id string) []*message {
	t.Helper()
	if err := m.fake.PutOrder(platformtest.Order{ID: id, OutOrderID: "out-" + id, ProductID: "7", Quantity: 2, Price: 100}); err != nil {
		t.Fatal(err)
	}
	code := platformtest.OrderCode{Code: planted + id, Persons: 2, Users: []string{planted + "-passport", platformtest.FliggyTravellerCertificate}}
	p := &play{order: id, steps: []step{
		func() ([]byte, error) { return m.fake.Pay(id) },
		func() ([]byte, error) { return m.fake.IssueCodes(id, code) },
		func() ([]byte, error) { return m.fake.UseCode(id, code.Code, 1) },
		func() ([]byte, error) { return m.fake.RefundFails(id, careless) },
	}}
	var messages []*message
	for len(p.steps) > 0 {
		message, err := p.happen()
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, m.acknowledged(t, s, message))
	}
	return messages
}

// refusesBad sends what nobody may take, with secrets in it.
func (w *world) refusesBad(good []byte) {
	w.Helper()
	path, token := "/api/webhooks/fliggy/"+platformtest.FliggyOrderPath, "?token="+pushToken
	for name, bad := range map[string]struct {
		path string
		body []byte
	}{
		"no token":       {path, good},
		"a wrong token":  {path + "?token=" + wrongToken, good},
		"two tokens":     {path + "?token=" + wrongToken + "&token=" + pushToken, good},
		"cut":            {path + token, good[:len(good)-2]},
		"no JSON":        {path + token, []byte(careless)},
		"another's":      {path + token, bytes.ReplaceAll(good, []byte("770061"), []byte("999997"))},
		"no such path":   {"/api/webhooks/fliggy/" + planted + token, good},
		"no such scheme": {"/api/webhooks/" + planted + "/" + pushToken, good},
		"no such name":   {"/api/channels/" + planted + "/hush/" + platformtest.FliggyOrderPath + token, good},
	} {
		if status := post(w, w.push, bad.path, bad.body, nil); status == http.StatusOK || status == 0 {
			w.Errorf("%s: answered %d", name, status)
		}
	}
}

// sellDouyin sells codes that are made here, has a refund decided and a member's number
// changed, and gives the codes.
func (w *world) sellDouyin(t *testing.T, telling *gossip) []string {
	t.Helper()
	s := w.openWith("codes", 0.0005, v1alpha1.DouyinChannel{
		ThirdPartyCodes: &v1alpha1.DouyinThirdPartyCodes{Source: "Generate"},
		Refunds:         &v1alpha1.DouyinRefunds{Decision: "ApproveUnused"}}, telling.before(douyinFails))
	var codes []string
	for _, id := range []string{"1065946970001", "1065946970002"} {
		sold(s, id)
		order, _ := s.fake.Order(id)
		for _, certificate := range order.Certificates {
			codes = append(codes, certificate.Code)
		}
	}
	if _, delivery := s.fake.QueryStatus(t.Context(), "0", "1065946970001"); delivery.Attempts == 0 {
		t.Errorf("the codes were not asked for: %+v", delivery)
	}
	if _, delivery := s.fake.UpdateMember(t.Context(), "member", plantedMobile, platformtest.FliggyTravellerMobile); delivery.Attempts == 0 {
		t.Errorf("the member's number was not told: %+v", delivery)
	}
	if _, delivery, err := s.fake.ApplyRefund(t.Context(), "1065946970002", careless); err != nil || !delivery.Accepted {
		t.Errorf("apply for a refund: %+v, %v", delivery, err)
	}
	s.order("1065946970002", v1alpha1.OrderRefunded)
	return codes
}

// hall is an account on a fake SCTT, and its Channel.
type hall struct {
	*world
	fake *platformtest.SCTT
}

func (w *world) openHall(telling *gossip) *hall {
	w.Helper()
	fake, err := platformtest.NewSCTT(platformtest.SCTTConfig{PushBase: "http://" + w.push, PushToken: pushToken})
	if err != nil {
		w.Fatal(err)
	}
	w.made = append(w.made, func() (vouchers []string) {
		for _, order := range fake.Orders() {
			vouchers = append(vouchers, order.Secrets()...)
		}
		return vouchers
	})
	rule := platformtest.DefaultSCTTSignature
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "hall"}, StringData: map[string]string{"secret": fake.Secret(), "pushToken": pushToken}})
	w.createChannel(&v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Name: "hall"}, Spec: v1alpha1.ChannelSpec{
		Platform: v1alpha1.PlatformSCTT, Account: fake.Account(), Endpoint: w.gate.serve(w, telling.before(scttFails)(fake)),
		CredentialsRef: v1alpha1.SecretReference{Name: "hall"},
		Receive:        v1alpha1.ChannelReceive{TokenSecretRef: &v1alpha1.SecretKeyReference{Name: "hall", Key: "pushToken"}},
		SCTT: &v1alpha1.SCTTChannel{Currency: "CNY",
			Signature: &v1alpha1.SCTTSignature{Algorithm: rule.Algorithm, Encoding: rule.Encoding, Message: rule.Message}}}})
	return &hall{world: w, fake: fake}
}

// book has an order confirmed with tickets of all kinds and careless remarks, which must be
// acknowledged, and gives its links and numbers.
func (h *hall) book(t *testing.T, id string) []string {
	t.Helper()
	body, err := h.fake.SetStatus(id, platformtest.SCTTBooked, careless)
	if err != nil {
		t.Fatal(err)
	}
	if delivery := h.fake.Send(t.Context(), platformtest.SCTTVoucherPath, body); !delivery.Accepted {
		t.Errorf("the vouchers of order %s: %+v", id, delivery)
	}
	order, _ := h.fake.Order(id)
	return order.Secrets()
}

package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
)

func ready(conditionsOf []metav1.Condition) bool {
	_, ready := conditions.Of(conditionsOf)
	return ready
}

func stalled(channel *v1alpha1.Channel) bool {
	return slices.ContainsFunc(channel.Status.Conditions, func(c metav1.Condition) bool {
		return c.Type == v1alpha1.ConditionStalled && c.Status == metav1.ConditionTrue
	})
}

func TestChannelConnectsAndDiscoversItsCatalogue(t *testing.T) {
	s := start(t)
	ids := []string{"88", "89", "90"}
	for _, id := range ids {
		s.offer(id)
	}
	s.secret(s.fake.PrivateKey())
	s.channel("ch", func(c *v1alpha1.Channel) { c.Spec.Products.Discover = true })
	channel := channelIs(s, "ch", v1alpha1.ReasonConnected, func(c *v1alpha1.Channel) bool { return c.Status.Catalogue != nil })
	if channel.Status.Catalogue.Products != 3 {
		t.Errorf("catalogue %+v", channel.Status.Catalogue)
	}
	own := "/api/channels/" + s.namespace + "/ch/"
	if diff := cmp.Diff([]string{"/push/Fliggy/product-change", "/push/Fliggy/order-status", own + "product-change", own + "order-status"}, channel.Status.PushURLs); diff != "" {
		t.Errorf("pushURLs: %s", diff)
	}
	for _, id := range ids {
		ps := productIs(s, "ch-"+id, v1alpha1.ReasonSynced)
		if ps.Status.State != v1alpha1.ProductOnSale || ps.Status.Summary.Price != "350.50 CNY" || ps.Status.FetchedAt == nil {
			t.Errorf("product %s: %+v", id, ps.Status)
		}
	}
	// What comes onto the catalogue later is found at the next listing.
	s.offer("91")
	s.request(&v1alpha1.Channel{}, "ch", "1")
	channelIs(s, "ch", v1alpha1.ReasonConnected, func(c *v1alpha1.Channel) bool {
		return c.Status.Catalogue.Products == 4 && c.Status.LastHandledRequestedAt == "1"
	})
	productIs(s, "ch-91", v1alpha1.ReasonSynced)
}

// TestControllerLeavesTheReceivingSideItsFields: a status apply neither takes nor drops
// what the ledger writes.
func TestControllerLeavesTheReceivingSideItsFields(t *testing.T) {
	s := connected(t)
	s.push(platformtest.FliggyProductPath, s.fake.ProductPush("VACATION_RESOURCE_NEW_CHANGE", "88", time.Now()))
	s.patchStatus("ch", `{"status":{"lastPushTime":"2026-11-22T12:00:00Z","credit":{"amount":"25.58","at":"2026-11-22T11:00:00Z"},
		"setAside":[{"replica":"r","records":1,"oldest":"2026-11-22T11:00:00Z","objects":[{"object":"order 1","records":1,"reason":"no"}]}]}}`)
	s.request(&v1alpha1.Channel{}, "ch", "1")
	channelIs(s, "ch", v1alpha1.ReasonConnected, func(c *v1alpha1.Channel) bool { return c.Status.LastHandledRequestedAt == "1" })
	s.patch(&v1alpha1.Channel{}, "ch", `{"spec":{"suspend":true}}`)
	channel := channelIs(s, "ch", v1alpha1.ReasonSuspended)
	if credit := channel.Status.Credit; channel.Status.LastPushTime == nil || len(channel.Status.Notices) != 1 || credit == nil || credit.Amount != "25.58" {
		t.Errorf("lastPushTime %v, notices %v, credit %+v", channel.Status.LastPushTime, channel.Status.Notices, channel.Status.Credit)
	}
	if aside := channel.Status.SetAside; len(aside) != 1 || len(aside[0].Objects) != 1 {
		t.Errorf("set aside: %+v", aside)
	}
	owned := false
	for _, entry := range channel.ManagedFields {
		if entry.Manager != string(fieldOwner) {
			continue
		}
		owned = true
		fields := entry.FieldsV1.String()
		if !strings.Contains(fields, "f:pushURLs") || slices.ContainsFunc([]string{"lastPushTime", "notices", "credit", "setAside"}, func(theirs string) bool {
			return strings.Contains(fields, theirs)
		}) {
			t.Errorf("the controller owns %s", fields)
		}
	}
	if !owned {
		t.Error("the controller owns nothing")
	}
}

func TestMissingCredentialsStallUntilTheSecretIsMade(t *testing.T) {
	s := start(t)
	s.offer("88")
	s.channel("ch")
	if channel := channelIs(s, "ch", v1alpha1.ReasonCredentialsMissing); !stalled(channel) || len(channel.Status.PushURLs) != 4 {
		t.Errorf("channel %+v", channel.Status)
	}
	s.announce("PRICE_CHANGE", "88") // receiving needs no key
	s.push(platformtest.FliggyOrderPath, s.sell(s.fake, "1"))
	productIs(s, "ch-88", v1alpha1.ReasonChannelNotReady)
	orderIs(s, "ch-1", v1alpha1.ReasonChannelNotReady, func(ov *v1alpha1.OrderVoucher) bool { return ov.Status.Phase == v1alpha1.OrderIssued })
	if n := s.fake.Calls(""); n != 0 {
		t.Errorf("asked %d times without a key", n)
	}
	s.secret("this is no key")
	channelIs(s, "ch", v1alpha1.ReasonCredentialsInvalid, stalled)
	s.secret(s.fake.PrivateKey())
	channelIs(s, "ch", v1alpha1.ReasonConnected)
	productIs(s, "ch-88", v1alpha1.ReasonSynced)
	orderIs(s, "ch-1", v1alpha1.ReasonConfirmed)
}

// TestUnusableSettingsStallUntilTheSpecIsRight: be they unreadable, or less than asking needs.
func TestUnusableSettingsStallUntilTheSpecIsRight(t *testing.T) {
	s := start(t)
	s.script.set(func(p *script) { p.settings = errors.New("signature.message names {foo}") })
	s.secret("key")
	s.channel("dy", onScript)
	const why = "spec.douyin: signature.message names {foo}"
	says := func(message string) func(*v1alpha1.Channel) bool {
		return func(c *v1alpha1.Channel) bool { return stalled(c) && standing(c.Status.Conditions).Message == message }
	}
	channelIs(s, "dy", v1alpha1.ReasonSettingsInvalid, says(why))
	must(t, s.api.Create(t.Context(), &v1alpha1.ProductSync{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "p"},
		Spec: v1alpha1.ProductSyncSpec{ChannelRef: v1alpha1.ChannelReference{Name: "dy"}, ProductID: "88"}}))
	productIs(s, "p", v1alpha1.ReasonChannelNotReady, func(ps *v1alpha1.ProductSync) bool {
		return strings.Contains(standing(ps.Status.Conditions).Message, v1alpha1.ReasonSettingsInvalid)
	})
	s.script.set(func(p *script) {
		p.settings, p.client = nil, fmt.Errorf("%w: no signature is set", platform.ErrSettings)
	})
	s.patch(&v1alpha1.Channel{}, "dy", `{"spec":{"limits":{"burst":30}}}`)
	channelIs(s, "dy", v1alpha1.ReasonSettingsInvalid, says("settings incomplete: no signature is set"))
	s.script.set(func(p *script) { p.client = nil })
	s.patch(&v1alpha1.Channel{}, "dy", `{"spec":{"limits":{"burst":31}}}`)
	channelIs(s, "dy", v1alpha1.ReasonConnected)
	productIs(s, "p", v1alpha1.ReasonPlatformNotSupported) // the Channel is not in its way any more
}

func TestRefusedCredentialsStallUntilTheSecretIsRight(t *testing.T) {
	s := start(t)
	s.offer("88")
	s.secret(newFake(t).PrivateKey())
	s.channel("ch")
	channelIs(s, "ch", v1alpha1.ReasonCredentialsRefused, stalled)
	s.announce("PRICE_CHANGE", "88")
	productIs(s, "ch-88", v1alpha1.ReasonChannelNotReady)
	if n := s.fake.Calls("queryProductDetailInfo"); n != 0 {
		t.Errorf("asked for the product %d times", n)
	}
	s.secret(s.fake.PrivateKey())
	channelIs(s, "ch", v1alpha1.ReasonConnected)
	productIs(s, "ch-88", v1alpha1.ReasonSynced)
}

// TestRefusalSeenByAnObjectStallsTheChannel: the Channel need not wait for its own check.
func TestRefusalSeenByAnObjectStallsTheChannel(t *testing.T) {
	s := connected(t)
	s.request(&v1alpha1.Channel{}, "ch", "0") // no look of its own is under way when this one is done
	channelIs(s, "ch", v1alpha1.ReasonConnected, func(c *v1alpha1.Channel) bool { return c.Status.LastHandledRequestedAt == "0" })
	s.fake.Inject(platformtest.Fault{Kind: platformtest.Code, Code: "5001", Times: -1})
	s.announce("INFO_CHANGE", "88")
	productIs(s, "ch-88", v1alpha1.ReasonChannelNotReady)
	channelIs(s, "ch", v1alpha1.ReasonCredentialsRefused, stalled)
	s.fake.ClearFaults()
	s.request(&v1alpha1.Channel{}, "ch", "mended on the platform's side")
	channelIs(s, "ch", v1alpha1.ReasonConnected)
	productIs(s, "ch-88", v1alpha1.ReasonSynced)
}

func TestSecondChannelOfAnAccountTakesOverWhenTheFirstGoes(t *testing.T) {
	s := connected(t)
	s.channel("ch-2")
	channelIs(s, "ch-2", v1alpha1.ReasonAccountTaken, stalled)
	s.request(&v1alpha1.Channel{}, "ch", "1")
	channelIs(s, "ch", v1alpha1.ReasonConnected, func(c *v1alpha1.Channel) bool { return c.Status.LastHandledRequestedAt == "1" })
	must(t, s.api.Delete(t.Context(), get[v1alpha1.Channel](s, "ch")))
	channelIs(s, "ch-2", v1alpha1.ReasonConnected)
	if holder, err := s.registry.ByAccount(v1alpha1.PlatformFliggy, account); err != nil || holder.Name != "ch-2" {
		t.Errorf("the account belongs to %+v, %v", holder, err)
	}
}

func TestSuspendedChannelRecordsAndDoesNotAsk(t *testing.T) {
	s := connected(t)
	s.announce("INFO_CHANGE", "88")
	settled := productIs(s, "ch-88", v1alpha1.ReasonSynced)
	s.patch(&v1alpha1.Channel{}, "ch", `{"spec":{"suspend":true}}`)
	channelIs(s, "ch", v1alpha1.ReasonSuspended, func(c *v1alpha1.Channel) bool { return !stalled(c) })
	s.eventually(func() string {
		if a := s.registry.Asking(types.NamespacedName{Namespace: s.namespace, Name: "ch"}); a == nil || !a.Suspended {
			return "the account is not suspended"
		}
		return ""
	})
	asked := s.fake.Calls("")
	s.announce("PRICE_CHANGE", "89")
	s.push(platformtest.FliggyOrderPath, s.sell(s.fake, "1"))
	productIs(s, "ch-89", v1alpha1.ReasonChannelNotReady, func(ps *v1alpha1.ProductSync) bool { return ps.Spec.Announced.Price != nil })
	orderIs(s, "ch-1", v1alpha1.ReasonChannelNotReady, func(ov *v1alpha1.OrderVoucher) bool {
		return len(ov.Spec.Notifications) == 1 && ov.Status.Phase == v1alpha1.OrderIssued
	})
	if n := s.fake.Calls(""); n != asked {
		t.Errorf("asked %d times while suspended", n-asked)
	}
	s.offer("89")
	s.patch(&v1alpha1.Channel{}, "ch", `{"spec":{"suspend":false}}`)
	productIs(s, "ch-89", v1alpha1.ReasonSynced)
	orderIs(s, "ch-1", v1alpha1.ReasonConfirmed)
	// A product without news was woken twice by the Channel, and neither asked nor written.
	if now := get[v1alpha1.ProductSync](s, "ch-88"); now.ResourceVersion != settled.ResourceVersion {
		t.Errorf("a product without news was written: %+v", now.Status)
	}
}

func TestDeletedObjectsAreForgotten(t *testing.T) {
	s := connected(t)
	s.announce("INFO_CHANGE", "88")
	s.push(platformtest.FliggyOrderPath, s.sell(s.fake, "1"))
	must(t, s.api.Delete(t.Context(), productIs(s, "ch-88", v1alpha1.ReasonSynced)))
	must(t, s.api.Delete(t.Context(), orderIs(s, "ch-1", v1alpha1.ReasonConfirmed)))
	must(t, s.api.Delete(t.Context(), channelIs(s, "ch", v1alpha1.ReasonConnected)))
	s.eventually(func() string {
		if _, err := s.registry.ByAccount(v1alpha1.PlatformFliggy, account); !errors.Is(err, accounts.ErrUnknown) {
			return fmt.Sprintf("the account is still known: %v", err)
		}
		return ""
	})
}

func TestFlappingPlatformIsToldOnce(t *testing.T) {
	s := connected(t)
	s.fake.Down()
	s.request(&v1alpha1.Channel{}, "ch", "1")
	down := channelIs(s, "ch", v1alpha1.ReasonProgressingWithRetry)
	asked := s.fake.Calls("queryProductBaseInfoByPage")
	s.eventually(func() string {
		if s.fake.Calls("queryProductBaseInfoByPage") < asked+2 {
			return "not asked again"
		}
		return ""
	})
	if now := get[v1alpha1.Channel](s, "ch"); now.ResourceVersion != down.ResourceVersion {
		t.Errorf("written again: %+v", now.Status)
	}
	s.fake.Up()
	channelIs(s, "ch", v1alpha1.ReasonConnected)
}

func (s *stack) patchStatus(name, body string) {
	s.Helper()
	channel := get[v1alpha1.Channel](s, name)
	must(s.T, s.api.Status().Patch(s.Context(), channel, client.RawPatch(types.MergePatchType, []byte(body))))
}

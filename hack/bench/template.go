package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

// templates are a product and an order that a manager made from pushes and settled: what
// the raw client writes is copies of these, byte for byte but for ids and times.
type templates struct {
	product v1alpha1.ProductSync
	order   v1alpha1.OrderVoucher
	// later is the notification of a later push about the order.
	later v1alpha1.Notification
	// statusSize of the product, in bytes of JSON.
	statusSize int
	// createProduct and createOrder are the bodies of creates, with the template's id.
	createProduct, createOrder []byte
}

// Ids of the templates.
var templateProduct, templateOrder = productID(999_999), orderID(999_999)

// makeTemplates has a controller make the templates. It leaves no manager behind.
func (s *stack) makeTemplates(ctx context.Context) (*templates, error) {
	if err := s.startController(ctx); err != nil {
		return nil, err
	}
	defer s.stopManager()
	sender := newSender(s.push, 1)
	defer sender.close()
	for _, p := range []push{productPush(templateProduct, time.Now().Add(-2*time.Hour).UnixMilli()), orderPush(templateOrder, 0), orderPush(templateOrder, 1)} {
		if err := until(ctx, startTimeout, func(ctx context.Context) error {
			if what, err := sender.send(ctx, p); what != acknowledged {
				return fmt.Errorf("a push is not acknowledged: %w", err)
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	t := &templates{}
	if err := until(ctx, startTimeout, func(ctx context.Context) error { return t.read(ctx, s.api) }); err != nil {
		return nil, fmt.Errorf("wait for the templates: %w", err)
	}
	// The same questions that changes of a known product make are answered from now on.
	if err := s.warm(ctx, sender); err != nil {
		return nil, err
	}
	return t, nil
}

// warm pushes once more, and waits until that shows.
func (s *stack) warm(ctx context.Context, sender *sender) error {
	at := time.Now().Add(-2*time.Hour + time.Minute).UnixMilli()
	if what, err := sender.send(ctx, productPush(templateProduct, at)); what != acknowledged {
		return fmt.Errorf("a push is not acknowledged: %w", err)
	}
	return until(ctx, startTimeout, func(ctx context.Context) error {
		var there wireProduct
		if err := s.api.getInto(ctx, collection(products, objectName(templateProduct)), &there); err != nil {
			return err
		}
		if state := there.state(); !state.ready || state.observed < at {
			return fmt.Errorf("product %s is not settled: %+v", templateProduct, state)
		}
		return nil
	})
}

// read takes both, once they are settled.
func (t *templates) read(ctx context.Context, a *api) error {
	t.product, t.order = v1alpha1.ProductSync{}, v1alpha1.OrderVoucher{}
	for path, into := range map[string]any{
		collection(products, objectName(templateProduct)): &t.product,
		collection(orders, objectName(templateOrder)):     &t.order,
	} {
		if err := a.getInto(ctx, path, into); err != nil {
			return err
		}
	}
	if !isReady(t.product.Status.Conditions) || !isReady(t.order.Status.Conditions) {
		return fmt.Errorf("the templates are not Ready: %+v, %+v", t.product.Status.Conditions, t.order.Status.Conditions)
	}
	if len(t.order.Spec.Notifications) != 2 || t.order.Status.ObservedGeneration != t.order.Generation {
		return fmt.Errorf("the order has %d notifications, and its status is of generation %d", len(t.order.Spec.Notifications), t.order.Status.ObservedGeneration)
	}
	t.later = t.order.Spec.Notifications[1]
	t.order.Spec.Notifications = t.order.Spec.Notifications[:1]
	status, err := json.Marshal(t.product.Status)
	if err != nil {
		return err
	}
	t.statusSize = len(status)
	if t.createProduct, err = creation("ProductSync", &t.product.ObjectMeta, t.product.Spec); err != nil {
		return err
	}
	t.createOrder, err = creation("OrderVoucher", &t.order.ObjectMeta, t.order.Spec)
	return err
}

func isReady(conditions []metav1.Condition) bool {
	for _, c := range conditions {
		if c.Type == v1alpha1.ConditionReady {
			return c.Status == metav1.ConditionTrue
		}
	}
	return false
}

// creation is the body of a create as the ledger makes it.
func creation(kind string, meta *metav1.ObjectMeta, spec any) ([]byte, error) {
	return json.Marshal(map[string]any{
		"apiVersion": v1alpha1.SchemeGroupVersion.String(), "kind": kind,
		"metadata": map[string]any{"name": meta.Name, "namespace": meta.Namespace, "labels": meta.Labels},
		"spec":     spec,
	})
}

// productBody is the body of a create of a product.
func (t *templates) productBody(id string) []byte {
	return bytes.ReplaceAll(t.createProduct, []byte(templateProduct), []byte(id))
}

func (t *templates) orderBody(id string) []byte {
	return bytes.ReplaceAll(t.createOrder, []byte(templateOrder), []byte(id))
}

// changeBody is the merge patch by which the ledger announces a change.
func (t *templates) changeBody(id string, changedAt int64) []byte {
	spec := v1alpha1.ProductSyncSpec{ChannelRef: t.product.Spec.ChannelRef, ProductID: id, Announced: announcedAt(changedAt)}
	body, err := json.Marshal(map[string]any{"spec": spec})
	if err != nil {
		panic(err) // our own types always marshal
	}
	return body
}

// announcedAt is what a push of ours announces.
func announcedAt(changedAt int64) v1alpha1.Announced {
	change := &v1alpha1.Announcement{ChangedAt: metav1.NewMicroTime(time.UnixMilli(changedAt).UTC()), MessageID: changeMessage(changedAt), Type: priceType}
	return v1alpha1.Announced{Price: change, Stock: change}
}

// appendBody is the JSON patch by which the ledger appends a notification.
func (t *templates) appendBody(id string, nth int) []byte {
	type op struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	notification := t.later
	notification.ID = fmt.Sprintf("o-%s-%d", id, nth)
	body, err := json.Marshal([]op{
		{"replace", "/spec/channelRef/name", t.order.Spec.ChannelRef.Name},
		{"replace", "/spec/orderID", id},
		{"add", "/spec/notifications/-", notification},
		{"add", "/spec/outOrderID", outOrderID(id)},
	})
	if err != nil {
		panic(err)
	}
	return body
}

// productStatusBody applies the whole status, as the controllers do.
func (t *templates) productStatusBody(id string, generation, changedAt int64) []byte {
	status := t.product.Status.DeepCopy()
	at := metav1.NewMicroTime(time.UnixMilli(changedAt).UTC())
	status.Observed.Price, status.Observed.Stock = &at, &at
	if changedAt == 0 {
		status.Observed = t.product.Status.Observed
	}
	status.ObservedGeneration = generation
	for i := range status.Conditions {
		status.Conditions[i].ObservedGeneration = generation
	}
	return t.statusBody("ProductSync", templateProduct, id, status)
}

func (t *templates) orderStatusBody(id string, generation int64) []byte {
	status := t.order.Status.DeepCopy()
	status.ObservedGeneration = generation
	for i := range status.Conditions {
		status.Conditions[i].ObservedGeneration = generation
	}
	return t.statusBody("OrderVoucher", templateOrder, id, status)
}

func (t *templates) statusBody(kind, template, id string, status any) []byte {
	body, err := json.Marshal(map[string]any{
		"apiVersion": v1alpha1.SchemeGroupVersion.String(), "kind": kind,
		"metadata": map[string]any{"name": objectName(template), "namespace": namespace},
		"status":   status,
	})
	if err != nil {
		panic(err)
	}
	return bytes.ReplaceAll(body, []byte(template), []byte(id))
}

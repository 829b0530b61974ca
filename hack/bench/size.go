package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// sizeSection is section 5: products with the calendar of a year, put into etcd as copies of
// one that a manager made and settled, and then what a fresh manager makes of so many.
func (b *bench) sizeSection(ctx context.Context, s *stack) error {
	t, err := s.makeTemplates(ctx)
	if err != nil {
		return err
	}
	store, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	before, there := store.inUse, 1 // the template
	for _, n := range b.plan.sizes {
		b.say("%d products", n)
		if err := store.fill(ctx, there, n); err != nil {
			return fmt.Errorf("put %d products into etcd: %w", n, err)
		}
		if err := s.waitForCount(ctx, n); err != nil {
			return err
		}
		size := Size{Products: n, StatusBytes: t.statusSize, EtcdBytes: (store.inUse - before) / float64(n-1)}
		there = n
		err := b.manage(ctx, s, &size)
		s.stopManager()
		if err != nil {
			return fmt.Errorf("%d products: %w", n, err)
		}
		b.results.Size = append(b.results.Size, size)
	}
	return nil
}

// Numbers of the products that are pushed about in this section, beyond all that there are.
const freshProducts = 2_000_000

// manage starts a manager that may lead as soon as its caches are filled, and pushes twice: from
// the first moment on, about a product that is new, and when it leads, about one that is known.
// Else it has nothing new to see: it looks at all, and then asks for all again.
func (b *bench) manage(ctx context.Context, s *stack, size *Size) error {
	before, err := s.api.requestsSoFar(ctx)
	if err != nil {
		return err
	}
	if err := s.holdLease(ctx, ""); err != nil {
		return err
	}
	start := time.Now()
	if err := s.startManager(ctx, "--leader-elect=true", "--leader-elect-namespace", namespace); err != nil {
		return err
	}
	size.ReadySeconds = time.Since(start).Seconds()
	if err := s.pushes(ctx, size, start); err != nil {
		return err
	}
	if err := s.caughtUp(ctx); err != nil {
		return err
	}
	size.PassSeconds = time.Since(start).Seconds()
	pid := s.manager.cmd.Process.Pid
	size.PassMiB, _ = memory(pid)
	now, err := s.api.requestsSoFar(ctx)
	if err != nil {
		return err
	}
	size.PassWrites = writesOfObjects(now.since(before)) - writesOfPushes
	if err := b.resync(ctx, s, size); err != nil {
		return err
	}
	after, err := s.api.requestsSoFar(ctx)
	size.ResyncWrites = writesOfObjects(after.since(now))
	size.ResyncMiB, size.PeakMiB = memory(pid)
	return err
}

// writesOfPushes are those of the two pushes: each the fact and the status.
const writesOfPushes = 4

// pushes sends the one from the first moment on, and the other when the manager leads.
func (s *stack) pushes(ctx context.Context, size *Size, start time.Time) error {
	at := time.Now().Add(-time.Minute).UnixMilli()
	early, fresh := productPush(productID(freshProducts+size.Products), at), productPush(productID(2), at)
	sender := newSender(s.push, 1)
	defer sender.close()
	if err := s.pushUntilTaken(ctx, sender, early); err != nil {
		return err
	}
	size.FirstReceipt = time.Since(start).Seconds()
	leads, err := s.led(ctx)
	if err != nil {
		return err
	}
	if leads.Before(start) {
		return fmt.Errorf("the lease was acquired at %s, before the manager was started", leads)
	}
	size.LeadSeconds = leads.Sub(start).Seconds()
	if err := s.pushUntilTaken(ctx, sender, fresh); err != nil {
		return err
	}
	if err := s.waitSynced(ctx, fresh); err != nil {
		return err
	}
	size.LeaderSynced = time.Since(leads).Seconds()
	if err := s.waitSynced(ctx, early); err != nil {
		return err
	}
	size.StandbySynced = time.Since(leads).Seconds()
	return nil
}

func (s *stack) pushUntilTaken(ctx context.Context, sender *sender, p push) error {
	return until(ctx, startTimeout, func(ctx context.Context) error {
		if what, err := sender.send(ctx, p); what != acknowledged {
			return errors.Join(errors.New("the push is not acknowledged"), err)
		}
		return nil
	})
}

func (s *stack) waitSynced(ctx context.Context, p push) error {
	return until(ctx, startTimeout, func(ctx context.Context) error {
		var there wireProduct
		if err := s.api.getInto(ctx, collection(products, objectName(p.product)), &there); err != nil {
			return err
		}
		if state := there.state(); !state.ready || state.observed < p.changedAt {
			return fmt.Errorf("product %s is not settled: %+v", p.product, state)
		}
		return nil
	})
}

// writesOfObjects are those of products and orders: the Channel's own status follows its
// spec, which this section changes.
func writesOfObjects(r requests) int { return r.ByKind[products] + r.ByKind[orders] }

// Intervals between looks without news: the first asks for all products at once, the other
// for none.
const resyncNow, resyncNever = "10s", "720h"

// resync has all products asked for again, as long as there is time.
func (b *bench) resync(ctx context.Context, s *stack, size *Size) error {
	s.front.watch()
	start := time.Now()
	if err := s.resyncEvery(ctx, resyncNow); err != nil {
		return err
	}
	_ = until(ctx, b.plan.resync, func(context.Context) error {
		if seen := s.front.seen(); seen < size.Products {
			return fmt.Errorf("%d of %d were asked for", seen, size.Products)
		}
		return nil
	})
	size.Resynced, size.ResyncSeconds = s.front.seen(), time.Since(start).Seconds()
	if err := s.resyncEvery(ctx, resyncNever); err != nil {
		return err
	}
	return s.idle(ctx, settleTimeout)
}

func (s *stack) resyncEvery(ctx context.Context, interval string) error {
	return s.api.send(ctx, http.MethodPatch, collection("channels", channel), asMerge,
		fmt.Appendf(nil, `{"spec":{"products":{"resyncInterval":%q}}}`, interval))
}

// led waits until somebody leads, and says since when. A watch tells at once, and takes
// nothing meanwhile from what is measured.
func (s *stack) led(ctx context.Context) (since time.Time, err error) {
	err = until(ctx, startTimeout, func(ctx context.Context) error {
		response, err := s.api.do(ctx, http.MethodGet, "/apis/coordination.k8s.io/v1/namespaces/"+namespace+
			"/leases?watch=1&fieldSelector=metadata.name="+leaseName, "", nil)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		since, err = acquired(response.Body)
		return err
	})
	return since, err
}

// acquired reads events of one lease until somebody holds it, and gives the moment that the
// holder itself wrote down, before it asked for the lease: what counts from then on is never
// too short.
func acquired(events io.Reader) (time.Time, error) {
	for all := json.NewDecoder(events); ; {
		var event struct {
			Object struct {
				Spec struct {
					HolderIdentity string    `json:"holderIdentity"`
					AcquireTime    time.Time `json:"acquireTime"`
				} `json:"spec"`
			} `json:"object"`
		}
		if err := all.Decode(&event); err != nil {
			return time.Time{}, fmt.Errorf("nobody leads: %w", err)
		}
		if lease := event.Object.Spec; lease.HolderIdentity != "" {
			return lease.AcquireTime, nil
		}
	}
}

// waitForCount waits until the API server knows of so many products at least.
func (s *stack) waitForCount(ctx context.Context, n int) error {
	return until(ctx, startTimeout, func(ctx context.Context) error {
		there, err := s.api.count(ctx, products)
		if err == nil && there < n {
			err = fmt.Errorf("there are %d products", there)
		}
		return err
	})
}

// store puts products into etcd itself: through the API server a hundred thousand of them,
// with their status, would take as long as all else together.
type store struct {
	url    string
	key    string
	object []byte // the template's, as the API server stored it
	uid    []byte
	inUse  float64 // bytes in use, when last looked at
}

// Of etcd's gateway: puts in one transaction, and transactions at a time.
const (
	putsAtOnce = 64
	storeLines = 4
)

func (s *stack) openStore(ctx context.Context) (*store, error) {
	text, err := os.ReadFile(filepath.Join(s.controlDir(), "ports.json"))
	if err != nil {
		return nil, err
	}
	var ports struct {
		EtcdClient int `json:"etcdClient"`
	}
	if err := json.Unmarshal(text, &ports); err != nil {
		return nil, err
	}
	e := &store{url: "http://127.0.0.1:" + strconv.Itoa(ports.EtcdClient),
		key: "/registry/channel.laidoulaile.online/productsyncs/" + namespace + "/"}
	var found struct {
		KVs []struct {
			Value []byte `json:"value"`
		} `json:"kvs"`
	}
	err = e.call(ctx, "/v3/kv/range", map[string]any{"key": base64.StdEncoding.EncodeToString([]byte(e.key + objectName(templateProduct)))}, &found)
	if err != nil || len(found.KVs) != 1 {
		return nil, errors.Join(fmt.Errorf("etcd has %d objects under the template's name", len(found.KVs)), err)
	}
	e.object = found.KVs[0].Value
	var meta struct {
		Metadata struct {
			UID string `json:"uid"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(e.object, &meta); err != nil || meta.Metadata.UID == "" {
		return nil, errors.Join(errors.New("the stored template has no uid"), err)
	}
	e.uid = []byte(meta.Metadata.UID)
	return e, e.measure(ctx)
}

// fill puts copies of the template until there are so many.
func (e *store) fill(ctx context.Context, there, n int) error {
	group, together := errgroup.WithContext(ctx)
	group.SetLimit(storeLines)
	for from := there; from < n; from += putsAtOnce {
		group.Go(func() error { return e.put(together, from, min(from+putsAtOnce, n)) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return e.measure(ctx)
}

func (e *store) put(ctx context.Context, from, to int) error {
	type request struct {
		Key   []byte `json:"key"`
		Value []byte `json:"value"`
	}
	var puts []map[string]any
	for n := from; n < to; n++ {
		id := productID(n)
		value := bytes.ReplaceAll(e.object, []byte(templateProduct), []byte(id))
		puts = append(puts, map[string]any{"requestPut": request{[]byte(e.key + objectName(id)), bytes.ReplaceAll(value, e.uid, []byte(uuid.NewUUID()))}})
	}
	return e.call(ctx, "/v3/kv/txn", map[string]any{"success": puts}, &struct{}{})
}

// measure reads how many bytes are in use, once etcd's last batch is in its file.
func (e *store) measure(ctx context.Context) error {
	if !sleep(ctx, time.Second) {
		return ctx.Err()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url+"/metrics", nil)
	if err != nil {
		return err
	}
	text, err := answerOf(request)
	if err != nil {
		return err
	}
	inUse, found := parseMetrics(text).sum("etcd_mvcc_db_total_size_in_use_in_bytes")
	if !found {
		return errors.New("etcd does not say how many bytes are in use")
	}
	e.inUse = inUse
	return nil
}

func (e *store) call(ctx context.Context, path string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	text, err := answerOf(request)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, answer)
}

func answerOf(request *http.Request) ([]byte, error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %.200s", request.URL.Path, response.Status, text)
	}
	return text, err
}

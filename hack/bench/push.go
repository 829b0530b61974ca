package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
)

// push is one push of the platform.
type push struct {
	path string
	body []byte
	// A change of a product, at a time in ms; or a message about an order.
	product   string
	changedAt int64
	order     string
	message   string
}

// Ids are of twelve digits, so that all objects are of one size. Objects of the raw client
// have ids of their own.
func productID(n int) string    { return strconv.Itoa(880_000_000_000 + n) }
func orderID(n int) string      { return strconv.Itoa(770_000_000_000 + n) }
func rawProductID(n int) string { return strconv.Itoa(660_000_000_000 + n) }
func rawOrderID(n int) string   { return strconv.Itoa(550_000_000_000 + n) }

// objectName is what the ledger calls the object of an id.
func objectName(id string) string { return channel + "-" + id }

func outOrderID(order string) string       { return "T" + order }
func codeOf(order string, nth int) string  { return "C" + order + strconv.Itoa(nth) }
func changeMessage(changedAt int64) string { return "c-" + strconv.FormatInt(changedAt, 10) }

// clock gives the times at which products change: each later than all before, and none
// ahead of the real time, for it began an hour ago.
type clock struct{ last atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.last.Store(time.Now().Add(-time.Hour).UnixMilli())
	return c
}

func (c *clock) tick() int64 { return c.last.Add(1) }

// priceType is the type of all product pushes here: it has price and stock asked for.
const priceType = "VACATION_RESOURCE_PRICE_CHANGE"

// productPush tells that a product's price changed, as Fliggy tells it.
func productPush(id string, changedAt int64) push {
	return push{path: platformtest.FliggyProductPath, product: id, changedAt: changedAt, body: fmt.Appendf(nil,
		`{"pushType":%q,"productCategory":"HOTEL_TICKET","productId":%q,"distributorId":%s,"changedTime":%d,"timestamp":%d,"messageId":%q}`,
		priceType, id, account, changedAt, time.Now().UnixMilli(), changeMessage(changedAt))}
}

// orderPush tells of an order for the nth time, from 0: first its codes, then that a code
// was used.
func orderPush(id string, nth int) push {
	p := push{path: platformtest.FliggyOrderPath, order: id, message: fmt.Sprintf("o-%s-%d", id, nth)}
	kind, data := "ORDER_SEND_CODE_NOTIFY", fmt.Sprintf(`{"success":true,"codeInfos":[{"code":%q,"num":1,"verifiedNum":0},{"code":%q,"num":1,"verifiedNum":0}]}`,
		codeOf(id, 1), codeOf(id, 2))
	if nth > 0 {
		kind, data = "ORDER_VERIFY_NOTIFY", fmt.Sprintf(`{"codeInfo":{"code":%q,"num":1,"verifiedNum":1},"verifyTime":"2026-01-02 15:04:05"}`, codeOf(id, 1+nth%2))
	}
	p.body = fmt.Appendf(nil, `{"pushType":%q,"distributorId":%s,"orderId":%q,"outOrderId":%q,"timestamp":%d,"messageId":%q,"data":%s}`,
		kind, account, id, outOrderID(id), time.Now().UnixMilli(), p.message, data)
	return p
}

// source gives the nth push of a workload, from 0. It is safe for concurrent use.
type source func(n int) push

// newProducts are first pushes of products that nobody has seen.
func newProducts(c *clock, from int) source {
	return func(n int) push { return productPush(productID(from+n), c.tick()) }
}

// knownProducts are pushes of one product after the other, round and round.
func knownProducts(c *clock, from, pool int) source {
	return func(n int) push { return productPush(productID(from+n%pool), c.tick()) }
}

// hotProduct are pushes of one product.
func hotProduct(c *clock, which int) source { return knownProducts(c, which, 1) }

// newOrders are first pushes of orders that nobody has seen.
func newOrders(from int) source {
	return func(n int) push { return orderPush(orderID(from+n), 0) }
}

// laterPushes are about orders that were seen already, round and round: what was pushed of
// them before this, so often, is not pushed again.
func laterPushes(from, pool, before int) source {
	return func(n int) push { return orderPush(orderID(from+n%pool), before+n/pool) }
}

const (
	// zipfSkew and zipfProducts: few products change often, and many now and then.
	zipfSkew, zipfProducts = 1.1, 10_000
	// Of so many pushes one is about an order, and each order is pushed so often.
	mixedOrder, mixedPushes = 4, 4
)

// Of what is offered without limit so many pushes have one about an order.
const unlimitedOrder = 16

// ordersAtOnce is how many orders are pushed about beside so many products: each as often.
func ordersAtOnce(pool int) int { return pool / unlimitedOrder }

// unlimitedMix is changes of products, one after the other, round and round, and few pushes of
// orders between them: they are there so that it shows whether one is lost. Nobody has seen the
// orders. Each is pushed about again and again until its list is full, and then come others.
func unlimitedMix(c *clock, pool, fromOrder int) source {
	orders := ordersAtOnce(pool)
	return func(n int) push {
		nth := n / unlimitedOrder
		if n%unlimitedOrder != 0 {
			return productPush(productID((n-nth-1)%pool), c.tick())
		}
		full := nth / (orders * mostTold) * orders
		return laterPushes(fromOrder+full, orders, 0)(nth % (orders * mostTold))
	}
}

// zipfMix is changes of products, few of them hot, and pushes of orders between them.
func zipfMix(c *clock, fromProduct, fromOrder int, seed uint64) source {
	var random atomic.Uint64
	random.Store(seed)
	return func(n int) push {
		if n%mixedOrder == 0 {
			which := n / mixedOrder
			return orderPush(orderID(fromOrder+which/mixedPushes), which%mixedPushes)
		}
		zipf := rand.NewZipf(rand.New(rand.NewPCG(random.Add(1), seed)), zipfSkew, 1, zipfProducts-1)
		return productPush(productID(fromProduct+int(zipf.Uint64())), c.tick())
	}
}

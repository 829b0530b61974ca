package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ProductSyncSpec names the product and the newest announced changes.
type ProductSyncSpec struct {
	// channelRef names the Channel whose product this is. Immutable.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="channelRef is immutable"
	ChannelRef ChannelReference `json:"channelRef,omitzero"`

	// productID is the platform's id, exactly as the platform writes it. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="productID is immutable"
	ProductID string `json:"productID,omitempty"`

	// resyncInterval overrides the Channel's for this product.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('720h')",message="resyncInterval must lie between 10s and 720h"
	ResyncInterval *metav1.Duration `json:"resyncInterval,omitempty"`

	// suspend stops asking for this product.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// announced is the newest change the platform announced, by aspect.
	// +optional
	Announced Announced `json:"announced,omitzero"`
}

// Announced is the newest announced change of each aspect.
type Announced struct {
	// info is title, description, rules.
	// +optional
	Info *Announcement `json:"info,omitempty"`
	// price is the price calendar.
	// +optional
	Price *Announcement `json:"price,omitempty"`
	// stock is the stock calendar.
	// +optional
	Stock *Announcement `json:"stock,omitempty"`
	// availability is on sale or not.
	// +optional
	Availability *Announcement `json:"availability,omitempty"`
}

// Announcement is one announced change. Per aspect it only grows, by changedAt and
// then by messageID, and one message says one thing: the API server refuses an
// older push and a second copy, whatever order they arrive in.
//
// +kubebuilder:validation:XValidation:rule="self.changedAt > oldSelf.changedAt || (self.changedAt == oldSelf.changedAt && self.messageID >= oldSelf.messageID)",message="older than the announced change",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="self.messageID != oldSelf.messageID || self == oldSelf",message="older than the announced change: this message is announced already",reason=FieldValueForbidden
type Announcement struct {
	// changedAt is when the product changed, by the platform's clock, but no later
	// than ten minutes after it was received.
	// +required
	ChangedAt metav1.MicroTime `json:"changedAt,omitzero"`

	// messageID is the platform's id of the push.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	MessageID string `json:"messageID,omitempty"`

	// type is the platform's own name of the push.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Type string `json:"type,omitempty"`
}

// ProductState says whether the platform sells the product.
// +kubebuilder:validation:Enum=OnSale;OffSale;Banned;Deleted;Unknown
type ProductState string

// Product states.
const (
	ProductOnSale  ProductState = "OnSale"
	ProductOffSale ProductState = "OffSale"
	ProductBanned  ProductState = "Banned"
	ProductDeleted ProductState = "Deleted"
	ProductUnknown ProductState = "Unknown"
)

// ProductSyncStatus is what the platform said of the product. It never goes back
// to an earlier generation: what a replica that leads no longer writes late is refused.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.observedGeneration) || has(self.observedGeneration) && self.observedGeneration >= oldSelf.observedGeneration",message="older than the status that stands"
type ProductSyncStatus struct {
	// conditions are Ready, always, and Reconciling and Stalled, only while true.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation this status speaks of; -1 before the first look.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// lastHandledRequestedAt is the last value of the requested-at annotation acted on.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	LastHandledRequestedAt string `json:"lastHandledRequestedAt,omitempty"`

	// observed is, by aspect, the announced changedAt this status reflects.
	// +optional
	Observed Observed `json:"observed,omitzero"`

	// state says whether the platform sells the product.
	// +optional
	State ProductState `json:"state,omitempty"`

	// title as the platform shows it.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Title string `json:"title,omitempty"`

	// category is the platform's category.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Category string `json:"category,omitempty"`

	// supplierCode is the supplier's own code of the product.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	SupplierCode string `json:"supplierCode,omitempty"`

	// review is the platform's review result and its reason.
	// +optional
	Review *ProductReview `json:"review,omitempty"`

	// saleStart is when the platform begins to sell it, where it says.
	// +optional
	SaleStart *metav1.Time `json:"saleStart,omitempty"`

	// saleEnd is when the platform ends selling it, where it says.
	// +optional
	SaleEnd *metav1.Time `json:"saleEnd,omitempty"`

	// priceRange over the days on sale.
	// +optional
	PriceRange *PriceRange `json:"priceRange,omitempty"`

	// summary is what the columns print.
	// +optional
	Summary ProductSummary `json:"summary,omitzero"`

	// stock over all SKUs and days; absent when unlimited or unknown.
	// +optional
	Stock *int64 `json:"stock,omitempty"`

	// skus are the sellable units.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	SKUs []SKU `json:"skus,omitempty"`

	// rules are the booking and refund rules in short.
	// +optional
	Rules *ProductRules `json:"rules,omitempty"`

	// fetchedAt is when the answer that this status shows was first fetched. A resync
	// that finds nothing new writes nothing, this time included.
	// +optional
	FetchedAt *metav1.Time `json:"fetchedAt,omitempty"`
}

// Observed is, by aspect, the announced change a status reflects.
type Observed struct {
	// info reflected.
	// +optional
	Info *metav1.MicroTime `json:"info,omitempty"`
	// price reflected.
	// +optional
	Price *metav1.MicroTime `json:"price,omitempty"`
	// stock reflected.
	// +optional
	Stock *metav1.MicroTime `json:"stock,omitempty"`
	// availability reflected.
	// +optional
	Availability *metav1.MicroTime `json:"availability,omitempty"`
}

// ProductReview is the platform's review of a product.
type ProductReview struct {
	// result as the platform names it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Result string `json:"result,omitempty"`
	// reason as the platform gives it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
}

// ProductSummary is what the columns print.
type ProductSummary struct {
	// price range, such as 350.50-420.00 CNY.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Price string `json:"price,omitempty"`
}

// PriceRange is the lowest and the highest price, in minor units.
type PriceRange struct {
	// currency is the ISO 4217 code.
	// +required
	// +kubebuilder:validation:Pattern=`^[A-Z]{3}$`
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=3
	Currency string `json:"currency,omitempty"`
	// min in minor units.
	// +required
	Min int64 `json:"min"`
	// max in minor units.
	// +required
	Max int64 `json:"max"`
}

// SKU is one sellable unit of a product.
type SKU struct {
	// id of the unit on the platform.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	ID string `json:"id,omitempty"`
	// name as the platform shows it.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Name string `json:"name,omitempty"`
	// stock shared by all days, where the platform counts so; absent where it counts by day.
	// +optional
	Stock *int64 `json:"stock,omitempty"`
	// calendar of prices and stock.
	// +optional
	Calendar *Calendar `json:"calendar,omitempty"`
}

// Calendar is prices and stock by the platform's local day, run-length encoded.
type Calendar struct {
	// start is the first day, yyyy-mm-dd, platform's local date.
	// +required
	// +kubebuilder:validation:MinLength=10
	// +kubebuilder:validation:MaxLength=10
	Start string `json:"start,omitempty"`
	// days is how many days the calendar spans.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=731
	Days int32 `json:"days,omitempty"`
	// prices hold, each from its day until the next entry.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=731
	Prices []CalendarPrice `json:"prices,omitempty"`
	// stock is one value a day from start, run-length encoded: "12*8 0 5*21" is 12 on
	// eight days, 0 on one, 5 on twenty-one; "-" is a day whose stock is unlimited or unknown.
	// Absent when no day has a stock of its own.
	// +optional
	// +kubebuilder:validation:MaxLength=8192
	Stock string `json:"stock,omitempty"`
	// closed are days that cannot be booked, whatever their price and stock.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=731
	// +kubebuilder:validation:items:MaxLength=10
	Closed []string `json:"closed,omitempty"`
}

// CalendarPrice is a price that holds from a day on.
type CalendarPrice struct {
	// from is the first day of the price, yyyy-mm-dd.
	// +required
	// +kubebuilder:validation:MinLength=10
	// +kubebuilder:validation:MaxLength=10
	From string `json:"from,omitempty"`
	// amount we pay, in minor units.
	// +required
	Amount int64 `json:"amount"`
	// market is the list price, in minor units.
	// +optional
	Market *int64 `json:"market,omitempty"`
}

// ProductRules are booking and refund rules in short, in the platform's own terms.
type ProductRules struct {
	// booking rules, such as "1 day ahead, before 18:00".
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Booking string `json:"booking,omitempty"`
	// refund rules, such as CAN_NOT_REFUND.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Refund string `json:"refund,omitempty"`
	// confirmation terms, such as "within 30 minutes".
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Confirmation string `json:"confirmation,omitempty"`
}

// ProductSync is one product of one Channel, kept in step with the platform.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=productsyncs,singular=productsync,shortName=product;products;ps,categories=travel
// +kubebuilder:printcolumn:name="Channel",type=string,JSONPath=`.spec.channelRef.name`
// +kubebuilder:printcolumn:name="Product",type=string,JSONPath=`.spec.productID`
// +kubebuilder:printcolumn:name="Title",type=string,JSONPath=`.status.title`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Price",type=string,JSONPath=`.status.summary.price`
// +kubebuilder:printcolumn:name="Stock",type=integer,JSONPath=`.status.stock`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Synced",type=date,JSONPath=`.status.fetchedAt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:selectablefield:JSONPath=`.spec.channelRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.productID`
type ProductSync struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec names the product and the newest announced changes.
	// +required
	Spec ProductSyncSpec `json:"spec,omitzero"`

	// status is what the platform said of the product.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status ProductSyncStatus `json:"status,omitzero"`
}

// ProductSyncList is a list of ProductSyncs.
//
// +kubebuilder:object:root=true
type ProductSyncList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []ProductSync `json:"items"`
}

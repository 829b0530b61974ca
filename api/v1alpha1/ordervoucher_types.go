package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// OrderVoucherSpec names the order and holds what was pushed about it.
type OrderVoucherSpec struct {
	// channelRef names the Channel whose order this is. Immutable.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="channelRef is immutable"
	ChannelRef ChannelReference `json:"channelRef,omitzero"`

	// orderID is the platform's id, exactly as the platform writes it. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="orderID is immutable"
	OrderID string `json:"orderID,omitempty"`

	// outOrderID is the distributor's own id of the order.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	OutOrderID string `json:"outOrderID,omitempty"`

	// suspend stops asking for this order.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// notifications are the pushes received, each kept as it came.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:XValidation:rule="self.map(n, (has(n.sealed) ? size(n.sealed) : 0) + (has(n.reply) && has(n.reply.sealed) ? size(n.reply.sealed) : 0) + (has(n.codes) ? 200 * size(n.codes) : 0) + (has(n.remark) ? 3 * size(n.remark) : 0) + (has(n.cancellation) && has(n.cancellation.rules) ? 1200 * size(n.cancellation.rules) : 0)).sum() <= 900000",message="the notifications weigh more than 900000: each byte sealed counts one, each code 200, each character of a remark 3, each rule of cancelling 1200"
	// +kubebuilder:default:={}
	Notifications []Notification `json:"notifications"`

	// codesSecretRef names a Secret whose key "codes" has codes made elsewhere, one a
	// line, in the order of the certificates.
	// +optional
	CodesSecretRef *SecretReference `json:"codesSecretRef,omitempty"`

	// refundDecisions are a person's or a service's answers to refund requests.
	// +optional
	// +listType=map
	// +listMapKey=refundID
	// +kubebuilder:validation:MaxItems=64
	RefundDecisions []RefundDecision `json:"refundDecisions,omitempty"`
}

// RefundDecision answers one refund request.
type RefundDecision struct {
	// refundID is the platform's id of the refund request.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	RefundID string `json:"refundID,omitempty"`
	// notificationID is the notification that asks. It is needed only where the same refund
	// was asked for, and decided, before: a decision answers one request.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	NotificationID string `json:"notificationID,omitempty"`
	// approve or refuse.
	// +required
	Approve bool `json:"approve"`
	// reason given to the platform.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Reason string `json:"reason,omitempty"`
}

// OrderPhase is the business outcome of an order.
// +kubebuilder:validation:Enum=Pending;Paid;Issuing;Issued;PartlyUsed;Used;RefundRequested;PartlyRefunded;Refunded;Cancelled;Failed
type OrderPhase string

// Order phases.
const (
	OrderPending         OrderPhase = "Pending"
	OrderPaid            OrderPhase = "Paid"
	OrderIssuing         OrderPhase = "Issuing"
	OrderIssued          OrderPhase = "Issued"
	OrderPartlyUsed      OrderPhase = "PartlyUsed"
	OrderUsed            OrderPhase = "Used"
	OrderRefundRequested OrderPhase = "RefundRequested"
	OrderPartlyRefunded  OrderPhase = "PartlyRefunded"
	OrderRefunded        OrderPhase = "Refunded"
	OrderCancelled       OrderPhase = "Cancelled"
	OrderFailed          OrderPhase = "Failed"
)

// OrderVoucherStatus is what is known of the order and its vouchers. It never goes back
// to an earlier generation: what a replica that leads no longer writes late is refused.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.observedGeneration) || has(self.observedGeneration) && self.observedGeneration >= oldSelf.observedGeneration",message="older than the status that stands"
type OrderVoucherStatus struct {
	// conditions are Ready, always, and Reconciling, Stalled and AtRisk, only while true.
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

	// phase is the business outcome.
	// +optional
	Phase OrderPhase `json:"phase,omitempty"`

	// summary is what the columns print.
	// +optional
	Summary OrderSummary `json:"summary,omitzero"`

	// codes of the order, hashed and masked.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=500
	Codes []Code `json:"codes,omitempty"`

	// refunds of the order.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Refunds []Refund `json:"refunds,omitempty"`

	// totals over codes and refunds.
	// +optional
	Totals OrderTotals `json:"totals,omitzero"`

	// confirmed is the platform's own answer this status agrees with.
	// +optional
	Confirmed *OrderConfirmation `json:"confirmed,omitempty"`

	// deadline is when the platform gives up waiting for an answer that is owed to it.
	// +optional
	Deadline *metav1.Time `json:"deadline,omitempty"`

	// answers are what the platform was told later than in the reply to its push.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Answers []OrderAnswer `json:"answers,omitempty"`
}

// OrderAnswer is an answer that was owed to the platform, and that it has taken.
type OrderAnswer struct {
	// notificationID is the notification that asked.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	NotificationID string `json:"notificationID,omitempty"`
	// result the platform was told.
	// +required
	Result Result `json:"result,omitempty"`
	// at is when it took it.
	// +required
	At metav1.Time `json:"at,omitzero"`
}

// OrderSummary is what the columns print.
type OrderSummary struct {
	// codes is how many there are.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Codes string `json:"codes,omitempty"`
	// used is uses out of what the codes admit, such as 1/3.
	// +optional
	// +kubebuilder:validation:MaxLength=48
	Used string `json:"used,omitempty"`
	// refunded is the amount, such as 123.45 CNY.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Refunded string `json:"refunded,omitempty"`
}

// Refund is one refund of the order.
type Refund struct {
	// id is the platform's refund id.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	ID string `json:"id,omitempty"`
	// amount refunded.
	// +optional
	Amount *Money `json:"amount,omitempty"`
	// quantity refunded.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Quantity *int64 `json:"quantity,omitempty"`
	// succeeded is whether the platform paid it; absent while undecided.
	// +optional
	Succeeded *bool `json:"succeeded,omitempty"`
	// reason is the platform's text where it failed, shortened.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Reason string `json:"reason,omitempty"`
	// at is when the refund was applied for or decided, by the platform's clock.
	// +optional
	At *metav1.MicroTime `json:"at,omitempty"`
}

// OrderTotals are sums over codes and refunds.
type OrderTotals struct {
	// persons the codes admit.
	// +required
	Persons int64 `json:"persons"`
	// used of them.
	// +required
	Used int64 `json:"used"`
	// refunded of them.
	// +required
	Refunded int64 `json:"refunded"`
	// refundedAmount paid back.
	// +optional
	RefundedAmount *Money `json:"refundedAmount,omitempty"`
}

// OrderConfirmation is the platform's answer to our question.
type OrderConfirmation struct {
	// at is when the answer this status shows was first given. Asking again and
	// hearing the same writes nothing, this time included.
	// +required
	At metav1.Time `json:"at,omitzero"`
	// platformStatus is the platform's own status of the order.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	PlatformStatus string `json:"platformStatus,omitempty"`
}

// OrderVoucher is one order of one Channel and its vouchers.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=ordervouchers,singular=ordervoucher,shortName=order;orders;ov,categories=travel
// +kubebuilder:printcolumn:name="Channel",type=string,JSONPath=`.spec.channelRef.name`
// +kubebuilder:printcolumn:name="Order",type=string,JSONPath=`.spec.orderID`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Codes",type=string,JSONPath=`.status.summary.codes`
// +kubebuilder:printcolumn:name="Used",type=string,JSONPath=`.status.summary.used`
// +kubebuilder:printcolumn:name="Refunded",type=string,JSONPath=`.status.summary.refunded`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Deadline",type=string,JSONPath=`.status.deadline`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:selectablefield:JSONPath=`.spec.channelRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.orderID`
// +kubebuilder:selectablefield:JSONPath=`.spec.outOrderID`
type OrderVoucher struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec names the order and holds what was pushed about it.
	// +required
	Spec OrderVoucherSpec `json:"spec,omitzero"`

	// status is what is known of the order and its vouchers.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status OrderVoucherStatus `json:"status,omitzero"`
}

// OrderVoucherList is a list of OrderVouchers.
//
// +kubebuilder:object:root=true
type OrderVoucherList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []OrderVoucher `json:"items"`
}

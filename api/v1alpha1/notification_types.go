package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NotificationType is what a push says, in our terms.
// +kubebuilder:validation:Enum=CodesRequested;CodesIssued;CodeUsed;CodeUseCancelled;Paid;RefundRequested;Refunded;Cancelled;StatusChanged;Booking;Other
type NotificationType string

// Notification types.
const (
	// NotificationCodesRequested: the platform asks for codes, and was not given them yet.
	NotificationCodesRequested   NotificationType = "CodesRequested"
	NotificationCodesIssued      NotificationType = "CodesIssued"
	NotificationCodeUsed         NotificationType = "CodeUsed"
	NotificationCodeUseCancelled NotificationType = "CodeUseCancelled"
	NotificationPaid             NotificationType = "Paid"
	NotificationRefundRequested  NotificationType = "RefundRequested"
	NotificationRefunded         NotificationType = "Refunded"
	NotificationCancelled        NotificationType = "Cancelled"
	NotificationStatusChanged    NotificationType = "StatusChanged"
	NotificationBooking          NotificationType = "Booking"
	NotificationOther            NotificationType = "Other"
)

// Notification is one push about the order. Once it is recorded, what it says never changes;
// what is sealed of it may be sealed anew, for others.
//
// +kubebuilder:validation:XValidation:rule="self.id == oldSelf.id && self.type == oldSelf.type && self.platformType == oldSelf.platformType && self.receivedAt == oldSelf.receivedAt && has(self.occurredAt) == has(oldSelf.occurredAt) && (!has(self.occurredAt) || self.occurredAt == oldSelf.occurredAt) && has(self.succeeded) == has(oldSelf.succeeded) && (!has(self.succeeded) || self.succeeded == oldSelf.succeeded) && has(self.reason) == has(oldSelf.reason) && (!has(self.reason) || self.reason == oldSelf.reason) && has(self.remark) == has(oldSelf.remark) && (!has(self.remark) || self.remark == oldSelf.remark) && has(self.price) == has(oldSelf.price) && (!has(self.price) || self.price == oldSelf.price) && has(self.cancellation) == has(oldSelf.cancellation) && (!has(self.cancellation) || self.cancellation == oldSelf.cancellation) && has(self.codes) == has(oldSelf.codes) && (!has(self.codes) || self.codes == oldSelf.codes) && has(self.truncated) == has(oldSelf.truncated) && (!has(self.truncated) || self.truncated == oldSelf.truncated) && has(self.refund) == has(oldSelf.refund) && (!has(self.refund) || self.refund == oldSelf.refund) && has(self.deadline) == has(oldSelf.deadline) && (!has(self.deadline) || self.deadline == oldSelf.deadline) && has(self.reply) == has(oldSelf.reply) && (!has(self.reply) || self.reply.result == oldSelf.reply.result)",message="a recorded notification is immutable, but for what is sealed"
// +kubebuilder:validation:XValidation:rule="has(self.sealed) == has(oldSelf.sealed) && (!has(self.sealed) || !oldSelf.sealed.startsWith('YWdlLWVuY3J5cHRpb24ub3JnL3Yx') || self.sealed.startsWith('YWdlLWVuY3J5cHRpb24ub3JnL3Yx'))",message="what is sealed may be replaced by another age file only"
type Notification struct {
	// id is the platform's message id.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	ID string `json:"id,omitempty"`

	// type is what the push says, in our terms.
	// +required
	Type NotificationType `json:"type,omitempty"`

	// platformType is the platform's own name of the push.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	PlatformType string `json:"platformType,omitempty"`

	// occurredAt is when it happened, by the platform's clock.
	// +optional
	OccurredAt *metav1.MicroTime `json:"occurredAt,omitempty"`

	// receivedAt is when we received it.
	// +required
	ReceivedAt metav1.MicroTime `json:"receivedAt,omitzero"`

	// succeeded is whether the platform says that what the type names succeeded.
	// +optional
	Succeeded *bool `json:"succeeded,omitempty"`

	// reason is the platform's text where it failed, shortened.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Reason string `json:"reason,omitempty"`

	// remark is what else the platform remarks, shortened.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Remark string `json:"remark,omitempty"`

	// price of the order, where the push tells it.
	// +optional
	Price *OrderPrice `json:"price,omitempty"`

	// cancellation is on what terms the order can be cancelled, where the push tells it.
	// +optional
	Cancellation *Cancellation `json:"cancellation,omitempty"`

	// codes the push names, hashed and masked.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=500
	Codes []Code `json:"codes,omitempty"`

	// truncated is whether the push named more codes than fit; sealed has them all.
	// +optional
	Truncated bool `json:"truncated,omitempty"`

	// refund the push speaks of.
	// +optional
	Refund *NotifiedRefund `json:"refund,omitempty"`

	// deadline is when the platform gives up waiting for the answer that its push asks
	// for; absent if it asks for none.
	// +optional
	Deadline *metav1.Time `json:"deadline,omitempty"`

	// reply is what the platform was told, where its push asked for more than a receipt.
	// +optional
	Reply *NotificationReply `json:"reply,omitempty"`

	// sealed is the raw body, age-encrypted to the Channel's recipients, base64.
	// +optional
	// +kubebuilder:validation:MaxLength=393216
	Sealed string `json:"sealed,omitempty"`
}

// Result is what the platform was told about something that it asked of us.
// +kubebuilder:validation:Enum=Pending;Issued;Approved;Refused
type Result string

// Results.
const (
	// ResultPending: told to wait; the answer is owed.
	ResultPending Result = "Pending"
	// ResultIssued: codes were given.
	ResultIssued Result = "Issued"
	// ResultApproved and ResultRefused answer a refund request.
	ResultApproved Result = "Approved"
	ResultRefused  Result = "Refused"
)

// NotificationReply is what the platform was told in the reply to its push.
//
// +kubebuilder:validation:XValidation:rule="has(self.sealed) == has(oldSelf.sealed) && (!has(self.sealed) || !oldSelf.sealed.startsWith('YWdlLWVuY3J5cHRpb24ub3JnL3Yx') || self.sealed.startsWith('YWdlLWVuY3J5cHRpb24ub3JnL3Yx'))",message="what is sealed may be replaced by another age file only"
type NotificationReply struct {
	// result in our terms.
	// +required
	Result Result `json:"result,omitempty"`
	// sealed is the reply's body where it holds codes made here, age-encrypted to the
	// Channel's recipients, base64.
	// +optional
	// +kubebuilder:validation:MaxLength=131072
	Sealed string `json:"sealed,omitempty"`
}

// OrderPrice is what an order costs.
type OrderPrice struct {
	// text is the amount and the currency as the platform wrote them, such as "120.5 A$".
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Text string `json:"text,omitempty"`
	// money is the same in minor units; absent where the currency is not clear.
	// +optional
	Money *Money `json:"money,omitempty"`
}

// CancellationType is on what terms an order can be cancelled, in our terms.
// +kubebuilder:validation:Enum=NotCancellable;Manual;ByRule;NoRefundOrChange;FreeBeforeReservation
type CancellationType string

// Cancellation types.
const (
	// CancellationNone: it cannot be cancelled.
	CancellationNone CancellationType = "NotCancellable"
	// CancellationManual: somebody on the platform's side decides about the refund.
	CancellationManual CancellationType = "Manual"
	// CancellationByRule: the rules say what is refunded.
	CancellationByRule CancellationType = "ByRule"
	// CancellationNoRefund: neither refunded nor changed.
	CancellationNoRefund CancellationType = "NoRefundOrChange"
	// CancellationFreeBefore: free before the reservation, impossible after it.
	CancellationFreeBefore CancellationType = "FreeBeforeReservation"
)

// Cancellation is on what terms an order can be cancelled.
type Cancellation struct {
	// type in our terms; absent where the platform's is not known.
	// +optional
	Type CancellationType `json:"type,omitempty"`
	// platformType is the platform's own word or number for it.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	PlatformType string `json:"platformType,omitempty"`
	// rules as the platform wrote them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Rules []CancellationRule `json:"rules,omitempty"`
}

// CancellationRule is one rule of cancelling. What its type and its days mean is the
// platform's.
type CancellationRule struct {
	// platformType of the rule; "unknown" where the platform gives none.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	PlatformType string `json:"platformType,omitempty"`
	// startDay of the rule.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	StartDay string `json:"startDay,omitempty"`
	// endDay of the rule.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	EndDay string `json:"endDay,omitempty"`
	// percent of the rule.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Percent string `json:"percent,omitempty"`
	// text for people, shortened.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Text string `json:"text,omitempty"`
}

// Code is a voucher code, recognisable but not usable.
type Code struct {
	// id is a keyed hash of the code, or of ref where the platform has one.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=80
	ID string `json:"id,omitempty"`
	// hint is the code, masked.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Hint string `json:"hint,omitempty"`
	// ref is the platform's own id of the code, where it has one that is not the code.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Ref string `json:"ref,omitempty"`
	// form in which the code is presented, where the platform tells it.
	// +optional
	// +kubebuilder:validation:Enum=PDF;Barcode;QRCode;ConfirmationNumber;URL
	Form string `json:"form,omitempty"`
	// persons is how many persons (or uses) the code admits.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Persons *int64 `json:"persons,omitempty"`
	// used is how many of them are used.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Used *int64 `json:"used,omitempty"`
	// refunded is how many of them are refunded.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Refunded *int64 `json:"refunded,omitempty"`
}

// NotifiedRefund is a refund as a push tells it.
type NotifiedRefund struct {
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
	// full is whether it is the whole order.
	// +optional
	Full bool `json:"full,omitempty"`
	// succeeded is whether the platform says that the refund succeeded.
	// +optional
	Succeeded *bool `json:"succeeded,omitempty"`
}

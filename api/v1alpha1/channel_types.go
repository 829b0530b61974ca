package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ChannelSpec says which account, where its secrets are, and how to treat it.
//
// +kubebuilder:validation:XValidation:rule="self.platform == 'Fliggy' || !has(self.fliggy)",message="spec.fliggy belongs to platform Fliggy only"
// +kubebuilder:validation:XValidation:rule="self.platform == 'Douyin' || !has(self.douyin)",message="spec.douyin belongs to platform Douyin only"
// +kubebuilder:validation:XValidation:rule="self.platform == 'SCTT' || !has(self.sctt)",message="spec.sctt belongs to platform SCTT only"
type ChannelSpec struct {
	// platform the account is on. Immutable.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="platform is immutable: make another Channel"
	Platform Platform `json:"platform,omitempty"`

	// account is the account's id on the platform: Fliggy's distributorId, Douyin's
	// client_key, SCTT's merchant_id. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9._-]+$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="account is immutable: make another Channel"
	Account string `json:"account,omitempty"`

	// endpoint is the base URL of the platform's API. Default: its production host.
	// Plain http and private addresses need the manager's --allow-private-endpoints.
	// +optional
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['https', 'http'] && url(self).getHost() != ''",message="endpoint must be an http(s) URL with a host"
	Endpoint string `json:"endpoint,omitempty"`

	// credentialsRef names the Secret with the account's keys. Keys of the Secret:
	// Fliggy privateKey; Douyin clientSecret, previousClientSecret; SCTT secret.
	// +required
	CredentialsRef SecretReference `json:"credentialsRef,omitzero"`

	// products says how the catalogue is kept in step.
	// +optional
	Products ChannelProducts `json:"products,omitzero"`

	// limits on what we ask of the platform with this account.
	// +optional
	Limits ChannelLimits `json:"limits,omitzero"`

	// receive says what every push for this account must satisfy.
	// +optional
	Receive ChannelReceive `json:"receive,omitzero"`

	// sealing says to whom secrets in pushes are encrypted.
	// +optional
	Sealing ChannelSealing `json:"sealing,omitzero"`

	// suspend stops our asking. Pushes are still received and recorded.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// fliggy is what only Fliggy has.
	// +optional
	Fliggy *FliggyChannel `json:"fliggy,omitempty"`

	// douyin is what only Douyin has.
	// +optional
	Douyin *DouyinChannel `json:"douyin,omitempty"`

	// sctt is what only SCTT has.
	// +optional
	SCTT *SCTTChannel `json:"sctt,omitempty"`
}

// ChannelProducts says how a Channel's catalogue is kept in step.
type ChannelProducts struct {
	// discover lists the platform's catalogue and makes the missing ProductSyncs.
	// +optional
	Discover bool `json:"discover,omitempty"`

	// resyncInterval is how often a product is asked for without being announced,
	// and the catalogue listed. Default 6h.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('720h')",message="resyncInterval must lie between 10s and 720h"
	ResyncInterval *metav1.Duration `json:"resyncInterval,omitempty"`
}

// ChannelLimits bounds what we ask of the platform with one account.
type ChannelLimits struct {
	// requestsPerSecond in the long run. Default 10.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	RequestsPerSecond *int32 `json:"requestsPerSecond,omitempty"`

	// burst is how many requests may go out at once after a pause. Default 20.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Burst *int32 `json:"burst,omitempty"`

	// concurrency is how many requests may be under way at a time. Default 8.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Concurrency *int32 `json:"concurrency,omitempty"`
}

// ChannelReceive is what every push for a Channel must satisfy, beside the
// platform's own signature where it has one.
type ChannelReceive struct {
	// tokenSecretRef names a Secret key; pushes must carry its value as ?token=.
	// The value may hold several tokens, one a line, while one is being replaced.
	// +optional
	TokenSecretRef *SecretKeyReference `json:"tokenSecretRef,omitempty"`

	// allowedCIDRs are the networks pushes may come from.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:XValidation:rule="self.all(c, isCIDR(c))",message="each of allowedCIDRs must be a CIDR such as 203.0.113.0/24"
	AllowedCIDRs []string `json:"allowedCIDRs,omitempty"`

	// acceptUnproven accepts pushes that nothing proves, of a platform that signs none,
	// where the manager's --require-proof is set: anybody can then have objects made that
	// do not exist, and have us ask the platform.
	// +optional
	AcceptUnproven bool `json:"acceptUnproven,omitempty"`

	// unknownObjects bounds what pushes can make whose sender nothing proves: neither a
	// signature, nor a token, nor an address.
	// +optional
	UnknownObjects ChannelUnknownObjects `json:"unknownObjects,omitzero"`
}

// ChannelUnknownObjects bounds the products and orders that were made by pushes whose
// sender nothing proves, and that the platform has not confirmed.
type ChannelUnknownObjects struct {
	// max is how many of them there may be. A push that would make one more is to be sent
	// again; one about an object that is there is recorded. 0: such pushes make no objects.
	// Default 1000.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	Max *int32 `json:"max,omitempty"`

	// ttl is how long the platform must go on not to know one of them before it is deleted.
	// Pushes do not renew it. Default 24h.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h') && duration(self) <= duration('720h')",message="ttl must lie between 1h and 720h"
	TTL *metav1.Duration `json:"ttl,omitempty"`
}

// ChannelSealing says to whom secrets in pushes are encrypted.
type ChannelSealing struct {
	// recipients are age recipients (age1…). Empty: a key pair the operator makes
	// in the Secret <channel>-sealing.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=5
	// +kubebuilder:validation:items:MaxLength=2048
	// +kubebuilder:validation:items:Pattern=`^age1[0-9a-z]+$`
	Recipients []string `json:"recipients,omitempty"`
}

// FliggyChannel is what only Fliggy has; there is nothing yet.
type FliggyChannel struct{}

// DouyinChannel is what only Douyin has.
type DouyinChannel struct {
	// accountID is the merchant's account on the platform (account_id).
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	AccountID string `json:"accountID,omitempty"`

	// thirdPartyCodes says where the codes of an order come from.
	// +optional
	ThirdPartyCodes *DouyinThirdPartyCodes `json:"thirdPartyCodes,omitempty"`

	// refunds says what a refund request gets.
	// +optional
	Refunds *DouyinRefunds `json:"refunds,omitempty"`

	// members says what becomes of a member's changes. Default: they are accepted.
	// +optional
	Members *DouyinMembers `json:"members,omitempty"`

	// allowLegacySign accepts an SPI signed only by the legacy MD5 sign.
	// +optional
	AllowLegacySign bool `json:"allowLegacySign,omitempty"`
}

// DouyinThirdPartyCodes says where the codes of an order come from.
type DouyinThirdPartyCodes struct {
	// source Generate makes codes here; External waits for the order's spec.codesSecretRef.
	// +required
	// +kubebuilder:validation:Enum=Generate;External
	Source string `json:"source,omitempty"`
}

// DouyinRefunds says what a refund request gets.
type DouyinRefunds struct {
	// decision Manual waits for spec.refundDecisions of the order; ApproveUnused
	// approves what is not known to be used.
	// +required
	// +kubebuilder:validation:Enum=Manual;ApproveUnused
	Decision string `json:"decision,omitempty"`
}

// DouyinMembers says what becomes of a member's changes, such as of a telephone number.
type DouyinMembers struct {
	// updates are accepted, and recorded on the Channel, or refused.
	// +required
	// +kubebuilder:validation:Enum=Accept;Refuse
	Updates string `json:"updates,omitempty"`
	// reason shown to the member where updates are refused.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`
}

// SCTTChannel is what only SCTT has.
type SCTTChannel struct {
	// language the platform answers in, such as zh-cn.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=16
	Language string `json:"language,omitempty"`

	// currency of the platform's lists, which name none (ISO 4217).
	// +optional
	// +kubebuilder:validation:Pattern=`^[A-Z]{3}$`
	// +kubebuilder:validation:MaxLength=3
	Currency string `json:"currency,omitempty"`

	// requestTimeZone is the zone of request_time, as its distance from UTC. Default +08:00.
	// +optional
	// +kubebuilder:validation:MaxLength=6
	// +kubebuilder:validation:Pattern=`^[+-](0[0-9]|1[0-4]):[0-5][0-9]$`
	RequestTimeZone string `json:"requestTimeZone,omitempty"`

	// signature is the merchant's signing rule, which the platform does not publish.
	// Unset: nothing is asked, for every question must be signed; no sign of a push can be
	// checked, and pushes are accepted only if spec.receive has a token or CIDRs.
	// +optional
	Signature *SCTTSignature `json:"signature,omitempty"`
}

// SCTTSignature is the merchant's signing rule.
type SCTTSignature struct {
	// algorithm of the digest.
	// +required
	// +kubebuilder:validation:Enum=MD5;SHA256;HMACSHA256
	Algorithm string `json:"algorithm,omitempty"`

	// encoding of the digest.
	// +required
	// +kubebuilder:validation:Enum=UpperHex;LowerHex;Base64
	Encoding string `json:"encoding,omitempty"`

	// message is what is signed: a template over top-level fields, such as {request_time},
	// and {secret}. A field that a message does not have is empty. HMACSHA256 has the secret
	// as its key; the other algorithms need {secret} in the template.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// ChannelStatus is what is known of the account.
type ChannelStatus struct {
	// conditions are Ready, always, and Reconciling, Stalled and UnknownObjects, only while true.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation this status speaks of; -1 before the first look.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// pushURLs are the paths to register with the platform, behind your ingress's host.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=512
	PushURLs []string `json:"pushURLs,omitempty"`

	// catalogue is the last full listing.
	// +optional
	Catalogue *ChannelCatalogue `json:"catalogue,omitempty"`

	// lastPushTime is when the last push was recorded, to about five minutes.
	// +optional
	LastPushTime *metav1.Time `json:"lastPushTime,omitempty"`

	// credit is what was left of the account's credit when a push last told it, to about
	// five minutes.
	// +optional
	Credit *ChannelCredit `json:"credit,omitempty"`

	// lastHandledRequestedAt is the last value of the requested-at annotation acted on.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	LastHandledRequestedAt string `json:"lastHandledRequestedAt,omitempty"`

	// notices are pushes of a kind we do not know that name no order: the newest of
	// each kind and subject.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Notices []ChannelNotice `json:"notices,omitempty"`

	// inquiries are what the platform said when asked about what notices name.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Inquiries []ChannelInquiry `json:"inquiries,omitempty"`

	// setAside is what was acknowledged and cannot be recorded, because the API server
	// refuses it: it is kept in the journals of these replicas, and tried again at their
	// next start, or for a new value of the requested-at annotation. Absent: nothing.
	// +optional
	// +listType=map
	// +listMapKey=replica
	// +kubebuilder:validation:MaxItems=16
	SetAside []ChannelSetAside `json:"setAside,omitempty"`
}

// ChannelSetAside is what one replica's journal has set aside of a Channel's pushes.
type ChannelSetAside struct {
	// replica is the host name of the manager whose journal it is.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Replica string `json:"replica,omitempty"`

	// records set aside; a push about several objects is several records.
	// +required
	// +kubebuilder:validation:Minimum=1
	Records int32 `json:"records,omitempty"`

	// oldest is when the oldest of them was received.
	// +required
	Oldest metav1.Time `json:"oldest,omitzero"`

	// objects they are about, those with the oldest records first, at most 8.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Objects []ChannelSetAsideObject `json:"objects,omitempty"`
}

// ChannelSetAsideObject is what is set aside about one object.
type ChannelSetAsideObject struct {
	// object the records are about: order or product with its id on the platform, or
	// notices, of the Channel itself.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=160
	Object string `json:"object,omitempty"`

	// records about this object.
	// +required
	// +kubebuilder:validation:Minimum=1
	Records int32 `json:"records,omitempty"`

	// reason the API server gives for the newest of them: which fields it refuses and how,
	// without their values; where it names no field its words, scrubbed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason,omitempty"`
}

// ChannelCredit is what is left of an account's credit.
type ChannelCredit struct {
	// amount as a decimal, as the platform wrote it; it names no currency.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^-?[0-9]+(\.[0-9]+)?$`
	Amount string `json:"amount,omitempty"`

	// at is when it was so: the time that the push bears, else when it was received.
	// +required
	At metav1.Time `json:"at,omitzero"`
}

// ChannelInquiry is what the platform said of what a notice names.
type ChannelInquiry struct {
	// noticeID is the newest message when it was asked.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	NoticeID string `json:"noticeID,omitempty"`
	// platformType of the notice.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	PlatformType string `json:"platformType,omitempty"`
	// subject of the notice.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Subject string `json:"subject,omitempty"`
	// answer of the platform, in a line.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Answer string `json:"answer,omitempty"`
}

// ChannelCatalogue is a full listing of the platform's catalogue.
type ChannelCatalogue struct {
	// listedAt is when the listing that found this number was done.
	// +required
	ListedAt metav1.Time `json:"listedAt,omitzero"`

	// products is how many the platform listed.
	// +required
	// +kubebuilder:validation:Minimum=0
	Products int64 `json:"products"`
}

// ChannelNotice is the newest push of one kind about one subject.
type ChannelNotice struct {
	// platformType is the platform's own name of the push.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	PlatformType string `json:"platformType,omitempty"`

	// subject is what it is about, where the push names it.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Subject string `json:"subject,omitempty"`

	// id of the newest message.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	ID string `json:"id,omitempty"`

	// count of the pushes of this kind about this subject. A copy of the newest does not
	// count; a copy of one before it may count again.
	// +required
	// +kubebuilder:validation:Minimum=1
	Count int64 `json:"count,omitempty"`

	// receivedAt is when the newest was received.
	// +required
	ReceivedAt metav1.MicroTime `json:"receivedAt,omitzero"`

	// detail is what the newest says, where its content is understood.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Detail string `json:"detail,omitempty"`

	// sealed is the newest raw body, age-encrypted, base64. Absent if it is too
	// large to keep on the Channel.
	// +optional
	// +kubebuilder:validation:MaxLength=8192
	Sealed string `json:"sealed,omitempty"`
}

// Channel is one account on one platform. It is meant to be kept in Git.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=channels,shortName=ch,categories=travel
// +kubebuilder:printcolumn:name="Platform",type=string,JSONPath=`.spec.platform`
// +kubebuilder:printcolumn:name="Account",type=string,JSONPath=`.spec.account`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Products",type=integer,JSONPath=`.status.catalogue.products`
// +kubebuilder:printcolumn:name="Last Push",type=date,JSONPath=`.status.lastPushTime`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Credit",type=string,JSONPath=`.status.credit.amount`,priority=1
// +kubebuilder:printcolumn:name="Set Aside",type=string,JSONPath=`.status.setAside[*].records`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:selectablefield:JSONPath=`.spec.platform`
// +kubebuilder:selectablefield:JSONPath=`.spec.account`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 54",message="a Channel's name may have at most 54 characters: its objects and its sealing Secret are named after it"
type Channel struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says which account and how to treat it.
	// +required
	Spec ChannelSpec `json:"spec,omitzero"`

	// status is what is known of the account.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status ChannelStatus `json:"status,omitzero"`
}

// ChannelList is a list of Channels.
//
// +kubebuilder:object:root=true
type ChannelList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []Channel `json:"items"`
}

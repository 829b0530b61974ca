package v1alpha1

// Names that scripts and selectors rely on.
const (
	// LabelChannel names the Channel an object belongs to.
	LabelChannel = GroupName + "/channel"
	// LabelPlatform names the platform of that Channel.
	LabelPlatform = GroupName + "/platform"
	// LabelUnproven marks an object that was made by a push whose sender nothing proves: no
	// signature, no token, no address. Its value is when: on an object that was made later, by a
	// restore, it counts for nothing. Else it counts as long as the platform has not confirmed
	// the object; whoever takes the label off keeps the object.
	LabelUnproven = GroupName + "/unproven"
	// AnnotationRequestedAt asks for a fresh look now: any new value is one request. On a
	// Channel it also asks that what is set aside be tried again.
	AnnotationRequestedAt = GroupName + "/requested-at"
	// EventPushSetAside is the reason of the event that tells of it.
	EventPushSetAside = "PushSetAside"
)

// Condition types, after kstatus: Ready is always there; Reconciling and Stalled
// are there only while they are true. So is AtRisk: an answer is owed to the platform, and
// its deadline is near, past, or the last try to answer failed. So is UnknownObjects, of a
// Channel: pushes whose sender nothing proves made objects that the platform does not know.
const (
	ConditionReady          = "Ready"
	ConditionReconciling    = "Reconciling"
	ConditionStalled        = "Stalled"
	ConditionAtRisk         = "AtRisk"
	ConditionUnknownObjects = "UnknownObjects"
)

// Condition reasons. A reason says what kind of thing happened; the message
// says which object and what to do.
const (
	// ReasonConnected: the account answered its last check.
	ReasonConnected = "Connected"
	// ReasonSynced: the status reflects every announced change.
	ReasonSynced = "Synced"
	// ReasonConfirmed: the platform's answer agrees with every notification.
	ReasonConfirmed = "Confirmed"
	// ReasonNotConfirmable: the platform offers no query to confirm with.
	ReasonNotConfirmable = "NotConfirmable"
	// ReasonNotConfirmed: the platform's answer does not (yet) show what was pushed.
	ReasonNotConfirmed = "NotConfirmed"
	// ReasonProgressing: being worked on for the first time since a change.
	ReasonProgressing = "Progressing"
	// ReasonProgressingWithRetry: the last attempt failed in a way that passes.
	ReasonProgressingWithRetry = "ProgressingWithRetry"
	// ReasonThrottled: the platform or our own limits ask us to wait.
	ReasonThrottled = "Throttled"
	// ReasonNotFound: the platform does not know this product or order.
	ReasonNotFound = "NotFound"
	// ReasonNotGranted: the account may not see this product.
	ReasonNotGranted = "NotGranted"
	// ReasonRefused: the platform refused the request itself.
	ReasonRefused = "Refused"
	// ReasonChannelNotReady: the Channel is missing, suspended or stalled.
	ReasonChannelNotReady = "ChannelNotReady"
	// ReasonAccountTaken: another Channel holds this account already.
	ReasonAccountTaken = "AccountTaken"
	// ReasonSecretsForbidden: the operator may not read the Secrets of the Channel's namespace.
	ReasonSecretsForbidden = "SecretsForbidden"
	// ReasonCredentialsMissing: the Secret, or its key, is not there.
	ReasonCredentialsMissing = "CredentialsMissing"
	// ReasonCredentialsInvalid: the Secret's value does not parse.
	ReasonCredentialsInvalid = "CredentialsInvalid"
	// ReasonCredentialsRefused: the platform refuses the account's signature or rights.
	ReasonCredentialsRefused = "CredentialsRefused"
	// ReasonSettingsInvalid: the Channel's own block for its platform lacks or misstates something.
	ReasonSettingsInvalid = "SettingsInvalid"
	// ReasonEndpointNotAllowed: the endpoint is plain http or private and the manager does not allow that.
	ReasonEndpointNotAllowed = "EndpointNotAllowed"
	// ReasonPlatformNotSupported: this manager has no adapter for the platform.
	ReasonPlatformNotSupported = "PlatformNotSupported"
	// ReasonSenderNotProven: nothing would prove who sends the account's pushes, and the manager wants it proven.
	ReasonSenderNotProven = "SenderNotProven"
	// ReasonSealingInvalid: the sealing recipients or the sealing Secret do not parse.
	ReasonSealingInvalid = "SealingInvalid"
	// ReasonCodesNeeded: the platform waits for codes that nobody has named yet.
	ReasonCodesNeeded = "CodesNeeded"
	// ReasonDecisionNeeded: the platform waits for a decision on a refund.
	ReasonDecisionNeeded = "DecisionNeeded"
	// ReasonAnswerFailed: the platform did not take an answer that it waits for.
	ReasonAnswerFailed = "AnswerFailed"
	// ReasonDeadlineMissed: the platform has given up waiting.
	ReasonDeadlineMissed = "DeadlineMissed"
	// ReasonPushedUnproven: pushes whose sender nothing proves named what the platform does not know.
	ReasonPushedUnproven = "PushedUnproven"
	// ReasonBoundReached: such pushes may make no more objects now.
	ReasonBoundReached = "BoundReached"
	// ReasonSuspended: suspended by its spec; nothing is asked.
	ReasonSuspended = "Suspended"
)

// Platform is a distribution platform.
// +kubebuilder:validation:Enum=Fliggy;Douyin;SCTT
type Platform string

// The platforms.
const (
	PlatformFliggy Platform = "Fliggy"
	PlatformDouyin Platform = "Douyin"
	PlatformSCTT   Platform = "SCTT"
)

// ChannelReference names a Channel in the same namespace.
type ChannelReference struct {
	// name of the Channel.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
}

// SecretReference names a Secret in the same namespace.
type SecretReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// SecretKeyReference names one key of a Secret in the same namespace.
type SecretKeyReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// key in the Secret's data.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// Money is an amount in minor units (fen, cent) of a currency.
type Money struct {
	// currency is the ISO 4217 code.
	// +required
	// +kubebuilder:validation:Pattern=`^[A-Z]{3}$`
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=3
	Currency string `json:"currency,omitempty"`

	// amount in minor units.
	// +required
	Amount int64 `json:"amount"`
}

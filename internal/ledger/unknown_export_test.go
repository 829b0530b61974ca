package ledger

// ErrUnknown is a push that would make one object too many.
var ErrUnknown = errUnknown

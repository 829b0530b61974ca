// Package order folds what was pushed about an order, and what the platform answered
// when asked, into the order's status. It is pure: no clock, no client, no HTTP, and
// codes only as they stand in the API, hashed and masked.
//
// # What is believed
//
//	evidence             phase, codes, refunds, totals       pushes add
//	an Answer            say what the answer says            a refund request the answer neither lists nor decides
//	none, Trusted        say what the pushes say             everything
//	none, not Trusted    nothing used, refunded, cancelled   that the order exists, is paid, has codes,
//	                     or failed                           or has a refund requested
//
// # Phase
//
// The first row that applies. "Pushed" rows count without an Answer only.
//
//	phase            an Answer says                             pushed, Trusted            pushed, not Trusted
//	Failed           state Failed                               issue failed, none issued  never
//	Cancelled        state Cancelled                            Cancelled                  never
//	Refunded         refunds Full, or every code or the         Refunded in full, or       never
//	                 whole quantity refunded                    every code refunded
//	RefundRequested  refunds Requested, or a listed refund      a request undecided        the same
//	                 undecided, or a standing pushed request
//	PartlyRefunded   refunds Partly, or anything refunded       Refunded                   never
//	Used             every code used up; or state Finished      every code used up         never
//	                 and no code tells its use
//	PartlyUsed       any use                                    any use                    never
//	Issued           state Issued or Finished, or any code      codes issued, or one that  the same
//	                 that is not awaited                        is named and not awaited
//	Issuing          state Paid, and codes awaited; or          codes announced or         the same, or issue failed
//	                 unknown, and codes announced or requested  requested only
//	Paid             state Paid; or unknown, and Paid pushed    Paid                       the same
//	Pending          otherwise                                  otherwise                  otherwise
//
// Codes are awaited when the platform asked us for them and none is shown as issued: no
// push says so, and the answer lists none, or only units that it has ids of and no codes.
//
// A refund request that we refused, at once or later, is decided. One that we approved
// stands until the platform shows the refund.
//
// A push of codes that does not say that issuing succeeded only announces them, though it
// names them: they are listed, for a ticket that was shown must be found, and the phase is
// Issuing until a push says that issuing succeeded, or that a code was used or refunded.
//
// A code without a number of persons counts as one. Where pushes are all there is, a use
// that none of them speaks of is not told, and counts as none in the totals. A listed code whose use is counted
// is believed over a state of Finished, which says only that nothing more is expected.
//
// # Order and repetition
//
// What is pushed is kept in registers, one for each fact (pushed.go): of all the
// notifications that speak of a fact, the greatest by (occurredAt, id) decides, but a use
// comes before its end where both bear the same time, for platforms tell it by the second;
// a success of issuing or refunding outranks a failure or a request. A maximum does not
// depend on order or repetition, and neither does the fold. receivedAt takes no part: it
// differs between two deliveries of the same push.
//
// Where notifications bear no time, and their ids are hashes, there is no telling which of
// two came later, and nothing may hang on it. So what is said outranks when: of issuing, a
// success outranks a failure, which outranks an announcement; a cancellation outranks codes
// that were issued; and where issuing failed and never succeeded the order is Failed,
// cancelled or not. That cancelling failed, or waits, changes nothing. The codes are all
// that any success or announcement names: none is taken back by another push that names
// others, because either may be the newer. How such a code is shown (hint, form, persons)
// where pushes differ in it, and the order of the codes, go by the greatest id: a choice
// without a meaning, but the same whenever it is made.
//
// A price, terms of cancelling and remarks are not folded, for the same reason: they are
// read where they were pushed, in spec.notifications.
//
// It also makes compaction plain: a notification that decides no register may go, now
// and whatever else arrives.
package order

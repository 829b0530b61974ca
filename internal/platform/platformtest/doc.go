// Package platformtest is the other side of the boundary: fake platforms with
// scriptable faults (Fliggy, Douyin, SCTT), and the suite that every adapter runs (Conformance).
//
// A fake is written from the protocol page alone and shares no code with the adapter
// it meets, so that one misreading cannot hide in both. It holds state that a test or
// its admin handler alters, answers the adapter's questions from that state, and sends
// pushes with the platform's own retry rules. It opens no listener: its caller serves
// it. What it keeps in its logs are ids and verdicts, never a signature or a code.
//
// Comments mark where a fact comes from: DOC is the platform's document, CODE is what
// independent clients were seen doing, INFER is an inference, UNKNOWN is not told
// anywhere and was chosen here.
package platformtest

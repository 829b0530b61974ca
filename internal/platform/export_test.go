package platform

// PublicOnly is the check that a dialled address passes; testing it through a dial
// would need the network.
var PublicOnly = publicOnly

// NewDialer is what the connections are dialled with: a test gives it names of its own.
var NewDialer = newDialer

package platform

// PublicOnly is the check that a dialled address passes; testing it through a dial
// would need the network.
var PublicOnly = publicOnly

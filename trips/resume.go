package trips

// ResumeQuery asks how things stand for a person whose phone has just
// connected.
type ResumeQuery struct {
	Who  Actor
	Trip TripID // the trip they followed before; empty: none
}

// ResumeState answers a ResumeQuery: what the person must hear to catch up.
type ResumeState struct {
	// their active trip; without one the trip they named, even another
	// person's; zero: neither exists
	Trip        Trip
	LastChatSeq uint32 // number of the trip's newest chat message; 0: none
	// an operator acknowledged one of their calls for help on the trip
	SOSAcked bool
	Paid     bool // they are the trip's rider, and it was charged
}

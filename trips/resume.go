package trips

// ResumeQuery asks for the current state of a person whose phone has just
// connected.
type ResumeQuery struct {
	Who  Actor
	Trip TripID // the trip they followed before; empty: none
}

// ResumeState answers a ResumeQuery with what the person needs to catch up.
type ResumeState struct {
	// Trip is their active trip. Without one it is the trip they named, even
	// another person's. It is zero if neither exists.
	Trip        Trip
	LastChatSeq uint32 // number of the trip's newest chat message; 0: none
	SOSAcked    bool   // an operator acknowledged one of their alerts on the trip
	Paid        bool   // they are the trip's rider, and it was charged
}

package trips

// Asker is somebody who has just connected and wants to know how things stand for them.
type Asker struct {
	Who  Actor
	Trip TripID // the one they followed before, or ""
}

// Standing is how things stand for an Asker.
type Standing struct {
	Trip   Trip   // their active trip; without one the trip they named, whosever it is; zero if there is neither
	Said   uint32 // number of its newest chat message, or 0
	Helped bool   // one of their calls for help on it was acknowledged
	Paid   bool   // they are its rider, and it was charged
}

package location

import "unsafe"

// TrackSize is the size of a Track in bytes.
const TrackSize = unsafe.Sizeof(Track{})

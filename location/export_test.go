package location

import "unsafe"

// TrackSize is what a Track takes, in bytes.
const TrackSize = unsafe.Sizeof(Track{})

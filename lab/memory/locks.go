package memory
import "github.com/ridehail/ridehail/lab/finding"
func Locks() finding.Experiment { return finding.Experiment{Name:"locks"} }

package process

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of processor time in /proc, which Linux fixes for
// programs.
const clockTick = time.Second / 100

// CPUTime returns the processor time that the process, its children and those
// of them that ended have used so far. It returns false on a system without
// /proc, and after the end of the process.
func (p *Process) CPUTime() (sum time.Duration, ok bool) {
	sum, ok = readCPUTime(p.group, true)
	for _, child := range childrenOf(p.group) {
		used, _ := readCPUTime(child, false) // it may have ended
		sum += used
	}
	return sum, ok
}

// readCPUTime reads the time of one process, and that of its children that it
// has reaped.
func readCPUTime(pid int, reaped bool) (time.Duration, bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}

	// After the name come the fields 3 and on of proc(5). Fields 14 to 17 are
	// the times in user mode and in the kernel, and those of reaped children.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	last := 13
	if reaped {
		last = 15
	}
	if len(fields) < last {
		return 0, false
	}

	ticks := 0
	for _, f := range fields[11:last] {
		n, err := strconv.Atoi(f)
		if err != nil {
			return 0, false
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, true
}

// CPUTime returns the processor time of all servers that run, and false on a
// system without /proc.
func (c *RedisCluster) CPUTime() (sum time.Duration, ok bool) {
	for _, s := range c.servers {
		if used, known := s.running.CPUTime(); known {
			sum, ok = sum+used, true
		}
	}
	return sum, ok
}

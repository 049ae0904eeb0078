package main

import (
	"syscall"
	"time"
)

// ownCPU returns the CPU time of this process, in seconds.
func ownCPU() float64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // fails for no valid argument
	return (time.Duration(usage.Utime.Nano()) + time.Duration(usage.Stime.Nano())).Seconds()
}

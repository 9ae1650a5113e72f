//go:build !linux

package require

func probeNet() string { return "network namespaces are Linux's" }

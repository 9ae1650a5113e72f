package main

import "github.com/spf13/cobra"

// commands lists every command of av, in the order in which help shows them.
func commands(e *env) []*cobra.Command {
	return []*cobra.Command{
		runCommand(e),
		initCommand(e),
		credentialCommand(e),
		serviceCommand(e),
		vaultCommand(e),
		sessionCommand(e),
		logsCommand(e),
		agentsCommand(e),
		imageCommand(e),
		psCommand(e),
		diffCommand(e),
		applyCommand(e),
		discardCommand(e),
		attachCommand(e),
		stopCommand(e),
		homeCommand(e),
		pruneCommand(e),
		trustCommand(e),
		caCommand(e),
		versionCommand(e),
		gateCommand(e),
		enterCommand(e),
		watchdogCommand(e),
		backgroundCommand(e),
	}
}

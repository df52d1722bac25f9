package detect

// All is the catalogue, in the order of the manual.
var All = []Detector{
	shellNetStdio, shellNetRelay, shellNetFD, shellDevtcp, shellRelayTool, shellInline, shellListen, shellTunnel,
	execMemfd, execDeleted, execShm, execDisguised, execLoader, execPreload, runPipe, runFetch, runDecode, minerProto, minerName, minerCPU,
	escapeSetns, escapeLocked, escapeCgroup, escapeKernelFile, escapeDevice, escapeHandle, escapeNested,
	privPtrace, privModule, privUID0, privSudoers, privSetuid, privCaps, privSurface,
	credShadow, credKey, credCloud, credHunt, credEnviron, credMemory, credScanner, credToken, credSniff,
	exfilPipe, exfilFile, exfilDrop, exfilChain, exfilDNS, exfilVolume, exfilTunnel, exfilAgentName,
	persistPreload, persistPAM, persistUdev, persistAptHook, persistMOTD, persistCron, persistUnit, persistRC, persistKeys, persistAgent,
	logWipe, logHistory, logStop, logTimes, stormFork, stormPids, stormTmp, readVolume, authFail, authDenied,
}

// Combos are pairs of warnings of different families that together, in one
// process tree within 120 seconds, are a finding of level high.
var Combos = [][2]string{
	{"run.fetch", "exfil."}, {"run.pipe", "persist."}, {"run.fetch", "persist."}, {"run.decode", "persist."}, {"cred.", "exfil."}, {"exec.shm", "exfil."}, {"exec.shm", "miner."}, {"run.fetch", "miner."}, {"exec.disguised", "exfil."}, {"exec.preload", "cred."}, {"run.fetch", "exec.shm"}, {"log.", "cred."}, {"run.fetch", "cred."},
}

#!/usr/bin/env node
import { hostname } from 'node:os'
import type { Process } from './cli/command.ts'
import { NODE_FLOOR } from './version.ts'

/**
 * The bin, and the only file that touches the process. Before the Node check it loads nothing, and by
 * name only what an old Node has too: a missing export would end it without our sentence.
 */
if (isTooOld(process.versions.node, NODE_FLOOR)) {
  process.stderr.write(
    `Outlay needs Node ${NODE_FLOOR} or newer; this is ${process.versions.node}. Install a current Node from https://nodejs.org and start Outlay again.\n`,
  )
  process.exit(1)
}

const { enableCompileCache } = await import('node:module')
const { setFlagsFromString } = await import('node:v8')
enableCompileCache()
// A sync makes much garbage and keeps little. By itself V8 would rather take 300 MB than look: both
// flags are read whenever the heap wants to grow, and here it must stay small beside an editor.
setFlagsFromString('--semi-space-growth-factor=1')
setFlagsFromString('--heap-growing-percent=60')
process.removeAllListeners('warning')
process.on('warning', (warning) => {
  // node:sqlite says that it is experimental on Node 22; everything else is worth a line.
  if (warning.name !== 'ExperimentalWarning') process.stderr.write(`${warning.message}\n`)
})

// Whoever reads may stop reading (`outlay help | head`): that ends the program, quietly.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

// A log that nobody reads any more is no reason to end what serves others.
process.stderr.on('error', () => {})

const { runCommand } = await import('./cli/run.ts')
process.exitCode = await runCommand(process.argv.slice(2), hostProcess())

function hostProcess(): Process {
  const stopping = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => stopping.abort(new Error(signal)))
  return {
    env: process.env,
    pid: process.pid,
    hostname: hostname(),
    versions: process.versions,
    exec_path: process.execPath,
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    stopping: stopping.signal,
    isAlive(pid) {
      try {
        return process.kill(pid, 0)
      } catch (error) {
        // EPERM: it runs, as somebody else.
        return (error as NodeJS.ErrnoException).code === 'EPERM'
      }
    },
  }
}

function isTooOld(version: string, floor: string): boolean {
  const [a, b] = [version, floor].map((text) => text.split('.').map(Number))
  for (let i = 0; i < 3; i++) {
    const difference = (a?.[i] ?? 0) - (b?.[i] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}

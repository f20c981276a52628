import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

const MAIN = join(import.meta.dirname, '../../src/main.ts')

export type Env = Readonly<Record<string, string>>

/** The program as a host or a shell starts it; only the variables given, in a folder of its own. */
export function programEnv(home: string, more: Env = {}): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '',
    HOME: home,
    OUTLAY_HOME: join(home, 'outlay'),
    OUTLAY_PORT: '0',
    OUTLAY_TIMEZONE: 'UTC',
    ...more,
  }
}

export const COMMAND = { command: process.execPath, args: [MAIN] }

/** A temporary folder, with what removes it. */
export function makeHome(): { home: string; remove(): void } {
  const home = mkdtempSync(join(tmpdir(), 'outlay-test-'))
  return { home, remove: () => rmSync(home, { recursive: true, force: true, maxRetries: 5 }) }
}

export type Outcome = { readonly code: number | null; readonly stdout: string; stderr: string }

/** Runs one command to its end. */
export async function runProgram(args: string[], env: Env, input = ''): Promise<Outcome> {
  const child = spawn(COMMAND.command, [...COMMAND.args, ...args], { env })
  child.stdin.end(input)
  const code = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { code: await code, stdout, stderr }
}

/** `outlay serve`, ready when it says where it listens. */
export async function startServe(
  env: Env,
  { command, args } = COMMAND,
): Promise<{ url: string; child: ChildProcess }> {
  const child = spawn(command, [...args, 'serve'], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let heard = ''
  for await (const chunk of child.stderr) {
    heard += String(chunk)
    const url = /listening url=(\S+)/.exec(heard)?.[1]
    if (!url) continue
    child.stderr.resume()
    return { url, child }
  }
  throw new Error(`outlay serve ended: ${heard}`)
}

export async function stopProgram(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  const closed = new Promise((resolve) => child.once('close', resolve))
  child.kill('SIGTERM')
  await closed
}

/** A port that nobody listens on, for a program that has to be found again. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

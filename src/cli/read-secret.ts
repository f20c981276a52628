import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import type { Process } from './command.ts'

const SECRET_CHARS_MAX = 4_096

/** Reads one line without showing it on a terminal; from a pipe, the first line of stdin. */
export async function readSecret(process: Process, prompt: string): Promise<string> {
  const { stdin, stderr, stopping } = process
  const is_terminal = stdin.isTTY === true
  if (is_terminal) stderr.write(prompt)
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({
    input: stdin,
    output: silent,
    terminal: is_terminal,
    signal: stopping,
  })
  try {
    for await (const line of lines) return line.slice(0, SECRET_CHARS_MAX)
    return ''
  } finally {
    lines.close()
    if (is_terminal) stderr.write('\n')
  }
}

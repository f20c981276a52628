import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** What each of the tests was seen to pass with. */
const PACKAGES = {
  codex: '@openai/codex@0.169.0',
  gemini: '@google/gemini-cli@0.61.0',
} as const

const CACHE = join(
  process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'),
  'outlay-test-clients',
)
const INSTALL_TIMEOUT_MS = 240_000

/**
 * The path of a client's program, installed once into a cache of its own: half a gigabyte that no
 * checkout needs. Null, and said so, where it cannot be installed.
 */
export async function installClient(name: keyof typeof PACKAGES): Promise<string | null> {
  const wanted = PACKAGES[name]
  const folder = join(CACHE, wanted.replace(/\W+/g, '-'))
  const program = join(folder, 'node_modules', '.bin', name)
  if (existsSync(program)) return program
  await mkdir(CACHE, { recursive: true })
  const fresh = mkdtempSync(join(CACHE, 'installing-'))
  try {
    const args = [
      'install',
      '--prefix',
      fresh,
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      wanted,
    ]
    await promisify(execFile)('npm', args, {
      timeout: INSTALL_TIMEOUT_MS,
      shell: process.platform === 'win32',
    })
    renameSync(fresh, folder)
    return program
  } catch (error) {
    const [, reason = 'npm said nothing'] = String((error as Error).message).split('\n')
    console.warn(`skipped: ${wanted} could not be installed (${reason})`)
    return null
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}

import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Env } from '../helpers/program.ts'

const TIMEOUT_MS = 60_000

/** What `outlay env` printed for a client, and what a person does with it. */
type Pasted = { readonly variables: Env; readonly rest: string[] }

export type Told = {
  /** The lines of `outlay env`. */
  readonly printed: string
  /** Whether the proxy's lines are taken too, with this in place of the key. */
  readonly wrapped_key?: string
  /** Whether the others are. */
  readonly has_telemetry: boolean
}

const PROXY_HEADING = /^# Through the proxy/

/** Takes the lines that are wanted; those of the proxy without their mark. */
function paste({ printed, wrapped_key, has_telemetry }: Told): Pasted {
  const lines = printed.split('\n')
  const heading = lines.findIndex((line) => PROXY_HEADING.test(line))
  const proxy = lines.slice(heading).map((line) => line.replace(/^#(?! )/, ''))
  const taken = [
    ...(has_telemetry ? lines.slice(0, heading) : []),
    ...(wrapped_key === undefined ? [] : proxy),
  ]
  const variables: Record<string, string> = {}
  const rest: string[] = []
  for (const line of taken) {
    const [, name, value = ''] = /^export (\w+)=(.*)$/.exec(line) ?? []
    if (name) variables[name] = value.replace('olk_…', wrapped_key ?? '')
    else rest.push(line)
  }
  return { variables, rest }
}

export type Started = {
  readonly program: string
  /** A home folder of its own, thrown away with the test. */
  readonly home: string
  readonly prompt: string
  readonly told: Told
  /** Where the client goes without the proxy, and with which key. */
  readonly direct: { readonly base_url: string; readonly key: string }
}

const DIRECT_KEY = 'SIM_KEY'

export async function runCodex(started: Started): Promise<string> {
  const { program, home, prompt, told, direct } = started
  const { variables, rest } = paste(told)
  const top = rest.findIndex((line) => /top of that file/.test(line))
  const [first = ''] = top < 0 ? ['model_provider = "direct"'] : rest.splice(top, 2).slice(1)
  const provider = `[model_providers.direct]
name = "direct"
base_url = "${direct.base_url}"
env_key = "${DIRECT_KEY}"
wire_api = "responses"`
  mkdirSync(join(home, '.codex'))
  const config = ['model = "gpt-5.6"', first, provider, ...rest].join('\n')
  writeFileSync(join(home, '.codex', 'config.toml'), config)
  const env = { ...variables, [DIRECT_KEY]: direct.key }
  return run({ program, home, env, args: ['exec', '--skip-git-repo-check', prompt] })
}

export async function runGemini({ program, home, prompt, told, direct }: Started): Promise<string> {
  const { variables, rest } = paste(told)
  const documents = rest
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .split(/\n(?=\{)/)
    .filter((one) => one.trim() !== '')
    .map((one) => JSON.parse(one) as object)
  const settings = {
    security: { auth: { selectedType: 'gemini-api-key' } },
    privacy: { usageStatisticsEnabled: false },
  }
  mkdirSync(join(home, '.gemini'))
  const path = join(home, '.gemini', 'settings.json')
  writeFileSync(path, JSON.stringify(Object.assign(settings, ...documents)))
  const env = {
    GEMINI_API_KEY: direct.key,
    GOOGLE_GEMINI_BASE_URL: direct.base_url,
    GEMINI_CLI_TRUST_WORKSPACE: 'true',
    ...variables,
  }
  return run({ program, home, env, args: ['--approval-mode', 'yolo', '-p', prompt] })
}

type Run = {
  readonly program: string
  readonly home: string
  readonly env: Env
  readonly args: readonly string[]
}

/** Everything that it prints. @throws when it fails. */
async function run({ program, home, env, args }: Run): Promise<string> {
  const cwd = join(home, 'work')
  mkdirSync(cwd)
  const child = spawn(program, args, {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', HOME: home, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  })
  const code = new Promise<number | null>((resolve) => child.once('close', resolve))
  const printed = (await Promise.all([text(child.stdout), text(child.stderr)])).join('\n')
  if ((await code) !== 0) throw new Error(`${program} failed: ${printed}`)
  return printed
}

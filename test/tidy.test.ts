import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Variables } from '../src/config.ts'
import { providerEnvs } from '../src/providers/environment.ts'
import { VERSION } from '../src/version.ts'

/** Reads the sources and fails where a rule of the house is broken: what is not checked is an opinion. */
const ROOT = join(import.meta.dirname, '..')

const files = ['src', 'tools', 'resources', 'scripts', 'test'].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)).replaceAll('\\', '/')),
)
const text = new Map(files.map((file) => [file, readFileSync(join(ROOT, file), 'utf8')]))
const sources = files.filter((file) => /^(src|tools|resources)\//.test(file))

/**
 * What each room may import besides itself and packages. A room is a folder of `src`, `tools`,
 * `resources`, or a single file; `kernel` is every file of `src` that imports nothing but the kernel.
 */
const KERNEL = [
  'clock',
  'closest',
  'config',
  'errors',
  'glob',
  'ids',
  'log',
  'money',
  'period',
  'policy',
  'secret',
  'ticker',
  'usage',
  'version',
  'young-heap',
]
const ENTRANCES = [
  'app',
  'server',
  'side-port',
  'runtime',
  'open-proxy',
  'subscriptions',
  'subscription-bus',
  'main',
]
const SURFACE = ['tool', 'resource', 'params', 'prompts', 'setup']

const LAYERS: Readonly<Record<string, readonly string[]>> = {
  store: [],
  pricing: ['store'],
  ledger: ['store', 'pricing'],
  budgets: ['store', 'ledger', 'pricing', 'keys'],
  keys: ['store', 'ledger'],
  providers: ['ledger/bucket', 'ledger/event'],
  sync: ['store', 'ledger', 'keys', 'providers', 'pricing'],
  otlp: ['store', 'ledger', 'keys', 'pricing'],
  local: ['store', 'ledger', 'pricing'],
  proxy: ['store', 'ledger', 'budgets', 'keys', 'providers', 'pricing'],
  ui: ['store', 'keys'],
  jobs: ['store', 'ledger', 'keys', 'providers', 'pricing', 'sync', 'local', 'budgets', 'app'],
  demo: ['pricing'],
  tools: [...SURFACE, 'ledger', 'budgets', 'keys', 'pricing', 'jobs'],
  resources: [...SURFACE, 'ledger', 'budgets', 'keys', 'pricing', 'jobs'],
}

function roomOf(file: string): string {
  const [top = '', second = ''] = file.split('/')
  if (top !== 'src') return top
  return second.endsWith('.ts') ? basename(second, '.ts') : second
}

function importsOf(file: string): string[] {
  const found = (text.get(file) ?? '').matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)
  return [...found].map(([, path = '']) =>
    relative(ROOT, join(ROOT, dirname(file), path)).replaceAll('\\', '/'),
  )
}

function isAllowed(room: string, imported: string): boolean {
  const target = roomOf(imported)
  const path = imported.replace(/^src\//, '').replace(/\.ts$/, '')
  if (target === room || KERNEL.includes(target)) return true
  return (LAYERS[room] ?? []).some((one) => one === target || one === path)
}

test('every room has its place in the layer table', () => {
  const rooms = new Set(sources.map(roomOf))
  const known = [...Object.keys(LAYERS), ...KERNEL, ...SURFACE, ...ENTRANCES, 'cli']
  expect([...rooms].filter((room) => !known.includes(room))).toEqual([])
})

test('imports follow the layers', () => {
  const breaches = sources
    .filter((file) => roomOf(file) in LAYERS || KERNEL.includes(roomOf(file)))
    .flatMap((file) =>
      importsOf(file)
        .filter((imported) => !isAllowed(roomOf(file), imported))
        .map((imported) => `${file} -> ${imported}`),
    )
  expect(breaches).toEqual([])
})

test('each table is written by one room only', () => {
  const writers = new Map<string, Set<string>>()
  for (const file of sources)
    for (const [, name = ''] of (text.get(file) ?? '').matchAll(
      /(?:insertInto|updateTable|deleteFrom)\(\s*'(\w+)'|insertRows\(\s*\w+,\s*'(\w+)'/g,
    ))
      if (name) writers.set(name, (writers.get(name) ?? new Set()).add(roomOf(file)))
  const shared = [...writers].filter(([table, rooms]) => rooms.size > 1 && table !== 'lease')
  expect(Object.fromEntries(shared.map(([table, rooms]) => [table, [...rooms].sort()]))).toEqual(
    SHARED_TABLES,
  )
})

/** The few that two rooms write, with the reason. */
const SHARED_TABLES = {
  // keys makes and removes connections; a sync notes the provider's clock.
  connection: ['jobs', 'keys'],
  // a new key wakes the streams that the old one put to sleep.
  sync_stream: ['keys', 'sync'],
}

describe.each([
  ['writes to stdout', /console\.log|process\.stdout|\bstdout\.write/, /^src\/(cli|main)/],
  ['reads the process', /\bprocess\.(env|argv|exit|pid|on|kill)\b/, /^src\/(main\.ts$|cli\/)/],
  ['asks the system for the time', /Date\.now\(\)|new Date\(\)/, /^src\/clock\.ts$/],
  ['rolls dice', /Math\.random\(/, /^src\/ids\.ts$/],
  ['silences a check', /biome-ignore|@ts-(ignore|expect-error|nocheck)|vi\.mock|\.only\(/, /^$/],
])('nothing %s', (_, pattern, allowed) => {
  test('outside its place', () => {
    const found = sources.filter(
      (file) => !allowed.test(file) && pattern.test(text.get(file) ?? ''),
    )
    expect(found).toEqual([])
  })
})

test('providers are named only in their folders, in the mappers and in what people read', () => {
  const allowed =
    /^src\/(providers\/|otlp\/|local\/|demo\/|pricing\/|setup|config|prompts|keys\/(access-token|fingerprint)|cli\/|corpus\/|proxy\/(refusal|route)|jobs\/proxy-url)|^tools\//
  const named = sources.filter(
    (file) => !allowed.test(file) && /anthropic|openai|openrouter/i.test(code(file)),
  )
  expect(named).toEqual([])
})

/** Without comments: a link or an example in one is no dependency. */
function code(file: string): string {
  return (text.get(file) ?? '').replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
}

test('no source is longer than 300 lines', () => {
  const long = [...sources, ...files.filter((file) => file.startsWith('scripts/'))].filter(
    (file) => (text.get(file) ?? '').split('\n').length > 301,
  )
  expect(long).toEqual([])
})

test('no file has a name that says nothing', () => {
  const empty = /^(utils?|helpers?|common|shared|types|constants|misc)\.ts$/
  expect(sources.filter((file) => empty.test(basename(file)))).toEqual([])
  expect(sources.filter((file) => !/^[a-z0-9/.-]+\.ts$/.test(file))).toEqual([])
})

test('the version is the same in the program, the package and the manifest', () => {
  const read = (file: string) => JSON.parse(readFileSync(join(ROOT, file), 'utf8'))
  expect([read('package.json').version, read('manifest.json').version]).toEqual([VERSION, VERSION])
})

test('README.md explains every variable that the program knows', () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const known = [
    ...Object.keys(Variables.shape),
    ...providerEnvs.flatMap(({ key_env, base_url_env }) => [key_env, base_url_env]),
  ]
  expect(known.filter((name) => name !== 'OUTLAY_NOW' && !readme.includes(name))).toEqual([])
})

test('README.md names every command', async () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const commands = readdirSync(join(ROOT, 'src/cli'))
    .map((file) => basename(file, '.ts'))
    .filter((name) => (text.get(`src/cli/${name}.ts`) ?? '').includes(': Command = {'))
  expect(commands.filter((name) => name !== 'stdio' && !readme.includes(name))).toEqual([])
})

import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { arch, hostname, platform, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Host } from '../../src/app.ts'
import { type CorpusCase, listStepFiles, loadCorpus } from '../../src/cli/corpus.ts'
import { replayCase } from '../../src/cli/replay.ts'
import { systemClock } from '../../src/clock.ts'
import { silentLog } from '../../src/log.ts'
import { loadCatalog } from '../../src/pricing/catalog.ts'
import { VERSION } from '../../src/version.ts'
import { type Peer, peers, type Said } from './peers.ts'

/**
 * The local-log cases of the corpus, read by us and by others: `npm run bench:accuracy`. The others are
 * installed into a temporary folder, each case gets a home folder of its own, and the table goes to
 * accuracy.md.
 */
const folder = mkdtempSync(join(tmpdir(), 'outlay-accuracy-'))
try {
  const installed = peers.filter((peer) => install(peer))
  const cases = loadCorpus().filter(isInFiles)
  const rows: Row[] = []
  for (const one of cases) {
    rows.push(await compare(one, installed))
    process.stdout.write(`${rows.length}/${cases.length} ${one.name}\n`)
  }
  const text = report(rows, installed)
  writeFileSync(join(import.meta.dirname, 'accuracy.md'), text)
  process.stdout.write(`\n${text}`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}

type Row = {
  readonly one: CorpusCase
  readonly truth: Said
  /** What each program says; a text where it failed. */
  readonly said: ReadonlyMap<string, Said | string>
}

function install({ name, packages }: Peer): boolean {
  try {
    execFileSync('npm', ['install', '--no-audit', '--no-fund', '--prefix', folder, ...packages], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    return true
  } catch {
    process.stdout.write(`${name} could not be installed on this machine: it is left out\n`)
    return false
  }
}

/** A file that was replaced or deleted is known only to a program that had read it before. */
function isInFiles({ steps, name }: CorpusCase): boolean {
  return !steps.some((step) => 'post' in step) && name !== 'claude-rotated'
}

async function compare(one: CorpusCase, others: readonly Peer[]): Promise<Row> {
  const said = new Map<string, Said | string>()
  const { ours } = await replayCase(one, host(), loadCatalog())
  said.set('outlay', saidOf(ours))
  for (const peer of others) said.set(peer.name, await askPeer(peer, one))
  return { one, truth: saidOf(one.truth), said }
}

/** The final files, as a program finds them that is started for the first time. */
async function askPeer(peer: Peer, { steps }: CorpusCase): Promise<Said | string> {
  const home = mkdtempSync(join(folder, 'home-'))
  for (const step of steps) {
    if ('remove' in step) for (const name of step.remove) rmSync(join(home, name))
    if (!('write' in step) && !('append' in step)) continue
    for (const file of listStepFiles(home, 'write' in step ? step.write : step.append)) {
      mkdirSync(file.folder, { recursive: true })
      if ('write' in step) writeFileSync(file.path, file.text)
      else appendFileSync(file.path, file.text)
    }
  }
  try {
    return await peer.ask(folder, { PATH: process.env['PATH'] ?? '', HOME: home, TZ: 'UTC' })
  } catch (error) {
    return error instanceof Error ? (error.message.split('\n')[0] ?? 'failed') : 'failed'
  }
}

function saidOf(figures: CorpusCase['truth']): Said {
  return {
    input: figures.input_tokens,
    cached: figures.cached_input_tokens,
    written: figures.cache_write_tokens,
    output: figures.output_tokens,
    cost_usd: Number(figures.cost_usd),
  }
}

function host(): Host {
  const clock = systemClock()
  const { pid, versions } = process
  const holder = {
    id: 'own_bench',
    pid,
    hostname: hostname(),
    isAlive: () => true,
    wallNow: clock.wallNow,
  }
  return { clock, log: silentLog, versions, holder }
}

function report(rows: readonly Row[], others: readonly Peer[]): string {
  const names = ['outlay', ...others.map(({ name }) => name)]
  const titles = [`outlay ${VERSION}`, ...others.map(({ name, version }) => `${name} ${version}`)]
  const date = new Date().toISOString().slice(0, 10)
  const lines = [
    '# Accuracy on local session logs',
    '',
    `${rows.length} cases of \`src/corpus\` with a truth worked out by hand, run on ${date} with Node ${process.versions.node} on ${platform()} ${arch()}. \`npm run bench:accuracy\` makes this page anew.`,
    'The cases are ours: they are traps that users of such programs reported, and not a sample of what a day looks like.',
    'Each program gets the final files of each case in a home folder of its own and prices from what its package carries; nothing is fetched.',
    'Telemetry cases and one of a file that was replaced are left out: they need a program that was there before.',
    '',
    `| | ${titles.join(' | ')} |`,
    `|---|${names.map(() => '---:').join('|')}|`,
    summary('tokens right in every class', names, rows, areTokensRight),
    summary('input and output tokens right', names, rows, areSumsRight),
    summary('cost right to a millionth of a dollar', names, rows, isCostRight),
    `| tokens too many or too few, all cases | ${names.map((name) => total(rows, name, tokenError)).join(' | ')} |`,
    '',
    'Per case: tokens (input with cached ones + output), or `=` where every class is right; then the cost, `=` where it is right. Costs depend on how new the price list of a package is, tokens do not. 0 stands where a program does not read the format at all.',
    '',
    `| case | truth | ${titles.join(' | ')} |`,
    `|---|---:|${names.map(() => '---:').join('|')}|`,
    ...rows.map((row) => {
      const cells = names.map((name) => cell(row, row.said.get(name)))
      return `| ${row.one.name} | ${tokens(row.truth)} · $${row.truth.cost_usd} | ${cells.join(' | ')} |`
    }),
    '',
    'What the cases are about:',
    '',
    ...rows.map(({ one }) => `- **${one.name}**: ${one.why}`),
  ]
  return `${lines.join('\n')}\n`
}

type Check = (truth: Said, said: Said) => boolean

function summary(title: string, names: readonly string[], rows: readonly Row[], check: Check) {
  const cells = names.map((name) => {
    const right = rows.filter(({ truth, said }) => {
      const one = said.get(name)
      return typeof one === 'object' && check(truth, one)
    })
    return `${right.length} of ${rows.length}`
  })
  return `| ${title} | ${cells.join(' | ')} |`
}

function total(rows: readonly Row[], name: string, error: (truth: Said, said: Said) => number) {
  return rows.reduce((sum, { truth, said }) => {
    const one = said.get(name)
    return sum + (typeof one === 'object' ? error(truth, one) : tokens(truth))
  }, 0)
}

function cell({ truth }: Row, said: Said | string | undefined): string {
  if (typeof said !== 'object') return 'failed'
  const counted = areTokensRight(truth, said) ? '=' : String(tokens(said))
  return `${counted} · ${isCostRight(truth, said) ? '=' : `$${Number(said.cost_usd.toFixed(9))}`}`
}

function tokens({ input, output }: Said): number {
  return input + output
}

function tokenError(truth: Said, said: Said): number {
  return Math.abs(truth.input - said.input) + Math.abs(truth.output - said.output)
}

function areSumsRight(truth: Said, said: Said): boolean {
  return tokenError(truth, said) === 0
}

function areTokensRight(truth: Said, said: Said): boolean {
  return areSumsRight(truth, said) && truth.cached === said.cached && truth.written === said.written
}

function isCostRight(truth: Said, said: Said): boolean {
  return Math.abs(truth.cost_usd - said.cost_usd) < 1e-6
}

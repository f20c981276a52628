import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type App, type Host, openApp } from '../app.ts'
import { fixedClock } from '../clock.ts'
import { parseConfig } from '../config.ts'
import { importLogs } from '../jobs/import.ts'
import { sumSpend } from '../ledger/spend.ts'
import { costOf, noSums } from '../ledger/sums.ts'
import { silentLog } from '../log.ts'
import { usdFromNanos } from '../money.ts'
import { resolvePeriod } from '../period.ts'
import { type Catalog, loadCatalog } from '../pricing/catalog.ts'
import { providerEnvs } from '../providers/environment.ts'
import { openSidePort, type SidePort } from '../side-port.ts'
import { type CorpusCase, type Figures, listStepFiles, type Step } from './corpus.ts'

/** After everything that happens in the corpus. */
const NOW = Date.parse('2026-11-24T10:00:00Z')
const EVERYTHING = { from: '2025-01-01', to: '2027-01-01' }

export type Replay = { readonly ours: Figures; readonly problems: readonly string[] }

/**
 * Plays a case through the program as it is, in a temporary folder: files through the import, telemetry
 * as HTTP bodies through the side port, and the figures out of the spend query.
 */
export async function replayCase(
  { steps }: CorpusCase,
  host: Host,
  catalog: Catalog = loadCatalog(),
): Promise<Replay> {
  const home = mkdtempSync(join(tmpdir(), 'outlay-verify-'))
  const clock = fixedClock(NOW)
  const env = {
    HOME: home,
    OUTLAY_HOME: join(home, 'outlay'),
    OUTLAY_PORT: '0',
    OUTLAY_TIMEZONE: 'UTC',
  }
  const opened = await openApp(parseConfig(env, providerEnvs), { ...host, clock, log: silentLog })
  const app: App = { ...opened, catalog: async () => catalog }
  let port: SidePort | undefined
  const problems: string[] = []
  try {
    for (const step of steps) problems.push(...(await playStep(step)))
    return { ours: await figuresOf(app), problems }
  } finally {
    await port?.close()
    await app.close()
    rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  }

  async function playStep(step: Step): Promise<string[]> {
    if ('post' in step) return postTelemetry(step)
    if ('wait_s' in step) clock.set(clock.now() + step.wait_s * 1000)
    else if ('remove' in step) for (const path of step.remove) rmSync(join(home, path))
    else if ('import' in step) await importLogs(app, { is_dry_run: false, signal: app.closing })
    else writeFiles(home, step)
    return []
  }

  async function postTelemetry({ post, body, times = 1 }: Extract<Step, { post: string }>) {
    port ??= await openSidePort(app)
    for (let i = 0; i < times; i++) {
      const answer = await fetch(`${port.url}${post}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      await answer.body?.cancel()
      if (answer.status !== 200) return [`${post} answered ${answer.status}`]
    }
    return []
  }
}

function writeFiles(home: string, step: Extract<Step, { write: object } | { append: object }>) {
  const files = 'write' in step ? step.write : step.append
  for (const { path, folder, text } of listStepFiles(home, files)) {
    mkdirSync(folder, { recursive: true })
    if ('write' in step) writeFileSync(path, text)
    else appendFileSync(path, text)
  }
}

async function figuresOf({ db, clock }: App): Promise<Figures> {
  const period = resolvePeriod(EVERYTHING, clock.now(), 'UTC')
  const { groups } = await sumSpend(db, { period, group_by: [], filter: {}, basis: 'best' })
  const sums = [...groups.values()][0]?.sums ?? noSums()
  return {
    requests: sums.requests,
    input_tokens: sums.input_tokens,
    cached_input_tokens: sums.cached_input_tokens,
    cache_write_tokens: sums.cache_write_tokens,
    output_tokens: sums.output_tokens,
    unpriced_requests: sums.unpriced_requests,
    cost_usd: usdFromNanos(costOf(sums)),
  }
}

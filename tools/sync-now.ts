import * as z from 'zod'
import { isoTime } from '../src/clock.ts'
import { FromParam } from '../src/params.ts'
import { defineTool } from '../src/tool.ts'

/** Hosts give up on a call after about a minute; the run goes on without it. */
const WAIT_MS = 40_000

export default defineTool({
  name: 'sync_now',
  title: 'Sync now',
  effect: 'write',
  open_world: true,
  description:
    'Reads usage and cost of connected providers, or local session logs, now instead of at the next turn. A long run goes on; get_status shows how far.',
  input: {
    source: z.enum(['admin', 'local']).optional(),
    provider: z.string().optional().describe('Only this one.'),
    since: FromParam.describe('Also backfill to this date.'),
    dry_run: z.boolean().default(false).describe('Store nothing.'),
  },
  output: {
    state: z.enum(['done', 'running', 'failed', 'nothing_connected', 'dry_run']),
    rows: z.number().int(),
    connections: z.array(z.string()),
    failures: z.array(z.string()),
    as_of: z.string(),
  },
  async handle({ source, provider, since, dry_run }, { app, progress }) {
    if (source === 'local') {
      const { startImport } = await import('../src/jobs/import-request.ts')
      const run = startImport(app, { client: provider, dry_run, progress })
      return { ...(await run.within(WAIT_MS)), as_of: isoTime(app.clock.now()) }
    }
    const { startSync } = await import('../src/jobs/sync-request.ts')
    const run = await startSync(app, { provider, since, dry_run, progress })
    const outcome = await run.within(WAIT_MS)
    return { ...outcome, as_of: isoTime(app.clock.now()) }
  },
  text({ state, rows, connections, failures }) {
    const names = connections.join(', ')
    const head = {
      done: `Synced ${names}: ${rows} rows read.`,
      failed: `Synced ${names} with problems: ${rows} rows read.`,
      running: `The sync of ${names} goes on in the background; ${rows} rows so far.`,
      nothing_connected:
        'Nothing to read. To connect a provider call connect_provider, or run: outlay connect <provider>.',
      dry_run: `Would read ${names || 'nothing: no provider is connected'}${rows > 0 ? `: ${rows} rows` : ''}.`,
    }[state]
    return [head, ...failures.map((failure) => `Problem: ${failure}`)].join('\n')
  },
})

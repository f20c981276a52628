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
    'Reads usage and cost from the connected providers now instead of at the next turn, or the session logs of coding assistants on this machine (source: local). A long run goes on in the background; get_status shows how far it is.',
  input: {
    source: z.enum(['admin', 'local']).default('admin').describe('Where to read from.'),
    provider: z
      .string()
      .optional()
      .describe('Only this provider, or with source local only this client, e.g. claude-code.'),
    since: FromParam.describe('Also backfill to this date.'),
    dry_run: z.boolean().default(false).describe('Only say what would be read.'),
  },
  output: {
    source: z.enum(['admin', 'local']),
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
      return { source, ...(await run.within(WAIT_MS)), as_of: isoTime(app.clock.now()) }
    }
    const { startSync } = await import('../src/jobs/sync-request.ts')
    const run = await startSync(app, { provider, since, dry_run, progress })
    const outcome = await run.within(WAIT_MS)
    return { source, ...outcome, as_of: isoTime(app.clock.now()) }
  },
  text({ source, state, rows, connections, failures }) {
    const names = connections.join(', ')
    const heads = source === 'local' ? localHeads(names, rows) : adminHeads(names, rows)
    return [heads[state], ...failures.map((failure) => `Problem: ${failure}`)].join('\n')
  },
})

function adminHeads(names: string, rows: number) {
  return {
    done: `Synced ${names}: ${rows} rows read.`,
    failed: `Synced ${names} with problems: ${rows} rows read.`,
    running: `The sync of ${names} goes on in the background; ${rows} rows so far.`,
    nothing_connected:
      'No provider is connected. Call connect_provider, or run: outlay connect <provider>.',
    dry_run: `Would read ${names || 'nothing: no provider is connected'}.`,
  }
}

function localHeads(names: string, rows: number) {
  return {
    done: `Read the session logs of ${names}: ${rows} requests recorded or updated.`,
    failed: `Read the session logs of ${names} with problems.`,
    running: `The import of ${names} goes on in the background.`,
    nothing_connected:
      'No session logs were found. CLAUDE_CONFIG_DIR, CODEX_HOME and XDG_DATA_HOME say where to look.',
    dry_run: names
      ? `Would record ${rows} requests from the session logs of ${names}.`
      : 'Would read nothing: no session logs were found.',
  }
}

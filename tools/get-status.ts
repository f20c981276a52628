import * as z from 'zod'
import type { StatusReport } from '../src/jobs/status.ts'
import { Facts, Maybe } from '../src/params.ts'
import { defineTool } from '../src/tool.ts'

const Connection = z.object({ streams: z.array(Facts) }).catchall(Maybe)

export default defineTool({
  name: 'get_status',
  title: 'Get status',
  effect: 'read',
  description:
    'Tells what is connected, how far each source has been read, what telemetry arrived, and what to fix. Use it when a figure is missing, old or doubted.',
  input: {},
  output: {
    version: z.string(),
    node: z.string(),
    store: z.object({}).catchall(z.string()),
    owner: z.enum(['this', 'other', 'none']),
    side_port: Maybe,
    connections: z.array(Connection),
    receivers: z.array(Facts),
    problems: z.array(z.string()),
    as_of: z.string(),
  },
  async handle(_, { app }) {
    const { reportStatus } = await import('../src/jobs/status.ts')
    // list_keys names those behind the proxy.
    const { connections, provider_keys: _keys, ...status } = await reportStatus(app)
    type Connections = z.output<typeof Connection>[]
    return { ...status, connections: connections as unknown as Connections }
  },
  text: (status) => formatStatus(status as unknown as StatusReport),
})

function formatStatus(status: StatusReport): string {
  const { version, side_port, owner, connections, receivers, problems } = status
  const lines = [
    `Outlay ${version}; jobs and side port run in ${OWNER[owner]}${side_port ? ` (${side_port})` : ''}.`,
  ]
  for (const one of connections) {
    const reports = one.streams.filter(({ stream }) => stream !== 'directory')
    const through = reports.flatMap(({ read_through }) => read_through ?? []).sort()[0]
    const backfill = Math.min(100, ...reports.map(({ backfill_percent }) => backfill_percent))
    lines.push(
      `- ${one.provider} "${one.name}"${one.organization ? ` (${one.organization})` : ''}, key ${one.key}: ${one.state}` +
        `${through ? `, read through ${through.slice(0, 16)}Z` : ', not read yet'}${backfill < 100 ? `, backfill ${backfill} %` : ''}`,
    )
  }
  for (const one of receivers)
    lines.push(
      `- telemetry ${one.client} ${one.signal}: ${one.accepted} accepted, last ${one.last_received_at}${one.missing ? `; missing: ${one.missing}` : ''}`,
    )
  if (problems.length === 0) lines.push('Nothing to fix.')
  return [...lines, ...problems.map((problem) => `To fix: ${problem}`)].join('\n')
}

const OWNER = {
  this: 'this process',
  other: 'another Outlay process',
  none: 'no process yet',
} as const

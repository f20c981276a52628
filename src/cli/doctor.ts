import { type ReceiverReport, reportStatus } from '../jobs/status.ts'
import type { Command } from './command.ts'

export const doctor: Command = {
  name: 'doctor',
  usage: '[--json]',
  summary: 'What is connected, what arrived last, what is misconfigured and the next step',
  options: { json: { type: 'boolean' } },
  positionals_max: 0,
  async run({ values }, { print, openApp }) {
    const app = await openApp()
    const status = await reportStatus(app)
    if (values['json'] === true) {
      print(JSON.stringify(status, null, 2))
      return status.problems.length > 0 ? 1 : 0
    }
    print(
      `Outlay ${status.version} on Node ${status.node}, store ${status.store.path} (${status.store.driver})`,
    )
    print(`Side port: ${status.side_port ?? (status.owner === 'none' ? 'not running' : 'off')}`)
    for (const one of status.connections) {
      print(
        `\n${one.provider} "${one.name}" ${one.organization ?? ''} key ${one.key}: ${one.state}`,
      )
      for (const stream of one.streams)
        print(
          `  ${stream.stream.padEnd(28)} ${stream.status.padEnd(12)} ${(stream.read_from ?? '–').padEnd(11)}to ${(stream.read_through ?? '–').slice(0, 16)}  backfill ${stream.backfill_percent} %`,
        )
    }
    for (const { provider, name, key } of status.provider_keys)
      print(`\n${provider} "${name}" for the proxy, key ${key}`)
    for (const line of receiverLines(status.receivers)) print(line)
    print(status.problems.length === 0 ? '\nNothing to fix.' : '\nTo fix:')
    for (const problem of status.problems) print(`- ${problem}`)
    return status.problems.length > 0 ? 1 : 0
  },
}

/** What arrived of each client, on which signal and when last. */
function receiverLines(receivers: readonly ReceiverReport[]): string[] {
  return [...Map.groupBy(receivers, ({ client }) => client)].flatMap(([client, signals]) => [
    `\ntelemetry of ${client}`,
    ...signals.map(
      ({ signal, accepted, duplicates, ignored, rejected, last_received_at }) =>
        `  ${signal.padEnd(13)} last ${last_received_at.slice(0, 19)}Z, ${accepted} accepted, ${duplicates} again, ${ignored} of no matter, ${rejected} rejected`,
    ),
    ...signals.flatMap(({ missing }) => (missing ? [`  missing ${missing}`] : [])),
  ])
}

import { messageOf } from '../errors.ts'
import type { Refused as Counted, RefusedKind } from '../ledger/receiver.ts'
import type { Log } from '../log.ts'
import type { Refused } from './route.ts'

const PAUSE_MS = 1_000
/** After these the client sends again, so that nothing is missing. */
const RETRIED = [429, 503]

type Deps = { readonly log: Log; readonly count: (refused: Counted) => Promise<void> }

/**
 * Counts refused requests by kind and exporter. The first of each is written at once, then one write
 * a second: whoever floods the port with nonsense must not make the store busy.
 */
export function createRefusalCounter({ log, count }: Deps): (refused: Refused) => void {
  const held = new Map<string, Counted>()

  function write(refused: Counted): void {
    count(refused).catch((error) =>
      log.warn('a refused request could not be counted', { reason: messageOf(error) }),
    )
  }

  return function onRefused({ signal, status, user_agent }) {
    if (RETRIED.includes(status)) return
    const kind: RefusedKind = signal === 'misdirected' ? signal : `refused_${status}`
    const client = exporterOf(user_agent)
    const key = `${kind} ${client}`
    const before = held.get(key)
    if (before) {
      held.set(key, { ...before, requests: before.requests + 1 })
      return
    }
    held.set(key, { kind, client, requests: 0 })
    write({ kind, client, requests: 1 })
    setTimeout(() => {
      const rest = held.get(key)
      held.delete(key)
      if (rest && rest.requests > 0) write(rest)
    }, PAUSE_MS).unref()
  }
}

/** https://opentelemetry.io/docs/specs/otel/protocol/exporter/#user-agent */
const EXPORTER =
  /\bOTel[- ]OTLP[- ]Exporter[- ](Rust|JavaScript|Python|Go|Java|Dotnet|Ruby|PHP|Cpp|Swift|Erlang)\b/i

/** One of a few names, since what a stranger sends becomes a row. */
function exporterOf(user_agent: string): string {
  const [, language] = EXPORTER.exec(user_agent) ?? []
  if (language) return `OTel-OTLP-Exporter-${language}`
  return /\bopentelemetry[- ]collector/i.test(user_agent) ? 'OpenTelemetry-Collector' : 'unknown'
}

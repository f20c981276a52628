import { DAY_MS, isoTime } from '../clock.ts'
import { listRefused, type RefusedKind } from '../ledger/receiver.ts'
import type { Db } from '../store/schema.ts'

const SHOWN_FOR_MS = 7 * DAY_MS

/** The clients that are built with an exporter, as far as one can tell by its name. */
const CLIENTS: Readonly<Record<string, { readonly hint: string; readonly clients: RegExp }>> = {
  'OTel-OTLP-Exporter-Rust': {
    hint: 'This is probably Codex, whose endpoint must end in /v1/logs. The right lines: outlay env codex.',
    clients: /^codex/,
  },
  'OTel-OTLP-Exporter-JavaScript': {
    hint: 'This is probably Claude Code or Gemini CLI, whose endpoint is the address of the side port alone. The right lines: outlay env claude-code, outlay env gemini-cli.',
    clients: /^(claude|gemini|qwen)/,
  },
}

const ANYBODY = {
  hint: 'Its endpoint must be the address of the side port, alone or with /v1/logs, /v1/metrics or /v1/traces.',
  clients: /(?:)/,
}

const GRPC =
  'came as gRPC, which is not taken; set the client to OTLP over HTTP: OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, in Gemini CLI "otlpProtocol": "http"'

const REASONS: Readonly<Record<string, string>> = {
  misdirected: 'went to a path where none is taken',
  refused_400: 'could not be read',
  refused_401: 'came without a valid access token (make one: outlay tokens create)',
  refused_403: 'came with an access token that lacks the scope "ingest"',
  refused_413: 'were too large',
  refused_415:
    'were of a content type or encoding that OTLP over HTTP does not know; set the exporter to http/protobuf or http/json',
  refused_505: GRPC,
  refused_temporality:
    'did not say whether they count since the last one or since the start, so that they count nothing; set OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta',
  refused_500: 'failed for a defect of Outlay (see its log)',
}

/** Telemetry that knocked and was not let in, until the same client's arrives. */
export async function listRefusalProblems(db: Db, now: number): Promise<string[]> {
  const refused = await listRefused(db)
  if (refused.length === 0) return []
  const arrived = await db
    .selectFrom('receiver')
    .select(['client', 'last_received_at'])
    .where('signal', '<>', 'misdirected')
    .where('signal', 'not like', 'refused%')
    .limit(1_000)
    .execute()
  return refused
    .filter(({ kind, client, last_at }) => {
      const { clients } = CLIENTS[client] ?? ANYBODY
      const isOfSender = (name: string) =>
        kind === 'refused_temporality' ? name === client : clients.test(name)
      const is_cured = arrived.some(
        (one) => isOfSender(one.client) && one.last_received_at > last_at,
      )
      return last_at > now - SHOWN_FOR_MS && !is_cured
    })
    .map((one) => formatProblem(one))
}

type Problem = { kind: RefusedKind; client: string; requests: number; last_at: number }

function formatProblem({ kind, client, requests, last_at }: Problem): string {
  const who = client === 'unknown' ? 'an unknown client' : client
  const noun = kind === 'refused_temporality' ? 'data point' : 'telemetry request'
  const what = `${requests} ${noun}${requests === 1 ? '' : 's'} from ${who}`
  const why = `${what} ${REASONS[kind] ?? 'were refused'}, last at ${isoTime(last_at)}.`
  return kind === 'misdirected' ? `${why} ${(CLIENTS[client] ?? ANYBODY).hint}` : why
}

import type { App } from '../app.ts'
import type { ImportResult } from '../local/import.ts'
import { findClients, importLogs } from './import.ts'
import type { SyncAnswer, SyncAsked, SyncHandle } from './sync-request.ts'

/**
 * Starts a local import that a person asked for. It outlives the call that asked.
 * @throws UserError for an unknown client.
 */
export function startImport(
  app: App,
  asked: Pick<SyncAsked, 'progress' | 'dry_run'> & { readonly client: string | undefined },
): SyncHandle {
  const clients = findClients(asked.client).map(({ id }) => logsOf(id))
  let is_waiting = true
  const answer = importLogs(app, {
    client: asked.client,
    is_dry_run: asked.dry_run ?? false,
    signal: app.closing,
    onProgress(client, done, total) {
      if (is_waiting)
        asked.progress?.(done, total, `${client}: ${done} of ${total} files`).catch(() => {})
    },
  }).then((results) => answerOf(results, asked.dry_run ?? false))
  answer.catch(() => {})
  return {
    async within(wait_ms) {
      const timeout = app.clock
        .sleep(wait_ms, app.closing)
        .then((): SyncAnswer => ({ state: 'running', rows: 0, connections: clients, failures: [] }))
      try {
        return await Promise.race([answer, timeout])
      } finally {
        is_waiting = false
      }
    },
  }
}

const NOTHING_FOUND =
  'no session logs were found; CLAUDE_CONFIG_DIR, CODEX_HOME and XDG_DATA_HOME say where to look'

function logsOf(client: string): string {
  return `logs of ${client}`
}

function answerOf(results: readonly ImportResult[], is_dry_run: boolean): SyncAnswer {
  const found = results.filter(({ files }) => files > 0)
  const failures = found.flatMap(({ client, files_failed, rejected_lines }) => [
    ...(files_failed > 0 ? [`${client}: ${files_failed} files could not be opened`] : []),
    ...(rejected_lines > 0 ? [`${client}: ${rejected_lines} lines could not be read`] : []),
  ])
  if (found.length === 0)
    return { state: 'nothing_connected', rows: 0, connections: [], failures: [NOTHING_FOUND] }
  return {
    state: is_dry_run ? 'dry_run' : 'done',
    rows: found.reduce((sum, one) => sum + one.requests + one.requests_revised, 0),
    connections: found.map(({ client }) => logsOf(client)),
    failures,
  }
}

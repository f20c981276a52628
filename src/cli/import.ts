import { findClients, importLogs, listLogFiles } from '../jobs/import.ts'
import { CLIENT_IDS } from '../local/client.ts'
import type { ImportResult } from '../local/import.ts'
import { type Command, type CommandContext, UsageError } from './command.ts'

/** Command name: `import` is a word of the language. */
export const importCommand: Command = {
  name: 'import',
  usage: `[${CLIENT_IDS.join('|')}|all] [--dry-run] [--list-files] [--json]`,
  summary:
    'Read the session logs of coding assistants on this machine, and follow them from then on',
  options: {
    'dry-run': { type: 'boolean' },
    'list-files': { type: 'boolean' },
    json: { type: 'boolean' },
  },
  positionals_max: 1,
  async run({ positionals: [client], values }, context) {
    const is_json = values['json'] === true
    refuseUnknown(client)
    if (values['list-files'] === true) return listFiles(client, is_json, context)
    const is_dry_run = values['dry-run'] === true
    const app = await context.openApp()
    const { stopping } = context.process
    const signal = AbortSignal.any([stopping, app.closing])
    const results = await importLogs(app, { client, is_dry_run, signal, ...progress(context) })
    if (is_json) context.print(JSON.stringify({ dry_run: is_dry_run, clients: results }, null, 2))
    else for (const result of results) context.print(describe(result, is_dry_run))
    if (!is_json) context.print(closing(results, is_dry_run))
    return results.some(({ files_failed }) => files_failed > 0) ? 1 : 0
  },
}

function refuseUnknown(client: string | undefined): void {
  try {
    findClients(client)
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : 'unknown client', {
      cause: error,
    })
  }
}

/** The one place that shows paths: to the person who asks, and to nobody else. */
async function listFiles(
  client: string | undefined,
  is_json: boolean,
  { openApp, print, process }: CommandContext,
): Promise<number> {
  const lists = await listLogFiles(await openApp(), { client, signal: process.stopping })
  if (is_json) {
    const rows = lists.flatMap(({ client, files }) =>
      files.map(({ path, size }) => ({ client, path, bytes: size })),
    )
    print(JSON.stringify(rows, null, 2))
    return 0
  }
  for (const { client, files } of lists) {
    print(`${client}: ${files.length} files`)
    for (const { path, size } of files) print(`  ${path} (${size} bytes)`)
  }
  return 0
}

const LINE_WIDTH = 60

/** One line that is rewritten on a terminal, nothing in a log file. */
function progress({ process: { stderr } }: CommandContext) {
  if (!stderr.isTTY) return {}
  return {
    onProgress(client: string, done: number, total: number) {
      const text = done < total ? `${client}: ${done} of ${total} files` : ''
      stderr.write(`\r${text.padEnd(LINE_WIDTH)}${text ? '' : '\r'}`)
    },
  }
}

function describe(result: ImportResult, is_dry_run: boolean): string {
  const { client, files, files_read, requests, requests_revised, repeats } = result
  if (files === 0) return `${client}: no session logs found.`
  const parts = [
    `${client}: ${requests} requests ${is_dry_run ? 'would be recorded' : 'recorded'}`,
    requests_revised > 0 && `${requests_revised} known ones updated`,
    repeats > 0 && `${repeats} repeats left out`,
    `${files_read} of ${files} files read`,
    result.rejected_lines > 0 && `${result.rejected_lines} lines could not be read`,
    result.files_failed > 0 && `${result.files_failed} files could not be opened`,
  ]
  return `${parts.filter(Boolean).join(', ')}.`
}

function closing(results: readonly ImportResult[], is_dry_run: boolean): string {
  const found = results.filter(({ files }) => files > 0)
  if (found.length === 0)
    return 'Nothing to read. CLAUDE_CONFIG_DIR, CODEX_HOME, GEMINI_CLI_HOME and XDG_DATA_HOME say where to look.'
  if (is_dry_run) return 'Nothing was stored.'
  return 'A running Outlay follows these folders from now on. Assistants delete old logs, so what was deleted before is not in the figures.'
}

import { countReceived } from '../ledger/receiver.ts'
import { type Counts, type ImportDeps, noCounts } from './book.ts'
import type { ClientId, LocalClient, LogFile } from './client.ts'
import { importFile } from './file.ts'
import { followClient } from './position.ts'
import { listFiles } from './walk.ts'

export type ImportResult = Readonly<Counts> & { readonly client: ClientId }

/**
 * Reads what is new in a client's files into the ledger. Killed anywhere, it goes on where it was:
 * a file's position is stored after its events, and events that are there already change nothing.
 */
export async function importClient(
  deps: ImportDeps,
  client: LocalClient,
  onFile: (done: number, total: number) => void = () => {},
): Promise<ImportResult> {
  const counts = noCounts()
  const files = await listClientFiles(deps, client)
  counts.files = files.length
  for (const [i, file] of files.entries()) {
    deps.signal.throwIfAborted()
    await importOne(deps, client, file, counts)
    onFile(i + 1, files.length)
  }
  await noteImport(deps, client.id, counts)
  return { client: client.id, ...counts }
}

/** What came in is told beside what other sources sent; a look that found nothing new is not worth it. */
async function noteImport(deps: ImportDeps, client: ClientId, counts: Counts): Promise<void> {
  const { requests, requests_revised, repeats, rejected_lines } = counts
  const accepted = requests + requests_revised
  if (accepted + repeats + rejected_lines > 0)
    await countReceived(
      deps.db,
      {
        signal: 'session_logs',
        client,
        accepted,
        duplicates: repeats,
        ignored: 0,
        rejected: rejected_lines,
      },
      deps.now(),
    )
  await followClient(deps.db, client, deps.wallNow())
}

export async function listClientFiles(
  { env, signal }: Pick<ImportDeps, 'env' | 'signal'>,
  client: LocalClient,
): Promise<LogFile[]> {
  return listFiles(client, client.folders(env), signal)
}

/** A file that went away or cannot be opened keeps no other from being read. */
async function importOne(
  deps: ImportDeps,
  client: LocalClient,
  file: LogFile,
  counts: Counts,
): Promise<void> {
  try {
    await importFile(deps, client, file, counts)
  } catch (error) {
    if (!isFileError(error)) throw error
    counts.files_failed += 1
  }
}

const FILE_ERRORS = ['ENOENT', 'EACCES', 'EPERM', 'EISDIR', 'EBUSY', 'EIO', 'ELOOP', 'ENOTDIR']

function isFileError(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? ''
  return FILE_ERRORS.includes(code) || /^(?:ZSTD_|Z_|ERR_SQLITE_|ERR_ZSTD)/.test(code)
}

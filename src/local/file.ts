import { type FileHandle, open } from 'node:fs/promises'
import { pipeline } from 'node:stream'
import { createZstdDecompress } from 'node:zlib'
import type { UsageEvent } from '../ledger/event.ts'
import { bookEvents, type Counts, type ImportDeps } from './book.ts'
import type { LocalClient, LogFile, LogReader } from './client.ts'
import { listMessages } from './database.ts'
import { fieldsOf, instantOf, parseFields } from './fields.ts'
import { LINE_BYTES_MAX, readLines } from './lines.ts'
import {
  findPosition,
  fingerprintOf,
  isUnchanged,
  listInherited,
  type Position,
  savePosition,
} from './position.ts'
import { nameProject } from './project.ts'

/** Events are booked in batches, so that a file of any size needs little memory. */
const BATCH_MAX = 500
const READ_BYTES = 256 * 2 ** 10

type Reading = {
  readonly deps: ImportDeps
  readonly client: LocalClient
  readonly file: LogFile
  readonly counts: Counts
  readonly known: Position | undefined
}

/** Reads what is new in one file. */
export async function importFile(
  deps: ImportDeps,
  client: LocalClient,
  file: LogFile,
  counts: Counts,
): Promise<void> {
  const known = await findPosition(deps.db, file.path)
  const reading = { deps, client, file, counts, known }
  // A database can change in its log alone; asking it is cheap.
  if (file.format === 'database') return importDatabase(reading)
  if (isUnchanged(file, known)) return
  counts.files_read += 1
  const handle = await open(file.path, 'r')
  try {
    if (file.format === 'document') return await importDocument(reading, handle)
    const goes_on = known !== undefined && (await canContinue(handle, file, known))
    await importLines(goes_on ? reading : { ...reading, known: undefined }, handle)
  } finally {
    await handle.close()
  }
}

/** Only a file that grew and still begins as it did is read on; any other is read anew. */
async function canContinue(handle: FileHandle, file: LogFile, known: Position): Promise<boolean> {
  if (isCompressed(file) || file.size <= known.size) return false
  return (await fingerprintOf(handle, known.read_to)) === known.fingerprint
}

async function importLines(reading: Reading, handle: FileHandle): Promise<void> {
  const { deps, file, counts, known } = reading
  const reader = openReader(reading)
  const start = known?.read_to ?? 0
  let read_to = start
  let events: UsageEvent[] = []
  const save = async (to: number, state: string) => {
    await bookEvents(deps, events, counts)
    events = []
    // A compressed file cannot be read on from within: its position is that of its end.
    if (!isCompressed(file) || to === file.size)
      await storePosition(reading, reader, { handle, read_to: to, state })
  }
  const lines_of = readLines(openChunks(file, handle, start), start, deps.line_bytes_max)
  for await (const lines of lines_of) {
    deps.signal.throwIfAborted()
    for (const { bytes, end, is_last } of lines) {
      const is_full = events.length >= BATCH_MAX
      const state = is_full ? stateOf(reader) : ''
      const found = await readLine(reader, bytes, is_last)
      // A line without an end is left for the next time, unless it is whole already.
      if (is_last && found === null) break
      // Cut between requests, so that what a request says line by line is booked in one.
      if (is_full && isAnother(found, events)) await save(isCompressed(file) ? 0 : read_to, state)
      read_to = end
      if (found === null) counts.rejected_lines += 1
      else events.push(...found)
    }
  }
  await save(isCompressed(file) ? file.size : read_to, stateOf(reader))
}

function isAnother(found: readonly UsageEvent[] | null, events: readonly UsageEvent[]): boolean {
  const [next] = found ?? []
  return next !== undefined && next.id !== events.at(-1)?.id
}

/** Plain text, since a reader goes on changing its state. */
function stateOf(reader: LogReader): string {
  return JSON.stringify(reader.state())
}

async function readLine(reader: LogReader, bytes: Buffer | undefined, is_last: boolean) {
  if (bytes === undefined) return null
  if (bytes.length === 0 || (!is_last && !reader.matters(bytes))) return []
  const value = parseFields(bytes.toString('utf8'))
  return value === undefined ? null : reader.read(value)
}

function isCompressed({ name }: LogFile): boolean {
  return name.endsWith('.zst')
}

/** The bytes up to where the file ended when it was found, so that a growing file has an end too. */
function openChunks(file: LogFile, handle: FileHandle, start: number): AsyncIterable<Buffer> {
  if (file.size <= start) return (async function* () {})()
  const bytes = handle.createReadStream({
    start,
    end: file.size - 1,
    autoClose: false,
    highWaterMark: READ_BYTES,
  })
  return isCompressed(file) ? pipeline(bytes, createZstdDecompress(), () => {}) : bytes
}

/** One that cannot be read is being written; it is read again when it has changed. */
async function importDocument(reading: Reading, handle: FileHandle): Promise<void> {
  const { deps, file, counts } = reading
  const reader = openReader({ ...reading, known: undefined })
  const is_too_long = file.size > (deps.line_bytes_max ?? LINE_BYTES_MAX)
  const text = is_too_long ? '' : (await handle.readFile()).toString('utf8')
  const value = parseFields(text)
  const found = value === undefined ? null : await reader.read(value)
  if (found === null) counts.rejected_lines += 1
  else await bookEvents(deps, found, counts)
  await storePosition(reading, reader, { handle, read_to: 0, state: stateOf(reader) })
}

async function importDatabase(reading: Reading): Promise<void> {
  const { deps, file, counts, known } = reading
  const reader = openReader(reading)
  const seen = parseFields(known?.state ?? '{}')
  let updated_at = instantOf(seen?.['updated_at']) ?? 0
  let events: UsageEvent[] = []
  let rows = 0
  const save = async () => {
    await bookEvents(deps, events, counts)
    events = []
    await storePosition(reading, reader, { state: JSON.stringify({ updated_at }), read_to: 0 })
  }
  // Messages of the last instant are read again: more of them may have come.
  for await (const { message, session_id, at } of listMessages(file, updated_at - 1)) {
    deps.signal.throwIfAborted()
    rows += 1
    updated_at = at
    const value = parseFields(message)
    const found = value ? await reader.read({ sessionID: session_id, ...value }) : null
    if (found === null) counts.rejected_lines += 1
    else events.push(...found)
    if (events.length >= BATCH_MAX) await save()
  }
  if (rows > 0) counts.files_read += 1
  await save()
}

function openReader({ deps, client, file, known }: Reading): LogReader {
  return client.open({
    file,
    state: known ? fieldsOf(JSON.parse(known.state)) : undefined,
    billing_mode: deps.billingMode(client.id),
    project: (folder) => nameProject(deps.project_names, folder),
    listInherited: (id, until) => listInherited(deps.db, client.id, { id, until }),
  })
}

async function storePosition(
  { deps, client, file }: Reading,
  { session_id, parent_session_id }: LogReader,
  read: { readonly handle?: FileHandle; readonly read_to: number; readonly state: string },
): Promise<void> {
  const { size, mtime_ms, path } = file
  const { handle, read_to, state } = read
  const fingerprint = handle ? await fingerprintOf(handle, read_to) : ''
  await savePosition(
    deps.db,
    { client: client.id, path, read_at: deps.now() },
    { size, mtime_ms, read_to, fingerprint, session_id, parent_session_id, state },
  )
}

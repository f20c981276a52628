import type { FileHandle } from 'node:fs/promises'
import { sha256 } from '../ids.ts'
import { listEntryIds } from '../ledger/replacement.ts'
import type { Db } from '../store/schema.ts'
import type { ClientId, Inherited, LogFile } from './client.ts'

/** How far a file was read. The file is known by a hash of its path. */
export type Position = {
  readonly size: number
  readonly mtime_ms: number
  readonly read_to: number
  /** Of the first bytes and of the last ones that were read: other bytes are another file. */
  readonly fingerprint: string
  readonly session_id: string | null
  readonly parent_session_id: string | null
  readonly state: string
}

export async function findPosition(db: Db, path: string): Promise<Position | undefined> {
  return db
    .selectFrom('local_file')
    .select([
      'size',
      'mtime_ms',
      'read_to',
      'fingerprint',
      'session_id',
      'parent_session_id',
      'state',
    ])
    .where('path_hash', '=', hashPath(path))
    .executeTakeFirst()
}

export async function savePosition(
  db: Db,
  file: { readonly client: ClientId; readonly path: string; readonly read_at: number },
  position: Position,
): Promise<void> {
  const { client, path, read_at } = file
  const row = { client, read_at, ...position }
  await db
    .insertInto('local_file')
    .values({ path_hash: hashPath(path), ...row })
    .onConflict((conflict) => conflict.column('path_hash').doUpdateSet(row))
    .execute()
}

function hashPath(path: string): string {
  return sha256('path', path)
}

const HEAD_BYTES = 1_024
const TAIL_BYTES = 256

/** Tells whether what was read of a file up to an offset is still there. */
export async function fingerprintOf(handle: FileHandle, read_to: number): Promise<string> {
  const head = await readAt(handle, 0, Math.min(HEAD_BYTES, read_to))
  const tail_bytes = Math.min(TAIL_BYTES, read_to)
  const tail = await readAt(handle, read_to - tail_bytes, tail_bytes)
  return sha256(head.toString('latin1'), tail.toString('latin1'))
}

async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, position)
  return buffer.subarray(0, bytesRead)
}

/** Whether nothing happened to the file since it was read to its end. */
export function isUnchanged(file: LogFile, position: Position | undefined): boolean {
  return position?.size === file.size && position.mtime_ms === file.mtime_ms
}

const ANCESTORS_MAX = 16

/** What is booked, up to an instant, of a session and of those that it was forked from. */
export async function listInherited(
  db: Db,
  client: ClientId,
  session: { readonly id: string; readonly until: number },
): Promise<Inherited> {
  const session_ids: string[] = []
  let next: string | null = session.id
  while (next !== null && !session_ids.includes(next) && session_ids.length < ANCESTORS_MAX) {
    session_ids.push(next)
    const row: { parent_session_id: string | null } | undefined = await db
      .selectFrom('local_file')
      .select('parent_session_id')
      .where('client', '=', client)
      .where('session_id', '=', next)
      .limit(1)
      .executeTakeFirst()
    next = row?.parent_session_id ?? null
  }
  return { session_ids, entry_ids: await listEntryIds(db, session_ids, session.until) }
}

/** Clients whose folders are followed, since a person asked for a first import. */
export async function listFollowed(db: Db) {
  return db.selectFrom('local_client').selectAll().orderBy('client').execute()
}

export async function followClient(db: Db, client: ClientId, at: number): Promise<void> {
  await db
    .insertInto('local_client')
    .values({ client, followed_since: at, looked_at: at })
    .onConflict((conflict) => conflict.column('client').doUpdateSet({ looked_at: at }))
    .execute()
}

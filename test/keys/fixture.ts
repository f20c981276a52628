import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { NewConnection } from '../../src/keys/connection.ts'
import { openSealer, type Sealer } from '../../src/keys/seal.ts'
import { Secret } from '../../src/secret.ts'
import { openStore } from '../../src/store/open.ts'
import type { Db } from '../../src/store/schema.ts'

export const NOW = Date.UTC(2026, 10, 24, 10)

/** Shaped like a provider's key: a known prefix, then text that is random enough. */
export const KEY = 'sk-ant-admin01-Zk3vQ8mT1xW5rB9nL2pD7cH4jF6sG0yUeVaIoXqR9QAA'
export const OTHER_KEY = 'sk-ant-admin01-Mn4bV7cX2zL9kJ6hG3fD8sA1qW5eR0tYuIoPlKjH3wAA'

export type KeyStore = { db: Db; sealer: Sealer; folder: string; file: string; key_file: string }

/** A store on disk with a sealer beside it, both gone after the test. */
export async function openKeyStore(): Promise<KeyStore> {
  const folder = temporaryFolder()
  const file = join(folder, 'outlay.db')
  const key_file = join(folder, 'home', 'master.key')
  const store = await openStore({ path: file, driver: 'better-sqlite3', now: NOW })
  onTestFinished(() => store.close())
  return { db: store.db, sealer: openSealer({ master_key_file: key_file }), folder, file, key_file }
}

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'outlay-keys-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export function connection(given: Partial<NewConnection> = {}): NewConnection {
  return {
    provider: 'anthropic',
    base_url: null,
    key: new Secret(KEY),
    organization: { id: 'org_1', name: 'Acme' },
    at: NOW,
    actor: 'test',
    ...given,
  }
}

export async function addStream(db: Db, connection_id: string): Promise<void> {
  await db
    .insertInto('sync_stream')
    .values({
      connection_id,
      stream: 'cost',
      view: 'cost',
      settle_ms: 0,
      backfill_from: 0,
      status: 'auth_failed',
      problem: 'The key was refused.',
      failures: 3,
      next_due_at: NOW + 1_000,
    })
    .execute()
}

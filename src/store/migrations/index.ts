import type { Kysely } from 'kysely'
import { up as foundation } from './0001-foundation.ts'
import { up as proxy } from './0004-proxy.ts'

export type Migration = { readonly name: string; up(db: Kysely<unknown>): Promise<void> }

/** In order. Never edited after a release; new ones go to the end. */
export const migrations: readonly Migration[] = [
  { name: '0001-foundation', up: foundation },
  { name: '0004-proxy', up: proxy },
]

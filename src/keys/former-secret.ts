import type { WrappedKeyTable } from '../store/budget-tables.ts'

type Columns = Pick<WrappedKeyTable, 'former_hash' | 'former_until'>
type FormerSecret = { readonly hash: string; readonly until: number }

const FORMER_MAX = 10

/** Those before the last rotations, the newest first; a hash without its own end goes by `former_until`. */
export function formerSecrets({ former_hash, former_until }: Columns): FormerSecret[] {
  return (former_hash ?? '').split(' ').flatMap((text) => {
    const [hash, until = former_until ?? 0] = text.split('@')
    return hash ? [{ hash, until: Number(until) }] : []
  })
}

/**
 * The secret that is replaced, and what is still good of those before it: who rotates again has perhaps
 * lost the new one, and clients have an older.
 */
export function keepFormer(
  row: Columns & Pick<WrappedKeyTable, 'secret_hash'>,
  { grace_ms, at }: { grace_ms: number; at: number },
): Columns {
  const end = at + grace_ms
  const former = [{ hash: row.secret_hash, until: end }, ...formerSecrets(row)]
    .map(({ hash, until }) => ({ hash, until: Math.min(until, end) }))
    .filter(({ until }) => until > at)
    .slice(0, FORMER_MAX)
  if (former.length === 0) return { former_hash: null, former_until: null }
  return {
    former_hash: former.map(({ hash, until }) => `${hash}@${until}`).join(' '),
    former_until: end,
  }
}

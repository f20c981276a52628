import type { ColumnType } from 'kysely'

/** Selected only through a cast to text. */
export type NanosColumn<Null = never> = ColumnType<never, bigint | Null, bigint | Null>

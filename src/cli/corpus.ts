import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/**
 * One small situation with a known truth. Lines and bodies are made up in the clients' formats; the
 * truth was worked out by hand from published prices, as `worked` shows.
 */
export type CorpusCase = {
  readonly name: string
  readonly client: string
  readonly why: string
  readonly steps: readonly Step[]
  readonly worked: string
  readonly truth: Figures
}

/** Values of a file are JSON lines; a text is written as it is. */
type Files = Readonly<Record<string, readonly unknown[]>>

export type Step =
  | { readonly write: Files }
  | { readonly append: Files }
  | { readonly remove: readonly string[] }
  | { readonly import: true }
  | { readonly post: string; readonly body: unknown; readonly times?: number }
  | { readonly wait_s: number }

/** What an answer is made of. Input has the cached and the written tokens in it. */
export type Figures = {
  /** Null where the source does not count requests. */
  readonly requests: number | null
  readonly input_tokens: number
  readonly cached_input_tokens: number
  readonly cache_write_tokens: number
  readonly output_tokens: number
  readonly unpriced_requests: number
  readonly cost_usd: string
}

const FOLDER = join(import.meta.dirname, '../corpus')

export function loadCorpus(): CorpusCase[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .flatMap((name) => {
      const { cases } = JSON.parse(readFileSync(join(FOLDER, name), 'utf8')) as {
        cases: CorpusCase[]
      }
      return cases
    })
}

/** How a file step's values stand in the file. */
export function fileText(values: readonly unknown[]): string {
  return values
    .map((value) => (typeof value === 'string' ? value : `${JSON.stringify(value)}\n`))
    .join('')
}

/** The files of a step, each with its folder, so that a peer can be given the same ones. */
export function listStepFiles(home: string, files: Files) {
  return Object.entries(files).map(([name, values]) => {
    const path = join(home, name)
    return { path, folder: dirname(path), text: fileText(values) }
  })
}

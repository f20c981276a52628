import type * as z from 'zod'
import type { App } from './app.ts'

/** Where a call came from and what its client can do. */
export type Call = {
  readonly app: App
  /** `local` over stdio, else the access token's name; written into the audit. */
  readonly actor: string
  readonly signal: AbortSignal
  /** Present when the caller asked for progress. */
  progress?(done: number, total: number | undefined, message: string): Promise<void>
  /** Present when the client can open a page for the person; gives what the person did. */
  readonly url_answer?: 'accept' | 'decline' | 'cancel' | undefined
  readonly can_open_url: boolean
}

/** Asks the person to open a page; the client calls again with the answer. */
export type OpenUrl = { readonly open_url: { readonly message: string; readonly url: string } }

type Fields = z.ZodRawShape
type Data<Shape extends Fields> = z.output<z.ZodObject<Shape>>
type Answer<Shape extends Fields> = Frozen<Data<Shape>>
type Frozen<T> = T extends (infer One)[]
  ? readonly Frozen<One>[]
  : T extends object
    ? { readonly [Key in keyof T]: Frozen<T[Key]> }
    : T

/**
 * One question or action. `read` only looks; `write` adds or changes; `delete` also destroys. A tool is
 * `open_world` when it reaches a provider. `handle` gives data; `text` says the same to a person.
 */
export type Tool<Input extends Fields = Fields, Output extends Fields = Fields> = {
  readonly name: string
  readonly title: string
  readonly effect: 'read' | 'write' | 'delete'
  readonly open_world?: boolean
  readonly description: string
  readonly input: Input
  readonly output: Output
  handle(args: Data<Input>, call: Call): Promise<Answer<Output> | OpenUrl>
  text(data: Answer<Output>): string
}

export function defineTool<Input extends Fields, Output extends Fields>(
  tool: Tool<Input, Output>,
): Tool {
  return tool as unknown as Tool
}

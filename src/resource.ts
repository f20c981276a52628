import type { App } from './app.ts'

/** Something to read by name. Everything a resource says, a tool can say too. */
export type Resource = {
  readonly name: string
  readonly title: string
  readonly description: string
  /** A fixed URI, or a template with one `{variable}`. */
  readonly uri: string
  readonly mime_type: string
  /** Known values of the variable, for completion. */
  readonly values?: readonly string[]
  read(value: string, app: App): Promise<string>
}

export function defineResource(resource: Resource): Resource {
  return resource
}

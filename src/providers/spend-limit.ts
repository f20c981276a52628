import { request } from 'undici'
import { UserError } from '../errors.ts'
import type { AdminApi } from './provider.ts'

/** A provider's own monthly limit, of an organisation or of one workspace of it, in cents. */
export type SpendLimitApi = {
  /** What a workspace is called there. */
  readonly workspace_word: string
  /** What must be true before the provider takes a limit by its API, for people. */
  readonly needs: string
  read(send: Send, workspace: string | null): Promise<number | null>
  write(send: Send, workspace: string | null, cents: number): Promise<void>
  remove(send: Send, workspace: string | null): Promise<void>
}

/** One request below the admin base URL; null where there is no such thing. */
export type Send = (given: {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: object
}) => Promise<unknown>

const TIMEOUT_MS = 20_000

/** The only way in which Outlay changes anything at a provider. @throws UserError in our words. */
export function createSend(
  { title, admin, needs }: { title: string; admin: AdminApi; needs: string },
  base_url: string,
  key: string,
): Send {
  return async ({ method, path, headers, body }) => {
    let status: number
    let text: string
    try {
      const response = await request(base_url.replace(/\/+$/, '') + path, {
        method,
        headers: {
          accept: 'application/json',
          ...(body ? { 'content-type': 'application/json' } : {}),
          ...admin.headers(key),
          ...headers,
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      })
      status = response.statusCode
      text = await response.body.text()
    } catch (error) {
      throw new UserError(`${title} could not be reached.`, { cause: error })
    }
    if (status === 404 && method !== 'POST') return null
    if (status >= 400) throw new UserError(`${title} answered ${status}. ${needs}`)
    try {
      return JSON.parse(text)
    } catch {
      throw new UserError(`${title} sent an answer that is not JSON.`)
    }
  }
}

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { UserError } from '../errors.ts'

const BillingMode = z.enum(['api', 'subscription'])
const Rule = z.strictObject({ billing_mode: BillingMode })

/** `telemetry.json` in OUTLAY_HOME. Tokens by name or id, clients and organisations by id. */
export const TelemetryPolicy = z.strictObject({
  clients: z.record(z.string(), Rule).default({}),
  organizations: z.record(z.string(), Rule).default({}),
  tokens: z
    .record(
      z.string(),
      z.strictObject({
        billing_mode: BillingMode.optional(),
        /** Whose use it is, whatever the telemetry says. */
        user: z.string().min(1).max(256).optional(),
        tags: z.record(z.string().regex(/^[\w.-]{1,64}$/), z.string().max(256)).default({}),
      }),
    )
    .default({}),
})

export type TelemetryPolicy = z.output<typeof TelemetryPolicy>

export const NO_POLICY: TelemetryPolicy = TelemetryPolicy.parse({})

const POLICY_FILE = 'telemetry.json'

/**
 * Reads `telemetry.json` in OUTLAY_HOME, once; a missing one says nothing.
 * @throws UserError, each time, while the file is not valid: what it would have said is not guessed.
 */
export function createPolicy(home: string): () => Promise<TelemetryPolicy> {
  let known: TelemetryPolicy | undefined
  return async () => {
    if (known) return known
    const path = join(home, POLICY_FILE)
    const text = await readFile(path, 'utf8').catch(() => undefined)
    known = text === undefined ? NO_POLICY : parsePolicy(text, path)
    return known
  }
}

/** @throws UserError that names the place in the file. */
export function parsePolicy(text: string, path: string): TelemetryPolicy {
  const result = TelemetryPolicy.safeParse(parseJson(text, path))
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw new UserError(`${path}: ${issue?.path.join('.') || 'the file'}: ${issue?.message}.`)
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new UserError(`${path} is not valid JSON.`)
  }
}

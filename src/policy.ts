import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { UserError } from './errors.ts'

export const BillingMode = z.enum(['api', 'subscription'])
export type BillingMode = z.output<typeof BillingMode>

const Rule = z.strictObject({ billing_mode: BillingMode })

/**
 * `telemetry.json` in OUTLAY_HOME: how use is attributed and billed, whether telemetry or a session log
 * tells of it. Tokens by name or id, clients and organisations by id.
 */
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

/** Whose use it is, as far as its source knows. */
type Payer = {
  readonly token?: BillingMode | undefined
  readonly organization?: string | undefined
  readonly client: string | null
}

/** The user's own word on who pays: that of the token, else of the organisation, else of the client. */
export function findBillingRule(
  { organizations, clients }: TelemetryPolicy,
  { token, organization, client }: Payer,
): BillingMode | undefined {
  return (
    token ??
    own(organizations, organization ?? '')?.billing_mode ??
    own(clients, client ?? '')?.billing_mode
  )
}

function own<Value>(record: Readonly<Record<string, Value>>, key: string): Value | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined
}

const POLICY_FILE = 'telemetry.json'

/**
 * Reads `telemetry.json` in OUTLAY_HOME; a missing one says nothing.
 * @throws UserError while the file cannot be read or is not valid: what it would have said is not guessed.
 */
export async function readPolicy(home: string): Promise<TelemetryPolicy> {
  const path = join(home, POLICY_FILE)
  try {
    return parsePolicy(await readFile(path, 'utf8'), path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return NO_POLICY
    throw error instanceof UserError ? error : new UserError(`${path} cannot be read (${code}).`)
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

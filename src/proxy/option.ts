import type { Prepared } from './prepare.ts'
import type { UpstreamDeps } from './upstream.ts'

/**
 * Whether a server does not know the usage option that the proxy put in. The official ones do; what they
 * refuse is the client's own.
 */
export function isOptionRefused(
  { providers }: Pick<UpstreamDeps, 'providers'>,
  { adds_usage, target, body }: Prepared,
  { status, text }: { status: number; text: string },
): boolean {
  if (!adds_usage || status !== 400 || !text.includes('stream_options')) return false
  const is_official = providers.some(({ id }) => id === target.provider)
  return !is_official && body.value['stream_options'] === undefined
}

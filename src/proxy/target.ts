import type { PathParams, Route, Surface, Wire } from '../providers/wire.ts'

/** Where a request is to go, read from its path below the mount. */
export type Target = {
  readonly provider: string
  readonly wire: Wire
  readonly surface: Surface
  /** Below the base URL, with what clients get wrong put right; still percent-encoded. */
  readonly path: string
  /** With its `?`, or empty. */
  readonly query: string
  readonly is_root: boolean
}

export const PROXY_MOUNT = '/proxy/'
const COMPAT = 'compat'

export type MountPath = {
  readonly mount: string
  /** The connection's name, on the mount of OpenAI-compatible servers. */
  readonly name: string | null
  readonly path: string
  readonly query: string
}

/** `/proxy/openai/v1/models?x=1` → openai, `/v1/models`, `?x=1`; undefined for what is no mount. */
export function splitMount(url: string): MountPath | undefined {
  if (!url.startsWith(PROXY_MOUNT)) return undefined
  const at = url.indexOf('?')
  const whole = at < 0 ? url : url.slice(0, at)
  const query = at < 0 ? '' : url.slice(at)
  const [mount, path] = cutSegment(whole, PROXY_MOUNT.length)
  if (mount !== COMPAT) return { mount, name: null, path, query }
  const [name, below] = cutSegment(path, 1)
  return /^[\w.-]{1,100}$/.test(name) ? { mount, name, path: below, query } : undefined
}

/** The segment that begins at a position, and the path after it, which is `/` where nothing is. */
function cutSegment(path: string, start: number): [segment: string, rest: string] {
  const end = path.indexOf('/', start)
  return end < 0 ? [path.slice(start), '/'] : [path.slice(start, end), path.slice(end)]
}

export function createTarget(provider: string, wire: Wire, at: MountPath): Target | undefined {
  const surface = wire.surfaces.find(
    ({ prefix }) => prefix === '/' || at.path === prefix || at.path.startsWith(`${prefix}/`),
  )
  if (!surface) return undefined
  const path = surface.repairPath(at.path)
  return { provider, wire, surface, path, query: at.query, is_root: path === '/' || path === '' }
}

export type RouteMatch = { readonly route: Route; readonly params: PathParams }

/**
 * The rule for a path. It is matched decoded, as the provider will read it; what climbs or hides in a
 * path matches nothing.
 */
export function findRoute(
  { surface, path }: Pick<Target, 'surface' | 'path'>,
  method: string,
): RouteMatch | undefined {
  const plain = decodePath(path)
  if (plain === undefined) return undefined
  for (const route of surface.routes) {
    if (route.method !== method) continue
    const match = route.path.exec(plain)
    if (match) return { route, params: match.groups ?? {} }
  }
  return undefined
}

function decodePath(path: string): string | undefined {
  if (!/%|\.\.|\/\/|\\/.test(path)) return path
  try {
    const plain = decodeURIComponent(path)
    return /(?:^|\/)\.{1,2}(?:\/|$)|\/\/|[\\\p{Cc}]/u.test(plain) ? undefined : plain
  } catch {
    return undefined
  }
}

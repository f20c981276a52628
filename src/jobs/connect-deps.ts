import type { App } from '../app.ts'
import type { KeyKind } from '../keys/connect-page.ts'
import { getInferenceApi } from '../providers/inference.ts'
import type { Secret } from '../secret.ts'
import { connectProvider } from './connect.ts'
import { connectInference } from './connect-inference.ts'

/** What the connect page says of each kind of key, and what it does with one. */
export function connectDeps(app: App) {
  return {
    db: app.db,
    clock: app.clock,
    describe: ({ provider, kind }: Page) =>
      kind === 'admin' ? describeAdmin(app, provider) : describeInference(provider),
    async connect({ kind, ...given }: Page & { name: string; key: Secret }) {
      const asked = { ...given, actor: 'connect page' }
      if (kind === 'inference') {
        const { connected } = await connectInference(app, asked)
        return { organization_name: null, fingerprint: connected.fingerprint }
      }
      const { organization_name, fingerprint } = await connectProvider(app, asked)
      return { organization_name: organization_name ?? 'Name not given', fingerprint }
    },
  }
}

type Page = { readonly provider: string; readonly kind: KeyKind }

function describeAdmin({ providers }: App, provider: string) {
  const found = providers.find(({ id }) => id === provider)
  if (!found?.admin) return undefined
  return {
    name: found.name,
    ...found.admin.key_help,
    effect: 'will read what your organisation uses and what it costs',
    used_for: `Reading usage, costs and the names of keys and workspaces. Outlay only asks (GET requests); it changes nothing at ${found.name}, unless you have a budget mirrored into its own limit.`,
    done: 'The first sync has begun; the newest days come first.',
  }
}

function describeInference(provider: string) {
  const { name, key_help } = getInferenceApi(provider)
  return {
    name,
    ...key_help,
    note: 'An ordinary key for requests, not an admin key.',
    effect: 'will send on with it what holders of wrapped keys ask for',
    used_for:
      'Requests that come with one of your wrapped keys, within the budgets that you set. Who holds a wrapped key never sees this one.',
    done: 'Now make a wrapped key: ask your assistant for one, or type outlay keys create.',
  }
}

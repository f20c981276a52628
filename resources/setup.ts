import { defineResource } from '../src/resource.ts'
import { SETUPS, setupLines } from '../src/setup.ts'

export default defineResource({
  name: 'setup',
  title: 'Set up',
  description: 'The lines to paste so that a coding assistant sends its usage here; as outlay env.',
  uri: 'outlay://setup/{client}',
  mime_type: 'text/plain',
  values: SETUPS,
  async read(client, app) {
    const { getSidePort } = await import('../src/jobs/proxy-url.ts')
    return setupLines(client, await getSidePort(app))
  },
})

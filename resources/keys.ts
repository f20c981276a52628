import { defineResource } from '../src/resource.ts'

export default defineResource({
  name: 'keys',
  title: 'Wrapped keys',
  description: 'Wrapped keys with their limits, spend and last use; as list_keys.',
  uri: 'outlay://keys',
  mime_type: 'application/json',
  async read(_, app) {
    const { reportKeys } = await import('../src/jobs/key-report.ts')
    return JSON.stringify(await reportKeys(app, { limit: 100, with_revoked: false }), null, 2)
  },
})

import { defineResource } from '../src/resource.ts'

export default defineResource({
  name: 'status',
  title: 'Status',
  description: 'What is connected, how fresh it is and what to fix; as get_status.',
  uri: 'outlay://status',
  mime_type: 'application/json',
  async read(_, app) {
    const { reportStatus } = await import('../src/jobs/status.ts')
    return JSON.stringify(await reportStatus(app), null, 2)
  },
})

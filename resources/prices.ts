import { defineResource } from '../src/resource.ts'

export default defineResource({
  name: 'prices',
  title: 'Prices',
  description: 'List price of a model now; as get_price.',
  uri: 'outlay://prices/{model}',
  mime_type: 'application/json',
  values: [],
  async read(model, app) {
    const { answerPrice } = await import('../src/pricing/answer.ts')
    const at = app.clock.now()
    return JSON.stringify(answerPrice(await app.catalog(), { model, at }), null, 2)
  },
})

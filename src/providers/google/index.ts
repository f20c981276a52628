import type { Provider } from '../provider.ts'
import { googleWire } from './wire.ts'

export const google: Provider = { id: 'google', name: 'Google Gemini', wire: googleWire }

import { NO_USAGE } from '../../usage.ts'
import { countChoices } from '../choices.ts'
import { isTold } from '../told.ts'
import {
  type Api,
  type Ask,
  countAt,
  createMeter,
  isObject,
  type JsonObject,
  NO_READING,
  type Reading,
  textAt,
} from '../wire.ts'
import { chatReading, OPENAI_CHAT, readBasics, splitInput } from './chat.ts'

const NONE = { markers: ['usage'], endings: [], caps: [], asks_for_usage: false } as const

export const embeddingsApi: Api = {
  ...NONE,
  name: 'embeddings',
  readRequest: (body) => ({ ...readBasics(body), output_tokens_max: 0, is_stream: false }),
  createMeter: () =>
    createMeter((value) => {
      const usage = value['usage']
      if (!isObject(usage) || !isTold(usage, ['prompt_tokens'])) return null
      return chatReading(usage, OPENAI_CHAT, { model: textAt(value, 'model'), service_tier: null })
    }),
  readText: () => '',
  stream_error: 'openai',
}

/**
 * Pictures. GPT image models count tokens; DALL·E has a price a picture and says nothing.
 * https://developers.openai.com/api/reference/resources/images
 */
export const imagesApi: Api = {
  ...NONE,
  name: 'images',
  endings: ['"type":"image_generation.completed"', '"type":"image_edit.completed"'],
  readRequest(body) {
    // Which model answers where none is named depends on the other parameters.
    const model = textAt(body, 'model')
    const pictures = countChoices(body, [['n']])
    const is_by_picture = /^dall-e/.test(model ?? '')
    return {
      ...readBasics(body),
      model,
      is_stream: isTrue(body['stream']),
      output_tokens_max: is_by_picture ? 0 : null,
      choices: pictures,
      has_unbounded_input: !is_by_picture,
      modalities: is_by_picture ? [] : ['image'],
      units: is_by_picture ? [{ unit: 'image', max: pictures }] : [],
      estimate: is_by_picture
        ? { usage: { unit: 'image', units: pictures }, is_exact: true }
        : null,
    }
  },
  createMeter: () => createMeter(imagesReading),
  readText: () => '',
  stream_error: 'openai',
}

function imagesReading(value: JsonObject): Reading | null {
  const usage = value['usage']
  if (!isObject(usage) || !isTold(usage, ['input_tokens', 'output_tokens'])) return null
  const output = countAt(usage, 'output_tokens')
  const text = Math.min(countAt(usage, 'output_tokens_details', 'text_tokens'), output)
  const input = splitInput(countAt(usage, 'input_tokens'), {
    input_image_tokens: countAt(usage, 'input_tokens_details', 'image_tokens'),
    cache_read_tokens: countAt(usage, 'input_tokens_details', 'cached_tokens'),
  })
  return {
    ...NO_READING,
    usage: {
      ...input.usage,
      output_tokens: text,
      output_image_tokens: output - text,
      requests: 1,
    },
    is_consistent: input.is_consistent,
  }
}

/** The lowest bit rate that speech is sent with, and the usual one: bytes of the file for one second. */
const AUDIO_BYTES_PER_S_MIN = 1_000
const AUDIO_BYTES_PER_S = 16_000
/** https://developers.openai.com/api/docs/guides/speech-to-text: ten tokens of audio a second. */
const AUDIO_TOKENS_PER_S = 10
/** Models that are billed by the length of the audio. */
const BY_SECOND = /whisper|^gpt-transcribe|^voxtral/

export const transcriptionApi: Api = {
  ...NONE,
  name: 'transcription',
  endings: ['"type":"transcript.text.done"'],
  readRequest(body) {
    const bytes = countAt(body, 'file', 'bytes')
    const is_by_second = BY_SECOND.test(textAt(body, 'model') ?? '')
    const seconds = Math.ceil(bytes / AUDIO_BYTES_PER_S)
    return {
      ...readBasics(body),
      is_stream: isTrue(body['stream']),
      has_unbounded_input: true,
      modalities: is_by_second ? [] : ['audio'],
      output_tokens_max: is_by_second ? 0 : null,
      units: is_by_second
        ? [{ unit: 'second', max: Math.ceil(bytes / AUDIO_BYTES_PER_S_MIN) }]
        : [],
      estimate: {
        is_exact: false,
        usage: is_by_second
          ? { unit: 'second', units: seconds }
          : { input_audio_tokens: seconds * AUDIO_TOKENS_PER_S },
      },
    }
  },
  createMeter: () => createMeter(transcriptionReading),
  readText: (event) => textAt(event, 'delta') ?? '',
  stream_error: 'openai',
}

function transcriptionReading(value: JsonObject): Reading | null {
  const usage = value['usage']
  if (!isObject(usage)) return null
  // The second name is Mistral's: https://docs.mistral.ai/capabilities/audio_transcription
  const seconds = usage['seconds'] ?? usage['prompt_audio_seconds']
  if (typeof seconds === 'number' && seconds >= 0)
    return {
      ...NO_READING,
      usage: { ...NO_USAGE, requests: 1, unit: 'second', units: Math.ceil(seconds) },
    }
  if (!isTold(usage, ['input_tokens', 'output_tokens'])) return null
  const input = splitInput(countAt(usage, 'input_tokens'), {
    input_audio_tokens: countAt(usage, 'input_token_details', 'audio_tokens'),
  })
  return {
    ...NO_READING,
    usage: { ...input.usage, output_tokens: countAt(usage, 'output_tokens'), requests: 1 },
    is_consistent: input.is_consistent,
  }
}

/** Speech comes as bare audio. Its older models are priced by character, which the request tells. */
const BYTES_PER_TOKEN = 4
const SPEECH_TOKENS_PER_TEXT_TOKEN = 5

export const speechApi: Api = {
  ...NONE,
  name: 'speech',
  endings: ['"type":"speech.audio.done"'],
  readRequest(body): Ask {
    const input = textAt(body, 'input') ?? ''
    const is_by_character = /^tts-/.test(textAt(body, 'model') ?? '')
    const characters = [...input].length
    const tokens = Math.ceil(Buffer.byteLength(input) / BYTES_PER_TOKEN)
    return {
      ...readBasics(body),
      is_stream: textAt(body, 'stream_format') === 'sse',
      output_tokens_max: is_by_character ? 0 : null,
      modalities: is_by_character ? [] : ['audio'],
      units: is_by_character ? [{ unit: 'character', max: characters }] : [],
      estimate: is_by_character
        ? { usage: { unit: 'character', units: characters }, is_exact: true }
        : {
            is_exact: false,
            usage: {
              uncached_input_tokens: tokens,
              output_audio_tokens: tokens * SPEECH_TOKENS_PER_TEXT_TOKEN,
            },
          },
    }
  },
  createMeter: () => createMeter(speechReading),
  readText: () => '',
  stream_error: 'openai',
}

function speechReading(value: JsonObject): Reading | null {
  const usage = value['usage']
  if (!isObject(usage) || !isTold(usage, ['input_tokens', 'output_tokens'])) return null
  return {
    ...NO_READING,
    usage: {
      ...NO_USAGE,
      requests: 1,
      uncached_input_tokens: countAt(usage, 'input_tokens'),
      output_audio_tokens: countAt(usage, 'output_tokens'),
    },
  }
}

function isTrue(value: unknown): boolean {
  return value === true || value === 'true'
}

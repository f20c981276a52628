import { createAnthropic } from '@ai-sdk/anthropic'
import { createGoogleGenerativeAI } from '@ai-sdk/google'
import { createOpenAI } from '@ai-sdk/openai'
import Anthropic from '@anthropic-ai/sdk'
import { GoogleGenAI } from '@google/genai'
import { generateText, streamText } from 'ai'
import OldAnthropic from 'anthropic-sdk-old'
import OpenAI, { toFile } from 'openai'

export type Clients = {
  readonly openai: OpenAI
  readonly local: OpenAI
  readonly google_as_openai: OpenAI
  readonly anthropic: Anthropic
  readonly old_anthropic: OldAnthropic
  readonly google: GoogleGenAI
  readonly ai: {
    readonly openai: ReturnType<typeof createOpenAI>
    readonly anthropic: ReturnType<typeof createAnthropic>
    readonly google: ReturnType<typeof createGoogleGenerativeAI>
  }
}

type Keys = Readonly<Record<string, string>>

/** Every official client, at some base URLs; one key for all, or one for each provider. */
export function clientsFor(base_urls: Keys, keys: string | Keys): Clients {
  const url = (id: string) => base_urls[id] ?? ''
  const key = (id: string) => (typeof keys === 'string' ? keys : (keys[id] ?? ''))
  const at = (id: string) => ({ baseURL: url(id), apiKey: key(id), maxRetries: 0 })
  return {
    openai: new OpenAI(at('openai')),
    local: new OpenAI(at('local')),
    google_as_openai: new OpenAI({ ...at('google'), baseURL: `${url('google')}/v1beta/openai/` }),
    anthropic: new Anthropic(at('anthropic')),
    old_anthropic: new OldAnthropic(at('anthropic')),
    google: new GoogleGenAI({ apiKey: key('google'), httpOptions: { baseUrl: url('google') } }),
    ai: {
      openai: createOpenAI({ baseURL: url('openai'), apiKey: key('openai') }),
      anthropic: createAnthropic({ baseURL: `${url('anthropic')}/v1`, apiKey: key('anthropic') }),
      google: createGoogleGenerativeAI({
        baseURL: `${url('google')}/v1beta`,
        apiKey: key('google'),
      }),
    },
  }
}

export type Call = { readonly name: string; call(clients: Clients): Promise<unknown> }

/** One call of each kind that the clients can make. */
export function callsOf(prompt: string): Call[] {
  return [
    ...chatCalls(prompt),
    ...responsesCalls(prompt),
    ...otherOpenAiCalls(prompt),
    ...anthropicCalls(prompt),
    ...googleCalls(prompt),
    ...aiCalls(prompt),
  ]
}

async function collect(stream: AsyncIterable<unknown>): Promise<unknown[]> {
  return Array.fromAsync(stream)
}

function chatCalls(content: string): Call[] {
  const messages = [{ role: 'user' as const, content }]
  const chat = { model: 'gpt-5.4', messages }
  return [
    { name: 'chat', call: ({ openai }) => openai.chat.completions.create(chat) },
    {
      name: 'chat of two',
      call: ({ openai }) => openai.chat.completions.create({ ...chat, n: 2 }),
    },
    {
      name: 'chat stream',
      call: async ({ openai }) => {
        const chunks = await collect(
          await openai.chat.completions.create({ ...chat, stream: true }),
        )
        // Whether usage is null or absent tells nothing.
        return chunks.map((chunk) => ({ ...(chunk as object), usage: undefined }))
      },
    },
    {
      name: 'chat stream with usage',
      call: async ({ openai }) =>
        collect(
          await openai.chat.completions.create({
            ...chat,
            stream: true,
            stream_options: { include_usage: true },
          }),
        ),
    },
    {
      name: 'completions',
      call: ({ openai }) =>
        openai.completions.create({ model: 'gpt-3.5-turbo-instruct', prompt: content, best_of: 3 }),
    },
    {
      name: 'chat at a compatible server',
      call: ({ local }) => local.chat.completions.create({ ...chat, model: 'llama-3.3-70b' }),
    },
    {
      name: 'chat at Google',
      call: ({ google_as_openai }) =>
        google_as_openai.chat.completions.create({ ...chat, model: 'gemini-2.5-flash' }),
    },
    {
      name: 'chat stream at Google',
      call: async ({ google_as_openai }) => {
        const chunks = await collect(
          await google_as_openai.chat.completions.create({
            ...chat,
            model: 'gemini-2.5-flash',
            stream: true,
          }),
        )
        return chunks.map((chunk) => ({ ...(chunk as object), usage: undefined }))
      },
    },
  ]
}

function responsesCalls(input: string): Call[] {
  const params = { model: 'gpt-5.4', input }
  return [
    { name: 'responses', call: ({ openai }) => openai.responses.create(params) },
    {
      name: 'responses stream',
      call: async ({ openai }) =>
        collect(await openai.responses.create({ ...params, stream: true })),
    },
    { name: 'compact', call: ({ openai }) => openai.responses.compact(params) },
    { name: 'input tokens', call: ({ openai }) => openai.responses.inputTokens.count(params) },
  ]
}

function otherOpenAiCalls(input: string): Call[] {
  const file = () => toFile(Buffer.alloc(64_000, 7), 'a.wav')
  return [
    {
      name: 'embeddings',
      call: ({ openai }) =>
        openai.embeddings.create({ model: 'text-embedding-3-small', input, dimensions: 8 }),
    },
    { name: 'moderations', call: ({ openai }) => openai.moderations.create({ input }) },
    {
      name: 'pictures',
      call: ({ openai }) => openai.images.generate({ model: 'gpt-image-1', prompt: input, n: 2 }),
    },
    {
      name: 'pictures by the piece',
      call: ({ openai }) => openai.images.generate({ model: 'dall-e-3', prompt: input, n: 2 }),
    },
    {
      name: 'picture edits',
      call: async ({ openai }) =>
        openai.images.edit({
          model: 'gpt-image-1',
          prompt: input,
          image: await toFile(Buffer.alloc(100), 'a.png', { type: 'image/png' }),
        }),
    },
    {
      name: 'picture stream',
      call: async ({ openai }) =>
        collect(
          await openai.images.generate({
            model: 'gpt-image-1',
            prompt: input,
            stream: true,
            partial_images: 1,
          }),
        ),
    },
    {
      name: 'transcription',
      call: async ({ openai }) =>
        openai.audio.transcriptions.create({ model: 'gpt-4o-transcribe', file: await file() }),
    },
    {
      name: 'transcription stream',
      call: async ({ openai }) =>
        collect(
          await openai.audio.transcriptions.create({
            model: 'gpt-4o-transcribe',
            file: await file(),
            stream: true,
          }),
        ),
    },
    {
      name: 'transcription by the second',
      call: async ({ openai }) =>
        openai.audio.transcriptions.create({ model: 'whisper-1', file: await file() }),
    },
    {
      name: 'translation',
      call: async ({ openai }) =>
        openai.audio.translations.create({ model: 'whisper-1', file: await file() }),
    },
    {
      name: 'speech by the character',
      call: async ({ openai }) => {
        const speech = await openai.audio.speech.create({ model: 'tts-1', voice: 'alloy', input })
        return (await speech.arrayBuffer()).byteLength
      },
    },
    {
      name: 'models',
      call: async ({ openai }) => (await openai.models.list()).data,
    },
  ]
}

function anthropicCalls(content: string): Call[] {
  const params = {
    model: 'claude-sonnet-4-6',
    max_tokens: 2_000,
    messages: [{ role: 'user' as const, content }],
  }
  return [
    { name: 'messages', call: ({ anthropic }) => anthropic.messages.create(params) },
    {
      name: 'messages stream',
      call: ({ anthropic }) => anthropic.messages.stream(params).finalMessage(),
    },
    { name: 'old messages', call: ({ old_anthropic }) => old_anthropic.messages.create(params) },
    {
      name: 'old messages stream',
      call: ({ old_anthropic }) => old_anthropic.messages.stream(params).finalMessage(),
    },
    {
      name: 'old beta messages',
      call: ({ old_anthropic }) =>
        old_anthropic.beta.messages.create({ ...params, betas: ['context-1m-2025-08-07'] }),
    },
    {
      name: 'count tokens',
      call: ({ anthropic }) =>
        anthropic.messages.countTokens({ model: params.model, messages: params.messages }),
    },
    {
      name: 'anthropic models',
      call: async ({ anthropic }) => (await anthropic.models.list()).data,
    },
  ]
}

function googleCalls(contents: string): Call[] {
  const params = { model: 'gemini-2.5-pro', contents }
  const plain = (value: unknown) => ({ ...(value as object), sdkHttpResponse: undefined })
  return [
    {
      name: 'generate',
      call: async ({ google }) => plain(await google.models.generateContent(params)),
    },
    {
      name: 'generate stream',
      call: async ({ google }) =>
        (await collect(await google.models.generateContentStream(params))).map(plain),
    },
    {
      name: 'count',
      call: async ({ google }) => plain(await google.models.countTokens(params)),
    },
  ]
}

function aiCalls(prompt: string): Call[] {
  const once = { prompt, maxRetries: 0 }
  const models = (clients: Clients) => [
    clients.ai.openai('gpt-5.4'),
    clients.ai.openai.chat('gpt-5.4'),
    clients.ai.anthropic('claude-sonnet-4-6'),
    clients.ai.google('gemini-2.5-flash'),
  ]
  return [0, 1, 2, 3].flatMap((i) => [
    {
      name: `ai ${i}`,
      call: async (clients) => {
        const [model] = models(clients).slice(i)
        if (!model) throw new Error('no model')
        const { text, usage } = await generateText({ model, ...once })
        return { text, usage }
      },
    },
    {
      name: `ai stream ${i}`,
      call: async (clients) => {
        const [model] = models(clients).slice(i)
        if (!model) throw new Error('no model')
        const answer = streamText({ model, ...once, onError: () => {} })
        return { text: await answer.text, usage: await answer.usage }
      },
    },
  ])
}

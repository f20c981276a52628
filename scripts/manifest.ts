import { readFileSync, writeFileSync } from 'node:fs'
import { prompts } from '../src/prompts.ts'
import { VERSION } from '../src/version.ts'
import { tools } from '../tools/index.ts'

/** Writes the generated parts of `manifest.json`: the version, the tools and the prompts. */
const PATH = 'manifest.json'

export function firstSentence(text: string): string {
  return text.split(/(?<=[.?!])\s/)[0] ?? text
}

export function generatedParts() {
  return {
    version: VERSION,
    tools: tools.map(({ name, description }) => ({
      name,
      description: firstSentence(description),
    })),
    prompts: prompts.map(({ name, description, args, text }) => ({
      name,
      description,
      arguments: args.map((arg) => arg.name),
      text: text(Object.fromEntries(args.map((arg) => [arg.name, `\${arguments.${arg.name}}`]))),
    })),
  }
}

if (import.meta.main) {
  const manifest = JSON.parse(readFileSync(PATH, 'utf8')) as object
  writeFileSync(PATH, `${JSON.stringify({ ...manifest, ...generatedParts() }, null, 2)}\n`)
}

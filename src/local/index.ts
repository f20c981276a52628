import { claudeCode } from './claude-code.ts'
import type { LocalClient } from './client.ts'
import { codex } from './codex.ts'
import { geminiCli } from './gemini-cli.ts'
import { opencode } from './opencode.ts'

export const localClients: readonly LocalClient[] = [claudeCode, codex, geminiCli, opencode]

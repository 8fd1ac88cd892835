/*
 * A small MCP server on its standard streams (revision 2025-11-25), without a library: one message per line. It keeps notes,
 * a line each, in the file named by NOTES_FILE.
 */
import { appendFile, readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'

interface Message {
  id?: number | string
  method?: string
  params?: { protocolVersion?: string; name?: string; arguments?: { text?: unknown } }
}

const file = process.env['NOTES_FILE'] ?? 'notes.txt'
const inputSchema = { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] }

const tools = [
  {
    name: 'search',
    description: 'Finds the notes that share a word with the text.',
    inputSchema,
    annotations: { readOnlyHint: true },
  },
  { name: 'add', description: 'Keeps a text as a note.', inputSchema },
]

const calls: Record<string, (text: string) => Promise<string>> = {
  async search(text) {
    const words = wordsOf(text)
    const notes = (await readNotes()).filter((note) => wordsOf(note).some((word) => words.includes(word)))
    return notes.join('\n') || 'No note about that.'
  },
  async add(text) {
    await appendFile(file, `${text.replaceAll('\n', ' ')}\n`)
    return 'Kept.'
  },
}

const methods: Record<string, (params: NonNullable<Message['params']>) => unknown> = {
  initialize: ({ protocolVersion }) => ({
    protocolVersion,
    capabilities: { tools: {} },
    serverInfo: { name: 'notes', version: '1.0.0' },
  }),
  ping: () => ({}),
  'tools/list': () => ({ tools }),
  async 'tools/call'({ name = '', arguments: input }) {
    const call = Object.hasOwn(calls, name) ? calls[name] : undefined
    if (!call || typeof input?.text !== 'string') return failure('There is no such tool, or no text for it.')
    return { content: [{ type: 'text', text: await call(input.text) }] }
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method = '', params = {} } = JSON.parse(line) as Message
  // A message without an id wants no answer.
  if (id === undefined) continue
  const handle = Object.hasOwn(methods, method) ? methods[method] : undefined
  send(
    handle
      ? { id, result: await handle(params) }
      : { id, error: { code: -32601, message: 'Method not found' } },
  )
}

async function readNotes(): Promise<string[]> {
  try {
    return (await readFile(file, 'utf8')).split('\n').filter((note) => note !== '')
  } catch {
    // Nothing was ever kept.
    return []
  }
}

/** Without the little words. */
function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/\p{L}{4,}/gu) ?? []
}

function failure(text: string): object {
  return { content: [{ type: 'text', text }], isError: true }
}

function send(message: object): void {
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
}

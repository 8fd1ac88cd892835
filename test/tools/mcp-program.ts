/*
 * A small MCP server on its standard streams, revision 2025-11-25, that does on request what servers do at the worst. Run by
 * the tests as a program of its own.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

interface Message {
  id?: number | string
  method?: string
  params?: Record<string, unknown>
  result?: unknown
  error?: { message: string }
}

interface Call {
  id: number | string
  input: Record<string, unknown>
  progressToken: unknown
}

const anyObject = { type: 'object' }
const tools: Record<string, { description: string; inputSchema: object; annotations?: object }> = {
  pid: {
    description: 'The number of the process.',
    inputSchema: anyObject,
    annotations: { readOnlyHint: true },
  },
  ask: {
    description: 'Asks a person.',
    inputSchema: { ...anyObject, properties: { topic: { type: 'string' } } },
  },
  late: { description: 'Asks when it has answered.', inputSchema: anyObject },
  wait: { description: 'Waits for release.', inputSchema: anyObject, annotations: { readOnlyHint: true } },
  release: { description: 'Ends the waits.', inputSchema: anyObject },
  grow: { description: 'Adds a tool.', inputSchema: anyObject },
  spawn: { description: 'Starts a process.', inputSchema: anyObject },
  die: { description: 'Ends the server.', inputSchema: anyObject, annotations: { idempotentHint: true } },
  noise: { description: 'Writes where it should not.', inputSchema: anyObject },
  strange: { description: 'No schema we can read.', inputSchema: { ...anyObject, not: { required: ['x'] } } },
}

if (process.env['PAGE'] !== undefined) {
  tools['flood'] = { description: 'Says again and again that its tools are others.', inputSchema: anyObject }
  tools['lists'] = { description: 'How many pages of the list were asked for.', inputSchema: anyObject }
}
if (process.env['MODE'] === 'too much') {
  const properties = { text: { type: 'string', description: 'x'.repeat(70_000) } }
  tools['wide'] = { description: 'Has a large schema.', inputSchema: { ...anyObject, properties } }
  tools['wordy'] = { description: 'w'.repeat(10_000), inputSchema: anyObject }
}
if (process.env['MODE'] === 'many') {
  for (let i = 0; i < 20_000; i++) tools[`tool${i}`] = { description: `Number ${i}.`, inputSchema: anyObject }
}
if (process.env['MODE'] === 'large') {
  // To make a check of one takes milliseconds of work.
  const names = Array.from({ length: 1_500 }, (_, i) => [`property_with_a_long_name_${i}`, {}])
  const properties = { text: { type: 'string' }, ...Object.fromEntries(names) }
  for (let i = 0; i < 40; i++)
    tools[`large${i}`] = { description: '', inputSchema: { ...anyObject, properties } }
}

/** How many tools a page of the list has. */
const pageSize = Number(process.env['PAGE'] ?? 3)
let lists = 0

const waiting: Call[] = []
const questions = new Map<string, (answer: Message) => void>()
let questionCount = 0

const calls: Record<string, (call: Call) => void> = {
  pid: (call) => reply(call, String(process.pid)),
  ask(call) {
    const id = `question-${++questionCount}`
    questions.set(id, ({ result, error }) =>
      error
        ? reply(call, error.message, true)
        : reply(call, `${String(call.input['topic'])}: ${JSON.stringify(result)}`),
    )
    const requestedSchema = { type: 'object', properties: { yes: { type: 'boolean' } } }
    const params = { message: `About ${String(call.input['topic'])}?`, requestedSchema }
    send({ id, method: 'elicitation/create', params })
  },
  late(call) {
    reply(call, 'done')
    questions.set('late', ({ error }) => process.stderr.write(`late: ${error?.message}\n`))
    send({
      id: 'late',
      method: 'elicitation/create',
      params: { message: 'Late?', requestedSchema: { type: 'object', properties: {} } },
    })
  },
  wait(call) {
    waiting.push(call)
    const { progressToken } = call
    if (progressToken !== undefined)
      send({ method: 'notifications/progress', params: { progressToken, progress: 1 } })
  },
  release(call) {
    for (const held of waiting.splice(0)) reply(held, 'released')
    reply(call, 'done')
  },
  grow(call) {
    tools['grown'] = { description: 'New.', inputSchema: anyObject }
    send({ method: 'notifications/tools/list_changed' })
    reply(call, 'done')
  },
  flood(call) {
    for (let i = 0; i < 100; i++) send({ method: 'notifications/tools/list_changed' })
    reply(call, 'done')
  },
  lists: (call) => reply(call, String(lists)),
  spawn(call) {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' })
    reply(call, String(child.pid))
  },
  die: () => process.exit(1),
  noise(call) {
    process.stdout.write('this is no message\n{"neither":"is this"}\n')
    process.stderr.write(`the key is ${process.env['KEY'] ?? ''}\n`)
    reply(call, JSON.stringify(process.env))
  },
  strange: (call) => reply(call, JSON.stringify(call.input)),
}

const requests: Record<string, (id: number | string, params: Record<string, unknown>) => void> = {
  'server/discover'(id) {
    if (process.env['MODE'] === 'ends at the probe') process.exit(1)
    send({ id, error: { code: -32601, message: 'Method not found' } })
  },
  initialize: (id, { protocolVersion }) =>
    send({
      id,
      result: {
        protocolVersion,
        capabilities: { tools: { listChanged: true } },
        serverInfo: { name: 'program', version: '1' },
      },
    }),
  'tools/list'(id, { cursor }) {
    lists++
    if (process.env['MODE'] === 'early' && lists === 1) send({ method: 'notifications/tools/list_changed' })
    // For ever the same page, under ever new cursors.
    if (process.env['MODE'] === 'endless') {
      const listed = [{ name: `tool${lists}`, inputSchema: anyObject }]
      return send({ id, result: { tools: listed, nextCursor: String(lists) } })
    }
    // The same tools for ever, and very long ones.
    if (process.env['MODE'] === 'fat') {
      const listed = ['same', 'lists', 'same'].map((name) => ({
        name,
        description: 'x'.repeat(2 * 2 ** 20),
        inputSchema: anyObject,
      }))
      return send({ id, result: { tools: listed, nextCursor: String(lists) } })
    }
    const from = Number(cursor ?? 0)
    const listed = Object.entries(tools).map(([name, tool]) => ({ name, ...tool }))
    const to = from + pageSize
    const nextCursor = to < listed.length ? { nextCursor: String(to) } : {}
    send({ id, result: { tools: listed.slice(from, to), ...nextCursor } })
  },
  'tools/call'(id, params) {
    const {
      name,
      arguments: input,
      _meta,
    } = params as {
      name: string
      arguments: Record<string, unknown>
      _meta?: { progressToken?: unknown }
    }
    const call = calls[name]
    if (call) call({ id, input, progressToken: _meta?.progressToken })
    else send({ id, error: { code: -32602, message: `There is no ${name}.` } })
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line) as Message
  if (message.method === undefined) questions.get(String(message.id))?.(message)
  else if (message.id !== undefined) requests[message.method]?.(message.id, message.params ?? {})
  else if (message.method === 'notifications/cancelled') {
    process.stderr.write(`cancelled: ${String(message.params?.['reason'])}\n`)
  }
}
// A server that does not end with its input.
if (process.env['MODE'] === 'stays') {
  process.on('SIGTERM', () => process.stderr.write('no\n'))
  setInterval(() => undefined, 1000)
}

function reply({ id }: Call, text: string, isError = false): void {
  send({ id, result: { content: [{ type: 'text', text }], isError } })
}

function send(message: object): void {
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
}

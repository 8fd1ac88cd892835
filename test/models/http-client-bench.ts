/**
 * Which HTTP client carries the tokens of a provider at the least cost? Run it on a quiet machine with two cores:
 * `taskset -c 0 node test/models/http-client-bench.ts`. The upstream runs in a process of its own on core 1.
 * The outcome is in docs/decisions/001-upstream-http-client.md.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, createServer, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Pool } from 'undici'
import type { ModelRequest } from '../../src/models/model.ts'
import { createOpenAICompatibleModel } from '../../src/models/openai-compatible/openai-compatible-model.ts'

interface Load {
  name: string
  streams: number
  clients: number
  tokens: number
}

/** Reads one whole reply of so many tokens. */
type Client = (tokens: number) => Promise<void>

const loads: Load[] = [
  { name: '50 clients, 100 tokens', streams: 1500, clients: 50, tokens: 100 },
  { name: '16 clients, 1 token', streams: 15_000, clients: 16, tokens: 1 },
]
const rounds = 5

const body = JSON.stringify({
  model: 'm',
  stream: true,
  messages: [{ role: 'user', content: 'hello there' }],
})
const path = '/v1/chat/completions'
const headersOf = (tokens: number) => ({
  'content-type': 'application/json',
  'content-length': String(body.length),
  'x-tokens': String(tokens),
})

if (process.argv[2] === 'upstream') serveTokens()
else await main()

async function main(): Promise<void> {
  const self = fileURLToPath(import.meta.url)
  const upstream = spawn('taskset', ['-c', '1', process.execPath, self, 'upstream'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  process.on('exit', () => upstream.kill())
  const [line] = (await once(upstream.stdout, 'data')) as [Buffer]
  const port = Number(line.toString())
  const clients: Record<string, (tokens: number) => Client> = {
    'node:http': () => nodeClient(port),
    undici: () => undiciClient(port),
    'our model on node:http': (tokens) => modelClient(port, tokens),
  }
  for (const load of loads) {
    const figures = new Map(Object.keys(clients).map((name) => [name, [] as { cpu: number; rate: number }[]]))
    for (let round = 0; round <= rounds; round++) {
      for (const [name, make] of Object.entries(clients)) {
        const figure = await measure(make(load.tokens), load)
        // The first round warms up.
        if (round > 0) figures.get(name)?.push(figure)
      }
    }
    for (const [name, all] of figures) {
      const cpu = median(all.map((one) => one.cpu)).toFixed(2)
      const rate = median(all.map((one) => one.rate)).toFixed(0)
      console.log(`${load.name} | ${name} | ${cpu} µs CPU per token | ${rate} replies/s`)
    }
  }
  process.exit(0)
}

async function measure(client: Client, load: Load): Promise<{ cpu: number; rate: number }> {
  await drive(client, { ...load, streams: load.clients * 2 })
  const cpuBefore = process.cpuUsage()
  const began = performance.now()
  await drive(client, load)
  const seconds = (performance.now() - began) / 1000
  const { user, system } = process.cpuUsage(cpuBefore)
  return { cpu: (user + system) / (load.streams * load.tokens), rate: load.streams / seconds }
}

async function drive(client: Client, { streams, clients, tokens }: Load): Promise<void> {
  let left = streams
  const work = async () => {
    while (left-- > 0) await client(tokens)
  }
  await Promise.all(Array.from({ length: clients }, work))
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

function nodeClient(port: number): Client {
  const agent = new Agent({ keepAlive: true })
  return (tokens) =>
    new Promise((resolve, reject) => {
      const headers = headersOf(tokens)
      const request = httpRequest({ host: '127.0.0.1', port, path, method: 'POST', headers, agent })
      request.on('response', (response) => {
        response.on('data', () => {})
        response.on('end', () => resolve())
      })
      request.on('error', reject)
      request.end(body)
    })
}

function undiciClient(port: number): Client {
  const pool = new Pool(`http://127.0.0.1:${port}`, { pipelining: 1 })
  return (tokens) =>
    new Promise((resolve, reject) => {
      const handler = {
        onRequestStart() {},
        onResponseStart() {},
        onResponseData() {},
        onResponseEnd: () => resolve(),
        onResponseError: (_controller: unknown, error: Error) => reject(error),
      }
      pool.dispatch({ path, method: 'POST', headers: headersOf(tokens), body }, handler)
    })
}

function modelClient(port: number, tokens: number): Client {
  const model = createOpenAICompatibleModel({
    provider: 'llm',
    id: 'llm/m',
    model: 'm',
    baseURL: `http://127.0.0.1:${port}/v1`,
    headers: { 'x-tokens': String(tokens) },
  })
  const request: ModelRequest = {
    instructions: undefined,
    items: [{ type: 'message', id: 'i', role: 'user', content: [{ type: 'text', text: 'hello there' }] }],
    tools: [],
    settings: {},
  }
  const { signal } = new AbortController()
  const emit = () => {}
  return async () => void (await model.stream(request, { emit, signal }))
}

/** One chunk per token, each in a turn of the event loop, so that each is a segment of its own. */
function serveTokens(): void {
  const event = (chunk: object) => Buffer.from(`data: ${JSON.stringify(chunk)}\n\n`)
  const envelope = {
    id: 'chatcmpl-9f3f3f3f3f3f3f3f3f',
    object: 'chat.completion.chunk',
    created: 1_760_000_000,
    model: 'm',
  }
  const choice = (delta: object, finish_reason: string | null) => ({
    ...envelope,
    choices: [{ index: 0, delta, logprobs: null, finish_reason }],
  })
  const token = event(choice({ content: ' word' }, null))
  const usage = { prompt_tokens: 5, completion_tokens: 100, total_tokens: 105 }
  const end = Buffer.concat([
    event(choice({}, 'stop')),
    event({ ...envelope, choices: [], usage }),
    Buffer.from('data: [DONE]\n\n'),
  ])
  const server = createServer((request, response) => {
    request.resume()
    request.on('end', () => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      let left = Number(request.headers['x-tokens'])
      const next = () => {
        if (left-- === 0) return void response.end(end)
        response.write(token)
        setImmediate(next)
      }
      next()
    })
  })
  server.listen(0, '127.0.0.1', () => {
    process.stdout.write(String((server.address() as AddressInfo).port))
  })
}

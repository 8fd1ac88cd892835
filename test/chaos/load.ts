import { setTimeout as sleep } from 'node:timers/promises'
import { readFrames } from '../runs/frame-client.ts'
import type { Observations, SeenItem } from './observations.ts'
import { randomAgents } from './random-agents.ts'
import type { Random } from './seeded-random.ts'
import type { LiveServer, Supervisor } from './supervisor.ts'

export interface LoadOptions {
  supervisor: Supervisor
  observations: Observations
  random: Random
  /** Clients at the same time. */
  clients: number
}

interface Answer {
  status: number
  headers: Headers
  json: Record<string, unknown>
}

interface RunAnswer {
  id: string
  status: string
  conversation_id: string | null
  approvals: Asked[]
}

/** What a person is asked. */
export interface Asked {
  id: string
  reason: string
  question?: { message: string }
}

/** The server went away under a request. Not a fault: that is what happens here. */
class ServerGone extends Error {}

/**
 * Clients that start runs in every way, on shared sessions, leave some of them, cancel and decide some, and read again what
 * they saw before. Runs until it is told to stop.
 */
export function startLoad(options: LoadOptions): { stop(): Promise<void> } {
  let stopped = false
  let count = 0
  const client = async () => {
    while (!stopped) {
      const number = ++count
      const server = await options.supervisor.current()
      try {
        await takeTurn(options, { number, server })
      } catch (error) {
        if (!(error instanceof ServerGone)) throw error
        await expectGone(options, { server, error })
      }
    }
  }
  const clients = Promise.all(Array.from({ length: options.clients }, client))
  // Whoever stops the load hears of it.
  clients.catch(() => undefined)
  return {
    async stop() {
      stopped = true
      await clients
    },
  }
}

/** A request that broke must have met a kill. One that broke with its server alive is a fault. */
async function expectGone(
  { observations }: LoadOptions,
  input: { server: LiveServer; error: ServerGone },
): Promise<void> {
  const alive = sleep(5_000, 'alive' as const)
  if ((await Promise.race([input.server.gone, alive])) !== 'alive') return
  observations.violate(`a request broke though the server lives: ${String(input.error.cause)}`)
}

interface Turn {
  number: number
  server: LiveServer
}

async function takeTurn(options: LoadOptions, turn: Turn): Promise<void> {
  const { random, observations } = options
  const runs = [...observations.accepted]
  const recent = runs.slice(-40)
  const dice = random.next()
  if (dice < 0.55 || recent.length === 0) return startRun(options, turn)
  if (dice < 0.63) return cancelRun(turn, random.pick(recent))
  if (dice < 0.8) return decideApprovals(options, turn.server)
  if (dice < 0.9) return readRun(options, { server: turn.server, runId: random.pick(runs) })
  return readConversation(options, turn.server)
}

async function startRun(options: LoadOptions, { number, server }: Turn): Promise<void> {
  const { random } = options
  const mode = random.pick(['sync', 'stream', 'background'] as const)
  const body = {
    // What the model does is drawn from this number, who answers perhaps from the word.
    input: `${number} ${random.pick(['hello', 'order', 'price', 'invoice'])}`,
    session_id: random.chance(0.2)
      ? undefined
      : `session ${random.between(0, 5)} ${Math.floor(number / 300)}`,
    on_conflict: random.pick(['queue', 'queue', 'queue', 'reject', 'interrupt']),
    on_disconnect: random.pick(['cancel', 'continue']),
    background: mode === 'background' ? true : undefined,
    stream: mode === 'stream' ? true : undefined,
  }
  const request = {
    path: `/v1/agents/${random.pick(randomAgents).name}/runs`,
    body,
    key: random.chance(0.4) ? `key-${number}` : undefined,
    cutAfter: random.chance(0.5) ? random.between(200, 6_000) : undefined,
  }
  if (mode === 'stream') return streamRun(options, { server, request })
  const runId = await postRun(options, { server, request }).catch(async (error: unknown) => {
    if (!(error instanceof ServerGone) || request.key === undefined) throw error
    // Nobody heard whether it was accepted. The same key asks for the same run.
    await expectGone(options, { server, error })
    return postRun(options, { server: await options.supervisor.current(), request })
  })
  if (runId !== undefined && random.chance(0.3)) await readRun(options, { server, runId })
}

interface StartRequest {
  path: string
  body: object
  key: string | undefined
  cutAfter: number | undefined
}

async function postRun(
  options: LoadOptions,
  { server, request }: { server: LiveServer; request: StartRequest },
): Promise<string | undefined> {
  const answer = await send(server, request)
  if (answer.status === 200 || answer.status === 202) {
    const { id } = answer.json as unknown as RunAnswer
    options.observations.accept(id)
    return id
  }
  expectStatus(options, { answer, request, allowed: [409, 429] })
  return undefined
}

async function streamRun(
  options: LoadOptions,
  { server, request }: { server: LiveServer; request: StartRequest },
): Promise<void> {
  const { observations } = options
  const first = await openStream(options, { server, request })
  if (!first || first.ended || request.key === undefined) return
  // The same key asks for the same run, whole.
  const again = await openStream(options, {
    server: await options.supervisor.current(),
    request: { ...request, cutAfter: undefined },
  })
  if (first.runId !== '' && again && again.runId !== '' && first.runId !== again.runId) {
    observations.violate(`one key made two runs: ${first.runId} and ${again.runId}`)
  }
}

async function openStream(
  { observations }: LoadOptions,
  { server, request }: { server: LiveServer; request: StartRequest },
): Promise<{ runId: string; ended: boolean } | undefined> {
  let runId = ''
  const { path, body, key, cutAfter } = request
  try {
    const { frames, ended } = await reach(`POST ${path} as a stream from ${server.url}`, () =>
      readFrames({
        url: server.url,
        method: 'POST',
        path,
        body,
        ...(key === undefined ? {} : { headers: { 'idempotency-key': key } }),
        ...(cutAfter === undefined ? {} : { cutAfter }),
        onHead: (headers) => {
          runId = headers.get('content-location')?.split('/').at(-1) ?? ''
          if (runId !== '') observations.accept(runId)
        },
      }),
    )
    if (runId !== '') observations.see(runId, frames, { whole: true })
    return { runId, ended }
  } catch (error) {
    const status = /^status (\d+)/.exec(error instanceof Error ? error.message : '')?.[1]
    if (status === undefined) throw error
    if (status !== '409' && status !== '429') observations.violate(`POST ${path}: ${String(error)}`)
    return undefined
  }
}

/** Reads a run as far as it is, or to where the connection is cut, and goes on once from there. */
async function readRun(
  options: LoadOptions,
  { server, runId }: { server: LiveServer; runId: string },
): Promise<void> {
  const { random, observations } = options
  const path = `/v1/runs/${runId}/events`
  const cutAfter = random.between(300, 8_000)
  const first = await reach(`GET ${path} from ${server.url}`, () =>
    readFrames({ url: server.url, path, cutAfter }),
  )
  observations.see(runId, first.frames, { whole: true })
  const last = first.frames.at(-1)
  // Cut behind its last event: there is nothing more, which is told without a stream.
  if (!last || first.ended || last.event.type === 'run.end') return
  const more = await reach(`GET ${path} after ${last.seq} from ${server.url}`, () =>
    readFrames({ url: server.url, path, headers: { 'last-event-id': String(last.seq) }, cutAfter }),
  )
  const frames = [...first.frames, ...more.frames]
  observations.see(runId, frames, { whole: true })
}

async function cancelRun({ server }: Turn, runId: string): Promise<void> {
  await send(server, { path: `/v1/runs/${runId}/cancel`, body: {} })
}

/** Decides about some of what is asked for; the rest stays for later. */
async function decideApprovals({ random }: LoadOptions, server: LiveServer): Promise<void> {
  const answer = await send(server, { path: '/v1/runs?status=suspended&limit=20' })
  for (const run of answer.json.data as RunAnswer[]) {
    for (const asked of run.approvals) if (random.chance(0.7)) await decide(server, { asked, random })
  }
}

export async function decide(
  server: LiveServer,
  { asked, random }: { asked: Asked; random: Random },
): Promise<void> {
  const { id, question } = asked
  const answer = question && {
    decision: 'answer' as const,
    answer: question.message.replace('question', 'answer'),
  }
  const decision = random.chance(0.6) ? (answer ?? 'approve') : 'reject'
  await reach(`decide ${id}`, () => server.process.decide(id, decision))
}

async function readConversation(options: LoadOptions, server: LiveServer): Promise<void> {
  const { random, observations } = options
  const answer = await send(server, { path: '/v1/conversations?limit=12' })
  const list = answer.json.data as { id: string }[]
  if (list.length === 0) return
  const { id } = random.pick(list)
  observations.seeItems(id, await readItems(server, id))
}

/** All items of a conversation, oldest first. */
export async function readItems(server: LiveServer, conversationId: string): Promise<SeenItem[]> {
  const items: SeenItem[] = []
  for (let after = ''; ; after = `&after=${items.at(-1)?.id}`) {
    const path = `/v1/conversations/${conversationId}/items?order=asc&limit=100${after}`
    const { json } = await send(server, { path })
    items.push(...(json.data as SeenItem[]))
    if (json.has_more !== true) return items
  }
}

function expectStatus(
  { observations }: LoadOptions,
  input: { answer: Answer; request: StartRequest; allowed: number[] },
): void {
  const { answer, request, allowed } = input
  if (allowed.includes(answer.status)) return
  observations.violate(`POST ${request.path}: ${answer.status} ${JSON.stringify(answer.json)}`)
}

/** GET, or POST where there is a body. */
export async function send(
  server: LiveServer,
  request: { path: string; body?: object; key?: string | undefined },
): Promise<Answer> {
  return reach(`${request.path} from ${server.url}`, async () => {
    const response = await fetch(`${server.url}${request.path}`, {
      method: request.body ? 'POST' : 'GET',
      headers: {
        'content-type': 'application/json',
        ...(request.key === undefined ? {} : { 'idempotency-key': request.key }),
      },
      ...(request.body ? { body: JSON.stringify(request.body) } : {}),
    })
    // Our own API.
    const json = (await response.json()) as Record<string, unknown>
    return { status: response.status, headers: response.headers, json }
  })
}

/** A request that fails below HTTP, or whose answer is torn, met a kill. */
async function reach<T>(what: string, request: () => Promise<T>): Promise<T> {
  const key = {}
  pending.set(key, what)
  try {
    return await request()
  } catch (error) {
    if (error instanceof Error && /^status \d/.test(error.message)) throw error
    if (error instanceof Error && /^the stream broke|^no chunk size/.test(error.message)) throw error
    throw new ServerGone('the server is gone', { cause: error })
  } finally {
    pending.delete(key)
  }
}

const pending = new Map<object, string>()

/** Requests that have no answer yet, or not all of it: what hangs when something does. */
export function pendingRequests(): string[] {
  return [...pending.values()]
}

import { percentile } from '../statistics.ts'
import { answerCalls } from './calls.ts'
import { Connection, toRequest, type Answer } from './connection.ts'

/* The clients. Every answer is looked at: one that is not what was asked for is a failure, and spoils the measurement. */

export interface Target {
  port: number
  path: string
  body: object
  /** A text that the end of a good answer holds. */
  expect: string
  /** Of a good answer. Default 200. */
  status?: number
  /** Tokens of a good answer; absent: they are not counted. */
  tokens?: number
}

export interface LoadResult {
  answers: number
  tokens: number
  seconds: number
  /** Milliseconds from the request to the answer's end. */
  latency: Spread
  /** Milliseconds from the request to the read that held the first token. */
  firstToken: Spread
}

export interface Spread {
  p50: number
  p99: number
  max: number
}

const calls = {
  /**
   * So many clients, each with one request after the other for so long; answers under way are waited for. `staggerMs`: the
   * clients begin one by one over this time, which is not part of `durationMs`.
   */
  async run(input: {
    target: Target
    clients: number
    durationMs: number
    staggerMs?: number
  }): Promise<LoadResult> {
    const { target, clients, durationMs, staggerMs = 0 } = input
    const connections = await openAll(target.port, clients)
    const request = toRequest(target)
    const latencies: number[] = []
    const firstTokens: number[] = []
    let tokens = 0
    const startedAt = performance.now()
    const stopAt = startedAt + staggerMs + durationMs
    const client = async (connection: Connection, index: number) => {
      await pause((staggerMs * index) / clients)
      while (performance.now() < stopAt) {
        const answer = check(await connection.exchange(request), target)
        latencies.push(answer.endedAt - answer.sentAt)
        if (answer.tokens > 0) firstTokens.push(answer.firstTokenAt - answer.sentAt)
        tokens += answer.tokens
      }
    }
    try {
      await Promise.all(connections.map(client))
    } finally {
      for (const connection of connections) connection.close()
    }
    const seconds = (performance.now() - startedAt) / 1000
    const [latency, firstToken] = [spread(latencies), spread(firstTokens)]
    return { answers: latencies.length, tokens, seconds, latency, firstToken }
  },

  /** A fixed number of requests, spread over the clients. */
  async count(input: { target: Target; clients: number; requests: number }): Promise<void> {
    const { target, clients } = input
    const connections = await openAll(target.port, clients)
    const request = toRequest(target)
    let left = input.requests
    const client = async (connection: Connection) => {
      while (left-- > 0) check(await connection.exchange(request), target)
    }
    try {
      await Promise.all(connections.map(client))
    } finally {
      for (const connection of connections) connection.close()
    }
  },

  /** Milliseconds between the tokens of one stream. */
  async gaps(input: { target: Target }): Promise<Spread> {
    const connection = await Connection.open(input.target.port)
    const gaps: number[] = []
    let last = 0
    connection.onTokens = (count, now) => {
      if (last > 0) gaps.push(now - last)
      last = now
      // Tokens that came in one read had no gap.
      for (let i = 1; i < count; i++) gaps.push(0)
    }
    try {
      check(await connection.exchange(toRequest(input.target)), input.target)
    } finally {
      connection.close()
    }
    return spread(gaps)
  },

  /** Opens streams and holds them. Resolves when each has sent a token. */
  async hold(input: { target: Target; streams: number }): Promise<void> {
    const { target } = input
    const request = toRequest(target)
    for (let opened = 0; opened < input.streams; opened += holdAtOnce) {
      const count = Math.min(holdAtOnce, input.streams - opened)
      const connections = await openAll(target.port, count)
      await Promise.all(connections.map((connection) => firstToken(connection, request)))
      held.push(...connections)
    }
  },

  /** Leaves all streams that are held. The time of the first, on the clock all processes share, in nanoseconds. */
  leave(): string {
    const now = String(process.hrtime.bigint())
    for (const connection of held) connection.close()
    held = []
    return now
  },
}
export type LoadCalls = typeof calls

const holdAtOnce = 100
let held: Connection[] = []

function openAll(port: number, count: number): Promise<Connection[]> {
  return Promise.all(Array.from({ length: count }, () => Connection.open(port)))
}

function firstToken(connection: Connection, request: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    connection.onTokens = () => resolve()
    connection
      .exchange(request)
      .then(({ status }) => reject(new Error(`the stream ended, status ${status}`)), reject)
  })
}

function check(answer: Answer, target: Target): Answer {
  const good =
    answer.status === (target.status ?? 200) &&
    (target.tokens === undefined || answer.tokens === target.tokens) &&
    answer.tail.includes(target.expect)
  if (good) return answer
  throw new Error(
    `${target.path}: status ${answer.status}, ${answer.tokens} tokens, the end is ${JSON.stringify(answer.tail.toString('latin1').slice(-300))}`,
  )
}

function spread(values: readonly number[]): Spread {
  return { p50: percentile(values, 0.5), p99: percentile(values, 0.99), max: percentile(values, 1) }
}

function pause(ms: number): Promise<void> {
  return ms === 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms))
}

answerCalls(calls, {})

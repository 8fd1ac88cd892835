import { describe, expect, test } from 'vitest'
import type { RunEvent } from '../../../src/events.ts'
import type { StandInReply } from '../stand-ins/reply.ts'
import { askedWaitMs, bodyOf, deltasOf, post, providers, serve } from './provider.ts'

const ask = { input: 'Weather in Oslo?' }
const weather = { name: 'get_weather', arguments: { city: 'Oslo' } }

interface Failure {
  what: string
  reply: StandInReply
  code: string
}

/** What may pass: it is tried again, three times in all. */
const passing: readonly Failure[] = [
  { what: 'too many requests', reply: { error: { kind: 'rate_limited' } }, code: 'model_rate_limited' },
  {
    what: 'too many requests, with a wait',
    reply: { error: { kind: 'rate_limited', retryAfterSeconds: askedWaitMs / 1000 } },
    code: 'model_rate_limited',
  },
  { what: 'an overload', reply: { error: { kind: 'overloaded' } }, code: 'model_unavailable' },
  { what: 'a fault of the server', reply: { error: { kind: 'server_error' } }, code: 'model_unavailable' },
  { what: 'a connection that breaks', reply: { cut: 'before' }, code: 'model_unavailable' },
]

/** The same after a first token, which makes the new try visible. */
const passingLater: readonly Failure[] = [
  {
    what: 'an overload',
    reply: { text: 'It is', error: { kind: 'overloaded', in: 'stream' } },
    code: 'model_unavailable',
  },
  { what: 'a connection that breaks', reply: { text: 'It is', cut: 'after' }, code: 'model_unavailable' },
  { what: 'an end that is none', reply: { text: 'It is', cut: 'end' }, code: 'model_bad_response' },
  {
    what: 'a connection that breaks within a tool call',
    reply: { text: 'It is', toolCalls: [weather], cut: 'after' },
    code: 'model_unavailable',
  },
]

const lasting: readonly Failure[] = [
  { what: 'a key that is refused', reply: { error: { kind: 'unauthorized' } }, code: 'model_auth_failed' },
  {
    what: 'a conversation that is too long',
    reply: { error: { kind: 'too_long' } },
    code: 'context_length_exceeded',
  },
  { what: 'a model that is not there', reply: { error: { kind: 'not_found' } }, code: 'model_refused' },
  { what: 'a request that is refused', reply: { error: { kind: 'invalid' } }, code: 'model_refused' },
]

const retries = (events: readonly RunEvent[]) => events.filter(({ type }) => type === 'step.retry')

describe.for(providers)('the same agent on $name', (provider) => {
  const { differs } = provider

  test.for(passing)(
    'gives up the third time after $what, and tries again unseen',
    async ({ reply, code }) => {
      const { standIn, stream, run, waits } = await serve(provider)
      standIn.reply(reply, reply, reply)
      expect(await run(ask)).toMatchObject({ status: 'failed', stop_reason: 'error', error: { code } })
      expect(standIn.seen).toHaveLength(3)
      // As long as the provider asks for, in whatever way it does.
      const asked = reply.error?.retryAfterSeconds === undefined ? 0 : 2
      expect(waits.filter((ms) => ms === askedWaitMs)).toHaveLength(asked)

      standIn.reply(reply, { text: 'Rain.' })
      const events = await stream(ask)
      expect(events.at(-1)).toMatchObject({ type: 'run.end', status: 'completed' })
      expect(retries(events)).toEqual([])
      expect(deltasOf(events, 'text.delta')).toBe('Rain.')
      expect(standIn.seen).toHaveLength(5)
    },
  )

  test.for(passingLater)('tries again after $what, within the answer', async ({ reply, code }) => {
    const { standIn, stream } = await serve(provider)
    standIn.reply(reply, { text: 'Rain.' })
    const events = await stream(ask)
    expect(retries(events)).toMatchObject([{ step: 0, reason: code }])
    const end = events.at(-1) as Extract<RunEvent, { type: 'run.end' }>
    expect(end).toMatchObject({ status: 'completed', stop_reason: 'final' })
    const after = events.slice(events.findIndex(({ type }) => type === 'step.retry'))
    expect(deltasOf(after, 'text.delta')).toBe('Rain.')
    expect(deltasOf(events, 'text.delta')).toBe('It isRain.')
    expect(events.filter(({ type }) => type === 'tool.end')).toEqual([])
    // The new try begins where the old one did.
    expect(standIn.seen[1]!.content).toEqual(standIn.seen[0]!.content)
  })

  test.for(lasting)('fails at once with $what', async ({ reply, code }) => {
    const { standIn, run } = await serve(provider)
    const message = reply.error && { message: `do not show this: ${standIn.key || 'secret'}` }
    standIn.reply(code === 'model_refused' ? { error: { ...reply.error!, ...message } } : reply)
    const json = await run(ask)
    expect(json).toMatchObject({ status: 'failed', stop_reason: 'error', output: null, error: { code } })
    expect(JSON.stringify(json)).not.toMatch(/do not show this|tokens allowed|x-api-key|API key not valid/)
    expect(standIn.seen).toHaveLength(1)
  })

  test('is let in with its own key alone', async () => {
    const { standIn, run } = await serve(provider, { key: 'a-wrong-key' })
    standIn.reply({ text: 'Rain.' })
    const json = await run(ask)
    if (!differs.wire) expect(json).toMatchObject({ status: 'completed' })
    else {
      expect(json).toMatchObject({ status: 'failed', error: { code: 'model_auth_failed' } })
      expect(JSON.stringify(json)).not.toContain('a-wrong-key')
      expect(standIn.refusals).toEqual(['the key is not the right one'])
    }
  })

  test('forgets the oldest turns where the conversation is too long', async () => {
    const { standIn, run, stream } = await serve(provider)
    standIn.reply({ text: 'One.' }, { text: 'Two.' }, { error: { kind: 'too_long' } }, { text: 'Three.' })
    await run({ input: 'First', session_id: 'trip' })
    await run({ input: 'Second', session_id: 'trip' })
    const events = await stream({ input: 'Third', session_id: 'trip' })
    expect(events.at(-1)).toMatchObject({ type: 'run.end', status: 'completed' })
    const sent = JSON.stringify(standIn.seen[3]!.content)
    expect(sent).toContain('Second')
    expect(sent).not.toContain('First')
  })

  test('says that a filter refused the prompt', async () => {
    const { standIn, run } = await serve(provider)
    standIn.reply({ blocked: true })
    const json = await run(ask)
    if (differs.blockedPrompt === 'error') {
      expect(json).toMatchObject({ status: 'failed', error: { code: 'content_filter' } })
    } else expect(json).toMatchObject({ status: 'completed', stop_reason: 'content_filter' })
    expect(standIn.seen).toHaveLength(1)
  })

  test.for(['before', 'after'] as const)(
    'lets the provider go when its client goes %s the first token',
    async (hang) => {
      const { standIn, server } = await serve(provider)
      standIn.reply({ text: 'It is', hang })
      const controller = new AbortController()
      const response = await post(server, { ...ask, stream: true }, { signal: controller.signal })
      const { outcome } = await standIn.request(0)
      if (hang === 'after') {
        const body = bodyOf(response)
        await body.until('text.delta')
        await body.cancel()
      }
      controller.abort()
      expect(await outcome).toBe('closed')
    },
  )

  test('lets the provider go when the run is cancelled, and keeps what was said', async () => {
    const { standIn, server } = await serve(provider)
    standIn.reply({ reasoning: 'Hm.', text: 'It is', hang: 'after' })
    const response = await post(server, { ...ask, stream: true })
    const body = bodyOf(response)
    await body.until('"delta":" is"')
    const cancelled = await fetch(`${server.url}${response.headers.get('content-location')}/cancel`, {
      method: 'POST',
    })
    expect(await cancelled.json()).toMatchObject({
      status: 'cancelled',
      stop_reason: 'cancelled',
      output: 'It is',
    })
    expect(await (await standIn.request(0)).outcome).toBe('closed')
    expect(await body.rest()).toContain('"partial":true')
  })
})

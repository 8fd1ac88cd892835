import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Answer, Question } from '../../src/agent/definitions.ts'
import { askedRun, openSource, program, Suspension } from './mcp-source.ts'

// Standard streams do not say which call a question belongs to.
const own = { command: process.execPath, args: [program], effect: { wait: 'read' as const } }
const yes = async (): Promise<Answer> => ({ action: 'accept', content: { yes: true } })
const nobody = () => Promise.reject(new Error('a question that is not for this call'))

test('a question is held until every call has ended that it could belong to', async () => {
  const source = openSource(own)
  const asked: string[] = []
  const waits = Promise.withResolvers<void>()
  const wait = source.call('wait', {}, { ask: nobody, progress: () => waits.resolve() })
  await waits.promise
  const answer = async ({ message }: Question) => {
    asked.push(message)
    return yes()
  }
  const ask = source.call('ask', { topic: 'tea' }, { ask: answer })
  // The program writes in order: the question is here before this answer.
  await source.call('pid', {}, { ask: nobody })
  await setImmediate()
  expect(asked).toEqual([])
  await source.call('release', {}, { ask: nobody })
  expect(await wait).toBe('released')
  expect(await ask).toBe('tea: {"action":"accept","content":{"yes":true}}')
  expect(asked).toEqual(['About tea?'])
})

test('questions that cannot be told apart are refused, and such calls take turns from then on', async () => {
  const source = openSource(own)
  await source.tools()
  const ask = (topic: string, answer = yes) =>
    source.call('ask', { topic }, { ask: answer }).catch((error: Error) => error.message)
  const refusal = 'It is not clear which call this question belongs to. Call the tool again.'
  expect(await Promise.all([ask('tea', nobody), ask('milk', nobody)])).toEqual([refusal, refusal])
  const seen: string[] = []
  const answers = ['tea', 'milk', 'sugar'].map((topic) =>
    source.call(
      'ask',
      { topic },
      {
        ask: async ({ message }) => {
          seen.push(`${topic}: ${message}`)
          return yes()
        },
      },
    ),
  )
  for (const [i, topic] of ['tea', 'milk', 'sugar'].entries())
    expect(await answers[i]).toContain(`${topic}: {"action":"accept"`)
  expect(seen).toEqual(['tea: About tea?', 'milk: About milk?', 'sugar: About sugar?'])
})

test('a call that waits for its turn can be cancelled, and does not hold up the next', async () => {
  const source = openSource(own)
  await source.tools()
  const asks = () => source.call('ask', { topic: 'tea' }, { ask: nobody }).catch(() => undefined)
  await Promise.all([asks(), asks()])
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<Answer>()
  const first = source.call(
    'ask',
    { topic: 'tea' },
    {
      ask: () => {
        asked.resolve()
        return answer.promise
      },
    },
  )
  await asked.promise
  const controller = new AbortController()
  const second = source.call('ask', { topic: 'milk' }, { ask: nobody, signal: controller.signal })
  const third = source.call('ask', { topic: 'sugar' }, { ask: yes })
  controller.abort(new Error('stop'))
  await expect(second).rejects.toThrow('stop')
  answer.resolve({ action: 'cancel' })
  expect(await first).toBe('tea: {"action":"cancel"}')
  expect(await third).toContain('sugar')
})

test('runs that are suspended one after the other get their own answers on one connection', async () => {
  const source = openSource(own)
  const pid = await source.call('pid')
  const runs = ['tea', 'milk'].map((topic) => {
    const run = askedRun({ action: 'accept', content: { yes: topic === 'tea' } })
    return { run, call: () => source.call('ask', { topic }, run.context()) }
  })
  for (const { call } of runs) await expect(call()).rejects.toBeInstanceOf(Suspension)
  for (const [i, { call }] of runs.entries()) expect(await call()).toContain(`"yes":${i === 0}`)
  expect(runs.map(({ run }) => run.asked.map(({ message }) => message))).toEqual([
    ['About tea?', 'About tea?'],
    ['About milk?', 'About milk?'],
  ])
  expect(await source.call('pid')).toBe(pid)
})

test('after a cancelled call nobody is asked on that connection, and a new one is made', async () => {
  const source = openSource(own)
  const pid = await source.call('pid')
  const controller = new AbortController()
  const cancelled = source.call('wait', {}, { signal: controller.signal, progress: () => controller.abort() })
  await expect(cancelled).rejects.toThrow()
  await expect(source.call('ask', { topic: 'tea' }, { ask: nobody })).rejects.toThrow('not clear')
  expect(await source.call('ask', { topic: 'tea' }, { ask: yes })).toContain('accept')
  expect(await source.call('pid')).not.toBe(pid)
})

test('a question that comes when no call is under way is refused', async () => {
  const source = openSource(own)
  expect(await source.call('late', {}, { ask: nobody })).toBe('done')
  const line = await source.logged('mcp server wrote to stderr')
  expect(line.fields['line']).toContain('late: It is not clear')
})

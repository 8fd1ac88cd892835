import { expect, test } from 'vitest'
import { startModernServer } from './mcp-modern-server.ts'
import { askedRun, openSource, Suspension, type SourceUnderTest } from './mcp-source.ts'

async function modern() {
  const server = await startModernServer()
  return { server, source: openSource({ url: server.url }) }
}

const names = async (source: SourceUnderTest) => (await source.tools()).map(({ name }) => name)

test('a server of revision 2026-07-28 is spoken to in its own way', async () => {
  const { server, source } = await modern()
  expect(await names(source)).toEqual(['greet', 'pace', 'sample', 'slow', 'cut', 'shape', 'huge'])
  expect((await source.logged('mcp server connected')).fields).toMatchObject({ protocol: '2026-07-28' })
  await source.call('shape')
  expect(server.calls[0]?.headers).toEqual({ version: '2026-07-28', name: 'shape' })
})

test('what a call needs is asked in a fixed order, and sent with the state of the server', async () => {
  const { server, source } = await modern()
  const run = askedRun({ action: 'accept', content: { name: 'Ada' } })
  const greet = () => source.call('greet', {}, run.context())
  await expect(greet()).rejects.toBeInstanceOf(Suspension)
  const answer = JSON.parse(String(await greet())) as unknown
  const accepted = { action: 'accept', content: { name: 'Ada' } }
  expect(answer).toEqual({
    inputResponses: { who: accepted, again: accepted, link: { action: 'decline' } },
    requestState: 'opaque',
  })
  expect(run.asked.map(({ message }) => message)).toEqual(['And who?', 'And who?', 'Who?'])
  expect(server.calls.map(({ state }) => state)).toEqual([undefined, undefined, 'opaque'])
})

test('questions of many calls at the same time go each to its own', async () => {
  const { source } = await modern()
  const people = ['Ada', 'Grace', 'Barbara']
  const answers = await Promise.all(
    people.map((name) =>
      source.call('greet', {}, { ask: async () => ({ action: 'accept', content: { name } }) }),
    ),
  )
  for (const [i, name] of people.entries())
    expect(answers[i]).toContain(`"who":{"action":"accept","content":{"name":"${name}"}}`)
})

test('a server that wants only its state back gets it', async () => {
  const { source } = await modern()
  expect(await source.call('pace')).toBe('paced')
})

test('a server that wants a model of ours is told that there is none', async () => {
  const { source } = await modern()
  await expect(source.call('sample')).rejects.toThrow(
    'The server asks for sampling/createMessage, which is not offered.',
  )
})

test('a cancelled call closes its stream', async () => {
  const { server, source } = await modern()
  const controller = new AbortController()
  const reason = new Error('stop')
  const call = source.call(
    'slow',
    {},
    { signal: controller.signal, progress: () => controller.abort(reason) },
  )
  await expect(call).rejects.toBe(reason)
  await server.slowClosed
})

test('a write whose stream ends before its answer has an unknown outcome at once', async () => {
  const { server, source } = await modern()
  await expect(source.call('cut')).rejects.toMatchObject({ code: 'outcome_unknown' })
  expect(server.calls).toHaveLength(1)
})

test('a result that breaks its own schema is given to the model as it is', async () => {
  const { source } = await modern()
  expect(await source.call('shape')).toEqual({ height: 1 })
})

test('an answer of more than 10 MB is not read to its end, and costs the call alone', async () => {
  const { server, source } = await modern()
  await expect(source.call('huge')).rejects.toThrow('The answer of the server is larger than 10 MB.')
  expect(await source.call('shape')).toEqual({ height: 1 })
  expect(server.calls.map(({ name }) => name)).toEqual(['huge', 'shape'])
  expect(source.log.lines().filter(({ message }) => message === 'mcp server connected')).toHaveLength(1)
})

test('a change of the list is heard, and a list that may be kept is read again', async () => {
  const { server, source } = await modern()
  await source.tools()
  server.grow()
  await source.logged('mcp server listed its tools again')
  expect(await names(source)).toContain('grown')
})

test('a stream of changes that broke is opened again', async () => {
  const { server, source } = await modern()
  await source.tools()
  server.drop()
  await source.logged('mcp server listed its tools again')
  await server.listened(2)
  server.grow()
  await source.logged('mcp server listed its tools again', 2)
  expect(await names(source)).toContain('grown')
  // All on one connection.
  expect(source.log.lines().filter(({ message }) => message === 'mcp server connected')).toHaveLength(1)
})

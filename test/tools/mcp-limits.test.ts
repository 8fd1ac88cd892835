import { expect, test } from 'vitest'
import { systemClock, type Clock } from '../../src/clock.ts'
import { openSource, program } from './mcp-source.ts'

const own = (env: Record<string, string> = {}) => ({ command: process.execPath, args: [program], env })

test('of a server with very many tools the first are taken, and the log says so', async () => {
  const source = openSource(own({ MODE: 'many', PAGE: '100000' }))
  const tools = await source.tools()
  expect(tools).toHaveLength(256)
  expect(tools[0]?.name).toBe('pid')
  expect(tools.at(-1)?.name).toMatch(/^tool2\d\d$/)
  const { level, fields } = await source.logged('an mcp server has more tools than are taken')
  expect([level, fields]).toMatchObject(['warn', { server: 'test', maxTools: 256 }])
})

test('no more pages are asked for than are needed', async () => {
  const source = openSource({ ...own({ MODE: 'many', PAGE: '10' }), maxTools: 25, tools: () => true })
  expect(await source.tools()).toHaveLength(25)
  expect(await source.call('lists')).toBe('3')
})

test('tools that are not wanted do not count', async () => {
  const source = openSource({
    ...own({ MODE: 'many', PAGE: '100' }),
    maxTools: 2,
    tools: ['tool3', 'tool777', 'tool5000'],
  })
  expect((await source.tools()).map(({ name }) => name)).toEqual(['tool3', 'tool777'])
})

test('a list without an end is left where nothing wanted is found', async () => {
  const source = openSource({ ...own({ MODE: 'endless' }), tools: ['tool2', 'none'] })
  expect((await source.tools()).map(({ name }) => name)).toEqual(['tool2'])
  await source.logged('an mcp server has more tools than are taken')
})

test('a list that says the same again and again, at length, is left after 16 MB', async () => {
  const source = openSource(own({ MODE: 'fat', PAGE: '1' }))
  expect((await source.tools()).map(({ name }) => name)).toEqual(['same', 'lists'])
  expect(await source.call('lists')).toBe('3')
  await source.logged('an mcp server has more tools than are taken')
})

test('a tool with a very large schema is left out, a very long description is cut', async () => {
  const source = openSource(own({ MODE: 'too much' }))
  const tools = await source.tools()
  expect(tools.map(({ name }) => name)).not.toContain('wide')
  const { description } = tools.find(({ name }) => name === 'wordy')!
  expect(description).toMatch(/^w{4000}\n\[cut: 6000 of 10000 characters are missing\]$/)
  const { fields } = await source.logged('a tool of an mcp server cannot be used')
  expect(fields).toMatchObject({ tool: 'wide', reason: expect.stringContaining('larger than') })
})

test('of tools whose schemas have more than 1 MB together the first are taken, and the log says so', async () => {
  const source = openSource(own({ MODE: 'large', PAGE: '40' }))
  const tools = await source.tools()
  const chars = tools.map(({ parameters }) => JSON.stringify(parameters).length)
  expect(chars.at(-1)).toBeGreaterThan(50_000)
  const sum = chars.reduce((all, one) => all + one, 0)
  expect([sum <= 2 ** 20, sum + chars.at(-1)! > 2 ** 20]).toEqual([true, true])
  const { level, fields } = await source.logged('an mcp server has more tools than are taken')
  expect([level, fields]).toMatchObject(['warn', { server: 'test', taken: tools.length }])
  // The second page was not asked for.
  expect(await source.call('lists')).toBe('1')
})

test('what was made of a schema is kept where the server lists it again', async () => {
  const source = openSource(own({ MODE: 'large', PAGE: '100' }))
  const parse = async () => {
    const large = (await source.tools()).find(({ name }) => name === 'large0')!
    const before = process.threadCpuUsage()
    expect(large.parse({ text: 1 })).toMatchObject({ ok: false })
    const { user, system } = process.threadCpuUsage(before)
    return { large, micros: user + system }
  }
  const first = await parse()
  await source.call('flood')
  await source.logged('mcp server listed its tools again')
  const again = await parse()
  expect(again.large).not.toBe(first.large)
  expect(again.micros).toBeLessThan(first.micros / 4)
})

test('a server that says again and again that its tools are others is asked once, and once more later', async () => {
  const waits: (() => void)[] = []
  const waited = Promise.withResolvers<void>()
  // Real timers, but for the pause before a list is read again; for that, time stands still.
  const clock: Clock = {
    ...systemClock,
    monotonic: () => 0,
    after(ms, call) {
      if (ms > 1_000) return systemClock.after(ms, call)
      waits.push(call)
      waited.resolve()
      return () => undefined
    },
  }
  const source = openSource({ ...own({ PAGE: '100' }), timeoutMs: 30_000 }, clock)
  await source.tools()
  await source.call('flood')
  // How many of a flood arrive before the list is read is not ours to say.
  await source.logged('mcp server listed its tools again', 1)
  await source.call('flood')
  await waited.promise
  expect(await source.call('lists')).toBe('2')
  waits[0]!()
  await source.logged('mcp server listed its tools again', 2)
  expect(await source.call('lists')).toBe('3')
})

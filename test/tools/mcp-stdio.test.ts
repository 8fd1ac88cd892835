import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { AppError } from '../../src/errors.ts'
import { root } from '../architecture/source-files.ts'
import { startProcess } from '../e2e/program-process.ts'
import { askedRun, everything, isAlive, openSource, program, Suspension } from './mcp-source.ts'

const node = process.execPath
const reference = { command: node, args: [everything, 'stdio'] }
const own = { command: node, args: [program] }

test('the tools of the reference server are found, with its schemas, and called', async () => {
  const source = openSource({ ...reference, name: 'all', prefix: 'all_' })
  const tools = await source.tools()
  const sum = tools.find(({ name }) => name === 'all_get-sum')
  expect(sum).toMatchObject({
    effect: 'read',
    parameters: {
      $schema: 'http://json-schema.org/draft-07/schema#',
      type: 'object',
      properties: { a: { type: 'number', description: 'First number' } },
      required: ['a', 'b'],
    },
  })
  expect(tools.find(({ name }) => name === 'all_gzip-file-as-resource')?.effect).toBe('idempotent')
  expect(tools.find(({ name }) => name === 'all_trigger-elicitation-request')?.effect).toBe('write')
  // It can only be called as a task.
  expect(tools.map(({ name }) => name)).not.toContain('all_simulate-research-query')
  expect(await source.call('all_get-sum', { a: 2, b: 40 })).toBe('The sum of 2 and 40 is 42.')
  await expect(source.call('all_get-sum', { a: 2 })).rejects.toThrow(/^b: /)
  expect(await source.call('all_get-tiny-image')).toContain('[image: image/png, 4.0 kB]')
  expect((await source.logged('mcp server connected')).fields).toMatchObject({ protocol: '2025-11-25' })
})

test('progress is shown, and keeps a call alive that is longer than its timeout', async () => {
  const source = openSource({ ...reference, timeoutMs: 800 })
  const shown: unknown[] = []
  const input = { duration: 1.5, steps: 5 }
  const progress = (one: unknown) => void shown.push(one)
  expect(await source.call('trigger-long-running-operation', input, { progress })).toContain('completed')
  // The client drops one that comes together with the answer.
  expect(shown.slice(0, 4)).toEqual([1, 2, 3, 4].map((step) => ({ progress: step, total: 5 })))
})

test('a silent call ends at its timeout: a read as such, a write with its outcome unknown', async () => {
  const source = openSource({ ...own, timeoutMs: 150, effect: { release: 'read' } })
  await expect(source.call('wait')).rejects.toMatchObject({ code: 'tool_timeout' })
  const asWrite = openSource({ ...own, timeoutMs: 150, effect: { wait: 'write' } })
  const error: unknown = await asWrite.call('wait').catch((thrown: unknown) => thrown)
  expect(AppError.is(error) && error.code).toBe('outcome_unknown')
  expect(String(error)).toContain('do not repeat it')
})

test('a question suspends the run, and its answer is given when the call is made again', async () => {
  const source = openSource(reference)
  const { asked, context } = askedRun({ action: 'accept', content: { name: 'Ada' } })
  const ask = () => source.call('trigger-elicitation-request', {}, context())
  await expect(ask()).rejects.toBeInstanceOf(Suspension)
  expect(await ask()).toContain('- Name: Ada')
  expect(asked).toHaveLength(2)
  expect(asked[0]).toEqual(asked[1])
  expect(asked[0]).toMatchObject({ schema: { type: 'object', required: ['name'] } })
  const refuse = async () => ({ action: 'decline' as const })
  expect(await source.call('trigger-elicitation-request', {}, { ask: refuse })).toContain('declined')
})

test('a killed server is started again and serves its tools', async () => {
  const source = openSource(own)
  const first = Number(await source.call('pid'))
  process.kill(first, 'SIGKILL')
  await source.logged('mcp server lost')
  expect(await source.tools()).not.toHaveLength(0)
  const second = Number(await source.call('pid'))
  expect(second).not.toBe(first)
  expect(isAlive(second)).toBe(true)
})

test('a read that was cut by the death of its server is made once more', async () => {
  const source = openSource(reference)
  const { fields } = (await source.tools(), await source.logged('mcp server connected'))
  let starts = 0
  const progress = ({ progress: step = 0 }) => {
    if (step === 1 && ++starts === 1) process.kill(Number(fields['pid']), 'SIGKILL')
  }
  const input = { duration: 0.4, steps: 4 }
  expect(await source.call('trigger-long-running-operation', input, { progress })).toContain('completed')
  expect(starts).toBe(2)
})

test('a call whose server dies each time is made twice, and a write only once', async () => {
  const source = openSource(own)
  await expect(source.call('die')).rejects.toThrow('lost twice')
  expect((await source.logged('mcp server connected', 2)).fields['pid']).toBeTypeOf('number')
  const asWrite = openSource({ ...own, effect: { die: 'write' } })
  await expect(asWrite.call('die')).rejects.toMatchObject({ code: 'outcome_unknown' })
  // The tools stay while the server is away.
  expect((await asWrite.tools()).map(({ name }) => name)).toContain('die')
})

test('a cancelled call ends at once, and the server is told', async () => {
  const source = openSource(own)
  const controller = new AbortController()
  const reason = new Error('stop')
  const progress = () => controller.abort(reason)
  await expect(source.call('wait', {}, { signal: controller.signal, progress })).rejects.toBe(reason)
  const line = await source.logged('mcp server wrote to stderr')
  expect(line.fields['line']).toBe('cancelled: The call was cancelled.')
})

test('all pages are read, and a change of the list is noticed', async () => {
  const source = openSource(own)
  expect((await source.tools()).map(({ name }) => name)).toEqual([
    'pid',
    'ask',
    'late',
    'wait',
    'release',
    'grow',
    'spawn',
    'die',
    'noise',
    'strange',
  ])
  await source.call('grow')
  await source.logged('mcp server listed its tools again')
  expect((await source.tools()).map(({ name }) => name)).toContain('grown')
})

test('arguments are not checked against a schema that cannot be read', async () => {
  const source = openSource(own)
  const strange = (await source.tools()).find(({ name }) => name === 'strange')
  expect(strange?.parameters).toEqual({ type: 'object', not: { required: ['x'] } })
  expect(await source.call('strange', { y: [1] })).toBe('{"y":[1]}')
  await expect(source.call('strange', 'text')).rejects.toThrow('expected record')
})

test('a program that ends at the probe for the new protocol is started without it', async () => {
  const source = openSource({ ...own, env: { MODE: 'ends at the probe' } })
  expect(await source.call('pid')).toMatch(/^\d+$/)
  process.kill(Number(await source.call('pid')), 'SIGKILL')
  await source.logged('mcp server lost')
  expect(await source.call('pid')).toMatch(/^\d+$/)
})

test('the program sees only what it is given, and its secrets reach neither model nor log', async () => {
  process.env['PARLEY_TEST_SECRET'] = 'of-the-parent'
  const source = openSource({ ...own, env: { KEY: 'sk-very-secret', ROOT: '/srv/folders' } })
  const seen = JSON.parse(String(await source.call('noise'))) as Record<string, string>
  delete process.env['PARLEY_TEST_SECRET']
  expect(seen).toMatchObject({ KEY: '[redacted]', ROOT: '/srv/folders' })
  expect(Object.keys(seen)).not.toContain('PARLEY_TEST_SECRET')
  const line = await source.logged('mcp server wrote to stderr')
  expect(line.fields['line']).toBe('the key is [redacted]')
  expect(source.log.text()).not.toContain('sk-very-secret')
})

test('closing ends the program and what it has started, also where it does not want to', async () => {
  const source = openSource({ ...own, env: { MODE: 'stays' } })
  const pid = Number(await source.call('pid'))
  const child = Number(await source.call('spawn'))
  expect([isAlive(pid), isAlive(child)]).toEqual([true, true])
  await Promise.all([source.open.close(), source.open.close()])
  expect([isAlive(pid), isAlive(child)]).toEqual([false, false])
})

test('what a killed program has started ends with it', async () => {
  const source = openSource(own)
  const pid = Number(await source.call('pid'))
  const child = Number(await source.call('spawn'))
  process.kill(pid, 'SIGKILL')
  await source.logged('mcp server connected', 2)
  expect(isAlive(child)).toBe(false)
})

test('a server that is not there has no tools, and says so within the limit', async () => {
  const source = openSource({ name: 'gone', command: 'no-such-program-here', connectTimeoutMs: 300 })
  await expect(source.tools()).rejects.toThrow('The server of this tool (gone) cannot be reached now')
  await expect(source.tools()).rejects.toThrow('cannot be reached')
  await expect(source.open.tools(AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough')
  await source.open.close()
  await expect(source.tools()).rejects.toThrow('cannot be reached')
})

test.skipIf(process.platform === 'win32')(
  'a program that cannot be started because no file descriptor is left does not end our process',
  async () => {
    const starved = join(root, 'test/tools/mcp-starved.ts')
    const command = 'ulimit -n 200; exec "$0" "$1"'
    const { stdout } = await promisify(execFile)('sh', ['-c', command, process.execPath, starved])
    expect(stdout).toBe('EMFILE, then started\n')
  },
)

test('a process that has closed its sources ends by itself', async () => {
  const script = `
    import { mcpTools } from ${JSON.stringify(join(root, 'src/tools/mcp/mcp-tools.ts'))}
    import { systemClock } from ${JSON.stringify(join(root, 'src/clock.ts'))}
    import { silentLogger as logger } from ${JSON.stringify(join(root, 'src/logger.ts'))}
    const sources = [
      { name: 'a', command: process.execPath, args: [${JSON.stringify(program)}] },
      { name: 'b', url: 'http://127.0.0.1:9/mcp' },
      { name: 'c', command: 'no-such-program-here' },
    ].map((options) => mcpTools(options).open({ logger, clock: systemClock }))
    const tools = await sources[0].tools(new AbortController().signal)
    await Promise.all(sources.map((source) => source.close()))
    console.log('closed with', tools.length)
  `
  const child = startProcess({ args: ['--input-type=module', '-e', script], cwd: root, environment: {} })
  expect(await child.exited).toEqual({ code: 0, signal: null })
  expect(child.output()).toContain('closed with 10')
})

test('a server that says during its first list that its tools are others is asked again', async () => {
  const source = openSource({
    command: process.execPath,
    args: [program],
    env: { MODE: 'early', PAGE: '100' },
  })
  await source.logged('mcp server listed its tools again')
  expect(await source.call('lists')).toBe('2')
})

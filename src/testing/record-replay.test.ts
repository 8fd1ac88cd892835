import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { AppError } from '../errors.ts'
import { createId } from '../ids.ts'
import type { ModelItem } from '../items.ts'
import type { Model, ModelPart, ModelRequest } from '../models/model.ts'
import { scriptedModel } from '../models/scripted.ts'
import { createFakeClock } from './fake-clock.ts'
import { fixtureModel } from './fixture-model.ts'
import { recordModel } from './record-model.ts'
import { replayModel, type ReplayModelOptions } from './replay-model.ts'

async function newFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-fixture-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return join(folder, 'inner', 'calls.json')
}

function requestOf(items: ModelItem[], more: Partial<ModelRequest> = {}): ModelRequest {
  return { instructions: 'Be brief.', items, tools: [], settings: {}, ...more }
}

function say(text: string, role: 'user' | 'assistant' = 'user'): ModelItem {
  return { type: 'message', id: createId('item'), role, content: [{ type: 'text', text }] }
}

function called(name: string, given: object, output: string): ModelItem[] {
  const call_id = createId('call')
  return [
    { type: 'tool_call', id: createId('item'), call_id, name, arguments: JSON.stringify(given) },
    { type: 'tool_result', id: createId('item'), call_id, output },
  ]
}

/** Everything a call gave: its parts, then its reply or what it failed with. */
async function ask(model: Model, request: ModelRequest, signal = new AbortController().signal) {
  const parts: ModelPart[] = []
  const end = await model
    .stream(request, { emit: (part) => parts.push(part), signal })
    .catch((error: unknown) => error as AppError)
  return { parts, end }
}

async function record(model: Model, requests: readonly ModelRequest[]): Promise<string> {
  const path = await newFile()
  const recording = recordModel(model, { path })
  for (const request of requests) await ask(recording, request)
  await recording.close()
  return path
}

async function failureOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'no failure',
    (error: unknown) => (error as Error).message,
  )
}

const weather = [
  { reasoning: 'Look it up.', toolCalls: [{ name: 'get_weather', arguments: { city: 'Oslo' }, chunks: 3 }] },
  'It rains in Oslo.',
]
const firstAsked = () => requestOf([say('Weather in Oslo?')])
const thenAsked = (output = 'rain') =>
  requestOf([say('Weather in Oslo?'), ...called('get_weather', { city: 'Oslo' }, output)])

test('a recording passes everything through, and its replay gives the same', async () => {
  const path = await newFile()
  const recording = recordModel(scriptedModel(weather, { id: 'scripted/sky', contextWindow: 900 }), { path })
  const live = [await ask(recording, firstAsked()), await ask(recording, thenAsked())]
  await recording.close()
  const bare = scriptedModel(weather)
  expect(live).toEqual([await ask(bare, firstAsked()), await ask(bare, thenAsked())])

  const replay = replayModel({ path: pathToFileURL(path) })
  expect(replay).toMatchObject({ provider: 'scripted', id: 'scripted/sky', contextWindow: 900 })
  expect([await ask(replay, firstAsked()), await ask(replay, thenAsked())]).toEqual(live)
  await replay.close()
})

test('the file is readable: a call holds what is new in it', async () => {
  const path = await record(scriptedModel(weather), [firstAsked(), thenAsked()])
  const [first, second] = JSON.parse(await readFile(path, 'utf8')).calls
  expect(first.request).toEqual({
    instructions: 'Be brief.',
    items: [{ type: 'message', role: 'user', content: [{ type: 'text', text: 'Weather in Oslo?' }] }],
  })
  expect(second).toEqual({
    request: {
      asBefore: ['instructions'],
      itemsAsBefore: 1,
      items: [
        { type: 'tool_call', call_id: 'call_1', name: 'get_weather', arguments: '{"city":"Oslo"}' },
        { type: 'tool_result', call_id: 'call_1', output: 'rain' },
      ],
    },
    parts: ['It', ' rains', ' in', ' Oslo.'].map((delta) => ({ type: 'text', delta })),
    end: {
      type: 'reply',
      finishReason: 'stop',
      usage: { input_tokens: 3, output_tokens: 4, total_tokens: 7 },
    },
  })
})

test('two recordings of the same calls are the same file, though all ids differ', async () => {
  const paths = [
    await record(scriptedModel(weather), [firstAsked(), thenAsked(`of ${createId('run')}`)]),
    await record(scriptedModel(weather), [firstAsked(), thenAsked(`of ${createId('run')}`)]),
  ]
  const [one, other] = await Promise.all(paths.map((path) => readFile(path, 'utf8')))
  expect(one).toBe(other)
  expect(one).toContain('"of run_1"')
})

test('calls that overlap are kept whole, in the order they were made', async () => {
  const path = await newFile()
  const slow = Promise.withResolvers<void>()
  const model = scriptedModel((_request, call) =>
    call === 0 ? { text: ['one', ' end'], gate: (i) => (i === 1 ? slow.promise : undefined) } : 'two',
  )
  const recording = recordModel(model, { path })
  const first = ask(recording, requestOf([say('1')]))
  await ask(recording, requestOf([say('2')]))
  slow.resolve()
  await first
  await recording.close()

  const replay = replayModel({ path, match: 'request' })
  const texts = async (text: string) =>
    (await ask(replay, requestOf([say(text)]))).parts.map((part) => 'delta' in part && part.delta)
  expect(await texts('2')).toEqual(['two'])
  expect(await texts('1')).toEqual(['one', ' end'])
  await replay.close()
})

test('a recorded error comes as the same coded error, after the same parts', async () => {
  const model = scriptedModel([
    { text: 'Half of it', error: { code: 'model_rate_limited', after: 1, retryAfterMs: 1500 } },
    { error: { code: 'model_unavailable', retryable: false } },
    { error: { throw: new Error('a bug that holds sk-secret') } },
  ])
  const path = await record(model, [requestOf([say('1')]), requestOf([say('2')]), requestOf([say('3')])])
  expect(await readFile(path, 'utf8')).not.toContain('a bug')

  const replay = replayModel({ path })
  const first = await ask(replay, requestOf([say('1')]))
  expect(first.parts).toEqual([{ type: 'text', delta: 'Half' }])
  expect(first.end).toMatchObject({ code: 'model_rate_limited', retryable: true, retryAfterMs: 1500 })
  expect(AppError.is(first.end)).toBe(true)
  expect((await ask(replay, requestOf([say('2')]))).end).toMatchObject({
    code: 'model_unavailable',
    retryable: false,
  })
  expect((await ask(replay, requestOf([say('3')]))).end).toMatchObject({ code: 'internal' })
})

test('a call that was ended by its caller is silent until it is ended again', async () => {
  const path = await newFile()
  const recording = recordModel(scriptedModel([{ text: ['Hm'], hang: true }]), { path })
  const abortAfterFirst = async (model: Model) => {
    const controller = new AbortController()
    const emit = () => queueMicrotask(() => controller.abort(new Error('stop')))
    const failed = model.stream(requestOf([say('1')]), { emit, signal: controller.signal })
    return failureOf(failed)
  }
  expect(await abortAfterFirst(recording)).toBe('stop')
  await recording.close()
  const replay = replayModel({ path })
  expect(await abortAfterFirst(replay)).toBe('stop')
  await replay.close()
})

test('a request that drifted fails with what is different, and nothing of what is not', async () => {
  const path = await record(scriptedModel(weather), [firstAsked(), thenAsked()])
  const replay = replayModel({ path })
  await ask(replay, firstAsked())
  const { end, parts } = await ask(replay, { ...thenAsked('snow'), instructions: 'Be long.' })
  expect(parts).toEqual([])
  expect(end).toMatchObject({ code: 'internal', retryable: false })
  expect((end as AppError).message).toBe(
    `replayModel: call 2 is not as it was recorded in ${path}
  instructions
    recorded: "Be brief."
    asked:    "Be long."
  items[2].output
    recorded: "rain"
    asked:    "snow"
Where that is meant, delete the file and record it again.`,
  )
  expect(await failureOf(replay.close())).toBe((end as AppError).message)
})

test('of a long text that drifted, the place is shown', async () => {
  const long = 'word '.repeat(200)
  const path = await record(scriptedModel(['a']), [requestOf([say(`${long}old end`)])])
  const { end } = await ask(replayModel({ path }), requestOf([say(`${long}new end`)]))
  expect((end as AppError).message).toContain(`items[0].content[0].text\n    recorded: …"`)
  expect((end as AppError).message).toMatch(/word old end"\n {4}asked: {4}…".*word new end"/)
})

test('an item more shows as one difference, wherever it stands', async () => {
  const items = [say('a'), say('b', 'assistant'), say('c')]
  const path = await record(scriptedModel(['x']), [requestOf(items)])
  const more = requestOf([items[0]!, say('new', 'assistant'), ...items.slice(1)])
  const { end } = await ask(replayModel({ path }), more)
  expect((end as AppError).message.match(/recorded:/g)).toHaveLength(1)
  expect((end as AppError).message).toContain(
    'items[1]\n    recorded: nothing\n    asked:    {"type":"message"',
  )
})

test.each<{ change: string; request: ModelRequest }>([
  { change: 'tools', request: { ...firstAsked(), tools: [{ name: 'x', description: '', parameters: {} }] } },
  { change: 'settings.temperature', request: { ...firstAsked(), settings: { temperature: 1 } } },
  { change: 'toolChoice', request: { ...firstAsked(), toolChoice: 'required' } },
  { change: 'outputSchema', request: { ...firstAsked(), outputSchema: { type: 'object' } } },
])('a drift of $change is seen', async ({ change, request }) => {
  const path = await record(scriptedModel(weather), [firstAsked()])
  const { end } = await ask(replayModel({ path }), request)
  expect((end as AppError).message).toContain(`\n  ${change.split('.')[0]}`)
})

test('by order alone, what is asked does not matter', async () => {
  const path = await record(scriptedModel(weather), [firstAsked(), thenAsked()])
  const replay = replayModel({ path, match: 'order' })
  await ask(replay, requestOf([say('whatever')]))
  expect((await ask(replay, requestOf([]))).parts).toHaveLength(4)
  await replay.close()
})

test('a call too many, and calls that were not made, are told', async () => {
  const path = await record(scriptedModel(weather), [firstAsked(), thenAsked()])
  const short = replayModel({ path })
  await ask(short, firstAsked())
  expect(await failureOf(short.close())).toContain('1 of 2 recorded calls')

  const long = replayModel({ path })
  await ask(long, firstAsked())
  await ask(long, thenAsked())
  const { end } = await ask(long, requestOf([say('And in Rome?')]))
  expect((end as AppError).message).toContain('holds 2 calls, and this is call 3')
  expect((end as AppError).message).toContain('And in Rome?')
})

test('what differs from run to run can be taken out of the texts', async () => {
  const path = await newFile()
  const normalise = (text: string) => text.replaceAll(/\d{4}-\d\d-\d\d/g, 'DATE')
  const recording = recordModel(scriptedModel(['a']), { path, normalise })
  await ask(recording, requestOf([say('It is 2026-01-01.')]))
  await recording.close()
  const options: ReplayModelOptions = { path, normalise }
  const replay = replayModel(options)
  expect((await ask(replay, requestOf([say('It is 2027-12-31.')]))).parts).toHaveLength(1)
  await replay.close()
})

test('parts of every kind are replayed with what the provider keeps with them', async () => {
  const providerData = { signature: 'abc' }
  const parts: ModelPart[] = [
    { type: 'reasoning', delta: 'a' },
    { type: 'reasoning_end', providerData },
    { type: 'text', delta: 'b' },
    { type: 'text_end', providerData },
    { type: 'file', url: 'data:image/png;base64,AAAA', mediaType: 'image/png', providerData },
    { type: 'tool_call', index: 0, name: 'c', providerData },
    { type: 'tool_input', index: 0, delta: '{}' },
  ]
  const path = await record(scriptedModel([{ parts }]), [firstAsked()])
  expect((await ask(replayModel({ path }), firstAsked())).parts).toEqual(parts)
})

test('a long file in a request is kept as its hash, one in a reply as it is', async () => {
  const url = `data:image/png;base64,${'A'.repeat(5000)}`
  const withImage = (image: string): ModelRequest =>
    requestOf([{ type: 'message', id: 'item_1', role: 'user', content: [{ type: 'image', url: image }] }])
  const parts: ModelPart[] = [{ type: 'file', url, mediaType: 'image/png' }]
  const path = await record(scriptedModel([{ parts }]), [withImage(url)])
  const { request } = JSON.parse(await readFile(path, 'utf8')).calls[0]
  expect(request.items[0].content[0].url).toMatch(/^data:image\/png;base64;sha256=[0-9a-f]{16}$/)
  expect((await ask(replayModel({ path }), withImage(url))).parts).toEqual(parts)
  const { end } = await ask(replayModel({ path }), withImage(url.replace('AAAA', 'AAAB')))
  expect(end).toMatchObject({ code: 'internal' })
})

test('timings are kept and waited out where that is asked for', async () => {
  const path = await newFile()
  const clock = createFakeClock()
  const recording = recordModel(scriptedModel([{ text: ['a', 'b'], delayMs: 40 }], { clock }), {
    path,
    timings: true,
    clock,
  })
  const recorded = ask(recording, firstAsked())
  await clock.advance(80)
  await recorded
  await recording.close()
  expect(JSON.parse(await readFile(path, 'utf8')).calls[0].parts).toEqual([
    { type: 'text', delta: 'a', at_ms: 40 },
    { type: 'text', delta: 'b', at_ms: 80 },
  ])

  const seen: string[] = []
  const replay = replayModel({ path, timings: true, clock })
  const emit = (part: ModelPart) => seen.push(JSON.stringify(part))
  const played = replay.stream(firstAsked(), { emit, signal: new AbortController().signal })
  await clock.advance(39)
  expect(seen).toEqual([])
  await clock.advance(1)
  expect(seen).toEqual(['{"type":"text","delta":"a"}'])
  await clock.advance(40)
  await played
  expect(seen).toHaveLength(2)
  expect((await ask(replayModel({ path }), firstAsked())).parts).toHaveLength(2)
})

test('a recording that is not over is not written', async () => {
  const path = await newFile()
  const recording = recordModel(scriptedModel([{ hang: true }]), { path })
  const controller = new AbortController()
  const call = ask(recording, firstAsked(), controller.signal)
  expect(await failureOf(recording.close())).toContain('a call is still under way')
  expect(() => replayModel({ path })).toThrow('there is no fixture')
  controller.abort()
  await call
})

test('a new recording replaces the file, and leaves nothing else in its folder', async () => {
  const path = await record(scriptedModel(weather), [firstAsked()])
  const again = recordModel(scriptedModel(['New.']), { path })
  await ask(again, firstAsked())
  await Promise.all([again.close(), again.close()])
  expect(await readdir(join(path, '..'))).toEqual(['calls.json'])
  expect((await ask(replayModel({ path }), firstAsked())).parts).toEqual([{ type: 'text', delta: 'New.' }])
})

test('where the file cannot be written, nothing is left of the try', async () => {
  const path = await newFile()
  await mkdir(path, { recursive: true })
  const recording = recordModel(scriptedModel(['a']), { path })
  await ask(recording, firstAsked())
  await expect(recording.close()).rejects.toMatchObject({ code: 'EISDIR' })
  expect(await readdir(join(path, '..'))).toEqual(['calls.json'])
})

test.each([
  ['no JSON', '{', 'is not JSON'],
  ['another format', '{"format":"x"}', 'is no fixture of a model'],
  ['an unknown part', null, 'parts[0].type'],
])('a file with %s is refused, with the fault', async (_what, text, message) => {
  const path = await record(scriptedModel(['a']), [firstAsked()])
  await writeFile(
    path,
    text ?? (await readFile(path, 'utf8')).replace('"type": "text", "delta"', '"type": "txt", "delta"'),
  )
  expect(() => replayModel({ path })).toThrow(message)
})

test('the calls of a real request hold no key', async () => {
  const path = await newFile()
  const recording = recordModel(scriptedModel(['a']), { path })
  await ask(recording, requestOf([say('My key is sk-proj-abcdefghijklmnopqrstuvwx')]))
  const message = await failureOf(recording.close())
  expect(message).toContain(
    'call 1: items[0].content[0].text holds what looks like a key of a model provider',
  )
  expect(message).not.toContain('abcdefgh')
  expect(() => replayModel({ path })).toThrow('there is no fixture')
})

test('a fixture model records where there is no file, and replays where there is one', async () => {
  const path = await newFile()
  const asked: string[] = []
  const model = () => {
    asked.push('made')
    return scriptedModel(['Hello.'])
  }
  const first = fixtureModel({ path, model, record: true })
  const live = await ask(first, firstAsked())
  await first.close()
  const second = fixtureModel({ path, model })
  expect(await ask(second, firstAsked())).toEqual(live)
  await second.close()
  expect(asked).toEqual(['made'])
})

test('a fixture model without its file fails at once where it may not record', async () => {
  const path = await newFile()
  expect(() => fixtureModel({ path, model: 'openai/any', record: false })).toThrow(
    'record it on your machine',
  )
})

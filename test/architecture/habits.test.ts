import { basename } from 'node:path'
import { describe, expect, test } from 'vitest'
import { isTest, sourceFiles } from './source-files.ts'

const files = sourceFiles('src')
const vagueName = /^(?:utils?|helpers?|common|misc|shared|lib)\.ts$/
const kebabCase = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.test)?\.ts$/
const maxLines = 500

/** Codes that look like tickets and are names of standards or formats. */
const knownCodes = /^(?:UTF|SHA|ISO|RFC|HS|ES|RS|AES|MD|BASE|WIN|GPT|HTTP|IPV|US|X)-\d+$/
const ticketCode = /\b[A-Z]{2,}-\d+\b/g

/** Comments of a source, well enough: whole lines that are a comment, and what follows `//` after a space. */
function commentsOf(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const comment = /^\s*(?:\/\*\*?|\*|\/\/)(.*)$/.exec(line)?.[1] ?? /\s\/\/\s(.*)$/.exec(line)?.[1]
    return comment === undefined ? [] : [comment]
  })
}

function ticketsOf(text: string): string[] {
  return commentsOf(text)
    .flatMap((comment) => comment.match(ticketCode) ?? [])
    .filter((code) => !knownCodes.test(code))
}

test('files are kebab-case nouns, none a drawer for anything', () => {
  const faults = files
    .map(({ path }) => path)
    .filter((path) => vagueName.test(basename(path)) || !kebabCase.test(basename(path)))
  expect(faults).toEqual([])
})

test('comments hold no ticket codes', () => {
  const faults = files.flatMap(({ path, text }) => ticketsOf(text).map((code) => `${path}: ${code}`))
  expect(faults).toEqual([])
})

test('everything is exported by name', () => {
  const faults = files
    .filter(({ text }) => /^export\s+(?:default\b|\{[^}]*\bas default\b)/m.test(text))
    .map(({ path }) => path)
  expect(faults).toEqual([])
})

test(`no source is longer than ${maxLines} lines`, () => {
  const faults = files
    .filter(({ path }) => !isTest(path))
    .map(({ path, text }) => ({ path, lines: text.split('\n').filter((line) => line.trim() !== '').length }))
    .filter(({ lines }) => lines > maxLines)
  expect(faults).toEqual([])
})

/** Loaded once, or once for each server: not for each request. */
const settledEarly = /^src\/(?:cli|moderation|testing|tools)\//
const writtenFunction = /\.#?\w+ (?:\?\?)?= (?:async )?(?:function\b|\w+ =>|\([^()]*\)(?:: [^=]+)? =>)/

// V8 makes such a function an old object, and all that it sees stays until the next full collection.
test('no function is written straight to a property: it is named first', () => {
  const faults = files
    .filter(({ path }) => !isTest(path) && !settledEarly.test(path))
    .flatMap(({ path, text }) =>
      text.split('\n').flatMap((line, i) => (isWrittenToProperty(line) ? [`${path}:${i + 1}`] : [])),
    )
  expect(faults).toEqual([])
})

function isWrittenToProperty(line: string): boolean {
  return !/^\s*(?:\*|\/\/)/.test(line) && writtenFunction.test(line)
}

test('barrels stand only at published names', () => {
  const barrels = files.map(({ path }) => path).filter((path) => basename(path) === 'index.ts')
  expect(barrels.filter((path) => path !== 'src/index.ts' && path !== 'src/testing/index.ts')).toEqual([])
})

describe('the checks', () => {
  test.each([
    ['reader.onReady = () => {', true],
    ['    this.#wake = async (event: RunEvent): Promise<void> => {', true],
    ['  it.ready ??= function () {', true],
    ['  socket.end = call => call()', true],
    ['  const look = () => {', false],
    ['  reader.onReady = look', false],
    ['  readonly #call: () => void = () => {}', false],
    ['  forget = () => {}', false],
    ['   * Like `reader.onReady = () => …`', false],
  ])('see whether %s writes a function to a property', (line, is) => {
    expect(isWrittenToProperty(line)).toBe(is)
  })

  test.each(['utils.ts', 'helpers.ts', 'common.ts', 'misc.ts'])('%s is a vague name', (name) => {
    expect(vagueName.test(name)).toBe(true)
  })

  test('a ticket code is found in any comment, and a standard is none', () => {
    expect(ticketsOf('// see ABC-12\nconst a = 1 // FOO-3\n/** BAR-4\n * and BAZ-5 */')).toEqual([
      'ABC-12',
      'FOO-3',
      'BAR-4',
      'BAZ-5',
    ])
    expect(ticketsOf("// UTF-8 and UTF-16, SHA-256, ISO-8601\nconst code = 'ABC-12'")).toEqual([])
  })
})

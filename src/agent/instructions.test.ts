import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { readPrompt, template } from './instructions.ts'

describe('a template', () => {
  test('knows the values it asks for, each once', () => {
    expect(template('{{a}} {{ b.c }} {{a}} {{list.0.x-y}} {{_z}}').names).toEqual([
      'a',
      'b.c',
      'list.0.x-y',
      '_z',
    ])
    expect(template('No {values} here, }} nor {{ here').names).toEqual([])
  })

  test('within other braces, as JSON has them, is found', () => {
    expect(template('{"customer": {{customer}}}').names).toEqual(['customer'])
  })

  test('asks for nothing where the braces are escaped', () => {
    expect(template('Write \\{{first_name}} and \\{{ 1 + 1 }}').names).toEqual([])
  })

  test.each(['{{}}', '{{ }}', '{{a b}}', '{{a..b}}', '{{.a}}', '{{1a}}', '{{a[0]}}', '{{#if a}}'])(
    '%s is refused where it is defined',
    (text) => {
      expect(() => template(`Hello ${text}.`)).toThrow(`template: ${text} is not the path of a value`)
    },
  )
})

test('a template is text', () => {
  expect(() => template(5 as unknown as string)).toThrow('template: must be text')
})

describe('a prompt file', () => {
  function fileWith(bytes: string | Buffer): string {
    const folder = mkdtempSync(join(tmpdir(), 'parley-prompt-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const path = join(folder, 'prompt.md')
    writeFileSync(path, bytes)
    return path
  }

  test('is read by URL or by path, without the white space around it', () => {
    const path = fileWith('\n# Task\n\nHelp.\n\n')
    expect(readPrompt(pathToFileURL(path))).toBe('# Task\n\nHelp.')
    expect(readPrompt(path)).toBe('# Task\n\nHelp.')
  })

  test('is the same whatever system wrote it', () => {
    expect(readPrompt(fileWith('\uFEFFOne\r\ntwo\rthree — ü\r\n'))).toBe('One\ntwo\nthree — ü')
  })

  test('that is not there is refused with its name', () => {
    const missing = new URL('./no-such-prompt.md', import.meta.url)
    expect(() => readPrompt(missing)).toThrow(`readPrompt: ${missing.href}: ENOENT`)
  })

  test.each([
    ['a folder', () => tmpdir(), 'EISDIR'],
    ['an address', () => new URL('https://example.com/prompt.md'), 'ERR_INVALID_URL_SCHEME'],
    ['not UTF-8', () => fileWith(Buffer.from([0x47, 0xfc, 0x6e])), 'ERR_ENCODING_INVALID_ENCODED_DATA'],
  ])('that is %s is refused', (_what, file, code) => {
    expect(() => readPrompt(file())).toThrow(code)
  })

  test('can be a template', () => {
    expect(template(readPrompt(fileWith('Help {{who}}.\n')))).toEqual({
      kind: 'template',
      text: 'Help {{who}}.',
      names: ['who'],
    })
  })
})
